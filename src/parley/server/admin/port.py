"""The operator's own port: plain HTTP with JSON, apart from what clients reach.

A request passes, in this order: is it for this machine's name (a page in a browser can have its own name resolve to
127.0.0.1), does it bring the token, is its body JSON (no form of a page can send that) and small, may it do this.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from parley.core.errors import ParleyError
from parley.ingress.answers import error_response, method_not_allowed
from parley.server.addresses import is_loopback
from parley.server.admin.openapi import OPENAPI_PATH, document
from parley.server.admin.routes import PREFIX, ROUTES, Operations, Route, read_body, read_query
from parley.server.settings.document import AdminSettings
from parley.server.start import StartError, cannot_listen

_log = logging.getLogger("parley.admin")

BODY_MAX_BYTES = 4_096
CONNECTIONS_MAX = 64
_IDLE_TIMEOUT_S = 30.0
_CLOSE_TIMEOUT_S = 1.0
_TOKEN_MIN_CHARS = 16

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Authoriser(Protocol):
    """Says who may do what: the one place that does."""

    def check(self, authorization: str, action: str, target: str) -> None:
        """Whether whoever sent this Authorization header may do this to that.

        Raises:
            ParleyError: invalid-token.
        """


class TokenHolder:
    """Whoever has the token may do everything; without a token, whoever reaches the port may."""

    def __init__(self, token: str | None) -> None:
        self._expected = None if token is None else token.encode()

    def check(self, authorization: str, action: str, target: str) -> None:
        """See `Authoriser`."""
        if self._expected is None:
            return
        scheme, _, token = authorization.partition(" ")
        # The time that the comparison takes says nothing of where they differ.
        is_same = hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), self._expected)
        if scheme.lower() != "bearer" or not is_same:
            raise ParleyError("invalid-token")


def admin_token(token: str | None) -> str | None:
    """The token that a file holds.

    Raises:
        StartError: it is too short to keep anybody out, or no token at all.
    """
    if token is None:
        return None
    if len(token) < _TOKEN_MIN_CHARS or not token.isascii() or not token.isprintable() or " " in token:
        raise StartError(
            f"token-unusable: the file in admin.token_file has to hold one token of {_TOKEN_MIN_CHARS} ASCII "
            "characters or more, without spaces. `openssl rand -hex 32` makes one."
        )
    return token


def admin_application(operations: Operations, authoriser: Authoriser, *, is_local: bool) -> web.Application:
    """The routes. With `is_local` only requests that name this machine as one does on it are answered."""

    @web.middleware
    async def explain(request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Let nobody by unseen, and give every error the documented body."""
        try:
            if is_local:
                _check_host(request.host)
            return await handler(request)
        except ParleyError as error:
            return _error(error)
        except web.HTTPNotFound:
            return _error(ParleyError("not-found", "See /admin/v1/openapi.json."))
        except web.HTTPMethodNotAllowed as error:
            return _unstored(method_not_allowed(error))
        except web.HTTPRequestEntityTooLarge:
            return _error(ParleyError("message-too-large", f"A body has {BODY_MAX_BYTES} bytes at the most."))
        except ConnectionError:
            return web.Response()
        except Exception as error:
            _log.exception("a request failed: %s", type(error).__name__)
            return _error(ParleyError("internal-error"))

    application = web.Application(middlewares=[explain], client_max_size=BODY_MAX_BYTES)
    for route in ROUTES:
        # A name may have any character but a slash.
        path = PREFIX + route.path.replace("}", ":[^/]+}")
        application.router.add_route(route.method, path, _handler(route, operations, authoriser))
    described = msgspec.json.encode(document())

    async def openapi(request: web.Request) -> web.StreamResponse:
        """What there is; who may ask for nothing else may not ask for this either."""
        authoriser.check(request.headers.get("Authorization", ""), "openapi.read", "")
        return _json(described)

    application.router.add_route("GET", OPENAPI_PATH, openapi)
    return application


def _handler(route: Route, operations: Operations, authoriser: Authoriser) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        target = request.match_info.get(route.target, "") if route.target else ""
        authoriser.check(request.headers.get("Authorization", ""), route.action, target)
        if route.has_body:
            if request.content_type != "application/json":
                raise ParleyError("bad-request", "Its Content-Type has to be application/json.")
            asked = read_body(route.takes, await request.read())
        else:
            asked = read_query(route.takes, request.query)
        answer = route.perform(operations, target, asked)
        if route.method != "GET":
            _log.info("the operator asked: %s %s", route.method, route.path)
        return _json(msgspec.json.encode(answer))

    return handle


def _check_host(host: str) -> None:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        raise ParleyError("bad-request", "The Host header has to be a name of this machine's loopback, as 127.0.0.1.")


def _json(body: bytes) -> web.Response:
    return _unstored(web.Response(body=body, content_type="application/json"))


def _error(error: ParleyError) -> web.Response:
    response = _unstored(error_response(error))
    if error.code == "invalid-token":
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _unstored(response: web.Response) -> web.Response:
    """An answer that nothing on its way keeps."""
    response.headers["Cache-Control"] = "no-store"
    return response


class _TooMany(asyncio.Protocol):
    """A connection over the bound."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class AdminPort:
    """The listener; `token` is what its users have to bring, None where none is needed."""

    def __init__(self, settings: AdminSettings, operations: Operations, token: str | None) -> None:
        self._settings = settings
        self._token = admin_token(token)
        application = admin_application(operations, TokenHolder(self._token), is_local=is_loopback(settings.host))
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=_IDLE_TIMEOUT_S,
            shutdown_timeout=_CLOSE_TIMEOUT_S,
        )
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen; returns the URL for clients on this machine.

        Raises:
            StartError: the address can't be listened on.
        """
        host, port = self._settings.host, self._settings.port
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(self._connection, host, port)
        except OSError as error:
            await self._runner.cleanup()
            raise cannot_listen(
                host, port, error, host_option="--set admin.host=ADDRESS", port_option="--admin PORT"
            ) from None
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared with, not listened on
        url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
        _log.info(
            "the admin API is on %s:%d%s", host, port, "" if self._token else ", for every program on this machine"
        )
        return url

    def _connection(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None, "it is set up before anything can come in"
        return server() if len(server.connections) < CONNECTIONS_MAX else _TooMany()

    async def close(self) -> None:
        """Answer nothing more."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
