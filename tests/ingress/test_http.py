"""The plain routes beside the WebSockets."""

import asyncio
import json

import pytest

from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.http import Answer, get, post
from tests.support.sound import pcm
from tests.support.voxtral import transcript


@pytest.mark.parametrize("path", ["/ping", "/health"])
async def test_ping_answers_200_when_the_model_server_is_ready(gateway: RunningGateway, path: str) -> None:
    answer = await get(gateway, path)
    assert (answer.status, answer.json) == (200, {"status": "ready"})


async def test_ping_may_be_posted(gateway: RunningGateway) -> None:
    assert (await post(gateway, "/ping")).status == 200


async def test_ping_answers_503_until_the_model_server_is_ready(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    vllm.is_healthy = False
    gateway = await start_gateway(wait_ready=False)
    assert_error(await get(gateway, "/ping"), 503, "upstream-unavailable")
    vllm.is_healthy = True
    await gateway.until_ready()
    assert (await get(gateway, "/ping")).status == 200


async def test_ping_answers_503_again_when_the_model_server_is_gone(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(upstream={"probe_interval_s": 0.02})
    vllm.is_healthy = False
    seen = len(vllm.requests)
    await vllm.changes.until("two probes", lambda: len(vllm.requests) >= seen + 2)
    assert_error(await get(gateway, "/ping"), 503, "upstream-unavailable")


async def test_ping_answers_200_when_merely_full(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"max_sessions": 1})
    await gateway.connect()
    assert (await get(gateway, "/ping")).status == 200


async def test_ping_answers_while_sessions_are_at_work(gateway: RunningGateway, vllm: FakeVllm) -> None:
    vllm.runs = False
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    await (await vllm.session()).until_samples(16_000)
    assert (await get(gateway, "/ping")).status == 200
    vllm.sessions[0].release_model()
    assert await client.result() == transcript(16_000)


async def test_ping_answers_503_during_a_drain(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    vllm.runs = False
    gateway = await start_gateway()
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    leg = await vllm.session()
    await leg.until_received("end")
    gateway.begin_stop()
    # The drain begins in the loop's next turn.
    await asyncio.sleep(0)
    assert_error(await get(gateway, "/ping"), 503, "shutting-down")
    leg.release_model()
    await client.result()


async def test_the_models_are_listed_as_vllm_lists_them(gateway: RunningGateway) -> None:
    answer = await get(gateway, "/v1/models")
    assert answer.status == 200
    assert answer.json == {"object": "list", "data": [{"id": "voxtral", "object": "model", "owned_by": "parley"}]}


async def test_no_models_are_listed_while_the_model_server_has_not_told(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    vllm.is_healthy = False
    gateway = await start_gateway(wait_ready=False)
    assert (await get(gateway, "/v1/models")).json == {"object": "list", "data": []}


@pytest.mark.parametrize("path", ["/nope", "/v1/realtime/x", "/ping/", "/v1"])
async def test_an_unknown_route_is_answered_with_the_documented_error(gateway: RunningGateway, path: str) -> None:
    assert_error(await get(gateway, path), 404, "not-found")


async def test_a_wrong_method_is_answered_with_the_right_ones(gateway: RunningGateway) -> None:
    answer = await get(gateway, "/invocations")
    assert_error(answer, 405, "bad-request")
    assert answer.headers["Allow"] == "POST"
    assert "POST" in answer.error["message"]


def assert_error(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status
    assert answer.error["code"] == code
    assert json.loads(answer.body).keys() == {"error"}
    assert answer.error.keys() == {"code", "message", "fault", "retry", "retry_after_s", "type"}
    assert answer.headers["Content-Type"] == "application/json"


async def test_an_answer_names_no_library(gateway: RunningGateway) -> None:
    for path in ("/ping", "/nothing"):
        assert (await get(gateway, path)).headers["Server"] == "parley"
