"""Timelines, metrics, records and what is sent of them hold nothing of what was said, by whom, or with which token."""

import base64
import json
from pathlib import Path

import aiohttp
import pytest
from opentelemetry.sdk.resources import Resource

from parley.observe.metrics.emf import EmbeddedMetrics
from parley.observe.metrics.otlp import metrics_data
from parley.observe.metrics.reading import read
from tests.support.admin import AdminApi, eventually, free_port
from tests.support.canary import CANARY, found_in, watched_log
from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.logs import LogWatch
from tests.support.waiting import bounded

MARKED_AUDIO = base64.b64encode((CANARY * 200).encode()[:2560]).decode()


@pytest.fixture
async def stage(start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path) -> tuple[RunningGateway, AdminApi]:
    vllm.speech = lambda turn, step: f" {CANARY}{turn}.{step}"
    (tmp_path / "key").write_text(f"{CANARY}-key")
    port = free_port()
    gateway = await start_gateway(upstream={"api_key_file": str(tmp_path / "key")}, admin={"port": port})
    return gateway, AdminApi(port)


async def told(gateway: RunningGateway, **headers: str) -> Client:
    """A session that was told, and has said, what may come out nowhere; and that came back after it was cut off."""
    client = await gateway.connect(additional_headers={"Authorization": f"Bearer {CANARY}", **headers})
    await client.name_model()
    await client.send("session.update", parley={"resume": True}, model="voxtral")
    await client.start()
    for _ in range(12):
        await client.send("input_audio_buffer.append", audio=MARKED_AUDIO)
    await client.until("transcription.delta")
    # Failing paths too: what is refused is quoted nowhere.
    for kind, fields in ((CANARY, {}), ("input_audio_buffer.append", {"audio": f"!{CANARY}!"})):
        await client.send(kind, **fields)
        await client.until("error")
    return client


async def scraped(admin: AdminApi) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{admin.url}/metrics") as response:
        return await bounded("an answer", response.text())


async def test_nothing_that_was_said_is_in_timelines_or_metrics(
    stage: tuple[RunningGateway, AdminApi], vllm: FakeVllm, log: LogWatch
) -> None:
    gateway, admin = stage
    with watched_log(log):
        client = await told(gateway, traceparent=f"00-{CANARY}-{CANARY}-01", tracestate=f"{CANARY}={CANARY}")
        (one,) = (await admin.get("sessions"))["sessions"]
        # A leg is lost, and another takes over.
        vllm.live[0].abort()
        await client.until("session.recovered")
        live = await admin.ask("GET", f"sessions/{one['id']}/timeline")
        await client.close()

        async def has_ended() -> bool:
            return one["id"] in {each["id"] for each in (await admin.get("ended"))["sessions"]}

        await client.connection.wait_closed()
        await admin.ask("POST", f"sessions/{one['id']}/end")
        await eventually("the session has ended", has_ended)
        ended = await admin.ask("GET", f"sessions/{one['id']}/timeline")
        listed = await admin.ask("GET", "ended")
        metrics = await scraped(admin)
    assert json.loads(ended.body)["ended"] is True
    assert "parley_turn_first_text_seconds_count" in metrics
    assert found_in(live.body, ended.body, listed.body, metrics) == []


async def test_nothing_that_was_said_is_in_what_is_sent_of_metrics(stage: tuple[RunningGateway, AdminApi]) -> None:
    gateway, _ = stage
    client = await told(gateway)
    assert gateway._gateway is not None
    telemetry = gateway._gateway._telemetry
    assert telemetry.metrics is not None
    readings = await read(telemetry.metrics._registry)
    lines = list(EmbeddedMetrics().lines(readings, 0))
    sent = metrics_data(readings, resource=Resource({}), version="1", began_ns=1, now_ns=2)
    assert lines
    assert found_in(*lines, sent.to_json()) == []
    await client.close()


async def test_nothing_that_was_said_is_in_what_a_name_that_is_no_session_is_answered_with(
    stage: tuple[RunningGateway, AdminApi],
) -> None:
    _, admin = stage
    reply = await admin.ask("GET", f"sessions/{CANARY}/timeline")
    assert reply.status == 404
    assert found_in(reply.body) == []
