"""Plain HTTP routes: the container contract's `/ping` and `/invocations`, and what vLLM's clients look for."""

import logging
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from parley.access.browser_token import BrowserTokens
from parley.access.gate import Gate
from parley.core.errors import ParleyError
from parley.ingress.answers import error_response, json_response, method_not_allowed, name_server
from parley.ingress.attachment import SessionHost
from parley.ingress.client_secrets import ClientSecrets
from parley.ingress.continuing import expect_later, refuse_body
from parley.ingress.cors import CLIENT_SECRETS_PATH, Cors
from parley.ingress.oneshot import Invocations
from parley.ingress.origins import Origins
from parley.ingress.request_heads import of_request
from parley.ingress.small_reads import reads_of
from parley.ingress.upgrades import REALTIME_PATH, SAGEMAKER_PATH

_log = logging.getLogger("parley.ingress")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def http_application(
    host: SessionHost,
    gate: Gate,
    *,
    body_max_bytes: int,
    stall_timeout_s: float = 60.0,
    origins: Origins | None = None,
    browser_tokens: BrowserTokens | None = None,
    routes: Iterable[web.AbstractRouteDef] = (),
) -> web.Application:
    """All plain HTTP routes of the gateway's port. A client that stops half-way is given up after `stall_timeout_s`.

    Pages of `origins` may ask; without any, those of this server's own address. Without `browser_tokens` none are
    minted. `routes` are more of them, which anybody may ask for, whatever page they are on.
    """

    async def ping(_request: web.Request) -> web.StreamResponse:
        """Ready for a session or not; SageMaker waits 2 s for this, so it is answered from memory."""
        try:
            host.check_ready()
        except ParleyError as error:
            # Full is healthy: a container that is full must not be replaced.
            if error.code != "at-capacity":
                return error_response(error)
        return json_response({"status": "ready"})

    async def models(request: web.Request) -> web.StreamResponse:
        """The models served, as vLLM and OpenAI list them."""
        gate.identify(of_request(request))
        listing = [{"id": name, "object": "model", "owned_by": "parley"} for name in host.models]
        return json_response({"object": "list", "data": listing})

    async def not_upgraded(_request: web.Request) -> web.StreamResponse:
        """A realtime route asked for without an upgrade, or with one on a connection already used."""
        detail = "This route takes a WebSocket upgrade, as the first request on its connection."
        response = error_response(ParleyError("bad-request", detail))
        response.headers["Upgrade"] = "websocket"
        response.force_close()
        return response

    @web.middleware
    async def explain(request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Give every error the documented body."""
        try:
            preflight = None if request.match_info.handler in for_anybody else cors.check(request)
        except ParleyError as error:
            gate.audit.record("authenticate", outcome=error.code)
            return refuse_body(error)
        try:
            return preflight or await handler(request)
        except ParleyError as error:
            return error_response(error)
        except web.HTTPNotFound:
            return error_response(ParleyError("not-found"))
        except web.HTTPMethodNotAllowed as error:
            return method_not_allowed(error)
        except web.HTTPException:
            raise
        except ConnectionError:
            # The client is gone: this reaches nobody, and aiohttp would log the exception as an error of ours.
            return web.Response()
        except Exception as error:
            # The exception's text may hold content: its type and the traceback's places are what is logged.
            _log.exception("a request failed: %s", type(error).__name__)
            return error_response(ParleyError("internal-error"))
        finally:
            # Of what follows on the connection nobody knows yet whose it is.
            reads = reads_of(request.transport)
            if reads is not None:
                reads.narrow()

    more = list(routes)
    for_anybody = frozenset(route.handler for route in more if isinstance(route, web.RouteDef))
    cors = Cors(origins or Origins())
    application = web.Application(middlewares=[explain], client_max_size=body_max_bytes)
    application.on_response_prepare.append(name_server)
    application.on_response_prepare.append(cors.mark)
    invocations = Invocations(host, gate, body_max_bytes, stall_timeout_s)
    client_secrets = ClientSecrets(gate, browser_tokens)
    application.add_routes(
        [
            web.get("/ping", ping),
            web.post("/ping", ping),
            web.get("/health", ping),
            web.get("/v1/models", models),
            web.post("/invocations", invocations.handle, expect_handler=expect_later),
            web.post(CLIENT_SECRETS_PATH, client_secrets.handle, expect_handler=expect_later),
            web.get(REALTIME_PATH, not_upgraded),
            web.get(SAGEMAKER_PATH, not_upgraded),
            *more,
        ]
    )
    return application
