"""Parley in SageMaker's place, in front of somebody's container, or of several that are alike.

```
open ──► containers that answer /ping with 200, the fewest streams first
             │ not there, or HTTP 429 or 5xx: the next one is tried
             └ connected: one WebSocket for the stream, counted until it is gone
```
A container is on trial at each handshake: one that is not there counts as gone until it answers `/ping` again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from parley.core.errors import ParleyError
from parley.upstream.container.handshake import Handshake, ping_url, stream_url
from parley.upstream.container.health import ContainerHealth
from parley.upstream.container.socket import ContainerSocket, FrameSink, SocketOptions
from parley.upstream.tls import Contexts

_log = logging.getLogger("parley.upstream")


@dataclass(frozen=True, slots=True)
class ContainerOptions:
    """How to reach a container. The defaults of `accept_timeout_s`, `probe_timeout_s` and of the pings in `socket` are
    SageMaker's rules; it publishes none for the handshake. `tls` is for wss:// URLs."""

    accept_timeout_s: float = 0.25
    handshake_timeout_s: float = 5.0
    probe_interval_s: float = 2.0
    probe_timeout_s: float = 2.0
    tls: Contexts | None = field(default=None, repr=False)
    socket: SocketOptions = field(default_factory=SocketOptions)


_DEFAULTS = ContainerOptions()


class ContainerUpstream:
    """A container by the URL of its port, as `ws://HOST:8080`; a `Container` of `ingress/invocation.py`.

    `run` looks after its health; until `/ping` has answered with 200 nothing is opened on it.
    """

    def __init__(self, url: str, options: ContainerOptions = _DEFAULTS) -> None:
        self._url = url
        self._options = options
        self._sockets: set[ContainerSocket] = set()
        self._opening = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self.health = ContainerHealth(
            ping_url(url), interval_s=options.probe_interval_s, timeout_s=options.probe_timeout_s, tls=options.tls
        )

    @property
    def ready(self) -> bool:
        """Whether it can be asked for a stream now."""
        return self.health.ready

    @property
    def streams(self) -> int:
        """Streams open on it, and those being opened."""
        return len(self._sockets) + self._opening

    def check(self) -> None:
        """Whether it is ready; raises ParleyError: upstream-unavailable when not."""
        if not self.ready:
            raise ParleyError("upstream-unavailable", "The container does not answer GET /ping with 200.")

    async def run(self) -> None:
        """Look after its health until cancelled; then cut what is open, telling the sinks."""
        try:
            await self.health.run()
        finally:
            for one in list(self._sockets):
                one.go_away()
                one.cut()

    async def open(self, path: str, query: str, request_id: str, sink: FrameSink) -> ContainerSocket:
        """Open a WebSocket for a stream. The sink hears nothing before this has returned.

        `path` is the invocation path without a leading slash, empty for the usual one.

        Raises:
            ParleyError: upstream-unavailable while it is not ready. container-refused: `original_status` is the HTTP
                status that it answered with, 0 when it is not there or did not answer. bad-request: see `stream_url`.
        """
        self.check()
        options = self._options
        url = stream_url(self._url, path, query)
        handshake = Handshake(
            accept_timeout_s=options.accept_timeout_s,
            timeout_s=options.handshake_timeout_s,
            receive_buffer_bytes=options.socket.receive_buffer_bytes,
            tls=options.tls,
        )
        opened = ContainerSocket(sink, options.socket, self._gone)
        self._opening += 1
        self._is_idle.clear()
        try:
            await handshake.run(url, request_id, opened, options.socket.frame_max_bytes)
        except ParleyError as error:
            _log.info("a container did not take a stream: %s", error.detail)
            if not error.original_status:
                self.health.lost()
            raise
        finally:
            self._opening -= 1
            if opened.is_connected:
                self._sockets.add(opened)
            self._note_idle()
        asyncio.get_running_loop().call_soon(opened.begin)
        return opened

    async def until_idle(self) -> None:
        """Wait until no stream is open on it or being opened."""
        await self._is_idle.wait()

    async def close(self) -> None:
        """Close what is still open, with 1001, tell the sinks, and wait for the container's answers within their bound.

        Nothing may be opened from then on.
        """
        for one in list(self._sockets):
            one.go_away()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.socket.close_timeout_s):
                await self.until_idle()
        for one in list(self._sockets):
            one.cut()
        # One turn of the loop, in which the transports report that they are gone.
        await asyncio.sleep(0)

    def _gone(self, one: ContainerSocket) -> None:
        self._sockets.discard(one)
        self._note_idle()

    def _note_idle(self) -> None:
        if not self.streams:
            self._is_idle.set()


class ContainerPool:
    """Several containers as one: each stream goes to the one with the fewest among those that are ready.

    `on_change` is called whenever one of them is ready or is not any more. `open_timeout_s` after a stream was
    asked for no further one is tried.
    """

    def __init__(
        self,
        containers: Sequence[ContainerUpstream],
        *,
        open_timeout_s: float = _DEFAULTS.handshake_timeout_s,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.containers = tuple(containers)
        self._open_timeout_s = open_timeout_s
        for one in self.containers:
            one.health.on_change = on_change

    @property
    def ready(self) -> bool:
        """Whether any of them is."""
        return any(one.ready for one in self.containers)

    @property
    def streams(self) -> int:
        """Streams open on all of them."""
        return sum(one.streams for one in self.containers)

    def check(self) -> None:
        """Whether it is ready; raises ParleyError: upstream-unavailable when not."""
        if not self.ready:
            raise ParleyError("upstream-unavailable", "No container answers GET /ping with 200.")

    async def run(self) -> None:
        """Look after their health until cancelled; then cut what is open."""
        async with asyncio.TaskGroup() as tasks:
            for one in self.containers:
                tasks.create_task(one.run())

    async def open(self, path: str, query: str, request_id: str, sink: FrameSink) -> ContainerSocket:
        """See `ContainerUpstream.open`: on the best one that takes it, else what the last one tried said.

        One that refuses the request itself, as with 404, speaks for all.
        """
        self.check()
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._open_timeout_s
        refusal = ParleyError("upstream-unavailable", "No container answers GET /ping with 200.")
        for one in sorted(self.containers, key=lambda one: one.streams):
            if not one.ready or clock() > deadline:
                continue
            try:
                return await one.open(path, query, request_id, sink)
            except ParleyError as error:
                refusal = error
                if 0 < error.original_status < 500 and error.original_status != 429:
                    break
        raise refusal

    async def until_idle(self) -> None:
        """Wait until no stream is open on any of them or being opened."""
        while self.streams:
            for one in self.containers:
                await one.until_idle()

    async def close(self) -> None:
        """See `ContainerUpstream.close`."""
        async with asyncio.TaskGroup() as tasks:
            for one in self.containers:
                tasks.create_task(one.close())


def container_pool(
    urls: Sequence[str], options: ContainerOptions = _DEFAULTS, on_change: Callable[[], None] | None = None
) -> ContainerPool:
    """Containers by their URLs."""
    containers = [ContainerUpstream(url, options) for url in urls]
    return ContainerPool(containers, open_timeout_s=options.handshake_timeout_s, on_change=on_change)
