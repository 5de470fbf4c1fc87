"""A TCP proxy that does to connections what networks do: delay, jitter, slowness, tiny pieces, stalls, cuts.

```
client ──► read ──► line: due times, bounded in bytes ──► write, paced ──► server      `up`
       ◄── write, paced ◄── line ◄── read ◄──                                          `down`
```
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_READ_BYTES = 65_536
_LINE_MAX_BYTES = 262_144
_RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Weather:
    """What one direction of all connections goes through; what is changed counts from the next piece on.

    `delay_s` and up to `jitter_s` more keep each piece back, in order. `bytes_per_s` is the rate, 0 for any. Pieces are
    written `piece_bytes` at a time, 0 for as they come. While `is_stalled` nothing is passed on, and once the line is
    full nothing is read. `cuts` are places at which connections are cut, one for each, in bytes from its beginning.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    piece_bytes: int = 0
    cuts: list[int] = field(default_factory=list)
    _flows: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def __post_init__(self) -> None:
        self._flows.set()

    @property
    def is_stalled(self) -> bool:
        """Whether nothing is passed on."""
        return not self._flows.is_set()

    @is_stalled.setter
    def is_stalled(self, stalls: bool) -> None:
        if stalls:
            self._flows.clear()
        else:
            self._flows.set()

    async def flows(self) -> None:
        """Wait until something is passed on."""
        await self._flows.wait()


class ChaosProxy:
    """Stands before a server on loopback, or several: a connection goes to the first of `urls` that takes it.

    `urls` may be changed; connections that are open stay where they are. With `is_refusing` new ones are closed at
    once, with `is_half_open` they are taken and never answered. `accepted` and `cuts` count. `seed` is of the jitter.
    """

    def __init__(self, *urls: str, seed: int = 0) -> None:
        self.urls: Sequence[str] = urls
        self.up = Weather()
        self.down = Weather()
        self.is_refusing = False
        self.is_half_open = False
        self.accepted = 0
        self.cuts = 0
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._live: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "it has been started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """The same as a WebSocket's URL without a path."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def is_open(self) -> bool:
        """Whether any connection is open."""
        return bool(self._live)

    def cut(self, *, with_reset: bool = False) -> bool:
        """Cut every connection now, without a word; False when none was open."""
        ends = list(self._live)
        self._live.clear()
        self.cuts += bool(ends)
        for writer in ends:
            _cut(writer, with_reset=with_reset)
        return bool(ends)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None, "it has been started"
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served by a task"
        self._tasks.add(task)
        self.accepted += 1
        far_writer = None
        try:
            if self.is_refusing:
                return
            if self.is_half_open:
                self._live.add(writer)
                await asyncio.Event().wait()
            far_reader, far_writer = await self._connect()
            self._live |= {writer, far_writer}
            await self._carry(_Line(reader, far_writer, self.up), _Line(far_reader, writer, self.down))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, far_writer):
                if end is not None:
                    self._live.discard(end)
                    end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for url in self.urls:
            with contextlib.suppress(ConnectionError):
                return await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        raise ConnectionRefusedError

    async def _carry(self, *lines: "_Line") -> None:
        pumps = [asyncio.create_task(line.run(self._random)) for line in lines]
        pending = set(pumps)
        try:
            # One side may have said all, and still read.
            while pending and not any(line.is_broken for line in lines):
                _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            self.cuts += sum(line.was_cut for line in lines)


class _Line:
    """One direction of one connection. It ends with the connection, or where it is to be cut."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, weather: Weather) -> None:
        self._reader = reader
        self._writer = writer
        self._weather = weather
        self._cut_at = weather.cuts.pop(0) if weather.cuts else None
        self._under_way: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._written = 0
        self.was_cut = False
        self.is_broken = False

    async def run(self, source: random.Random) -> None:
        """Pass everything on until the end."""
        reading = asyncio.create_task(self._read(source))
        try:
            await self._write()
        except OSError:
            self.is_broken = True
        finally:
            self.is_broken |= self.was_cut
            reading.cancel()
            await asyncio.wait([reading])

    async def _read(self, source: random.Random) -> None:
        loop, due = asyncio.get_running_loop(), 0.0
        while True:
            try:
                data = await self._reader.read(_READ_BYTES)
            except OSError:
                self.is_broken = True
                data = b""
            weather = self._weather
            due = max(due, loop.time() + weather.delay_s + source.random() * weather.jitter_s)
            self._under_way.append((due, data))
            self._bytes += len(data)
            self._changed.set()
            if not data:
                return
            while self._bytes > _LINE_MAX_BYTES:
                self._changed.clear()
                await self._changed.wait()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._under_way:
                self._changed.clear()
                await self._changed.wait()
            due, data = self._under_way[0]
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if not data:
                if self._writer.can_write_eof():
                    self._writer.write_eof()
                return
            await self._pass_on(data)
            self._under_way.popleft()
            self._bytes -= len(data)
            self._changed.set()
            if self.was_cut:
                return

    async def _pass_on(self, data: bytes) -> None:
        if self._cut_at is not None and self._written + len(data) > self._cut_at:
            data = data[: self._cut_at - self._written]
            self.was_cut = True
        size = self._weather.piece_bytes or len(data)
        for start in range(0, len(data), max(1, size)):
            await self._weather.flows()
            piece = data[start : start + size]
            self._writer.write(piece)
            await self._writer.drain()
            self._written += len(piece)
            if self._weather.bytes_per_s:
                await asyncio.sleep(len(piece) / self._weather.bytes_per_s)
            elif self._weather.piece_bytes:
                # The next piece is not to be joined to this one in the same turn of the loop.
                await asyncio.sleep(0)


def _cut(writer: asyncio.StreamWriter, *, with_reset: bool) -> None:
    if with_reset:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
