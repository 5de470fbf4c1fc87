"""SageMaker's endpoint of this node: the HTTP/2 listener, put together from the settings."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

from parley.access.gate import Gate
from parley.ingress.connect_gate import ConnectGate
from parley.ingress.http2.bidirectional import Bidirectional, StreamLimits
from parley.ingress.http2.limits import Http2Limits
from parley.ingress.http2.listener import Http2Listener
from parley.ingress.invocation import Endpoints
from parley.server.local_tls import local_certificate, state_directory
from parley.server.ready import Http2Address
from parley.server.settings.contradictions import http2_problems
from parley.server.settings.document import Settings
from parley.server.settings.http2 import Http2Settings
from parley.server.start import StartError, cannot_listen
from parley.server.tls_endpoints import Contexts, listener_tls, watched

_log = logging.getLogger("parley.server")

_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


class Http2Endpoint:
    """The listener from its start to its end. `check` raises the ParleyError that `/ping` is to answer with, if any.

    Raises StartError, when made, for settings that would let strangers in.
    """

    def __init__(
        self,
        settings: Settings,
        endpoints: Endpoints,
        check: Callable[[], None],
        access: Gate,
        gate: ConnectGate | None = None,
    ) -> None:
        for _, problem in http2_problems(settings.http2):
            raise StartError(f"invalid-settings: {problem}")
        self._all_settings = settings
        self._settings = settings.http2
        self._gate = gate
        self._is_verified = not access.is_open
        self._limits = _limits(settings)
        self._handlers = Bidirectional(endpoints, access, _stream_limits(settings), check=check)
        self._listener: Http2Listener | None = None

    async def start(self) -> Http2Address:
        """Listen.

        Raises:
            StartError: the certificate can't be had, or the address can't be bound.
        """
        http2 = self._settings
        # Making a certificate waits for the disk, and for another process that makes one.
        contexts, authorities_file = await asyncio.to_thread(_tls, self._all_settings)
        listener = Http2Listener(self._handlers, self._limits, contexts, self._gate)
        try:
            port = await listener.start(http2.host, http2.port)
        except OSError as error:
            raise cannot_listen(
                http2.host, http2.port, error, host_option="--set http2.host=ADDRESS", port_option="--http2-port"
            ) from None
        self._listener = listener
        address = Http2Address(_url(http2, port), port, authorities_file, self._is_verified)
        _log.info("SageMaker's endpoint is %s, on %s:%d", address.url, http2.host, port)
        if authorities_file is not None:
            _log.info(
                "its certificate is this machine's own; for clients: SSL_CERT_FILE=%s (Python), "
                "NODE_EXTRA_CA_CERTS=%s (Node)",
                authorities_file,
                authorities_file,
            )
        if not self._is_verified:
            _log.warning("nobody is asked who they are: every program on this machine may open streams")
        return address

    def stop_accepting(self) -> None:
        """Take no further connection or stream, and say so to those that are connected; their streams go on."""
        if self._listener is not None:
            self._listener.stop_accepting()

    def turn_away(self) -> None:
        """Tell those that are connected to open nothing more here; their streams go on."""
        if self._listener is not None:
            self._listener.turn_away()

    def accept(self) -> None:
        """Take streams again, after `turn_away`."""
        if self._listener is not None:
            self._listener.accept()

    async def drain(self, timeout_s: float) -> None:
        """Let streams in front of containers finish for so long, then end what is left, saying so."""
        await self._handlers.drain(timeout_s)

    async def hurry(self) -> None:
        """End them now."""
        await self._handlers.close()

    async def close(self) -> None:
        """Close what is open."""
        await self._handlers.close()
        if self._listener is not None:
            await self._listener.close()


def _tls(settings: Settings) -> tuple[Contexts | None, Path | None]:
    if settings.http2.cleartext:
        return None, None
    given = listener_tls(settings, "http2")
    if given is not None:
        return given, None
    own = local_certificate(state_directory(os.environ))
    return watched("http2", str(own.server_file), str(own.server_file)), own.authorities_file


def _limits(settings: Settings) -> Http2Limits:
    http2, server = settings.http2, settings.server
    return Http2Limits(
        connections_max=http2.max_connections,
        streams_max=http2.max_streams,
        receive_window_bytes=http2.receive_window_bytes,
        header_list_max_bytes=http2.header_list_max_bytes,
        tls_handshake_timeout_s=server.head_timeout_s,
        preface_timeout_s=server.head_timeout_s,
        headers_timeout_s=server.head_timeout_s,
        idle_timeout_s=http2.idle_timeout_s,
        ping_interval_s=server.ping_interval_s,
        ping_timeout_s=server.ping_timeout_s,
    )


def _stream_limits(settings: Settings) -> StreamLimits:
    server = settings.server
    return StreamLimits(
        message_max_bytes=server.message_max_bytes,
        waiting_max=server.waiting_max,
        waiting_timeout_s=server.waiting_timeout_s,
        # The handshake has its own timeout and says more; this one is for one that hangs.
        container_timeout_s=settings.upstream.connect_timeout_s + 1.0,
        retry_after_s=server.retry_after_s,
    )


def _url(http2: Http2Settings, port: int) -> str:
    # What a certificate for every address is made out to is most likely this machine's name.
    host = socket.gethostname() if http2.host in _ANY_ADDRESS else http2.host
    return f"{'http' if http2.cleartext else 'https'}://{f'[{host}]' if ':' in host else host}:{port}"
