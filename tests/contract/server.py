"""A whole server whose host is in reach, for connections that need no socket."""

import asyncio
from types import TracebackType
from typing import Any, Protocol, Self

from parley.server.host import Host
from tests.support.gateway import RunningGateway, gateway_settings


class Breakable(Protocol):
    """A connection that ends with the server."""

    def abort(self) -> None: ...


class ContractServer(RunningGateway):
    """See `RunningGateway`; `host` is what its listeners ask, `http2_port` is where it speaks HTTP/2, in clear, and
    `wires` are connections that have to be broken at the end."""

    def __init__(self, url: str, **sections: Any) -> None:
        super().__init__(gateway_settings(url, http2={"enabled": True, "port": 0, "cleartext": True}, **sections))
        self.http2_port = 0
        self.wires: list[Breakable] = []
        self._host: Host | None = None

    @property
    def host(self) -> Host:
        assert self._host is not None, "it has been started"
        return self._host

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        for wire in self.wires:
            wire.abort()
        await super().close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            gateway = self.make(tasks)
            # The composition root has no other use for handing it out.
            self._host = gateway._host
            self.port = await gateway.start()
            assert gateway.http2 is not None, "it is enabled"
            self.http2_port = gateway.http2.port
            self._listening.set()
            await self._stopping.wait()
            await gateway.stop()
