"""The composition root: one gateway, put together from its settings, from start to end."""

import asyncio
import contextlib
import logging
import random
import secrets
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from parley.access.gate import Gate
from parley.ingress.attachment import SessionHost
from parley.ingress.connect_gate import ConnectGate
from parley.ingress.invocation import Endpoints
from parley.server.admin.inventory import Inventory, Pool
from parley.server.admin.routes import Operations
from parley.server.admin.timelines import Timelines
from parley.server.admin.watching import Watching
from parley.server.backends import Backends, HostMaker
from parley.server.discovering import make_discoveries
from parley.server.draining import Draining
from parley.server.endpoints import OWN_POOL
from parley.server.garbage import settle_garbage
from parley.server.launch import memory_watch, model_profile, model_server_child
from parley.server.live_sessions import LiveSessions
from parley.server.metrics import Metrics
from parley.server.no_sessions import NoSessions
from parley.server.options import make_gate, make_pool, make_port, pool_options, read_key
from parley.server.ready import Http2Address, Ready
from parley.server.settings.document import Settings
from parley.server.start import StartError, cannot_listen
from parley.server.stores import make_handover, make_keeper, make_retained, open_store
from parley.server.telemetry import Telemetry
from parley.server.tls_endpoints import listener_tls
from parley.server.trust import make_trust
from parley.server.upstream_specs import member_specs
from parley.upstream.child.child import ChildState, LaunchError

if TYPE_CHECKING:
    from parley.server.admin.port import AdminPort
    from parley.server.http2 import Http2Endpoint

_log = logging.getLogger("parley.server")

_CLOSE_TIMEOUT_S = 3.5
"""For the listeners' last writes; the launched model server has its own time."""

ReadyCallback = Callable[[str, int], None]


async def serve(settings: Settings, on_ready: Callable[[Ready], None] | None = None) -> None:
    """Run a gateway until SIGTERM or SIGINT; `on_ready` is told where once both it and the model server are ready.

    Raises:
        StartError: a port is in use, a key file or a certificate can't be read, or the model server can't be started.
    """

    def announce(host: str, port: int) -> None:
        if on_ready is not None:
            has_tls = bool(settings.server.tls_certificate_file)
            has_page = settings.web.enabled
            on_ready(Ready(host, port, gateway.http2, gateway.endpoint, gateway.admin_url, has_tls, has_page))

    try:
        async with asyncio.TaskGroup() as tasks:
            gateway = Gateway(settings, tasks, announce)
            with _signals(gateway.draining.signalled):
                await gateway.start()
                settle_garbage()
                try:
                    is_over = False
                    while not is_over:
                        await gateway.draining.asked.wait()
                        is_over = await gateway.stop()
                finally:
                    await gateway.close()
    except* StartError as group:
        raise StartError(str(group.exceptions[0])) from None
    except* LaunchError as group:
        raise StartError(str(group.exceptions[0])) from None


