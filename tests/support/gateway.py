"""A whole gateway in this process, on a free port of loopback."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from parley.server.app import Gateway
from parley.server.settings.document import SECTIONS, Settings
from tests.support.client import Client
from tests.support.raw import RawSocket
from tests.support.waiting import bounded

Values = Mapping[str, Any]

# Long enough for a busy machine, short enough for a test that hangs.
_USUAL: Mapping[str, Values] = {
    "server": {"port": 0},
    "drain": {"timeout_s": 10.0},
    "upstream": {"connect_timeout_s": 10.0, "probe_interval_s": 60.0, "probe_timeout_s": 10.0},
    "session": {"first_delta_timeout_s": 10.0, "stall_timeout_s": 10.0, "flush_timeout_s": 10.0},
}


def gateway_settings(url: str, **sections: Any) -> Settings:
    """The test suite's usual settings in front of the model server at `url`, with a test's own on top: a mapping for
    each section, a tuple for each list of tables."""
    usual = {**_USUAL, "upstream": {"url": url, **_USUAL["upstream"]}}
    tables = {name: value for name, value in sections.items() if name not in SECTIONS}
    made = {
        name: SECTIONS[name](**{**usual.get(name, {}), **sections.get(name, {})})
        for name in SECTIONS
        if name in usual or name in sections
    }
    return Settings(**made, **tables)


class RunningGateway:
    """A gateway from its start to its end. `stop` drains it; leaving a test ends it at once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.port = 0
        self.ready_count = 0
        self._listening = asyncio.Event()
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()
        self._gateway: Gateway | None = None
        self._task: asyncio.Task[None] | None = None
        self._clients: list[Client] = []
        self._sockets: list[RawSocket] = []

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def start(self, *, wait_ready: bool = True) -> None:
        """Start it; returns when it listens and, unless told otherwise, sees its model server."""
        self._task = asyncio.create_task(self._run())
        for event in [self._listening, self._ready] if wait_ready else [self._listening]:
            waiting = asyncio.create_task(event.wait())
            await bounded("the gateway starts", asyncio.wait([waiting, self._task], return_when="FIRST_COMPLETED"))
            if not waiting.done():
                waiting.cancel()
                self._task.result()
                raise AssertionError("the gateway ended without a word")

    async def until_ready(self) -> None:
        await bounded("the gateway is ready", self._ready.wait())

    async def connect(self, path: str = "/v1/realtime", **options: Any) -> Client:
        """A client whose `session.created` has come."""
        client = await Client.connect(self.ws_url + path, **options)
        self._clients.append(client)
        return client

    async def open(self) -> Client:
        """A client that has named the model."""
        client = await self.connect()
        await client.name_model()
        return client

    async def raw(self, **options: Any) -> RawSocket:
        """A bare socket."""
        socket = await RawSocket.connect(self.port, **options)
        self._sockets.append(socket)
        return socket

    def begin_stop(self) -> None:
        """SIGTERM. `hurry` is the second one."""
        self._stopping.set()

    def hurry(self) -> None:
        """End what is left at once."""
        if self._gateway is not None:
            self._gateway.draining.hurry()

    def make(self, tasks: asyncio.TaskGroup) -> Gateway:
        """The gateway, not started yet."""
        self._gateway = Gateway(self.settings, tasks, self._announce)
        return self._gateway

    async def until_stopped(self) -> None:
        assert self._task is not None
        await bounded("the gateway stops", asyncio.shield(self._task))

    async def close(self) -> None:
        """End it and everything that was connected to it."""
        for socket in self._sockets:
            socket.abort()
        for client in self._clients:
            await client.close()
        self.hurry()
        self.begin_stop()
        if self._task is not None:
            await bounded("the gateway stops", self._task)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            gateway = self.make(tasks)
            self.port = await gateway.start()
            self._listening.set()
            signalling = tasks.create_task(self._signal(gateway))
            is_over = False
            while not is_over:
                await gateway.draining.asked.wait()
                is_over = await gateway.stop()
            signalling.cancel()

    async def _signal(self, gateway: Gateway) -> None:
        await self._stopping.wait()
        gateway.draining.ask(is_final=True)

    def _announce(self, _host: str, _port: int) -> None:
        self.ready_count += 1
        self._ready.set()


class GatewayStarter:
    """Starts gateways in front of one model server, and ends them with the test."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._started: list[RunningGateway] = []

    async def __call__(self, *, wait_ready: bool = True, **sections: Any) -> RunningGateway:
        """Start one; `sections` as in `gateway_settings`."""
        gateway = RunningGateway(gateway_settings(self._url, **sections))
        self._started.append(gateway)
        await gateway.start(wait_ready=wait_ready)
        return gateway

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for gateway in self._started:
            await gateway.close()
