import asyncio
import contextlib
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from parley.cli import main
from parley.cli.serve import greeting
from parley.server.settings import KEYS

BOUND_S = 45.0


class Server:
    """A `parley serve` of its own process, its stdout a terminal, so that it greets when it is ready."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: asyncio.StreamReader) -> None:
        self.process = process
        self._terminal = terminal

    async def greeted(self) -> str:
        """Everything up to the end of the greeting."""
        async with asyncio.timeout(BOUND_S):
            return (await self._terminal.readuntil(b"Ctrl-C")).decode()

    async def ended(self) -> tuple[int, str]:
        """Its exit status and what it wrote on stderr."""
        async with asyncio.timeout(BOUND_S):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@contextlib.asynccontextmanager
async def serving(*options: str) -> AsyncIterator[Server]:
    master, slave = pty.openpty()
    terminal = asyncio.StreamReader()
    with os.fdopen(master, "rb", buffering=0) as file:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "parley", "serve", *options),
            stdin=subprocess.DEVNULL,
            stdout=slave,
            stderr=subprocess.PIPE,
            env=environment,
        )
        os.close(slave)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: Ending(terminal), file)
        try:
            yield Server(process, terminal)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
            transport.close()


class Ending(asyncio.StreamReaderProtocol):
    """Linux reports the end of a terminal as an error; here it is the end of the stream."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(None if isinstance(exc, OSError) else exc)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.fixture(autouse=True)
def _without_settings_of_this_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*(key.environment for key in KEYS.values()), "PARLEY_CONFIG", "PARLEY_PRESET"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_gateway_and_its_engine_start_together_and_end_together(number: signal.Signals) -> None:
    port, engine_port = free_port(), free_port()
    engine = ("--engine", "scripted", "--set", f"engine.port={engine_port}")
    async with serving("--port", str(port), *engine) as server:
        assert f"http://127.0.0.1:{port}" in await server.greeted()
        assert await accepts(port)
        assert await accepts(engine_port)
        server.process.send_signal(number)
        assert (await server.ended())[0] == 0
        assert not await accepts(port)
        assert not await accepts(engine_port)


async def test_a_port_in_use_is_one_line_and_status_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with serving("--port", str(port), "--engine", "scripted") as server:
            status, errors = await server.ended()
    assert status == 3
    (line,) = errors.splitlines()
    assert line.startswith("parley: port-in-use: ")
    assert str(port) in line


async def test_a_model_server_that_is_not_installed_is_named_and_status_3() -> None:
    async with serving("--port", "0", "--launch", "no-such-model-server serve") as server:
        status, errors = await server.ended()
    assert status == 3
    assert errors.splitlines()[-1].startswith("parley: launch-failed: no-such-model-server: command not found")


def test_wrong_settings_are_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["serve", "--port", "http", "--upstream", "http://gpu:8000"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "parley: invalid-settings: flag --port: server.port must be a whole number from 0 to 65535, not http",
        "parley: invalid-settings: flag --upstream: upstream.url must be the whole WebSocket URL; "
        "did you mean ws://gpu:8000/v1/realtime?",
    ]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1:8080"),
        ("0.0.0.0", "127.0.0.1:8080"),
        ("::", "127.0.0.1:8080"),
        ("::1", "[::1]:8080"),
        ("gpu-1", "gpu-1:8080"),
    ],
)
def test_the_greeting_shows_an_address_that_can_be_used(host: str, address: str) -> None:
    text = greeting(host, 8080)
    assert f"http://{address}\n" in text
    assert f"ws://{address}/v1/realtime" in text


@pytest.mark.parametrize(("port", "line"), [(8080, "FILE.wav"), (9000, "FILE.wav --url ws://127.0.0.1:9000")])
def test_the_greeting_names_the_address_only_where_the_client_needs_it(port: int, line: str) -> None:
    assert f"parley transcribe {line}\n" in greeting("127.0.0.1", port)