class Gateway:
    """One node: its listeners, its sessions, and what stands behind them.

    `http2` is where its HTTP/2 endpoint is, once it has started; None where there is none. `draining` is its way out.
    """

    def __init__(self, settings: Settings, tasks: asyncio.TaskGroup, on_ready: ReadyCallback | None = None) -> None:
        self._settings = settings
        self._tasks = tasks
        self._on_ready = on_ready
        self._stopping = False
        self._background: list[asyncio.Task[None]] = []
        engine_key = secrets.token_urlsafe(32) if settings.embeds_engine else ""
        self._child = model_server_child(
            settings, jitter=random.random, engine_key=engine_key, on_change=self._child_changed
        )
        upstream = settings.upstream
        api_key = engine_key or read_key(upstream.api_key_file, "upstream.api_key_file")
        options = pool_options(settings, api_key=api_key, model=upstream.model, streams_max=upstream.max_sessions)
        self._pool = make_pool(member_specs(settings, self._child), options, self._changed)
        self._store = open_store(settings)
        handover = None if self._store is None else make_handover(settings, self._store)
        trust = self._trust = make_trust(settings)
        self._keeper = make_keeper(settings, trust.gate.audit)
        clock = asyncio.get_running_loop().time
        telemetry = self._telemetry = Telemetry(settings.telemetry, clock)
        self._live = LiveSessions(
            random=secrets.token_bytes,
            window_s=settings.session.resume_window_s,
            retry_after_s=settings.server.retry_after_s,
            tasks=tasks,
            handover=handover,
            gate=trust.gate,
            quotas=trust.quotas,
            keeper=self._keeper,
            observing=telemetry.watches,
            forwarded=telemetry.forwarded,
        )
        hosts = HostMaker(settings, self._live, trust.tenants)
        self._host = hosts.make(
            self._pool,
            model=upstream.model,
            profile=lambda model: model_profile(upstream, model),
        )
        self._backends = Backends(settings, hosts, self._host, random.random, self._changed)
        front: SessionHost = self._host
        if not settings.has_own_sessions:
            front = NoSessions(self._host, self._live, self._is_ready)
        gate = make_gate(settings, self._live.clock)
        self._port = make_port(settings, front, trust.gate, gate, trust.browser_tokens)
        self._endpoint = None
        if settings.http2.enabled:
            self._endpoint = _http2_endpoint(settings, self._backends.endpoints, front, trust.gate, gate)
        if handover is not None:
            handover.hosts = hosts.made
        self.draining = Draining(
            self._live,
            self._live.clock,
            settle_s=settings.drain.settle_s,
            timeout_s=settings.drain.timeout_s,
            streams=self._endpoint,
        )
        self._was_ready = False
        inventory = Inventory(
            live=self._live,
            pools=([Pool(OWN_POOL, self._pool, self._host)] if settings.has_own_sessions else [])
            + self._backends.pools,
            desk=hosts.desk,
            draining=self.draining,
            loop_lag=telemetry.loop_lag,
            is_ready=self._is_ready,
            was_ready=lambda: self._was_ready,
        )
        retained = None if self._keeper is None else make_retained(self._keeper)
        telemetry.watch(inventory, self._child)
        timelines = Timelines(telemetry.observing, clock)
        watching = Watching(inventory, timelines, clock)
        operations = Operations(
            *(inventory, self.draining, upstream.drain_timeout_s, retained), timelines=timelines, watching=watching
        )
        self._admin = _admin_port(settings, operations, trust.admin_gate, telemetry.metrics)
        self.admin_url = ""
        self._bound_port = 0
        self.http2: Http2Address | None = None

    @property
    def endpoint(self) -> str:
        """The name of the first endpoint."""
        return self._backends.endpoints.names[0]

    async def start(self) -> int:
        """Listen; returns the port. The model server may still be loading: until it is ready, `/ping` says so.

        Raises:
            StartError: an address can't be bound, or the certificate can't be had.
        """
        try:
            await self._listen()
        except BaseException:
            await self.close()
            raise
        for watching in self._telemetry.works():
            self._run(watching)
        self._run(self._pool.run())
        for work in self._trust.background:
            self._run(work())
        self._run(self._trust.quotas.run(self._live.metered))
        for discovery in make_discoveries(self._settings.upstream, self._pool):
            self._run(discovery.run())
        self._run(self._backends.run())
        if self._store is not None:
            self._run(self._store.run())
        if self._keeper is not None:
            self._run(self._keeper.run())
        if self._child is not None:
            self._run(self._child.run())
        memory = memory_watch(self._settings, self._child, self._host.relieve)
        if memory is not None:
            self._run(memory.run())
        return self._bound_port

    async def _listen(self) -> None:
        server = self._settings.server
        try:
            self._bound_port = await self._port.start(server.host, server.port)
        except OSError as error:
            raise cannot_listen(server.host, server.port, error) from None
        _log.info("listening on %s:%d", server.host, self._bound_port)
        if self._endpoint is not None:
            self.http2 = await self._endpoint.start()
        if self._admin is not None:
            self.admin_url = await self._admin.start()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._background.append(self._tasks.create_task(work))

    async def stop(self) -> bool:
        """Drain, then close. False when the drain was taken back."""
        _log.info("stopping")
        is_over = await self.draining.run()
        if is_over:
            await self.close()
        return is_over

    async def close(self) -> None:
        """Close the listeners and let the model server go, in this order: until here a session may still need it."""
        self._stopping = True
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._close_listeners()
        except TimeoutError:
            _log.warning("the listeners did not close in time")
        for task in self._background:
            task.cancel()
        if self._keeper is not None:
            await self._keeper.close()
        self._trust.close()
        if self._store is not None:
            self._store.close()
        await self._telemetry.close()

    async def _close_listeners(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._live.close())
            if self._endpoint is not None:
                tasks.create_task(self._endpoint.close())
            tasks.create_task(self._port.close())
            if self._admin is not None:
                tasks.create_task(self._admin.close())
        await self._backends.close()

    def _child_changed(self, state: ChildState) -> None:
        if state is not ChildState.READY and not self._stopping:
            self._pool.lost()

    def _is_ready(self) -> bool:
        return self._pool.ready if self._settings.has_own_sessions else self._backends.is_ready

    def _changed(self) -> None:
        self._was_ready = self._was_ready or self._is_ready()
        if self._on_ready is not None and self._is_ready():
            on_ready, self._on_ready = self._on_ready, None
            on_ready(self._settings.server.host, self._bound_port)


def _http2_endpoint(
    settings: Settings, endpoints: Endpoints, front: SessionHost, access: Gate, gate: ConnectGate
) -> "Http2Endpoint":
    # Loaded only where it is asked for: with it come the libraries of HTTP/2 and of certificates.
    from parley.server.http2 import Http2Endpoint

    return Http2Endpoint(settings, endpoints, front.check_ready, access, gate)


def _admin_port(settings: Settings, operations: Operations, gate: Gate, metrics: Metrics | None) -> "AdminPort | None":
    if not settings.admin.port:
        return None
    from parley.server.admin.port import AdminPort

    return AdminPort(settings.admin, operations, gate, listener_tls(settings, "admin"), metrics)


@contextlib.contextmanager
def _signals(on_signal: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
