"""One request and its answer on a connection."""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable
from typing import Protocol

from h2.errors import ErrorCodes
from h2.stream import H2Stream

from parley.ingress.http2.authority import Authority
from parley.ingress.http2.exchange import ExchangeHandler, Headers
from parley.ingress.http2.limits import FRAME_MAX_BYTES, Http2Limits

_log = logging.getLogger("parley.ingress")

# RFC 9113 section 8.2.1, and a token is what RFC 9110 section 5.6.2 says.
_ERROR_STATUS = 400
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"(?:[^\x00\r\n\t ](?:[^\x00\r\n]*[^\x00\r\n\t ])?)?")


class Carrier(Protocol):
    """The connection, as its streams see it."""

    @property
    def limits(self) -> Http2Limits:
        """What bounds them."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where they live."""

    def send_head(self, stream: "Stream", status: int, headers: Headers) -> None:
        """Write the answer's head."""

    def output_waits(self, stream: "Stream") -> None:
        """The stream has something to write."""

    def write_now(self) -> None:
        """Write what the windows and the transport take, without waiting for the end of the tick."""

    def end_stream(self, stream: "Stream") -> None:
        """Nothing waits, and nothing more comes: say so."""

    def reset_stream(self, stream: "Stream", code: int) -> None:
        """Drop it."""

    def hold(self, size: int) -> None:
        """So many bytes more are kept for a handler that does not read; fewer, if negative."""

    def return_credit(self, stream: "Stream") -> None:
        """The handler took something."""

    def round_trip_s(self) -> float | None:
        """How long the peer takes to answer a PING."""


