"""The embedded model server: vLLM's realtime endpoint and the HTTP routes beside it.

It listens on its own and knows nothing of the gateway, which treats it as any other model server.
"""

import asyncio
import hmac
import importlib.metadata
import logging
import os
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

from aiohttp import web

from parley.core.errors import ParleyError
from parley.engine.faults import FaultClock
from parley.engine.metrics import EngineMetrics, Refusal
from parley.engine.options import EngineOptions
from parley.engine.scripted import ScriptedEngine
from parley.engine.session import MESSAGE_MAX_BYTES, EngineSession, SessionLimits, Shared
from parley.engine.transcriber import Engine
from parley.engine.weights import WeightsError, load_weights

logger = logging.getLogger(__name__)

MESSAGE_READ_MAX_BYTES = MESSAGE_MAX_BYTES + MESSAGE_MAX_BYTES // 2
"""Largest WebSocket message that is read in order to refuse it with words; one still larger is cut off in the middle,
and its sender may not see the close code."""

RETRY_AFTER_S = 5
"""What a refused client is told to wait."""

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SHUTDOWN_TIMEOUT_S = 2.0
"""How long all sessions together may take to hear that the server goes away."""


def load_engine(options: EngineOptions) -> Engine:
    """The engine that `options` name. Takes a second or two for one with a model.

    Raises:
        WeightsError: its files are missing or cannot be run.
    """
    if options.engine == "scripted":
        return ScriptedEngine()
    try:
        # Not above: the scripted engine runs without the extra that this one needs.
        from parley.engine.tiny import TinyEngine
    except ImportError as error:
        raise WeightsError(f"{error.name} is not installed; run: pip install 'parley[engine]'") from None
    return TinyEngine(load_weights(options.model_dir))


def usable_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def serve_engine(options: EngineOptions, on_ready: Callable[[int], None] | None = None) -> None:
    """Serve until cancelled, or until SIGTERM or SIGINT, on which it returns.

    Live sessions are told with an error event and close code 1012. `on_ready` is called with the bound port once the
    server listens.

    Raises:
        WeightsError: the engine cannot be loaded.
        OSError: the address cannot be bound.
    """
    await asyncio.sleep(options.faults.start_delay_s)
    engine = await asyncio.to_thread(load_engine, options)
    stop = asyncio.Event()
    with _signals(stop), ThreadPoolExecutor(options.decode_threads or usable_cores(), "decode") as executor:
        server = EngineServer(options, engine, executor)
        async with server.listening() as port:
            description = engine.describe()
            logger.info("engine %s %s on port %d", description.name, description.sha256, port)
            if on_ready is not None:
                on_ready(port)
            await stop.wait()


class EngineServer:
    """The routes, and the sessions behind them."""

    def __init__(self, options: EngineOptions, engine: Engine, executor: ThreadPoolExecutor) -> None:
        self._options = options
        self._description = engine.describe()
        self._metrics = EngineMetrics(self._description)
        self._shared = Shared(engine, executor, self._metrics, FaultClock(options.faults), options.served_name)
        self._limits = SessionLimits(
            options.buffered_audio_max_s, options.idle_timeout_s, options.max_model_len, options.behind_slack_s
        )
        self._sessions: dict[EngineSession, asyncio.Event] = {}
        self._draining = False
        self._created_s = int(time.time())

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[int]:
        """Listen; the value is the bound port. On leaving, sessions are shut down and the port is closed."""
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._options.host, self._options.port).start()
            yield int(runner.addresses[0][1])
        finally:
            await self._shut_down()
            await runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._authenticated])
        app.router.add_get("/health", self._health)
        app.router.add_get("/version", self._version)
        app.router.add_get("/metrics", self._serve_metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/realtime", self._realtime)
        return app

    @web.middleware
    async def _authenticated(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Answer whoever brings the key, and probes of whether the server is there at all."""
        key = self._options.api_key
        if key and request.path != "/health":
            sent = request.headers.get("Authorization", "")
            if not sent:
                return _failure(ParleyError("credentials-missing"))
            if not hmac.compare_digest(sent.encode("utf-8", "surrogateescape"), f"Bearer {key}".encode()):
                return _failure(ParleyError("invalid-token"))
        return await handler(request)

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(status=503 if self._draining else 200)

    async def _version(self, request: web.Request) -> web.Response:
        description = self._description
        return web.json_response(
            {
                "version": importlib.metadata.version("parley"),
                "engine": description.name,
                "packaged": description.packaged,
                "sha256": description.sha256,
                "sample_rate_hz": description.sample_rate_hz,
            }
        )

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._metrics.render(), headers=headers)

    async def _models(self, request: web.Request) -> web.Response:
        name = self._options.served_name
        model = {
            "id": name,
            "object": "model",
            "created": self._created_s,
            "owned_by": "parley",
            "root": name,
            "max_model_len": self._options.max_model_len,
        }
        return web.json_response({"object": "list", "data": [model]})

    async def _realtime(self, request: web.Request) -> web.StreamResponse:
        """Upgrade and run a session; refuse before the upgrade when there is no room."""
        if self._draining:
            return self._refusal("shutting-down", "draining")
        if len(self._sessions) >= self._options.max_sessions:
            return self._refusal("at-capacity", "capacity")
        connection = web.WebSocketResponse(max_msg_size=MESSAGE_READ_MAX_BYTES, compress=False, decode_text=False)
        if not connection.can_prepare(request):
            return _failure(ParleyError("bad-request"))
        transport = request.transport
        if transport is None:
            return _failure(ParleyError("bad-request"))
        session, ended = EngineSession(connection, transport, self._shared, self._limits), asyncio.Event()
        self._sessions[session] = ended
        self._metrics.sessions.set(len(self._sessions))
        try:
            await connection.prepare(request)
            await session.run()
        finally:
            del self._sessions[session]
            self._metrics.sessions.set(len(self._sessions))
            ended.set()
        return connection

    def _refusal(self, code: str, reason: Refusal) -> web.Response:
        self._metrics.refused(reason)
        return _failure(ParleyError(code, retry_after_s=RETRY_AFTER_S))

    async def _shut_down(self) -> None:
        """End all sessions; those that take too long are cut off with the listener."""
        self._draining = True
        for session in self._sessions:
            session.shut_down()
        waiting = [asyncio.create_task(ended.wait()) for ended in self._sessions.values()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=SHUTDOWN_TIMEOUT_S)
            for task in late:
                task.cancel()


def _failure(error: ParleyError) -> web.Response:
    """The error as vLLM words HTTP errors, with Parley's own code beside it."""
    spec = error.spec
    body = {
        "error": {
            "message": error.message,
            "type": spec.openai_type,
            "code": spec.http_status,
            "parley": {"code": spec.code, "fault": spec.fault, "retry": spec.retry},
        }
    }
    headers = {} if error.retry_after_s is None else {"Retry-After": f"{error.retry_after_s:.0f}"}
    return web.json_response(body, status=spec.http_status, headers=headers)


@contextmanager
def _signals(stop: asyncio.Event) -> Generator[None]:
    """Set `stop` on SIGTERM and SIGINT while inside."""
    loop = asyncio.get_running_loop()
    wanted = (signal.SIGTERM, signal.SIGINT)
    for number in wanted:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in wanted:
            loop.remove_signal_handler(number)
