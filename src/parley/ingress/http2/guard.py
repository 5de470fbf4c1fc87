"""What a peer may send, apart from what the protocol allows: nothing that costs much and brings nothing."""

from dataclasses import dataclass

from h2.errors import ErrorCodes

from parley.ingress.http2 import frame_head as fh
from parley.ingress.http2.limits import Http2Limits

_WINDOW_UPDATES_PER_DATA = 4

_FIXED_LENGTHS = {fh.PRIORITY: 5, fh.RST_STREAM: 4, fh.PING: 8, fh.WINDOW_UPDATE: 4}


class Violation(Exception):  # noqa: N818
    """The connection has to end, with this code of RFC 9113 section 7; the text is for the log."""

    def __init__(self, code: ErrorCodes, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(slots=True)
class Rate:
    """Counts what happens within a second. Times are in seconds, of any clock that does not go back."""

    name: str
    per_s_max: int
    _since: float = float("-inf")
    _count: int = 0

    def count(self, now: float) -> None:
        """It happened.

        Raises:
            Violation: too often.
        """
        if now - self._since >= 1.0:
            self._since = now
            self._count = 0
        self._count += 1
        if self._count > self.per_s_max:
            raise Violation(ErrorCodes.ENHANCE_YOUR_CALM, f"more than {self.per_s_max} {self.name} a second")


class Guard:
    """Looks at the head of every frame that is not plain DATA before h2 sees it."""

    def __init__(self, limits: Http2Limits) -> None:
        self._limits = limits
        self._has_settings = False
        self._block_bytes = 0
        self._continuations = 0
        self._earned_window_updates = 0
        self._resets = Rate("stream resets", limits.resets_per_s_max)
        self._empty_data = Rate("empty DATA frames", limits.empty_data_per_s_max)
        self._unknown = Rate("frames of unknown types", limits.unknown_frames_per_s_max)
        self._window_updates = Rate("WINDOW_UPDATE frames", limits.window_updates_per_s_max)
        self._rates = {
            fh.PING: Rate("PING frames", limits.pings_per_s_max),
            fh.SETTINGS: Rate("SETTINGS frames", limits.settings_per_s_max),
            fh.PRIORITY: Rate("PRIORITY frames", limits.priorities_per_s_max),
        }
        self.block_stream_id = 0

    @property
    def has_settings(self) -> bool:
        """Whether the peer's preface is complete: its first frame was SETTINGS."""
        return self._has_settings

    @property
    def in_header_block(self) -> bool:
        """Whether nothing but CONTINUATION may come."""
        return self.block_stream_id != 0

    def earn_window_updates(self, data_frames: int) -> None:
        """So many DATA frames were sent: the peer answers them."""
        self._earned_window_updates = min(
            self._earned_window_updates + _WINDOW_UPDATES_PER_DATA * data_frames, self._limits.window_updates_per_s_max
        )

    def count_reset(self, now: float) -> None:
        """A stream ended by the peer's reset or fault.

        Raises:
            Violation: too many did.
        """
        self._resets.count(now)

    def admit(self, kind: int, flags: int, stream_id: int, length: int, now: float) -> None:
        """A whole frame has come.

        Raises:
            Violation: it ends the connection.
        """
        if not self._has_settings:
            if kind != fh.SETTINGS or flags & fh.ACK:
                # RFC 9113 section 3.4.
                raise Violation(ErrorCodes.PROTOCOL_ERROR, "the first frame was not SETTINGS")
            self._has_settings = True
        if kind == fh.PUSH_PROMISE:
            # RFC 9113 section 8.4.
            raise Violation(ErrorCodes.PROTOCOL_ERROR, "its client sent PUSH_PROMISE")
        if _FIXED_LENGTHS.get(kind, length) != length or (kind == fh.SETTINGS and flags & fh.ACK and length):
            raise Violation(ErrorCodes.FRAME_SIZE_ERROR, "a frame had not its type's length")
        if kind == fh.HEADERS or self.in_header_block:
            self._follow_block(kind, flags, stream_id, length)
        elif kind == fh.DATA:
            if not length and not flags & fh.END_STREAM:
                self._empty_data.count(now)
        elif kind == fh.WINDOW_UPDATE:
            if self._earned_window_updates:
                self._earned_window_updates -= 1
            else:
                self._window_updates.count(now)
        elif kind in self._rates:
            self._rates[kind].count(now)
        elif kind > fh.CONTINUATION:
            self._unknown.count(now)

    def _follow_block(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        if not self.in_header_block:
            self.block_stream_id = stream_id
            self._block_bytes = self._continuations = 0
        elif kind != fh.CONTINUATION or stream_id != self.block_stream_id:
            # RFC 9113 section 6.10.
            raise Violation(ErrorCodes.PROTOCOL_ERROR, "a header block was interrupted")
        else:
            self._continuations += 1
        self._block_bytes += length
        if self._continuations > self._limits.continuations_max:
            raise Violation(ErrorCodes.ENHANCE_YOUR_CALM, "a header block had too many CONTINUATION frames")
        if self._block_bytes > self._limits.header_list_max_bytes:
            raise Violation(ErrorCodes.ENHANCE_YOUR_CALM, "a header block was too long")
        if flags & fh.END_HEADERS:
            self.block_stream_id = 0
