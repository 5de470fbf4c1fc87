"""Where connections come in: TLS if there is any, and a request's head, each within bounds of time and number.

```
Acceptor ─► handshake of TLS ─► Visitor: its head ─► heard ─► hand_over to the protocol that serves it
   a few a turn     └────── at most so many, each for so long ──────┘     └► refuse
```
Whoever has not sent a head yet may be anybody, and costs nothing to be: of too many, the one that has been there for
longest is cut off.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from parley.core.errors import ParleyError
from parley.ingress.acceptor import Acceptor
from parley.ingress.refusal import error_response

_log = logging.getLogger("parley.ingress")

_BACKLOG = 1_024
_SECURED_PER_TURN_MAX = 4
"""A handshake takes about a millisecond of the loop's time."""
_LINGER_S = 1.0
_HEAD_MAX_BYTES = 16_384
_READ_BYTES = 2_048
_LINE_MAX_BYTES = 8_190
"""aiohttp's own bound for a request's first line and for a field."""


@dataclass(frozen=True, slots=True)
class DoorLimits:
    """Bounds of a connection before its request is known.

    `tls_handshake_timeout_s` bounds TLS's handshake, and `head_timeout_s` the time from there to the end of the
    request's head; at most `unheard_max` connections are in either at a time. `tls_shutdown_timeout_s` is how long a
    peer may take to answer the end of TLS. `receive_buffer_bytes` is what the kernel may hold of a connection that is
    not read: left to itself it takes megabytes, which are then read, and have to be held, at once.
    """

    head_timeout_s: float = 10.0
    tls_handshake_timeout_s: float = 10.0
    tls_shutdown_timeout_s: float = 2.0
    unheard_max: int = 2_048
    receive_buffer_bytes: int = 131_072


