"""A gateway in front of model servers that speak TLS, and that want to see its certificate."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from parley.upstream.container.container import ContainerOptions, ContainerUpstream
from tests.support.certificates import Authority, Pair
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import RunningGateway, gateway_settings
from tests.support.logs import LogChanges, LogWatch
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded
from tests.upstream.containers import Sink

AUDIO = pcm(1.0)
both_loops = pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
async def server(authority: Authority, log: LogWatch) -> AsyncIterator[FakeVllm]:
    """A model server that asks for a certificate."""
    made = FakeVllm()
    await made.start(ssl=authority.serving(asks=True))
    yield made
    await made.stop()


def settings_of(authority: Authority, shown: Pair | None) -> dict[str, object]:
    pair = {} if shown is None else {"tls_certificate_file": str(shown[0]), "tls_key_file": str(shown[1])}
    return {"tls_ca_file": str(authority.file), "probe_interval_s": 0.05, **pair}


def made_gateway(server: FakeVllm, upstream: dict[str, object]) -> RunningGateway:
    return RunningGateway(gateway_settings(server.url.replace("ws://", "wss://"), upstream=upstream))


@both_loops
async def test_sessions_run_on_a_model_server_that_wants_a_certificate(server: FakeVllm, authority: Authority) -> None:
    gateway = made_gateway(server, settings_of(authority, authority.client("gateway.example")))
    await gateway.start()
    client = await gateway.open()
    await client.send_turn(AUDIO)
    assert await client.result() == transcript(16_000)
    await gateway.close()


async def test_without_a_certificate_the_model_server_is_not_ready_and_the_log_says_why(
    server: FakeVllm, authority: Authority
) -> None:
    gateway = made_gateway(server, settings_of(authority, None))
    with LogChanges("parley.upstream") as said:
        await gateway.start(wait_ready=False)
        await said.until("model server can't be asked: it hung up behind TLS's handshake")
    await gateway.close()


async def test_a_model_server_of_an_unknown_authority_is_not_believed(server: FakeVllm, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    gateway = made_gateway(server, settings_of(stranger, stranger.client("gateway.example")))
    with LogChanges("parley.upstream") as said:
        await gateway.start(wait_ready=False)
        await said.until("model server can't be asked: its certificate is not accepted: ")
    assert not server.requests
    await gateway.close()


async def test_a_container_may_want_a_certificate_as_well(authority: Authority) -> None:
    mine = authority.client("gateway.example")
    context = authority.trusting(mine)
    async with serve(echo, "127.0.0.1", 0, ssl=authority.serving(asks=True), process_request=pong) as container:
        port = container.sockets[0].getsockname()[1]
        options = ContainerOptions(accept_timeout_s=10.0, tls=lambda: context)
        upstream = ContainerUpstream(f"wss://127.0.0.1:{port}", options)
        ready = asyncio.Event()
        upstream.health.on_change = ready.set
        running = asyncio.create_task(upstream.run())
        await bounded("it is ready", ready.wait())
        sink = Sink()
        opened = await upstream.open("", "", "7f1c", sink)
        opened.send_frame(b"hello", is_text=True, is_last=True)
        assert [part.data for part in await sink.until_parts(1)] == [b"hello"]
        await upstream.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def pong(connection: ServerConnection, request: Request) -> Response | None:
    return connection.respond(HTTPStatus.OK, "") if request.path == "/ping" else None
