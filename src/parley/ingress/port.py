"""One port for WebSockets and plain HTTP: the request's head decides who gets the connection.

WebSockets go to picows, which is several times faster than a server that does both; everything else goes to aiohttp.
The head is read once here, bounded in bytes and seconds, and handed on with the bytes that came behind it.
"""

import asyncio
import contextlib
import logging
import re
import socket
import time
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web
from picows import WSAutoPingStrategy
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from parley.core.errors import ParleyError
from parley.ingress.acceptor import Acceptor
from parley.ingress.connect_gate import ConnectGate, Entry, GateLimits, Passage
from parley.ingress.head import is_upgrade, with_plain_connection
from parley.ingress.library_log import LibraryLog
from parley.ingress.refusal import error_response
from parley.ingress.upgrades import Upgrades
from parley.ingress.websocket import SocketLimits

_log = logging.getLogger("parley.ingress")
_picows_log = LibraryLog(logging.getLogger("picows.server"))
_aiohttp_log = LibraryLog(logging.getLogger("aiohttp.server"))

_BACKLOG = 1_024
_HEAD_MAX_BYTES = 16_384
_TARGET_MAX_BYTES = 2_048
_RETURNS = re.compile(rb"GET [^ ?]*\?(?:[^ ]*&)?resume=(?:1|true|yes)[& ]", re.IGNORECASE)
_READ_BUFFER_BYTES = 2_048
"""At first, and the least: picows doubles it as soon as it is full. Many a session is idle."""


@dataclass(frozen=True, slots=True)
class PortLimits:
    """Bounds of a connection before and beside its messages.

    `head_timeout_s` bounds the time to send a request's head. A WebSocket that is silent for `ping_interval_s` is
    pinged, and closed when it does not answer within the shorter of this and `ping_timeout_s`. A plain HTTP connection
    without a request is closed after `http_idle_timeout_s`. `receive_buffer_bytes` is what the kernel may hold of a
    connection that is not read: left to itself it takes megabytes, which are then read, and have to be held, at once.
    """

    head_timeout_s: float = 10.0
    receive_buffer_bytes: int = 131_072
    http_idle_timeout_s: float = 75.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0


class _Head(asyncio.Protocol):
    """Reads a request's head, passes the gate with it, and hands the connection on.

    What is done when a connection is made is done for all that are made in one turn of the loop, and so as little as
    can be.
    """

    def __init__(self, port: "Port") -> None:
        self._port = port
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timeout: asyncio.TimerHandle | None = None
        self._entry: Entry | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._port.connections.add(self._transport)
        loop = asyncio.get_running_loop()
        self._timeout = loop.call_later(self._port.limits.head_timeout_s, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle()
        if self._entry is not None:
            self._port.gate.leave(self._entry)

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        assert transport is not None
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if self._entry is not None or (end < 0 and len(self._head) <= _HEAD_MAX_BYTES):
            return
        if self._timeout is not None:
            self._timeout.cancel()
        # A head that is too long goes to aiohttp, which has an answer for it.
        self._head_bytes = end + 4 if 0 <= end < _HEAD_MAX_BYTES else 0
        entry = self._port.gate.enter(_passage(self._head), self._begin, self._refuse)
        if entry.is_waiting:
            # What is on its way may still come, but nothing after it.
            self._entry = entry
            transport.pause_reading()

    def _settle(self) -> None:
        """Let go of the connection: uvloop keeps this object as long as that is there, whose protocol is another."""
        timeout, self._timeout = self._timeout, None
        if timeout is not None:
            timeout.cancel()
        transport, self._transport = self._transport, None
        if transport is not None:
            self._port.connections.discard(transport)

    def _begin(self) -> None:
        transport, received = self._transport, bytes(self._head)
        assert transport is not None
        is_waiting, self._entry = self._entry is not None, None
        self._settle()
        self._head.clear()
        if transport.is_closing():
            return
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, self._port.limits.receive_buffer_bytes
        )
        if is_waiting:
            transport.resume_reading()
        head, rest = received[: self._head_bytes], received[self._head_bytes :]
        try:
            if head and is_upgrade(head):
                self._hand_over(transport, self._port.websocket_protocol(), with_plain_connection(head) + rest)
            else:
                self._hand_over(transport, self._port.http_protocol(), head + rest)
        except BaseException:
            # Called by the gate, it has no caller that would cut the connection.
            transport.abort()
            raise

    def _refuse(self, error: ParleyError) -> None:
        transport = self._transport
        assert transport is not None
        self._settle()
        transport.write(error_response(error))
        transport.close()

    @staticmethod
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