class Stream:
    """An `Exchange`. What h2 knows of it is `protocol`; `window` is what the peer may still send."""

    __slots__ = (
        "_carrier",
        "_delivery",
        "_handler",
        "_has_ended_input",
        "_has_told_end",
        "_is_finishing",
        "_is_lost",
        "_is_paused",
        "_offset",
        "_pieces",
        "_responded",
        "held",
        "is_blocked",
        "is_bodiless",
        "is_over",
        "is_queued",
        "is_refused",
        "pending_bytes",
        "protocol",
        "stream_id",
        "window",
    )

    def __init__(self, carrier: Carrier, protocol: H2Stream) -> None:
        self.stream_id = protocol.stream_id
        self.protocol = protocol
        self.window = Authority.window_of(protocol)
        self.held = bytearray()
        self.pending_bytes = 0
        self.is_blocked = False
        self.is_over = False
        self.is_queued = False
        """Whether it stands in line to write; the line's own mark."""
        self.is_bodiless = False
        """Whether the answer is a head alone: HEAD was asked (RFC 9110 section 9.3.2)."""
        self.is_refused = False
        """Whether the answer's status is that of an error."""
        self._carrier = carrier
        self._handler: ExchangeHandler | None = None
        self._pieces: deque[bytes] = deque()
        self._offset = 0
        self._delivery: asyncio.Handle | None = None
        self._responded = False
        self._is_finishing = False
        self._is_lost = False
        self._is_paused = False
        self._has_ended_input = False
        self._has_told_end = False

    def __repr__(self) -> str:
        return f"<Stream {self.stream_id}>"

    @property
    def is_finishing(self) -> bool:
        """Whether the handler has nothing more to write."""
        return self._is_finishing

    @property
    def has_ended_input(self) -> bool:
        """Whether the peer has sent END_STREAM."""
        return self._has_ended_input

    # What the handler does.

    def respond(self, status: int, headers: Headers = ()) -> None:
        """See `Exchange`.

        Raises:
            ValueError: a field that may not be in a head.
        """
        if self.is_over or self._is_finishing:
            return
        assert not self._responded, "an exchange has one answer"
        for name, value in headers:
            # One bad field, found by the peer, would cost the connection.
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise ValueError("a response field's name or value is not valid in HTTP/2")
        self._responded = True
        self.is_refused = status >= _ERROR_STATUS
        self._carrier.send_head(self, status, headers)

    def write(self, data: bytes) -> None:
        """See `Exchange`."""
        if self.is_over or self._is_finishing or not data or self.is_bodiless:
            return
        assert self._responded, "an answer begins with its head"
        limits = self._carrier.limits
        if self.pending_bytes > limits.output_max_bytes:
            _log.info("An HTTP/2 stream was reset: its peer reads too slowly for what it asked for")
            self.lose_by(ErrorCodes.ENHANCE_YOUR_CALM)
            return
        self._pieces.append(data)
        self.pending_bytes += len(data)
        self._carrier.output_waits(self)
        if self.pending_bytes > limits.output_high_water_bytes and not self.is_blocked:
            self._carrier.write_now()
            if self.pending_bytes > limits.output_high_water_bytes and not self.is_blocked and not self.is_over:
                self.is_blocked = True
                if self._handler is not None:
                    self._tell(self._handler.writing_blocked)

    def finish(self) -> None:
        """See `Exchange`."""
        if self.is_over or self._is_finishing:
            return
        assert self._responded, "an answer begins with its head"
        self._is_finishing = True
        if self._drop_held():
            self._carrier.return_credit(self)
        if not self.pending_bytes:
            self._carrier.end_stream(self)

    def reset(self, code: int) -> None:
        """See `Exchange`. `lost` is not called for it."""
        if not self.is_over:
            self._carrier.reset_stream(self, code)

    def pause_reading(self) -> None:
        """See `Exchange`."""
        self._is_paused = True

    def round_trip_s(self) -> float | None:
        """See `Exchange`."""
        return self._carrier.round_trip_s()

    def resume_reading(self) -> None:
        """See `Exchange`. What was kept is handed over in the loop's next turn, not from within this call."""
        self._is_paused = False
        if self._delivery is None and not self.is_over and (self.held or self._has_ended_input):
            self._delivery = self._carrier.loop.call_soon(self._deliver)

    # What the connection does.

    def begin(self, handler: ExchangeHandler) -> None:
        """The handler is made; it hears now what happened meanwhile."""
        self._handler = handler
        if self._is_lost:
            self._tell(handler.lost)
        elif self.is_blocked and not self.is_over:
            self._tell(handler.writing_blocked)

    def receive(self, data: bytes) -> None:
        """A piece of the request's body, for which the windows had room."""
        if self._is_finishing:
            return
        if self._is_paused or self.held:
            self.held += data
            self._carrier.hold(len(data))
            return
        assert self._handler is not None
        try:
            self._handler.data_received(data)
        except Exception as error:
            self.fail(error)

    def end_input(self) -> None:
        """END_STREAM came."""
        self._has_ended_input = True
        if self._delivery is None:
            self._deliver_end()

    def take(self, size: int) -> bytes:
        """The next so many bytes that wait to be written."""
        pieces = self._pieces
        self.pending_bytes -= size
        first = pieces[0]
        if not self._offset and len(first) == size:
            return pieces.popleft()
        parts: list[bytes | memoryview] = []
        while size:
            piece = memoryview(pieces[0])[self._offset :]
            if len(piece) > size:
                parts.append(piece[:size])
                self._offset += size
                break
            parts.append(piece)
            size -= len(piece)
            pieces.popleft()
            self._offset = 0
        return b"".join(parts)

    def unblock_if_low(self) -> None:
        """Something was written."""
        if self.is_blocked and self.pending_bytes < max(1, self._carrier.limits.output_low_water_bytes):
            self.is_blocked = False
            if self._handler is not None and not self.is_over and not self._is_finishing:
                self._tell(self._handler.writing_unblocked)

    def close(self) -> None:
        """It is over; the handler has brought that about."""
        self.is_over = True
        self._drop_held()
        self._pieces.clear()
        self.pending_bytes = 0
        if self._delivery is not None:
            self._delivery.cancel()
            self._delivery = None

    def lose(self) -> None:
        """It is over, since the peer wants it so."""
        if not self.is_over:
            self.close()
            self.tell_lost()

    def tell_lost(self) -> None:
        """It is closed, and not by the handler."""
        self._is_lost = True
        if self._handler is not None:
            self._tell(self._handler.lost)

    def lose_by(self, code: ErrorCodes) -> None:
        """Reset it without the handler's having asked."""
        self._carrier.reset_stream(self, code)
        self.tell_lost()

    def fail(self, error: Exception) -> None:
        """The handler, or what should have made it, raised."""
        # Its text may hold content.
        _log.error("An HTTP/2 request's handler failed: %s", type(error).__name__)
        if not self.is_over:
            self.lose_by(ErrorCodes.INTERNAL_ERROR)

    def _tell[**P](self, what: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            what(*args, **kwargs)
        except Exception as error:
            self.fail(error)

    def _deliver(self) -> None:
        self._delivery = None
        while self.held and not self._is_paused and not self.is_over:
            data = bytes(self.held[:FRAME_MAX_BYTES])
            del self.held[:FRAME_MAX_BYTES]
            self._carrier.hold(-len(data))
            assert self._handler is not None
            self._tell(self._handler.data_received, data)
            if not self.is_over:
                self._carrier.return_credit(self)
        self._deliver_end()

    def _deliver_end(self) -> None:
        if not self._has_ended_input or self._has_told_end or self._is_paused or self.held:
            return
        if self.is_over or self._is_finishing:
            return
        self._has_told_end = True
        assert self._handler is not None
        self._tell(self._handler.input_ended)

    def _drop_held(self) -> bool:
        """Nobody will take what was kept; whether there was anything."""
        if not self.held:
            return False
        self._carrier.hold(-len(self.held))
        self.held.clear()
        return True
