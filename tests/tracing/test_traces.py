"""Whole gateways whose sessions are traced to a collector."""

from collections.abc import AsyncIterator

import pytest

from parley.server.settings.document import EndpointSettings
from tests.server.http2_gateway import Http2Gateway
from tests.server.part_client import part_client
from tests.support.canary import CANARY, found_in
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter
from tests.support.http import post
from tests.support.logs import LogWatch
from tests.support.resuming import opted_in
from tests.support.sound import pcm
from tests.support.voxtral import transcript

from .collector import Collector, collecting, values
from .spans import PARENT, TRACE, TRACEPARENT

HEADERS = {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}
OPTED = {"resume_window_s": 30.0}


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as started:
        yield started


def telemetry(collector: Collector) -> dict[str, object]:
    return {"traces": True, "otlp_endpoint": collector.url}


def handshake(vllm: FakeVllm, number: int = 0) -> dict[str, str]:
    """The headers of a leg's handshake."""
    request = vllm.sessions[number].request
    assert request is not None
    return {name.lower(): value for name, value in request.headers.raw_items()}


async def test_a_session_that_waits_and_loses_both_connections_is_one_trace_under_its_clients_span(
    collector: Collector, start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(
        telemetry=telemetry(collector),
        server={"max_sessions": 1},
        admission={"queue_max": 1, "queue_timeout_s": 600.0},
    )
    first = await gateway.open()
    one = await opted_in(gateway, additional_headers=HEADERS)
    assert (await one.client.receive())["type"] == "session.queued"
    await first.close()
    await one.client.start()
    await one.client.say(pcm(1.0))
    leg = await vllm.session(1)
    await leg.until_samples(16_000)
    leg.abort()
    await one.until("session.recovered")
    one.client.connection.transport.abort()
    await one.client.until_closed()
    await one.come_back(gateway)
    await one.client.finish()
    await one.until("transcription.done")
    assert one.texts == [transcript(16_000)]
    await one.client.send("session.end")
    await one.client.until_closed()
    await gateway.close()
    trace = [span for span in collector.spans if span.trace_id.hex() == TRACE]
    collector.spans = trace
    assert collector.tree == [
        "attachment < session",
        "attachment < session",
        "leg < session",
        "leg < session",
        "queue < leg",
        "replay < session",
        "session < client",
        "turn < session",
    ]
    (session,) = collector.named("session")
    assert session.parent_span_id.hex() == PARENT
    assert session.trace_state == "vendor=1"
    assert [handshake(vllm, number)["traceparent"] for number in (1, 2)] == [
        f"00-{TRACE}-{span.span_id.hex()}-01" for span in collector.named("leg")
    ]
    assert handshake(vllm, 1)["tracestate"] == "vendor=1"


async def test_spans_say_which_service_they_are_of(
    collector: Collector, start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(telemetry=telemetry(collector))
    client = await gateway.open()
    await client.close()
    await vllm.until_idle()
    await gateway.close()
    assert {resource["service.name"] for resource in collector.resources} == {"parley"}


async def test_a_recording_that_is_posted_is_part_of_its_clients_trace(
    collector: Collector, start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(telemetry=telemetry(collector))
    await post(gateway, "/invocations", pcm(1.0), Content_Type="audio/pcm", **HEADERS)
    assert handshake(vllm)["traceparent"].startswith(f"00-{TRACE}-")
    await gateway.close()
    (session,) = collector.named("session")
    assert session.parent_span_id.hex() == PARENT
    assert values(list(session.attributes))["parley.transport"] == "http"


async def test_a_stream_over_http2_is_part_of_its_clients_trace(collector: Collector, vllm: FakeVllm) -> None:
    gateway = Http2Gateway(vllm.url, [EndpointSettings(name="parley")], telemetry=telemetry(collector))
    await gateway.start()
    try:
        async with part_client(gateway.http2_port) as client:
            stream = client.invoke(headers=HEADERS)
            await stream.opened()
            await stream.send_turn(pcm(1.0))
            assert await stream.result() == transcript(16_000)
            await stream.end()
            assert handshake(vllm)["traceparent"].startswith(f"00-{TRACE}-")
            await vllm.until_idle()
    finally:
        await gateway.close()
    (session,) = collector.named("session")
    assert session.parent_span_id.hex() == PARENT
    assert values(list(session.attributes))["parley.transport"] == "http2"


async def test_a_trace_context_that_is_none_is_passed_over(
    collector: Collector, start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(telemetry=telemetry(collector))
    client = await gateway.connect(additional_headers={"traceparent": f"{TRACEPARENT};drop"})
    await client.name_model()
    await vllm.session()
    assert TRACE not in handshake(vllm)["traceparent"]
    await client.close()


async def test_no_content_is_in_any_trace(
    collector: Collector, start_gateway: GatewayStarter, vllm: FakeVllm, log: LogWatch
) -> None:
    vllm.speech = lambda turn, step: f" {CANARY}{turn}.{step}"
    gateway = await start_gateway(telemetry=telemetry(collector), session={"recovery_timeout_s": 0.2})
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    assert CANARY in await client.result()
    await client.start()
    await client.say(pcm(1.0))
    await client.until("transcription.delta")
    vllm.refuses_with = 500
    vllm.sessions[0].send(f'{{"type":"error","error":"{CANARY}","code":"{CANARY}"}}')
    await client.until_closed()
    await gateway.close()
    assert len(collector.named("turn")) == 2
    assert found_in(*collector.bodies) == []


async def test_without_a_trace_a_leg_says_nothing_of_one(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway()
    client = await gateway.connect(additional_headers=HEADERS)
    await client.name_model()
    await vllm.session()
    assert not {"traceparent", "tracestate"} & handshake(vllm).keys()
    await client.close()


async def test_a_client_that_is_not_traced_has_no_spans_where_the_ratio_is_nought(
    collector: Collector, start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(telemetry={**telemetry(collector), "traces_ratio": 0.0})
    for headers in ({}, HEADERS):
        client = await gateway.connect(additional_headers=headers)
        await client.name_model()
        await client.close()
        await vllm.until_idle()
    await gateway.close()
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}


async def test_a_collector_that_takes_nothing_is_told_of_once_and_holds_no_session_up(
    collector: Collector, start_gateway: GatewayStarter, vllm: FakeVllm, log: LogWatch
) -> None:
    collector.status = 400
    gateway = await start_gateway(telemetry=telemetry(collector))
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)
    await client.close()
    await vllm.until_idle()
    await gateway.close()
    assert sum("traces are lost" in message for message in log.messages) == 1


async def test_a_collector_that_does_not_answer_holds_no_gateway_up(
    collector: Collector, start_gateway: GatewayStarter, vllm: FakeVllm, log: LogWatch
) -> None:
    collector.may_answer.clear()
    gateway = await start_gateway(telemetry=telemetry(collector))
    client = await gateway.open()
    await client.close()
    await vllm.until_idle()
    await gateway.close()
    assert "the last traces were not taken in time" in log.messages
    collector.may_answer.set()


async def test_a_connection_that_turns_out_to_come_for_another_session_leaves_one_that_was_abandoned(
    collector: Collector, start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(telemetry=telemetry(collector))
    one = await opted_in(gateway)
    await one.come_back(gateway, "/v1/realtime")
    await one.client.send("session.end")
    await one.client.until_closed()
    await gateway.close()
    found = {str(values(list(span.attributes))["parley.outcome"]) for span in collector.named("session")}
    assert found == {"abandoned", "client-ended"}
