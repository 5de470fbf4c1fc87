"""The composition root: one gateway, put together from its settings, from start to end."""

import asyncio
import contextlib
import logging
import random
import secrets
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from parley.ingress.attachment import SessionHost
from parley.ingress.invocation import Endpoints
from parley.server.backends import Backends, HostMaker
from parley.server.launch import memory_watch, model_profile, model_server_child, sessions_max, upstream_urls
from parley.server.live_sessions import LiveSessions
from parley.server.no_sessions import NoSessions
from parley.server.options import make_pool, make_port, pool_options, read_key
from parley.server.ready import Http2Address, Ready
from parley.server.settings import Settings
from parley.server.start import StartError, cannot_listen
from parley.upstream.child import ChildState, LaunchError

if TYPE_CHECKING:
    from parley.server.http2 import Http2Endpoint

_log = logging.getLogger("parley.server")

ReadyCallback = Callable[[str, int], None]


async def serve(settings: Settings, on_ready: Callable[[Ready], None] | None = None) -> None:
    """Run a gateway until SIGTERM or SIGINT; `on_ready` is told where once both it and the model server are ready.

    Raises:
        StartError: a port is in use, a key file or a certificate can't be read, or the model server can't be started.
    """

    def announce(host: str, port: int) -> None:
        if on_ready is not None:
            on_ready(Ready(host, port, gateway.http2, gateway.endpoint))

    stop = asyncio.Event()
    try:
        with _signals(stop):
            async with asyncio.TaskGroup() as tasks:
                gateway = Gateway(settings, tasks, announce)
                await gateway.start()
                try:
                    await stop.wait()
                    again = asyncio.Event()
                    with _signals(again):
                        await gateway.stop(again)
                finally:
                    await gateway.close()
    except* StartError as group:
        raise StartError(str(group.exceptions[0])) from None
    except* LaunchError as group:
        raise StartError(str(group.exceptions[0])) from None


class Gateway:
    """One node: its listeners, its sessions, and what stands behind them.

    `http2` is where its HTTP/2 endpoint is, once it has started; None where there is none.
    """

    def __init__(self, settings: Settings, tasks: asyncio.TaskGroup, on_ready: ReadyCallback | None = None) -> None:
        self._settings = settings
        self._tasks = tasks
        self._on_ready = on_ready
        self._stopping = False
        self._background: list[asyncio.Task[None]] = []
        self._child = model_server_child(settings, jitter=random.random, on_change=self._child_changed)
        upstream = settings.upstream
        api_key = read_key(upstream.api_key_file, "upstream.api_key_file")
        options = pool_options(settings, api_key=api_key, model=upstream.model)
        self._pool = make_pool(upstream_urls(settings, self._child), options, self._changed)
        self._live = LiveSessions(
            random=secrets.token_bytes,
            window_s=settings.session.resume_window_s,
            retry_after_s=settings.server.retry_after_s,
            tasks=tasks,
        )
        hosts = HostMaker(settings, self._live)
        self._host = hosts.make(
            self._pool,
            model=upstream.model,
            profile=lambda model: model_profile(upstream, model),
            sessions_max=sessions_max(settings),
        )
        self._backends = Backends(settings, hosts, self._host, random.random, self._changed)
        front: SessionHost = self._host
        if not settings.has_own_sessions:
            front = NoSessions(self._host, self._live, self._is_ready)
        self._port = make_port(settings, front)
        self._endpoint = _http2_endpoint(settings, self._backends.endpoints, front) if settings.http2.enabled else None
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
        self._run(self._pool.run())
        self._run(self._backends.run())
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

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._background.append(self._tasks.create_task(work))

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """Drain, then close; `hurry` (a second signal) ends the sessions at once."""
        _log.info("stopping")
        timeout_s = self._settings.drain.timeout_s
        # In this order: who asks is told not to come, then who is here that nothing new begins, then all may finish.
        self._live.refuse()
        if self._endpoint is not None:
            self._endpoint.stop_accepting()
        drains = [self._live.drain(timeout_s)]
        if self._endpoint is not None:
            drains.append(self._endpoint.drain(timeout_s))
        draining = asyncio.gather(*drains)
        # Behind them, for what it does has to come after what they begin with.
        hurrying = asyncio.create_task(self._hurry(hurry)) if hurry is not None else None
        try:
            await draining
        finally:
            draining.cancel()
            if hurrying is not None:
                hurrying.cancel()
        await self.close()

    async def close(self) -> None:
        """Close the listeners and let the model server go, in this order: until here a session may still need it."""
        self._stopping = True
        if self._endpoint is not None:
            await self._endpoint.close()
        await self._backends.close()
        await self._port.close()
        for task in self._background:
            task.cancel()

    async def _hurry(self, hurry: asyncio.Event) -> None:
        await hurry.wait()
        self._live.hurry()
        if self._endpoint is not None:
            await self._endpoint.hurry()

    def _child_changed(self, state: ChildState) -> None:
        if state is not ChildState.READY and not self._stopping:
            self._pool.lost()

    def _is_ready(self) -> bool:
        return self._pool.ready if self._settings.has_own_sessions else self._backends.is_ready

    def _changed(self) -> None:
        if self._on_ready is not None and self._is_ready():
            on_ready, self._on_ready = self._on_ready, None
            on_ready(self._settings.server.host, self._bound_port)


def _http2_endpoint(settings: Settings, endpoints: Endpoints, front: SessionHost) -> "Http2Endpoint":
    # Loaded only where it is asked for: with it come the libraries of HTTP/2 and of certificates.
    from parley.server.http2 import Http2Endpoint

    return Http2Endpoint(settings, endpoints, front.check)


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
