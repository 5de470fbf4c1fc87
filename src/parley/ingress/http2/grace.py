"""Streams whose answer is complete and whose client has not ended its own side yet.

RFC 9113 section 8.1 lets a server say RST_STREAM(NO_ERROR) to such a client at once. But Node's SDK throws away what it
has received and its application has not read when one comes (measured), the exception at the stream's end included. So
it comes late, for those who never end their side, and what they send meanwhile is thrown away.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from parley.ingress.http2.authority import Authority
from parley.ingress.http2.limits import INITIAL_WINDOW_BYTES


@dataclass(slots=True)
class _Rest:
    """What is left of a stream: when it is reset, and what it was sent of its window and did not get back."""

    timer: asyncio.TimerHandle
    taken_bytes: int = 0


class Grace:
    """The streams of a connection in their grace; `on_empty` is called when the last one is over."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, authority: Authority, grace_s: float, on_empty: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._authority = authority
        self._grace_s = grace_s
        self._on_empty = on_empty
        self._rests: dict[int, _Rest] = {}

    def __len__(self) -> int:
        return len(self._rests)

    @property
    def oldest(self) -> int:
        """The number of the stream that is in it for the longest time."""
        return next(iter(self._rests))

    def begin(self, stream_id: int, expire: Callable[[int], None]) -> None:
        """A stream's answer is complete; `expire` is called with its number if its client does not end its side."""
        self._rests[stream_id] = _Rest(self._loop.call_later(self._grace_s, expire, stream_id))

    def take(self, stream_id: int, size: int) -> bool:
        """So many bytes came for a stream: its client gets them back, or it would wait for ever. Whether it is here."""
        rest = self._rests.get(stream_id)
        if rest is None:
            return False
        rest.taken_bytes += size
        if rest.taken_bytes > INITIAL_WINDOW_BYTES // 2:
            self._authority.increment_flow_control_window(rest.taken_bytes, stream_id)
            rest.taken_bytes = 0
        return True

    def end(self, stream_id: int) -> bool:
        """A stream is over; whether it was in its grace."""
        rest = self._rests.pop(stream_id, None)
        if rest is None:
            return False
        rest.timer.cancel()
        if not self._rests:
            self._on_empty()
        return True

    def stop(self) -> None:
        """The connection is over."""
        for rest in self._rests.values():
            rest.timer.cancel()
        self._rests.clear()
