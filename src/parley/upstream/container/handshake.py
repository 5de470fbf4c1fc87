"""Opening a WebSocket to a container as SageMaker's sidecar does, and what it means when that fails."""

import asyncio
import contextlib
import os
import re
import socket
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from picows import WSError, WSHandshakeError, WSUpgradeRequest, WSUpgradeResponse, ws_connect

from parley.core.errors import ParleyError
from parley.upstream.container.socket import ContainerSocket
from parley.upstream.tls import Contexts, tls_failure, websocket_options

BIDIRECTIONAL_PATH = "/invocations-bidirectional-stream"
"""Where a container is asked for a stream that names no invocation path."""

REQUEST_ID_HEADER = "X-Amzn-SageMaker-Request-Id"

_UNFIT = re.compile(r"[^!-~]|[?#]")
"""What would end a path, or a request's line."""
_UNFIT_IN_QUERY = re.compile(r"[^!-~]|#")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")


def stream_url(base_url: str, path: str, query: str) -> str:
    """The URL of a stream: SageMaker's path, or `/` and the invocation path, with the query string behind it.

    Raises:
        ParleyError: bad-request, for a character that a URL can't hold.
    """
    if _UNFIT.search(path) or _UNFIT_IN_QUERY.search(query):
        raise ParleyError("bad-request", "The invocation path or the query string holds what a URL can't.")
    scheme, place, prefix = _parts(base_url, {"http": "ws", "https": "wss"})
    return urlunsplit((scheme, place, prefix + (f"/{path}" if path else BIDIRECTIONAL_PATH), query, ""))


def ping_url(base_url: str) -> str:
    """The URL of `/ping` on the container of this URL."""
    scheme, place, prefix = _parts(base_url, {"ws": "http", "wss": "https"})
    return urlunsplit((scheme, place, f"{prefix}/ping", "", ""))


def _parts(url: str, schemes: dict[str, str]) -> tuple[str, str, str]:
    parts = urlsplit(url)
    prefix = parts.path.removesuffix(BIDIRECTIONAL_PATH).rstrip("/")
    return schemes.get(parts.scheme, parts.scheme), parts.netloc, prefix


class Handshake:
    """One attempt to open a WebSocket: TCP within `accept_timeout_s`, the answer within `timeout_s`.

    A container that SageMaker starts has 250 ms to accept a connection.
    """

    def __init__(
        self,
        *,
        accept_timeout_s: float,
        timeout_s: float,
        receive_buffer_bytes: int,
        tls: Contexts | None = None,
    ) -> None:
        self._tls = tls
        self._accept_timeout_s = accept_timeout_s
        self._timeout_s = timeout_s
        self._receive_buffer_bytes = receive_buffer_bytes
        self._connection: socket.socket | None = None

    async def run(self, url: str, request_id: str, listener: ContainerSocket, frame_max_bytes: int) -> None:
        """Connect `listener`; when this returns it is connected, or has been and is not any more.

        Raises:
            ParleyError: container-refused. `original_status` is the HTTP status it answered with, 0 without an answer.
        """
        has_opened = False
        try:
            async with asyncio.timeout(self._timeout_s):
                _, opened = await ws_connect(
                    lambda request, response: _checked(listener, request, response),
                    url,
                    # The timeout around it ends it sooner; without its own it would hold on to what it has opened.
                    websocket_handshake_timeout=self._timeout_s,
                    # SageMaker's pings are the listener's to send, and it bounds its answers.
                    enable_auto_ping=False,
                    enable_auto_pong=False,
                    max_frame_size=frame_max_bytes,
                    max_redirects=0,
                    extra_headers={REQUEST_ID_HEADER: request_id},
                    socket_factory=lambda parsed: self._connect(str(parsed.host), int(parsed.port)),
                    # On uvloop its transport misses a reset that comes with data still unread (aiofastnet 1.2.0).
                    use_aiofastnet=False,
                    **websocket_options(url, self._tls, self._timeout_s),
                )
            # picows returns no listener when the peer hung up instead of answering.
            has_opened = opened is not None
        except TimeoutError:
            raise _refused(f"It did not answer the handshake within {self._timeout_s:g} s.") from None
        except WSError as error:
            raise _handshake_error(error) from None
        except OSError as error:
            raise _refused(f"{_system_text(error)}.") from None
        finally:
            if not has_opened:
                listener.cut()
                self._hang_up()
        if not has_opened:
            raise _refused("It hung up instead of answering the handshake.")

    async def _connect(self, host: str, port: int) -> socket.socket:
        """A TCP connection; of several addresses to the first that accepts one."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        deadline = loop.time() + self._accept_timeout_s
        failure: OSError = ConnectionRefusedError()
        for family, kind, protocol, _, address in found:
            try:
                self._connection = await self._connect_to(socket.socket(family, kind, protocol), address, deadline)
            except TimeoutError:
                raise _refused(f"It did not accept a connection within {self._accept_timeout_s:g} s.") from None
            except OSError as error:
                failure = error
            else:
                return self._connection
        raise failure

    async def _connect_to(self, connection: socket.socket, address: Any, deadline: float) -> socket.socket:
        try:
            connection.setblocking(False)
            # Before the connection is made: its window is agreed on then.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes)
            async with asyncio.timeout_at(deadline):
                await asyncio.get_running_loop().sock_connect(connection, address)
        except TimeoutError:
            # It was accepted if it was this node that stood still.
            if _has_peer(connection):
                return connection
            connection.close()
            raise
        except BaseException:
            connection.close()
            raise
        return connection

    def _hang_up(self) -> None:
        """End what picows would keep until its own timeout."""
        connection, self._connection = self._connection, None
        if connection is not None:
            # The descriptor is the transport's to close, and may be closed already.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _checked(listener: ContainerSocket, _request: WSUpgradeRequest, response: WSUpgradeResponse) -> ContainerSocket:
    """The listener, if nothing was agreed on that nobody offered (RFC 6455 section 4.1)."""
    for name in ("Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"):
        if name in response.headers:
            raise _refused(f"Its handshake answers with {name}, which nobody offered.")
    return listener


def _handshake_error(error: WSError) -> ParleyError:
    status = _STATUS_LINE.match(error.raw_header or b"") if isinstance(error, WSHandshakeError) else None
    if status is None:
        return _refused(f"What it answered to the handshake is not HTTP: {type(error).__name__}.")
    number = int(status[1])
    if number == 101:
        return _refused("What it answered to the handshake agrees to no WebSocket.", number)
    hint = {404: ": it has no such path", 403: ": it has no such path, or wants credentials"}.get(number, "")
    return _refused(f"It answered the handshake with HTTP {number}{hint}.", number)


def _has_peer(connection: socket.socket) -> bool:
    try:
        connection.getpeername()
    except OSError:
        return False
    return True


def _refused(detail: str, original_status: int = 0) -> ParleyError:
    return ParleyError("container-refused", detail, original_status=original_status)


def _system_text(error: OSError) -> str:
    if failure := tls_failure(error):
        return failure[0].upper() + failure[1:]
    # asyncio's own text hides what the system said: "Connect call failed".
    is_systems = error.errno is not None and not isinstance(error, socket.gaierror)
    text = os.strerror(error.errno or 0) if is_systems else error.strerror
    return text or type(error).__name__
