import asyncio
import contextlib
import os
import pty
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parley.cli import main
from parley.cli.serve import greeting
from parley.server.ready import Http2Address, Ready
from parley.server.settings.document import KEYS
from tests.support.http2 import Http2Client

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


async def test_the_sagemaker_endpoint_is_there_with_one_option_and_its_clients_are_told_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    port = free_port()
    async with serving("--port", "0", "--engine", "scripted", "--http2", "--http2-port", str(port)) as server:
        said = await server.greeted()
        authorities_file = tmp_path / "parley" / "tls" / "ca.pem"
        assert f'endpoint_uri="https://127.0.0.1:{port}"' in said
        assert f"export SSL_CERT_FILE={authorities_file}" in said
        context = ssl.create_default_context(cafile=str(authorities_file))
        context.set_alpn_protocols(["h2"])
        async with Http2Client(port, ssl_context=context) as client:
            assert (await client.open("/ping", method="GET", end_stream=True).head())[0] == 200
        server.process.send_signal(signal.SIGTERM)
        assert (await server.ended())[0] == 0
        assert not await accepts(port)


async def test_a_port_of_that_endpoint_in_use_is_one_line_and_status_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with serving("--port", "0", "--engine", "scripted", "--http2-port", str(port)) as server:
            status, errors = await server.ended()
    assert status == 3
    assert errors.splitlines()[-1] == (
        f"parley: port-in-use: Port {port} of 127.0.0.1 is in use. Stop what uses it, or choose another with "
        "--http2-port."
    )


async def test_each_problem_of_a_file_of_keys_is_a_line_with_its_code(tmp_path: Path) -> None:
    path = write_keys(tmp_path, "[[key]]\naccess_key_id = 1\n")
    async with serving("--port", "0", "--http2", "--set", f"access.credentials_file={path}") as server:
        status, errors = await server.ended()
    assert status == 3
    lines = errors.splitlines()
    assert len(lines) > 1
    assert all(line.startswith("parley: credentials-unusable: ") for line in lines)


def write_keys(folder: Path, text: str) -> Path:
    path = folder / "keys.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_an_endpoint_that_strangers_could_use_is_wrong_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["serve", "--http2", "--set", "http2.host=0.0.0.0"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("parley: invalid-settings: flag --set: http2.host is 0.0.0.0, which other machines may")
    assert "needs a certificate" in first
    assert "nobody is asked who they are" in second


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
    text = greeting(Ready(host, 8080))
    assert f"http://{address}\n" in text
    assert f"ws://{address}/v1/realtime" in text


def test_the_greeting_says_nothing_of_sagemaker_where_it_is_not_asked_for() -> None:
    assert "SageMaker" not in greeting(Ready("127.0.0.1", 8080))


def test_the_greeting_shows_the_change_that_an_aws_client_needs() -> None:
    http2 = Http2Address("https://127.0.0.1:8443", 8443, Path("/home/ada lovelace/ca.pem"), is_verified=False)
    lines = greeting(Ready("127.0.0.1", 8080, http2, "voxtral")).splitlines()
    assert [line.strip() for line in lines if "8443" in line] == [
        'in Python              endpoint_uri="https://127.0.0.1:8443"',
        'in Node                endpoint: "https://127.0.0.1:8443"',
    ]
    text = "\n".join(lines)
    assert 'EndpointName "voxtral"' in text
    assert "export SSL_CERT_FILE='/home/ada lovelace/ca.pem'" in text
    assert "export NODE_EXTRA_CA_CERTS='/home/ada lovelace/ca.pem'" in text
    assert "any, as signatures are not verified here" in text
    assert lines[-1].split() == ["stop", "Ctrl-C"]


def test_the_greeting_asks_for_no_trust_in_a_certificate_that_has_it() -> None:
    text = greeting(Ready("0.0.0.0", 8080, Http2Address("https://gpu-1:8443", 8443, None, is_verified=True), "parley"))
    assert "https://gpu-1:8443" in text
    assert "CERT" not in text
    assert "credentials" not in text


@pytest.mark.parametrize(("port", "line"), [(8080, "FILE.wav"), (9000, "FILE.wav --url ws://127.0.0.1:9000")])
def test_the_greeting_names_the_address_only_where_the_client_needs_it(port: int, line: str) -> None:
    assert f"parley transcribe {line}\n" in greeting(Ready("127.0.0.1", port))


def test_with_tls_the_greeting_names_no_address_in_clear() -> None:
    text = greeting(Ready("127.0.0.1", 8080, has_tls=True))
    assert "https://127.0.0.1:8080" in text
    assert "--url wss://127.0.0.1:8080" in text
    assert "http://" not in text
    assert "ws://" not in text
