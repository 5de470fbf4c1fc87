"""A whole gateway from its settings: how it starts, what it does with them, and how it stops."""

import asyncio
import os
from pathlib import Path

import pytest

from parley.ingress.port import Port
from parley.server.start import StartError
from tests.support.client import code_of
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway, gateway_settings
from tests.support.http import get
from tests.support.logs import LogWatch
from tests.support.raw import PING
from tests.support.sound import pcm
from tests.support.voxtral import transcript

# ---- starting


async def test_it_listens_before_its_model_server_is_ready(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    vllm.is_healthy = False
    gateway = await start_gateway(wait_ready=False)
    assert (await get(gateway, "/ping")).status == 503


async def test_readiness_is_announced_once(start_gateway: GatewayStarter, vllm: FakeVllm, log: LogWatch) -> None:
    gateway = await start_gateway(upstream={"probe_interval_s": 0.02})
    port = vllm.port
    await vllm.stop()
    await vllm.start(port)
    seen = len(vllm.requests)
    await vllm.changes.until("probes", lambda: len(vllm.requests) > seen + 1)
    assert gateway.ready_count == 1


async def test_a_taken_port_is_an_error_that_says_what_to_do(gateway: RunningGateway, vllm: FakeVllm) -> None:
    error = await start_error(RunningGateway(gateway_settings(vllm.url, server={"port": gateway.port})))
    assert error.startswith("port-in-use: ")
    assert "--port" in error


async def test_an_address_that_is_not_this_machines_is_an_error(vllm: FakeVllm) -> None:
    error = await start_error(RunningGateway(gateway_settings(vllm.url, server={"host": "192.0.2.1"})))
    assert "192.0.2.1" in error


async def test_a_key_file_that_cannot_be_read_is_an_error_without_its_content(vllm: FakeVllm, tmp_path: Path) -> None:
    error = await start_error(
        RunningGateway(gateway_settings(vllm.url, upstream={"api_key_file": str(tmp_path / "none")}))
    )
    assert "upstream.api_key_file" in error


async def start_error(gateway: RunningGateway) -> str:
    with pytest.raises((StartError, ExceptionGroup)) as caught:
        await gateway.start()
    error = caught.value
    if isinstance(error, ExceptionGroup):
        (error,) = error.exceptions
    assert isinstance(error, StartError)
    return str(error)


async def test_the_key_of_the_key_file_is_shown_to_the_model_server(
    start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path, log: LogWatch
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("zzschluessel\n")
    gateway = await start_gateway(upstream={"api_key_file": str(key_file)})
    await gateway.open()
    leg = await vllm.session()
    assert leg.request is not None
    assert leg.request.headers["Authorization"] == "Bearer zzschluessel"
    assert {request.headers.get("Authorization") for request in vllm.requests} == {"Bearer zzschluessel"}
    assert "zzschluessel" not in log.everything


# ---- settings that have to arrive where they work


async def test_any_ping_interval_and_timeout_go_together(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(server={"ping_interval_s": 0.05, "ping_timeout_s": 20.0})
    socket = await gateway.raw()
    assert (await socket.upgrade()).status == 101
    assert (await socket.frame()).event["type"] == "session.created"
    assert (await socket.frame()).opcode == PING
    leg = await vllm.session()
    await vllm.changes.until("the leg is pinged too", lambda: leg.pings > 0)


async def test_the_model_that_is_configured_is_named_to_the_model_server(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    vllm.models = b'{"data":[{"id":"another"},{"id":"voxtral"}]}'
    gateway = await start_gateway(upstream={"model": "voxtral"})
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)
    assert vllm.sessions[0].received[0] == "session.update voxtral"


async def test_a_model_server_that_comes_back_with_another_model_is_asked_for_that_one(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(upstream={"probe_interval_s": 0.02})
    vllm.is_healthy = False
    await until_ping(gateway, 503)
    vllm.models = b'{"data":[{"id":"another"}]}'
    vllm.is_healthy = True
    await until_ping(gateway, 200)
    client = await gateway.connect()
    await (await vllm.session()).until_received("session.update another")
    await client.name_model("voxtral")
    assert code_of(await client.receive()) == "model-not-found"


async def test_sessions_at_work_go_on_while_their_model_server_looks_unhealthy(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(upstream={"probe_interval_s": 0.02})
    client = await gateway.open()
    await client.start()
    await client.say(pcm(0.5))
    vllm.is_healthy = False
    await until_ping(gateway, 503)
    await client.say(pcm(0.5))
    await client.finish()
    assert await client.result() == transcript(16_000)


async def until_ping(gateway: RunningGateway, status: int) -> None:
    async with asyncio.timeout(20.0):
        while (await get(gateway, "/ping")).status != status:
            pass


# ---- stopping


async def test_while_it_settles_it_says_that_it_is_not_ready_and_takes_sessions(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(drain={"settle_s": 600.0})
    gateway.begin_stop()
    await until_ping(gateway, 503)
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)
    gateway.hurry()
    assert (await client.until_closed()).error_code == "shutting-down"
    await gateway.until_stopped()


async def test_listeners_that_do_not_close_do_not_hold_it_up(
    start_gateway: GatewayStarter, monkeypatch: pytest.MonkeyPatch, log: LogWatch
) -> None:
    gateway = await start_gateway()
    close = Port.close

    async def hang(self: Port) -> None:
        await close(self)
        await asyncio.Event().wait()

    monkeypatch.setattr(Port, "close", hang)
    monkeypatch.setattr("parley.server.app._CLOSE_TIMEOUT_S", 0.05)
    gateway.begin_stop()
    await gateway.until_stopped()
    assert any("did not close in time" in message for message in log.messages)


async def test_a_folder_that_can_not_be_used_is_an_error_that_says_what_to_do(vllm: FakeVllm, tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    store = {"kind": "directory", "directory": str(tmp_path)}
    error = await start_error(RunningGateway(gateway_settings(vllm.url, store=store)))
    assert error.startswith("store-unusable: ")
    assert "chmod 700" in error
