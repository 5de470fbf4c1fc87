"""The composition root: one gateway, put together from its settings, from start to end."""

import asyncio
import contextlib
import logging
import random
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from parley.audio.speech import speech_samples
from parley.core.admission import Admission
from parley.core.limits import SessionLimits
from parley.ingress.http import http_application
from parley.ingress.port import Port, PortLimits
from parley.ingress.upgrades import Upgrades
from parley.ingress.websocket import SocketLimits
from parley.server.host import Host, Sources
from parley.server.launch import memory_watch, model_profile, model_server_child, sessions_max, upstream_urls
from parley.server.settings import Settings
from parley.server.start import StartError, cannot_listen
from parley.upstream.child import ChildState, LaunchError
from parley.upstream.pool import PoolOptions, vllm_pool

_log = logging.getLogger("parley.server")

ReadyCallback = Callable[[str, int], None]


async def serve(settings: Settings, on_ready: ReadyCallback | None = None) -> None:
    """Run a gateway until SIGTERM or SIGINT; `on_ready` is told the host and port once both it and the model server
    are ready.

    Raises:
        StartError: the port is in use, a key file can't be read, or the model server can't be started.
    """
    stop = asyncio.Event()
    try:
        with _signals(stop):
            async with asyncio.TaskGroup() as tasks:
                gateway = Gateway(settings, tasks, on_ready)
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
    """One node: listener, sessions, and the model servers behind it."""

    def __init__(self, settings: Settings, tasks: asyncio.TaskGroup, on_ready: ReadyCallback | None = None) -> None:
        self._settings = settings
        self._tasks = tasks
        self._on_ready = on_ready
        self._stopping = False
        self._background: list[asyncio.Task[None]] = []
        self._child = model_server_child(settings, jitter=random.random, on_change=self._child_changed)
        self._pool = vllm_pool(upstream_urls(settings, self._child), _pool_options(settings), self._pool_changed)
        self._host = Host(
            limits=_session_limits(settings),
            admission=Admission(sessions_max(settings), settings.server.retry_after_s),
            upstream=self._pool,
            health=self._pool,
            model=settings.upstream.model,
            retry_after_s=settings.server.retry_after_s,
            sources=Sources(
                random=secrets.token_bytes,
                jitter=random.random,
                profile=lambda model: model_profile(settings.upstream, model),
                context_s=lambda: self._pool.context_s,
                measure_speech=speech_samples,
            ),
            tasks=tasks,
        )
        self._port = _make_port(settings, self._host)
        self._bound_port = 0

    async def start(self) -> int:
        """Listen; returns the port. The model server may still be loading: until it is ready, `/ping` says so.

        Raises:
            StartError: the address can't be bound.
        """
        server = self._settings.server
        try:
            self._bound_port = await self._port.start(server.host, server.port)
        except OSError as error:
            raise cannot_listen(server.host, server.port, error) from None
        _log.info("listening on %s:%d", server.host, self._bound_port)
        self._background.append(self._tasks.create_task(self._pool.run()))
        if self._child is not None:
            self._background.append(self._tasks.create_task(self._child.run()))
        memory = memory_watch(self._settings, self._child, self._host.relieve)
        if memory is not None:
            self._background.append(self._tasks.create_task(memory.run()))
        return self._bound_port

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """Drain, then close; `hurry` (a second signal) ends the sessions at once."""
        _log.info("stopping")
        hurrying = asyncio.create_task(self._hurry(hurry)) if hurry is not None else None
        try:
            await self._host.drain(self._settings.server.shutdown_timeout_s)
        finally:
            if hurrying is not None:
                hurrying.cancel()
        await self.close()

    async def close(self) -> None:
        """Close the listener and let the model server go, in this order: until here a session may still need it."""
        self._stopping = True
        await self._port.close()
        for task in self._background:
            task.cancel()

    async def _hurry(self, hurry: asyncio.Event) -> None:
        await hurry.wait()
        self._host.hurry()

    def _child_changed(self, state: ChildState) -> None:
        if state is not ChildState.READY and not self._stopping:
            self._pool.lost()

    def _pool_changed(self) -> None:
        if self._pool.ready and self._on_ready is not None:
            on_ready, self._on_ready = self._on_ready, None
            on_ready(self._settings.server.host, self._bound_port)


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


def _read_key(path: str) -> str | None:
    if not path:
        return None
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise StartError(f"key-unreadable: upstream.api_key_file can't be read: {error.strerror}.") from None


def _pool_options(settings: Settings) -> PoolOptions:
    upstream = settings.upstream
    return PoolOptions(
        api_key=_read_key(upstream.api_key_file),
        model=upstream.model,
        connect_timeout_s=upstream.connect_timeout_s,
        ping_interval_s=settings.server.ping_interval_s,
        ping_timeout_s=settings.server.ping_timeout_s,
        probe_interval_s=upstream.probe_interval_s,
        probe_timeout_s=upstream.probe_timeout_s,
    )


def _session_limits(settings: Settings) -> SessionLimits:
    session = settings.session
    return SessionLimits(
        pace_window_s=session.pace_window_s,
        held_audio_max_s=session.held_audio_max_s,
        held_turns_max=session.held_turns_max,
        resume_window_s=session.resume_window_s,
        ledger_max_bytes=session.ledger_max_bytes,
        journal_max_s=session.journal_max_s,
        turn_text_max_bytes=session.turn_text_max_bytes,
        recovery_timeout_s=session.recovery_timeout_s,
        rotate_after_s=session.rotate_after_s,
        rotate_force_s=session.rotate_force_s,
        output_max_bytes=session.output_max_bytes,
        client_errors_max=settings.server.client_errors_max,
        forward_empty_deltas=session.forward_empty_deltas,
        # The opener has its own timeout and says more; this one is for an opener that hangs.
        connect_timeout_s=settings.upstream.connect_timeout_s + 1.0,
        first_delta_timeout_s=session.first_delta_timeout_s,
        stall_timeout_s=session.stall_timeout_s,
        flush_timeout_s=session.flush_timeout_s,
    )


def _make_port(settings: Settings, host: Host) -> Port:
    server = settings.server
    socket_limits = SocketLimits(
        message_max_bytes=server.message_max_bytes,
        write_buffer_max_bytes=server.write_buffer_max_bytes,
        waiting_max=server.waiting_max,
        waiting_timeout_s=server.waiting_timeout_s,
    )
    port_limits = PortLimits(
        head_timeout_s=server.head_timeout_s,
        ping_interval_s=server.ping_interval_s,
        ping_timeout_s=server.ping_timeout_s,
    )
    http = http_application(host, body_max_bytes=server.body_max_bytes)
    return Port(Upgrades(host, socket_limits), http, port_limits, socket_limits)
