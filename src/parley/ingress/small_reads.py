"""Reads little at a time of a connection, until it is known who sends.

uvloop reads up to 256,000 bytes at once for a protocol that takes them as they come. That is right for a recording that
is wanted, and far too much of somebody who may send none.

```
connection ─► SmallReads: 1 KiB, then the others' turn ─► protocol ─► handler ─ knows who sends ─► widen
```
"""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, cast

NARROW_BYTES = 1_024
WIDE_BYTES = 65_536
STALL_TIMEOUT_S = 60.0

SERVER_OPTIONS: Mapping[str, Any] = {
    # What is held of a body that nobody reads: twice this.
    "read_bufsize": 4_096,
    # One kilobyte that came can be one megabyte, and would be made before anybody is asked.
    "auto_decompress": False,
    # How long what still comes behind an answer is thrown away: closed with something unread, the peer may lose it.
    "lingering_time": 1.0,
}
"""What an aiohttp server behind `SmallReads` has to be told."""


class SmallReads(asyncio.BufferedProtocol):
    """Stands between a connection and the protocol that serves it, which is `inner`.

    With `pauses`, for a protocol whose handlers run in tasks, nothing more is read before they had their turn; and a
    peer that reads nothing of what it asked for, for `stall_timeout_s`, is cut off.
    """

    def __init__(self, inner: Any, *, pauses: bool, stall_timeout_s: float = STALL_TIMEOUT_S) -> None:
        self._inner = inner
        self._pauses = pauses
        self._stall_timeout_s = stall_timeout_s
        self._stall: asyncio.TimerHandle | None = None
        self._is_narrow = True
        self._is_paused = False
        self._room: bytearray | None = None
        self._transport: asyncio.Transport | None = None

    def widen(self) -> None:
        """From here on, as much as there is."""
        self._set(is_narrow=False)

    def narrow(self) -> None:
        """A little at a time again: the next request may be anybody's."""
        self._set(is_narrow=True)

    def _set(self, *, is_narrow: bool) -> None:
        if self._is_narrow != is_narrow:
            self._is_narrow = is_narrow
            self._room = None

    # ---- from the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        # Loops have transports of their own, which are none of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._inner.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`."""
        if self._room is None:
            self._room = bytearray(NARROW_BYTES if self._is_narrow else WIDE_BYTES)
        # asyncio's TLS reads into slices of it, which of a bytearray would be copies.
        return memoryview(self._room)

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        assert self._room is not None, "it was read into"
        data = bytes(memoryview(self._room)[:nbytes])
        self._inner.data_received(data)
        if self._pauses and self._is_narrow and not self._is_paused:
            self._pause()

    def _pause(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self._holds_back:
            return
        self._is_paused = True
        transport.pause_reading()
        # Behind the task that the protocol has woken up.
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_paused = False
        if self._transport is not None and not self._transport.is_closing() and not self._holds_back:
            self._transport.resume_reading()

    @property
    def _holds_back(self) -> bool:
        """Whether the protocol itself has stopped reading; aiohttp has no other way to tell."""
        return any(getattr(self._inner, name, False) for name in ("_reading_paused", "_buffer_paused"))

    def eof_received(self) -> Any:
        """See `asyncio.BufferedProtocol`."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        if self._pauses and self._transport is not None:
            loop = asyncio.get_running_loop()
            self._stall = loop.call_later(self._stall_timeout_s, self._transport.abort)
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        self._end_stall()
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        self._end_stall()
        self._room = self._transport = None
        self._inner.connection_lost(exc)

    def _end_stall(self) -> None:
        stall, self._stall = self._stall, None
        if stall is not None:
            stall.cancel()


def reads_of(transport: asyncio.BaseTransport | None) -> SmallReads | None:
    """What stands before the protocol of a connection; None where nothing does, or the connection is gone."""
    protocol = None
    if transport is not None:
        # A transport need not have it.
        with contextlib.suppress(AttributeError, NotImplementedError):
            protocol = cast(asyncio.Transport, transport).get_protocol()
    return protocol if isinstance(protocol, SmallReads) else None
