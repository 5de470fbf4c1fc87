"""From the bytes of a client's stream to its parts, each verified before it is looked at."""

from collections.abc import Iterator

from parley.access.identity import EventGuard
from parley.core.errors import ParleyError
from parley.wire.event_headers import invalid
from parley.wire.event_stream import Decoder, Message
from parley.wire.payload_part import PayloadPart, is_signing_event, parse_part

_HEADERS_MAX_BYTES = 65_536
"""For the headers and lengths of an event and of the signing event around it. AWS's clients need some 300 bytes; the
padding in a header `P` may be 32 KiB."""


class PartReader:
    """The parts of one stream.

    With a `guard` each event has to be signed. Without one events are taken as they come, in a signing event or not.
    `is_proven` says that the event came that ends a signed stream: it was not cut.
    """

    def __init__(self, guard: EventGuard | None, part_max_bytes: int) -> None:
        self._guard = guard
        self._part_max_bytes = part_max_bytes
        self._decoder = Decoder(part_max_bytes + _HEADERS_MAX_BYTES)
        self.is_proven = False

    def feed(self, data: bytes) -> Iterator[PayloadPart]:
        """The parts that are complete with these bytes. What was good comes before the error is raised.

        Raises:
            ParleyError: invalid-event-stream, message-too-large, invalid-signature or clock-skew. No byte behind it can
                be trusted.
        """
        for message in self._decoder.feed(data):
            part = self._open(message)
            if part is not None:
                yield part
        if self._decoder.failure is not None:
            raise self._decoder.failure

    def finish(self) -> None:
        """The stream has ended.

        Raises:
            ParleyError: invalid-event-stream, when it did so in the middle of an event.
        """
        if not self._decoder.is_between_messages:
            raise invalid("The stream ended in the middle of an event.")

    def _open(self, message: Message) -> PayloadPart | None:
        """The part that an event holds; None for the one that ends the stream."""
        if self.is_proven:
            raise invalid("An event came behind the one that ends the stream.")
        if self._guard is not None:
            inner = self._guard.open(message)
        elif is_signing_event(message):
            inner = message.payload
        else:
            return self._bounded(parse_part(message))
        if not inner:
            self.is_proven = True
            return None
        return self._bounded(parse_part(self._decoder.decode(inner)))

    def _bounded(self, part: PayloadPart) -> PayloadPart:
        if len(part.data) > self._part_max_bytes:
            raise ParleyError("message-too-large", f"A part may be {self._part_max_bytes} bytes long.")
        return part
