"""Messages of `application/vnd.amazon.eventstream`, as bytes come and go.

```
4 bytes  total length      ┐
4 bytes  headers' length   ┴ CRC-32 of these in the next
4 bytes  prelude's CRC
         headers           event_headers
         payload
4 bytes  CRC-32 of everything before
```
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from parley.core.errors import ParleyError
from parley.wire.event_headers import HEADER_VALUE_MAX_BYTES, HEADERS_MAX_BYTES, decode_headers, invalid
from parley.wire.event_headers import Byte as Byte
from parley.wire.event_headers import Long as Long
from parley.wire.event_headers import Short as Short
from parley.wire.event_headers import Timestamp as Timestamp
from parley.wire.event_headers import Value as Value
from parley.wire.event_headers import encode_headers as encode_headers

CONTENT_TYPE = "application/vnd.amazon.eventstream"

PAYLOAD_MAX_BYTES = 16 * 1024 * 1024
"""The longest payload that AWS's SDK for Python takes."""

MESSAGE_OVERHEAD_BYTES = 16
"""Prelude and checksum: what a message without headers and payload is long."""

MESSAGE_MAX_BYTES = MESSAGE_OVERHEAD_BYTES + HEADERS_MAX_BYTES + PAYLOAD_MAX_BYTES

_LENGTHS = struct.Struct(">II")
_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_PRELUDE_BYTES = _PRELUDE.size
_CACHED_BLOCKS_MAX = 16
_CACHED_BLOCK_MAX_BYTES = 256


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Two with the same values are equal; neither headers nor payload are in its `repr`."""

    headers: Mapping[str, Value]
    payload: bytes

    def __repr__(self) -> str:
        return f"Message({len(self.headers)} headers, {len(self.payload)} bytes)"


def encode(headers: Mapping[str, Value], payload: bytes) -> bytes:
    """A message.

    Raises:
        ValueError: a header, the headers or the payload are too long, or an integer too large for its width.
        TypeError: a header's value is of no type that there is on the wire.
    """
    return assemble(encode_headers(headers), payload)


def assemble(header_block: bytes, payload: bytes) -> bytes:
    """A message of headers that are encoded already.

    Raises:
        ValueError: the payload is longer than `PAYLOAD_MAX_BYTES`.
    """
    if len(payload) > PAYLOAD_MAX_BYTES:
        raise ValueError(f"an event's payload may be {PAYLOAD_MAX_BYTES} bytes long")
    lengths = _LENGTHS.pack(MESSAGE_OVERHEAD_BYTES + len(header_block) + len(payload), len(header_block))
    head = lengths + _CRC.pack(crc32(lengths)) + header_block
    return b"".join((head, payload, _CRC.pack(crc32(payload, crc32(head)))))


class Decoder:
    """Messages from a stream that is cut anywhere.

    Holds at most one message that is incomplete. A stream that was broken once stays so: `failure` is the error. It
    does not depend on the cuts: messages in front of the broken place are returned first, and the error is raised when
    there are none left, if need be by the next call.
    """

    __slots__ = (
        "_buffer",
        "_cache",
        "_header_value_max_bytes",
        "_headers_max_bytes",
        "_max_bytes",
        "_needed",
        "failure",
    )

    def __init__(
        self,
        message_max_bytes: int = MESSAGE_MAX_BYTES,
        *,
        headers_max_bytes: int = HEADERS_MAX_BYTES,
        header_value_max_bytes: int = HEADER_VALUE_MAX_BYTES,
    ) -> None:
        self._max_bytes = message_max_bytes
        self._headers_max_bytes = headers_max_bytes
        self._header_value_max_bytes = header_value_max_bytes
        self._buffer = bytearray()
        self._needed = _PRELUDE_BYTES
        # A client sends the same few header blocks over and over.
        self._cache: dict[bytes, Mapping[str, Value]] = {}
        self.failure: ParleyError | None = None

    @property
    def is_between_messages(self) -> bool:
        """Whether the stream may end here."""
        return not self._buffer and self.failure is None

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete with these bytes.

        Raises:
            ParleyError: invalid-event-stream, or message-too-large for a message over `message_max_bytes`.
        """
        if self.failure is not None:
            raise self.failure
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        messages: list[Message] = []
        try:
            rest = self._take(data, messages)
        except ParleyError as error:
            self.failure = error
            if not messages:
                raise
            return messages
        if rest < len(data):
            self._buffer += memoryview(data)[rest:]
        return messages

    def decode(self, data: bytes) -> Message:
        """The message that these bytes are, neither more nor less; what was fed before is not touched.

        Raises:
            ParleyError: as for `feed`.
        """
        messages: list[Message] = []
        rest = self._take(data, messages)
        if rest != len(data) or len(messages) != 1:
            raise invalid("Where one whole event belongs there is none, a part of one, or more than one.")
        return messages[0]

    def _take(self, data: bytes, messages: list[Message]) -> int:
        """Append the messages in the data; where the incomplete one behind them begins."""
        at, size = 0, len(data)
        while size - at >= _PRELUDE_BYTES:
            total, headers_bytes, prelude_crc = _PRELUDE.unpack_from(data, at)
            # Before anything waits for so many bytes.
            if crc32(data[at : at + 8]) != prelude_crc:
                raise invalid("The checksum of an event's lengths is wrong.")
            if not MESSAGE_OVERHEAD_BYTES + headers_bytes <= total <= self._max_bytes:
                raise self._wrong_total(total)
            if headers_bytes > self._headers_max_bytes:
                raise invalid(f"An event's headers are longer than {self._headers_max_bytes} bytes.")
            if size - at < total:
                self._needed = total
                return at
            end = at + total - 4
            if crc32(memoryview(data)[at + 8 : end], prelude_crc) != _CRC.unpack_from(data, end)[0]:
                raise invalid("The checksum of an event is wrong.")
            payload_at = at + _PRELUDE_BYTES + headers_bytes
            block = data[at + _PRELUDE_BYTES : payload_at]
            headers = self._cache.get(block)
            if headers is None:
                headers = self._decode_headers(block)
            messages.append(Message(headers, data[payload_at:end]))
            at = end + 4
        self._needed = _PRELUDE_BYTES
        return at

    def _wrong_total(self, total: int) -> ParleyError:
        if total > self._max_bytes:
            return ParleyError("message-too-large", f"An event may be {self._max_bytes} bytes long.")
        return invalid("An event is shorter than its parts.")

    def _decode_headers(self, block: bytes) -> Mapping[str, Value]:
        headers = decode_headers(block, value_max_bytes=self._header_value_max_bytes)
        # Strings name what an event is and come again; the times and signatures of signing events never do.
        if len(block) <= _CACHED_BLOCK_MAX_BYTES and all(isinstance(value, str) for value in headers.values()):
            if len(self._cache) >= _CACHED_BLOCKS_MAX:
                self._cache.clear()
            self._cache[block] = headers
        return headers
