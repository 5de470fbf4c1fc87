"""Real processes to break: model servers that are killed and started again, a gateway, connections that are cut."""

import asyncio
import contextlib
import re
import signal
import socket
import struct
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

_PARLEY = str(Path(sys.executable).parent / "parley")
_START_TIMEOUT_S = 60.0
_RESTART_AFTER_S = 1.0
_STOP_TIMEOUT_S = 10.0
_CHUNK_BYTES = 65_536
_RESET = struct.pack("ii", 1, 0)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def _answers(url: str, timeout_s: float) -> None:
    """Wait until a page is there."""

    def get() -> int:
        with urllib.request.urlopen(url, timeout=2) as answer:
            status: int = answer.status
        return status

    async with asyncio.timeout(timeout_s):
        while True:
            with contextlib.suppress(OSError):
                if await asyncio.to_thread(get) == 200:
                    return
            await asyncio.sleep(0.1)


class _Process:
    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        quiet = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(_PARLEY, *self._arguments, stdout=quiet, stderr=quiet)

    def send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def ended(self) -> None:
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self.ended()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.ended()


class Engines:
    """Model servers, each started again a second after it was killed."""

    def __init__(self, kind: str, count: int) -> None:
        self._ports = [free_port() for _ in range(count)]
        self._servers = [_Process("engine", "--engine", kind, "--port", str(port)) for port in self._ports]
        self._keepers: list[asyncio.Task[None]] = []
        self._next = 0

    @property
    def urls(self) -> list[str]:
        """Where they are."""
        return [f"ws://127.0.0.1:{port}/v1/realtime" for port in self._ports]

    def kill_busiest(self) -> None:
        """Kill the one that most streams are on."""
        busiest = max(range(len(self._ports)), key=self._streams)
        self._servers[busiest].send(signal.SIGKILL)

    def _streams(self, index: int) -> float:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._ports[index]}/metrics", timeout=1) as answer:
                page = answer.read().decode()
        except OSError:
            return -1.0
        found = re.search(r"^parley_engine_sessions ([0-9.e+]+)$", page, re.MULTILINE)
        return float(found[1]) if found else 0.0

    async def __aenter__(self) -> Self:
        for server in self._servers:
            await server.start()
        for port in self._ports:
            await _answers(f"http://127.0.0.1:{port}/health", _START_TIMEOUT_S)
        self._keepers = [asyncio.create_task(self._keep(server)) for server in self._servers]
        return self

    @staticmethod
    async def _keep(server: _Process) -> None:
        while True:
            await server.ended()
            await asyncio.sleep(_RESTART_AFTER_S)
            await server.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for server in self._servers:
            await server.stop()


class Gateway:
    """A gateway in front of them."""

    def __init__(self, folder: Path, urls: list[str]) -> None:
        self.port = free_port()
        self._config = folder / "parley.toml"
        quoted = ", ".join(f'"{url}"' for url in urls)
        self._config.write_text(f"[server]\nport = {self.port}\n[upstream]\nurls = [{quoted}]\n")
        self._process = _Process("serve", "--config", str(self._config), "--host", "127.0.0.1")

    @property
    def url(self) -> str:
        """Where it is."""
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    async def __aenter__(self) -> Self:
        await self._process.start()
        await _answers(f"http://127.0.0.1:{self.port}/ping", _START_TIMEOUT_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._process.stop()


class CutProxy:
    """A TCP proxy whose connections can be cut, cleanly or with a reset."""

    def __init__(self, target_port: int, tasks: asyncio.TaskGroup) -> None:
        self._target_port = target_port
        self._tasks = tasks
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(cls, target_port: int, tasks: asyncio.TaskGroup) -> Self:
        """Listen on a free port."""
        proxy = cls(target_port, tasks)
        proxy._server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        return proxy

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1/realtime"

    def cut(self, *, with_reset: bool) -> bool:
        """Cut what is open; False when nothing is."""
        writers = [writer for writer in self._open if not writer.is_closing()]
        for writer in writers:
            if with_reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            else:
                writer.close()
        self._open.clear()
        return bool(writers)

    def close(self) -> None:
        """Listen no more."""
        self.cut(with_reset=True)
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.close()
            return
        self._open |= {writer, far_writer}
        try:
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        finally:
            self._open -= {writer, far_writer}

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                writer.write(chunk)
                await writer.drain()
        writer.close()
