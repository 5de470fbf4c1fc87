"""The operator's own port: plain HTTP with JSON, apart from what clients reach.

A request passes, in this order: is it for this machine's name (a page in a browser can have its own name resolve to
127.0.0.1), who sends it, may they do this, is its body JSON (no form of a page can send that) and small.
"""

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from parley.access.action import NODE_TARGET
from parley.access.gate import Gate
from parley.access.identity import Identity
from parley.core.errors import ParleyError
from parley.ingress.answers import error_response, method_not_allowed, name_server
from parley.ingress.continuing import check_body, refuse_body
from parley.ingress.door import Door, DoorLimits, Visitor
from parley.ingress.request_heads import of_request
from parley.ingress.small_reads import SERVER_OPTIONS, SmallReads
from parley.server.addresses import is_loopback
from parley.server.admin.openapi import OPENAPI_PATH, document
from parley.server.admin.routes import PREFIX, ROUTES, Asker, Operations, Raw, Route, read_body, read_query
from parley.server.metrics import Metrics
from parley.server.settings.document import AdminSettings
from parley.server.start import cannot_listen
from parley.server.tls_endpoints import Contexts
from parley.web.pages import page_routes

_log = logging.getLogger("parley.admin")

METRICS_PATH = "/metrics"
CONSOLE_PATH = "/console"
BODY_MAX_BYTES = 4_096
CONNECTIONS_MAX = 64
_IDLE_TIMEOUT_S = 30.0
_CLOSE_TIMEOUT_S = 1.0
_READER_TIMEOUT_S = 20.0

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def admin_application(
    operations: Operations, gate: Gate, *, is_local: bool, metrics: Metrics | None = None
) -> web.Application:
    """The routes. With `is_local` only requests that name this machine as one does on it are answered."""

    @web.middleware
    async def explain(request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Let nobody by unseen, and give every error the documented body."""
        try:
            if is_local:
                _check_host(request.host)
            return await handler(request)
        except ParleyError as error:
            if request.can_read_body and not request.content.is_eof():
                # Nothing of a body is read of whoever may not send one.
                return _unstored(refuse_body(error))
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
    application.on_response_prepare.append(name_server)
    for route in ROUTES:
        # A name may have any character but a slash.
        path = PREFIX + route.path.replace("}", ":[^/]+}")
        application.router.add_route(route.method, path, _handler(route, operations, gate))
    described = msgspec.json.encode(document())

    async def openapi(request: web.Request) -> web.StreamResponse:
        """What there is; who may ask for nothing else may not ask for this either."""
        gate.identify(of_request(request))
        return _json(described)

    application.router.add_route("GET", OPENAPI_PATH, openapi)
    application.add_routes(page_routes("console", CONSOLE_PATH))

    async def stop_watches(_application: web.Application) -> None:
        operations.stop_watches()

    application.on_shutdown.append(stop_watches)
    if metrics is not None:
        application.router.add_route("GET", METRICS_PATH, _metrics_handler(metrics, gate))
    return application


def _metrics_handler(metrics: Metrics, gate: Gate) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        """What a Prometheus asks for: not in the audit log, several times a minute."""
        identity = gate.identify(of_request(request))
        gate.allow(identity.caller, "observe", NODE_TARGET)
        body, content_type = await metrics.expose(request.headers.get("Accept", ""))
        return _unstored(web.Response(body=body, headers={"Content-Type": content_type}))

    return handle


def _handler(route: Route, operations: Operations, gate: Gate) -> _Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        identity = gate.identify(of_request(request))
        asker = Asker(identity.caller, gate)
        target = request.match_info.get(route.target, "") if route.target else ""
        try:
            tenant = await operations.check(route, asker, target)
            await _verify(request, identity)
            answer = await _perform(route, operations, asker, target, request)
        except ParleyError as error:
            # What the policy refused is in the audit log already.
            if error.code != "forbidden":
                _note(route, asker, target, "", error.code)
            raise
        _note(route, asker, target, tenant, "ok")
        if route.method != "GET":
            _log.info("the operator asked: %s %s", route.method, route.path)
        if not isinstance(answer, Raw):
            return _json(msgspec.json.encode(answer))
        return await _raw(request, answer)

    return handle


async def _verify(request: web.Request, identity: Identity) -> None:
    """Whether the body, which is small, is the one that the head was signed with."""
    if identity.body is not None:
        identity.body.feed(await request.read())
        identity.body.finish()


async def _perform(route: Route, operations: Operations, asker: Asker, target: str, request: web.Request) -> object:
    if route.has_body:
        if request.content_type != "application/json":
            raise ParleyError("bad-request", "Its Content-Type has to be application/json.")
        check_body(request)
        asked = read_body(route.takes, await request.read())
    else:
        asked = read_query(route.takes, request.query)
    answer = route.perform(operations, asker, target, asked)
    return await answer if inspect.isawaitable(answer) else answer


def _note(route: Route, asker: Asker, target: str, tenant: str, outcome: str) -> None:
    """Who saw or did what, for the audit log; that somebody looked at the node itself is nothing to note."""
    if route.method == "GET" and route.scope in ("node", "self"):
        return
    session_id = target if route.target == "id" else ""
    facts = {"route": f"{route.method} {route.path}"}
    asker.gate.audit.record(
        route.action, asker.caller, session_id=session_id, tenant=tenant, outcome=outcome, facts=facts
    )


async def _raw(request: web.Request, answer: Raw) -> web.StreamResponse:
    if isinstance(answer.body, bytes):
        return _unstored(web.Response(body=answer.body, content_type=answer.content_type))
    response = web.StreamResponse(headers={"Content-Type": answer.content_type, "Cache-Control": "no-store"})
    async with contextlib.aclosing(answer.body) as pieces:
        await response.prepare(request)
        async for piece in pieces:
            await _write(request, response, piece)
    await response.write_eof()
    return response


async def _write(request: web.Request, response: web.StreamResponse, piece: bytes) -> None:
    """Write, and cut off a reader that takes nothing for too long."""
    try:
        async with asyncio.timeout(_READER_TIMEOUT_S):
            await response.write(piece)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionError("its reader takes nothing") from None


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
    return _unstored(error_response(error))


def _unstored(response: web.Response) -> web.Response:
    """An answer that nothing on its way keeps."""
    response.headers["Cache-Control"] = "no-store"
    return response


class AdminPort:
    """The listener; the gate says who may do what. `tls` gives the context of each handshake; None: it is in clear."""

    def __init__(
        self,
        settings: AdminSettings,
        operations: Operations,
        gate: Gate,
        tls: Contexts | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._settings = settings
        self._is_open = gate.is_open
        application = admin_application(operations, gate, is_local=is_loopback(settings.host), metrics=metrics)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=_IDLE_TIMEOUT_S,
            shutdown_timeout=_CLOSE_TIMEOUT_S,
            **SERVER_OPTIONS,
        )
        # Before their heads as after them, so many connections at the most.
        self._door = Door(self._heard, DoorLimits(unheard_max=CONNECTIONS_MAX), tls)

    async def start(self) -> str:
        """Listen; returns the URL for clients on this machine.

        Raises:
            StartError: the address can't be listened on.
        """
        host, port = self._settings.host, self._settings.port
        await self._runner.setup()
        try:
            await self._door.start(host, port)
        except OSError as error:
            await self._runner.cleanup()
            raise cannot_listen(
                host, port, error, host_option="--set admin.host=ADDRESS", port_option="--admin PORT"
            ) from None
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared with, not listened on
        scheme = "https" if self._door.has_tls else "http"
        url = f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{port}"
        _log.info(
            "the admin API is on %s:%d%s", host, port, ", for every program on this machine" if self._is_open else ""
        )
        return url

    def _heard(self, visitor: Visitor) -> None:
        server = self._runner.server
        assert server is not None, "it is set up before anything can come in"
        if len(server.connections) < CONNECTIONS_MAX:
            visitor.hand_over(SmallReads(server(), pauses=True), visitor.head + visitor.rest)
        else:
            visitor.abort()

    async def close(self) -> None:
        """Answer nothing more."""
        await self._door.close()
        await self._runner.cleanup()
        await self._door.cut_lingering()
