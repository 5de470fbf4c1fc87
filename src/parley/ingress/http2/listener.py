"""The port for HTTP/2: takes connections, and ends them."""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial

from parley.core.errors import ParleyError
from parley.ingress.acceptor import Acceptor
from parley.ingress.connect_gate import ConnectGate, Entry, GateLimits, Passage
from parley.ingress.http2.connection import Connection
from parley.ingress.http2.exchange import HandlerFactory
from parley.ingress.http2.limits import Http2Limits
from parley.ingress.small_reads import SmallReads

_log = logging.getLogger("parley.ingress")

_BACKLOG = 1_024


class Http2Listener:
    """Listens for HTTP/2, over TLS with ALPN `h2`, or in clear with prior knowledge if there is no `ssl_context`.

    The context brings the certificate; ALPN and TLS 1.2 as the lowest version are set here. Instead of a context there
    may be what gives the one for each handshake, and sees to all of that itself. Connections pass the `gate`
    before TLS begins; those that it refuses are closed, for until then there is nothing to tell them in.
    """

    def __init__(
        self,
        factory: HandlerFactory,
        limits: Http2Limits,
        ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None,
        gate: ConnectGate | None = None,
    ) -> None:
        self._factory = factory
        self._limits = limits
        self._ssl_context = ssl_context
        self._gate = gate or ConnectGate(GateLimits(), time.monotonic)
        self._acceptor = Acceptor(self._accepted)
        self._held: dict[socket.socket, Entry] = {}
        self._handshakes: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()
        self._is_draining = False
        self._is_full = False
        self._all_left = asyncio.Event()
        self._all_left.set()
        if isinstance(ssl_context, ssl.SSLContext):
            ssl_context.set_alpn_protocols(["h2"])
            if ssl_context.minimum_version < ssl.TLSVersion.TLSv1_2:
                ssl_context.minimum_version = ssl.TLSVersion.TLSv1_2

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port that was bound, which matters when 0 was asked for.

        Raises:
            OSError: the address is in use or not this machine's.
        """
        return await self._acceptor.start(host, port, backlog=_BACKLOG)

    def stop_accepting(self) -> None:
        """Take no further connection. Those that are open are told, refuse new streams and end with their last one."""
        self._acceptor.close()
        self.turn_away()

    def turn_away(self) -> None:
        """Tell connections, also those that are still made, to open no more streams."""
        self._is_draining = True
        for connection in list(self._connections):
            connection.drain()

    def accept(self) -> None:
        """Take connections again as before `turn_away`."""
        self._is_draining = False

    async def close(self) -> None:
        """Close what is open, within the time that a connection may linger."""
        self.stop_accepting()
        for held, entry in self._held.items():
            self._gate.leave(entry)
            held.close()
        self._held.clear()
        for task in self._handshakes:
            task.cancel()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        for connection in list(self._connections):
            connection.close()
        # Each connection's own linger ends it; this only waits.
        await self._all_left.wait()

    def joined(self, connection: Connection) -> bool:
        """A connection was made; whether there is room for it."""
        self._connections.add(connection)
        self._all_left.clear()
        is_full = len(self._connections) > self._limits.connections_max
        if is_full and not self._is_full:
            _log.warning("HTTP/2 connections are refused: %d are open, the limit", self._limits.connections_max)
        self._is_full = is_full
        if self._is_draining:
            # It was on its way when the listener stopped.
            asyncio.get_running_loop().call_soon(connection.drain)
        return not is_full

    def left(self, connection: Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        if not self._connections:
            self._all_left.set()

    def _accepted(self, accepted: socket.socket) -> None:
        if len(self._handshakes) >= self._limits.connections_max:
            accepted.close()
            return
        begins = partial(self._begin, accepted)
        entry = self._gate.enter(Passage.NEW, begins, partial(self._refused, accepted))
        if entry.is_waiting:
            self._held[accepted] = entry

    def _begin(self, accepted: socket.socket) -> None:
        self._held.pop(accepted, None)
        # Begun here and now, so that there is no moment in which a socket has no owner that would close it.
        task = asyncio.Task(self._connect(accepted), loop=asyncio.get_running_loop(), eager_start=True)
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    def _refused(self, accepted: socket.socket, _error: ParleyError) -> None:
        accepted.close()

    async def _connect(self, accepted: socket.socket) -> None:
        given = self._ssl_context
        context = given() if callable(given) else given
        with_tls = context is not None
        # Who breaks off the handshake, or can't do it, is gone; that is all there is to it.
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connection,
                accepted,
                ssl=context,
                ssl_handshake_timeout=self._limits.tls_handshake_timeout_s if with_tls else None,
                ssl_shutdown_timeout=self._limits.linger_s if with_tls else None,
            )

    def _connection(self) -> SmallReads:
        connection = Connection(self._factory, self._limits, self)
        return SmallReads(connection, pauses=False)