def _passage(head: bytearray) -> Passage:
    """What a connection comes for, as its first line tells."""
    line = bytes(head[:_TARGET_MAX_BYTES])
    if _RETURNS.match(line):
        return Passage.RETURN
    return Passage.NEW if line.startswith(b"POST ") or is_upgrade(bytes(head)) else Passage.FREE


class Port:
    """The listener of one port. `start` binds it, `stop_accepting` and `close` end it.

    Connections that have sent their request's head pass the `gate`; without one there is no limit by the second.
    """

    def __init__(
        self,
        upgrades: Upgrades,
        http: web.Application,
        limits: PortLimits,
        socket_limits: SocketLimits,
        gate: ConnectGate | None = None,
    ) -> None:
        self.limits = limits
        self.gate = gate or ConnectGate(GateLimits(), time.monotonic)
        self.connections: set[asyncio.Transport] = set()
        self._upgrades = upgrades
        self._socket_limits = socket_limits
        self._runner = web.AppRunner(
            http,
            access_log=None,
            logger=_aiohttp_log,
            handle_signals=False,
            # A client that goes away ends its request's handler, and with it the session.
            handler_cancellation=True,
            keepalive_timeout=limits.http_idle_timeout_s,
            shutdown_timeout=2.0,
        )
        self._acceptor = Acceptor(self._accepted)
        self._accepting: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port that was bound, which matters when 0 was asked for.

        Raises:
            OSError: the address is in use or not this machine's.
        """
        await self._runner.setup()
        try:
            return await self._acceptor.start(host, port, backlog=_BACKLOG)
        except OSError:
            await self._runner.cleanup()
            raise

    def stop_accepting(self) -> None:
        """Take no further connection; those that are open go on."""
        self._acceptor.close()

    async def close(self) -> None:
        """Close what is open. Sessions have ended by now; each step has its own bound."""
        self.stop_accepting()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for transport in list(self.connections):
            transport.abort()
        await self._upgrades.close()
        await self._runner.cleanup()

    def _accepted(self, accepted: socket.socket) -> None:
        # Begun here and now, so that there is no moment in which a socket has no owner that would close it.
        task = asyncio.Task(self._connect(accepted), loop=asyncio.get_running_loop(), eager_start=True)
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        # Who is gone by now is gone; that is all there is to it.
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(lambda: _Head(self), accepted)

    def http_protocol(self) -> asyncio.Protocol:
        """A protocol for one plain HTTP connection."""
        server = self._runner.server
        assert server is not None
        return server()

    def websocket_protocol(self) -> Any:
        """A protocol for one WebSocket connection, from its upgrade request on."""
        limits = self.limits
        return WSProtocol(
            None,
            None,
            False,
            self._upgrades,
            _picows_log,
            True,
            limits.head_timeout_s,
            True,
            limits.ping_interval_s,
            # picows asserts that it is not the longer of the two.
            min(limits.ping_timeout_s, limits.ping_interval_s),
            WSAutoPingStrategy.PING_WHEN_IDLE,
            # Pings are answered by the attachment, which bounds it.
            False,
            self._socket_limits.message_max_bytes,
            None,
            _READ_BUFFER_BYTES,
        )
