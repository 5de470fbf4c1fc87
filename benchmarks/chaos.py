"""Real processes to break: model servers and gateways, which are killed, drained and started again."""

import asyncio
import contextlib
import json
import re
import signal
import socket
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_PARLEY = str(Path(sys.executable).parent / "parley")
_START_TIMEOUT_S = 60.0
_RESTART_AFTER_S = 1.0
_STOP_TIMEOUT_S = 10.0
_ADMIN_TIMEOUT_S = 10.0


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def answers(url: str, timeout_s: float) -> None:
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

    @property
    def pid(self) -> int:
        assert self._process is not None, "it has been started"
        return self._process.pid

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
    """Model servers, each started again a second after it has ended."""

    def __init__(self, kind: str, count: int, *options: str) -> None:
        self._ports = [free_port() for _ in range(count)]
        self._servers = [_Process("engine", "--engine", kind, "--port", str(port), *options) for port in self._ports]
        self._keepers: list[asyncio.Task[None]] = []
        self._next = 0

    @property
    def urls(self) -> list[str]:
        """Where they are."""
        return [f"ws://127.0.0.1:{port}/v1/realtime" for port in self._ports]

    @property
    def names(self) -> list[str]:
        """What a gateway calls them."""
        return [f"127.0.0.1:{port}" for port in self._ports]

    async def restart(self, index: int) -> None:
        """End one on SIGTERM; returns when it is there again."""
        server = self._servers[index]
        server.send(signal.SIGTERM)
        await server.ended()
        await answers(f"http://127.0.0.1:{self._ports[index]}/health", _START_TIMEOUT_S)

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
            await answers(f"http://127.0.0.1:{port}/health", _START_TIMEOUT_S)
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
    """A gateway in front of them. `sections` are the settings' sections beside what is needed, as TOML's values."""

    def __init__(self, folder: Path, urls: list[str], **sections: Mapping[str, object]) -> None:
        self.port = free_port()
        self.admin_port = free_port()
        given: dict[str, Mapping[str, object]] = {
            "server": {"host": "127.0.0.1", "port": self.port},
            "upstream": {"urls": urls},
            "admin": {"port": self.admin_port},
        }
        lines = []
        for name in given | sections:
            lines.append(f"[{name}]")
            # JSON's texts, numbers and lists are TOML's as well.
            values = {**given.get(name, {}), **sections.get(name, {})}
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        self._config = folder / f"parley-{self.port}.toml"
        self._config.write_text("\n".join(lines) + "\n")
        self._process = _Process("serve", "--config", str(self._config))

    @property
    def url(self) -> str:
        """Where it is."""
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def admin(self, method: str, path: str, **body: object) -> Any:
        """Ask its admin API, and return the answer's JSON.

        Raises:
            OSError: it does not answer, or with an error.
        """
        url = f"http://127.0.0.1:{self.admin_port}/admin/v1/{path}"
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)

        def ask() -> Any:
            with urllib.request.urlopen(request, timeout=_ADMIN_TIMEOUT_S) as answer:
                return json.loads(answer.read() or b"null")

        return await asyncio.to_thread(ask)

    async def is_ready(self) -> bool:
        """Whether it takes new sessions."""

        def ask() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=_ADMIN_TIMEOUT_S) as answer:
                    return bool(answer.status == 200)
            except OSError:
                return False

        return await asyncio.to_thread(ask)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.send(signal.SIGTERM)

    async def ended(self) -> None:
        """Wait until it has ended."""
        await self._process.ended()

    async def __aenter__(self) -> Self:
        await self._process.start()
        await answers(f"http://127.0.0.1:{self.port}/ping", _START_TIMEOUT_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._process.stop()
