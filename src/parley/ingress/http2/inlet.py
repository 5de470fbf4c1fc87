"""What a connection reads: bytes, cut anywhere, to frames."""

from collections.abc import Callable, Mapping

from h2.errors import ErrorCodes

from parley.ingress.http2 import frame_head as fh
from parley.ingress.http2.authority import Authority
from parley.ingress.http2.credit import Credit
from parley.ingress.http2.guard import Guard, Violation
from parley.ingress.http2.limits import FRAME_MAX_BYTES
from parley.ingress.http2.stream import Stream

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""RFC 9113 section 3.4."""

CONTROL_FRAME_MAX_BYTES = 1_024
"""Of a frame that is neither data nor part of a header block. 170 settings are many."""

_LONG = frozenset((fh.DATA, fh.HEADERS, fh.CONTINUATION))
_HTTP_1_HEAD_BYTES = 4_096

TakeFrame = Callable[[int, int, int, bytes], bool]
"""(type, flags, stream, the frame with its head) of a frame that is not plain DATA; False to read no further."""


class SpeaksHttp1(Violation):
    """The first line is one of HTTP/1."""


class Inlet:
    """Plain DATA goes to its stream at once, everything else, whole, to `take_frame`."""

    def __init__(
        self,
        streams: Mapping[int, Stream],
        authority: Authority,
        guard: Guard,
        credit: Credit,
        take_frame: TakeFrame,
    ) -> None:
        self._streams = streams
        self._authority = authority
        self._guard = guard
        self._credit = credit
        self._take_frame = take_frame
        self._has_preface = False
        self._partial = bytearray()
        self._needed_bytes = 0
        self._skipped_bytes = 0
        self._partial_kind = fh.DATA

    @property
    def is_within_headers(self) -> bool:
        """Whether a header block has begun and not ended, as far as it was read."""
        return self._guard.block_stream_id != 0 or self._partial_kind == fh.HEADERS

    def feed(self, data: bytes) -> None:
        """Take what has come.

        Raises:
            Violation: it is not HTTP/2, or a frame is too long.
        """
        if self._skipped_bytes:
            skipped = min(self._skipped_bytes, len(data))
            self._skipped_bytes -= skipped
            data = data[skipped:]
        if self._partial:
            if len(self._partial) + len(data) < self._needed_bytes:
                self._partial += data
                return
            data = b"".join((self._partial, data))
            self._partial.clear()
        if self._has_preface:
            self._read(data, 0)
        elif self._takes_preface(data):
            self._read(data, len(PREFACE))

    def _takes_preface(self, data: bytes) -> bool:
        if not PREFACE.startswith(data[: len(PREFACE)]):
            if b" HTTP/1." in data[:_HTTP_1_HEAD_BYTES]:
                raise SpeaksHttp1(ErrorCodes.HTTP_1_1_REQUIRED, "its client speaks HTTP/1")
            raise Violation(ErrorCodes.PROTOCOL_ERROR, "its client does not speak HTTP/2")
        if len(data) < len(PREFACE):
            # Bytes that can't be the preface any more are seen at once.
            self._partial += data
            return False
        self._has_preface = True
        self._authority.receive_data(PREFACE)
        return True

    def _read(self, data: bytes, position: int) -> None:
        streams, authority, guard, credit = self._streams, self._authority, self._guard, self._credit
        end = len(data)
        needed = fh.HEAD_BYTES
        self._partial_kind = fh.DATA
        while end - position >= fh.HEAD_BYTES:
            high, low, kind, flags, stream_id = fh.unpack_head(data, position)
            length = high << 16 | low
            stream_id &= fh.STREAM_ID_MASK
            if length > FRAME_MAX_BYTES:
                raise Violation(ErrorCodes.FRAME_SIZE_ERROR, "a frame was longer than the longest announced")
            start = position + fh.HEAD_BYTES
            stop = start + length
            is_data = kind == fh.DATA and length and not guard.block_stream_id
            if is_data and stream_id not in streams and authority.throw_away_data(stream_id, length):
                # Nobody wants it: it is not even put together.
                credit.settle_shared()
                position = self._skip(stop, end)
                continue
            if kind > fh.CONTINUATION:
                # Of a type that nobody knows it is only counted.
                if not self._take_frame(kind, flags, stream_id, fh.frame_head(0, kind, flags, stream_id)):
                    return
                position = self._skip(stop, end)
                continue
            if length > CONTROL_FRAME_MAX_BYTES and kind not in _LONG:
                raise Violation(ErrorCodes.ENHANCE_YOUR_CALM, "a frame was longer than any of its type has to be")
            if stop > end:
                needed += length
                self._partial_kind = kind
                break
            if is_data and not flags & fh.NOT_PLAIN:
                stream = streams.get(stream_id)
                if stream is not None and authority.take_plain_data(stream.protocol, length):
                    stream.receive(data[start:stop])
                    credit.settle(stream)
                    position = stop
                    continue
            if not self._take_frame(kind, flags, stream_id, data[position:stop]):
                return
            position = stop
        if position < end:
            self._partial += data[position:]
            self._needed_bytes = needed

    def _skip(self, stop: int, end: int) -> int:
        """Read past a frame that goes on until `stop`, of which there is as much as until `end`."""
        self._skipped_bytes = max(0, stop - end)
        return min(stop, end)