class Visitor(asyncio.BufferedProtocol):
    """A connection whose request's head is read, until it is handed over; a little at a time, for nothing of what
    comes behind it is wanted before somebody has said whose it is.

    What is done when a connection is made is done for all that are made in one turn of the loop, and so as little as
    can be.
    """

    def __init__(self, door: "Door", accepted: socket.socket) -> None:
        self._door = door
        self._accepted = accepted
        self._received = bytearray()
        self._room: bytearray | None = None
        self._head_bytes = 0
        self._is_turned_away = False
        self._transport: asyncio.Transport | None = None
        self._timeout: asyncio.TimerHandle | None = None
        self._on_lost: Callable[[], None] | None = None

    @property
    def head(self) -> bytes:
        """The request's head with its empty line."""
        return bytes(self._received[: self._head_bytes])

    @property
    def rest(self) -> bytes:
        """What came behind it."""
        return bytes(self._received[self._head_bytes :])

    @property
    def transport(self) -> asyncio.Transport:
        """The connection; not after it was lost, refused or handed over."""
        assert self._transport is not None
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there, and TLS's handshake done."""
        self._transport = cast(asyncio.Transport, transport)
        self._door.joined(self)
        loop = asyncio.get_running_loop()
        self._timeout = loop.call_later(self._door.limits.head_timeout_s, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._settle()
        if self._on_lost is not None:
            self._on_lost()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into. There is none as long as nothing comes."""
        if self._room is None:
            self._room = bytearray(_READ_BYTES)
        # asyncio's TLS reads into slices of it, which of a bytearray would be copies.
        return memoryview(self._room)

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came, cut anywhere."""
        assert self._room is not None, "it was read into"
        if self._is_turned_away:
            return
        self._received += memoryview(self._room)[:nbytes]
        if self._head_bytes or self._transport is None:
            return
        end = self._received.find(b"\r\n\r\n")
        if end < 0 and len(self._received) <= _HEAD_MAX_BYTES and _line_is_short(self._received):
            return
        if self._timeout is not None:
            self._timeout.cancel()
        status = _status_of(self._received, end)
        if status:
            self._turn_away(error_response(ParleyError("bad-request", _TOO_LONG[status]), status))
            return
        self._door.heard_of(self._accepted)
        self._head_bytes = end + 4
        self._door.heard(self)

    def wait(self, on_lost: Callable[[], None]) -> None:
        """It is not its turn yet: what is on its way may still come, but nothing after it."""
        self._on_lost = on_lost
        self.transport.pause_reading()

    def hand_over(self, protocol: Any, received: bytes) -> None:
        """From here on the connection is the protocol's, which is given what was received. Nothing happens if the
        connection is gone."""
        transport = self._leave()
        self._received.clear()
        self._room = None
        if transport.is_closing():
            return
        if self._door.has_tls:
            self._door.secured(self._accepted)
        buffer_bytes = self._door.limits.receive_buffer_bytes
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        if self._on_lost is not None:
            self._on_lost = None
            transport.resume_reading()
        try:
            _hand_over(transport, protocol, received)
        except BaseException:
            # Called by a gate, it has no caller that would cut the connection.
            transport.abort()
            raise

    def refuse(self, answer: bytes) -> None:
        """Answer, and close behind it."""
        transport = self._leave()
        if self._door.has_tls:
            self._door.secured(self._accepted)
        transport.write(answer)
        transport.close()

    def abort(self) -> None:
        """Cut it off."""
        if self._transport is not None:
            self._transport.abort()

    def _turn_away(self, answer: bytes) -> None:
        """Answer, and throw away what still comes: closed with something unread, the peer would lose the answer."""
        transport = self.transport
        self._is_turned_away = True
        self._received.clear()
        transport.write(answer)
        if transport.can_write_eof():
            transport.write_eof()
        self._timeout = asyncio.get_running_loop().call_later(_LINGER_S, transport.abort)

    def _leave(self) -> asyncio.Transport:
        transport = self.transport
        self._settle()
        return transport

    def _settle(self) -> None:
        """Let go of the connection: uvloop keeps this object as long as that is there, whose protocol is another."""
        timeout, self._timeout = self._timeout, None
        if timeout is not None:
            timeout.cancel()
        if self._transport is not None:
            self._transport = None
            self._door.left(self)
            self._door.heard_of(self._accepted)


class Door:
    """A listener. `heard` gets each connection once its head is there, and hands it over or refuses it.

    `tls` gives the context for a handshake that begins now; without it connections are in clear.
    """

    def __init__(
        self,
        heard: Callable[[Visitor], None],
        limits: DoorLimits,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self.heard = heard
        self.limits = limits
        self._tls = tls
        self._acceptor = Acceptor(self._take, **({} if tls is None else {"per_turn_max": _SECURED_PER_TURN_MAX}))
        self._unheard: dict[socket.socket, None] = {}
        self._visitors: set[Visitor] = set()
        self._accepting: set[asyncio.Task[None]] = set()
        self._secured: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._is_crowded = False

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self._tls is not None

    @property
    def unheard(self) -> int:
        """How many connections have not sent their head."""
        return len(self._unheard)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port that was bound, which matters when 0 was asked for.

        Raises:
            OSError: the address is in use or not this machine's.
        """
        return await self._acceptor.start(host, port, backlog=_BACKLOG)

    def stop_accepting(self) -> None:
        """Take no further connection; those that are open go on."""
        self._acceptor.close()

    async def close(self) -> None:
        """Cut off those that were not handed over."""
        self.stop_accepting()
        for accepted in list(self._unheard):
            _hang_up(accepted)
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for visitor in list(self._visitors):
            visitor.abort()

    async def cut_lingering(self) -> None:
        """Cut off what is left of connections that have ended, but for the peer's answer to the end of TLS."""
        for accepted in list(self._secured):
            _hang_up(accepted)
        # One turn of the loop to see it, and one to say so.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    # ---- from visitors

    def joined(self, visitor: Visitor) -> None:
        """It is connected."""
        self._visitors.add(visitor)

    def left(self, visitor: Visitor) -> None:
        """It is gone, or somebody else's."""
        self._visitors.discard(visitor)

    def heard_of(self, accepted: socket.socket) -> None:
        """The connection's head is there, or will not come."""
        self._unheard.pop(accepted, None)

    def secured(self, accepted: socket.socket) -> None:
        """A connection with TLS goes on elsewhere, and may take its time to end."""
        self._secured.add(accepted)

    # ---- from the acceptor

    def _take(self, accepted: socket.socket) -> None:
        is_crowded = len(self._unheard) >= self.limits.unheard_max
        if is_crowded:
            if not self._is_crowded:
                _log.warning("%d connections have sent no request yet: the oldest are cut off", len(self._unheard))
            oldest = next(iter(self._unheard))
            del self._unheard[oldest]
            _hang_up(oldest)
        self._is_crowded = is_crowded
        self._unheard[accepted] = None
        # Begun here and now, so that there is no moment in which a socket has no owner that would close it.
        task = asyncio.Task(self._connect(accepted), loop=asyncio.get_running_loop(), eager_start=True)
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        loop, limits = asyncio.get_running_loop(), self.limits
        # Who is gone by now, breaks off TLS's handshake or can't do it is gone; that is all there is to it.
        with contextlib.suppress(OSError):
            if self._tls is None:
                await loop.connect_accepted_socket(lambda: Visitor(self, accepted), accepted)
            else:
                await loop.connect_accepted_socket(
                    lambda: Visitor(self, accepted),
                    accepted,
                    ssl=self._tls(),
                    ssl_handshake_timeout=limits.tls_handshake_timeout_s,
                    ssl_shutdown_timeout=limits.tls_shutdown_timeout_s,
                )
            return
        self._unheard.pop(accepted, None)


_TOO_LONG = {
    414: f"The request's first line has at most {_LINE_MAX_BYTES} bytes.",
    431: f"A header field has at most {_LINE_MAX_BYTES} bytes, and the whole head {_HEAD_MAX_BYTES}.",
}


def _line_is_short(received: bytearray) -> bool:
    """Whether the line that is still being sent may go on."""
    return len(received) - (received.rfind(b"\r\n") + 2 if b"\r\n" in received else 0) <= _LINE_MAX_BYTES


def _status_of(received: bytearray, end: int) -> int:
    """The status for a head that is too long (RFC 9110 section 15.5.15, RFC 6585 section 5); 0 for one that isn't."""
    stop = len(received) if end < 0 else end
    position = _line_end(received, 0, stop)
    if position > _LINE_MAX_BYTES:
        return 414
    if end < 0 or end + 4 > _HEAD_MAX_BYTES:
        return 431
    while position < stop:
        start = position + 2
        position = _line_end(received, start, stop)
        if position - start > _LINE_MAX_BYTES:
            return 431
    return 0


def _line_end(received: bytearray, start: int, stop: int) -> int:
    # One after the other: a list of all of them would take many times what they do.
    found = received.find(b"\r\n", start, stop)
    return stop if found < 0 else found


def _hand_over(transport: asyncio.Transport, protocol: Any, received: bytes) -> None:
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    if not hasattr(protocol, "get_buffer"):
        protocol.data_received(received)
        return
    rest = memoryview(received)
    while rest and not transport.is_closing():
        room = protocol.get_buffer(len(rest))
        size = min(len(room), len(rest))
        room[:size] = rest[:size]
        protocol.buffer_updated(size)
        rest = rest[size:]


def _hang_up(accepted: socket.socket) -> None:
    """The transport, which owns the descriptor and closes it, sees an end."""
    with contextlib.suppress(OSError):
        accepted.shutdown(socket.SHUT_RDWR)
