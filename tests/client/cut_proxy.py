"""A TCP proxy whose connections can be cut at any byte."""

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_READ_BYTES = 65_536


class CutProxy:
    """Stands before a server on loopback.

    `down_cuts` and `up_cuts` are the places at which connections are cut, one for each, in bytes from its beginning: of
    what the server sends, and of what the client sends.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.port is not None
        self._port = parts.port
        self._server: asyncio.Server | None = None
        self._live: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.down_cuts: list[int] = []
        self.up_cuts: list[int] = []
        self.is_refusing = False
        self.accepted = 0
        self.cuts = 0

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Cut every connection now, without a word."""
        self.cuts += bool(self._live)
        for writer in self._live:
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        down_max = self.down_cuts.pop(0) if self.down_cuts else None
        up_max = self.up_cuts.pop(0) if self.up_cuts else None
        far_writer = None
        try:
            if self.is_refusing:
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
            ends = {writer, far_writer}
            self._live |= ends
            both = (self._pump(reader, far_writer, up_max), self._pump(far_reader, writer, down_max))
            pumps = [asyncio.create_task(pump) for pump in both]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._live -= ends
                for pump in pumps:
                    pump.cancel()
                await asyncio.wait(pumps)
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, far_writer):
                if end is not None:
                    end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size_max: int | None) -> None:
        size = 0
        try:
            while data := await reader.read(_READ_BYTES):
                if size_max is not None and size + len(data) > size_max:
                    writer.write(data[: size_max - size])
                    await writer.drain()
                    self.cuts += 1
                    return
                size += len(data)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            return
