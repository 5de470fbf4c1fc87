"""The port for HTTP/2: takes connections, and ends them."""

import asyncio
import logging
import ssl

from parley.ingress.http2.connection import Connection
from parley.ingress.http2.exchange import HandlerFactory
from parley.ingress.http2.limits import Http2Limits

_log = logging.getLogger("parley.ingress")

_BACKLOG = 1_024


class Http2Listener:
    """Listens for HTTP/2, over TLS with ALPN `h2`, or in clear with prior knowledge if there is no `ssl_context`.

    The context brings the certificate; ALPN and TLS 1.2 as the lowest version are set here.
    """

    def __init__(self, factory: HandlerFactory, limits: Http2Limits, ssl_context: ssl.SSLContext | None) -> None:
        self._factory = factory
        self._limits = limits
        self._ssl_context = ssl_context
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._is_draining = False
        self._is_full = False
        self._all_left = asyncio.Event()
        self._all_left.set()
        if ssl_context is not None:
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
        with_tls = self._ssl_context is not None
        self._server = await asyncio.get_running_loop().create_server(
            self._connection,
            host,
            port,
            backlog=_BACKLOG,
            ssl=self._ssl_context,
            ssl_handshake_timeout=self._limits.tls_handshake_timeout_s if with_tls else None,
            ssl_shutdown_timeout=self._limits.linger_s if with_tls else None,
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def stop_accepting(self) -> None:
        """Take no further connection. Those that are open are told, refuse new streams and end with their last one."""
        if self._server is not None:
            self._server.close()
        self._is_draining = True
        for connection in list(self._connections):
            connection.drain()

    async def close(self) -> None:
        """Close what is open, within the time that a connection may linger."""
        self.stop_accepting()
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

    def _connection(self) -> Connection:
        return Connection(self._factory, self._limits, self)
