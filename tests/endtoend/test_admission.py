"""A node that is full: who waits, who is refused and how, and who gets in nevertheless."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from parley.server.settings.document import EndpointSettings, TenantSettings
from tests.server.http2_gateway import Http2Gateway
from tests.server.part_client import part_client
from tests.support.client import Client
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.http import get, post
from tests.support.raw import UPGRADE, Response, request
from tests.support.resuming import Returner, opted_in
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded

AUDIO = pcm(1.0)
TEXT = transcript(16_000)
FULL = {"max_sessions": 1}
QUEUE = {"queue_max": 2, "queue_timeout_s": 600.0}


async def refusal(gateway: RunningGateway, path: str = "/v1/realtime", **headers: str) -> Response:
    """The answer to an upgrade that is refused."""
    socket = await gateway.raw()
    socket.send(request(path, UPGRADE | headers))
    return await socket.response()


async def queued(gateway: RunningGateway, **options: Any) -> Returner:
    """A session that has been told that it waits."""
    one = await opted_in(gateway, **options)
    assert (await one.client.receive())["type"] == "session.queued"
    return one


async def first_turn(client: Client) -> str:
    """The text of a whole turn; what comes between is not looked at."""
    await client.send_turn(AUDIO)
    while (event := await client.receive())["type"] != "transcription.done":
        assert event["type"] != "error", event
    return str(event["text"])


# ---- without a queue, as ever


async def test_a_full_node_refuses_at_the_handshake_and_is_healthy(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server=FULL)
    await gateway.open()
    response = await refusal(gateway)
    assert (response.status, response.headers["retry-after"]) == (503, "2")
    assert json.loads(response.body)["error"]["code"] == "at-capacity"
    assert (await post(gateway, "/invocations", b"\0" * 3_200)).status == 503
    assert (await get(gateway, "/ping")).status == 200


async def test_a_model_server_whose_streams_are_all_in_use_refuses_alike(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(upstream={"max_sessions": 1})
    await gateway.open()
    assert (await refusal(gateway)).status == 503
    assert (await get(gateway, "/ping")).status == 200


# ---- with one


async def test_a_session_that_waits_is_told_so_and_gets_its_place_when_another_ends(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(server=FULL, admission=QUEUE)
    first = await gateway.open()
    waiting = await opted_in(gateway)
    told = await waiting.client.receive()
    assert (told["type"], told["position"]) == ("session.queued", 1)
    await first.close()
    assert await first_turn(waiting.client) == TEXT


async def test_a_session_that_waits_for_a_stream_gets_it_alike(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(upstream={"max_sessions": 1}, admission=QUEUE)
    first = await gateway.open()
    waiting = await gateway.open()
    turn = asyncio.create_task(first_turn(waiting))
    await first.close()
    assert await bounded("its turn", turn) == TEXT


async def test_what_is_said_while_a_session_waits_is_heard(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server=FULL, admission=QUEUE)
    first = await gateway.open()
    waiting = await gateway.open()
    await waiting.send_turn(AUDIO)
    assert (await get(gateway, "/ping")).status == 200
    await first.close()
    assert await waiting.result() == TEXT


async def test_a_queue_that_is_full_refuses_at_the_handshake(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server=FULL, admission={**QUEUE, "queue_max": 1})
    await gateway.open()
    await gateway.open()
    response = await refusal(gateway)
    assert (response.status, response.headers["retry-after"]) == (503, "2")


async def test_who_waits_too_long_is_told_that_there_is_no_room(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server=FULL, admission={"queue_max": 1, "queue_timeout_s": 0.05})
    first = await gateway.open()
    ending = await (await gateway.open()).until_closed()
    assert (ending.error_code, ending.code) == ("at-capacity", 1013)
    assert await first_turn(first) == TEXT


async def test_a_recording_waits_for_its_turn_too(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server=FULL, admission=QUEUE)
    first = await gateway.open()
    answer = asyncio.create_task(post(gateway, "/invocations", AUDIO, **{"Content-Type": "audio/l16;rate=16000"}))
    waiting = await gateway.connect()
    await first.close()
    await waiting.close()
    assert json.loads((await bounded("the answer", answer)).body)["text"] == TEXT.strip()


async def test_who_goes_while_it_waits_leaves_its_place_to_the_next(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server=FULL, admission=QUEUE)
    first = await gateway.open()
    gone = await gateway.connect()
    waiting = await gateway.open()
    await gone.close()
    await first.close()
    assert await first_turn(waiting) == TEXT


async def test_those_who_wait_are_told_when_the_node_goes_away(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server=FULL, admission=QUEUE, drain={"timeout_s": 600.0})
    await gateway.open()
    waiting = await gateway.open()
    gateway.begin_stop()
    assert (await waiting.until_closed()).error_code == "shutting-down"
    await gateway.until_stopped()


async def test_a_session_that_lives_is_taken_up_again_while_the_node_is_full(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server=FULL)
    one = await opted_in(gateway)
    one.client.abort()
    assert (await refusal(gateway)).status == 503
    await one.come_back(gateway)
    assert await first_turn(one.client) == TEXT


# ---- tenants


def header(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def tenant(name: str, **values: Any) -> TenantSettings:
    """A tenant whose clients' key is its name."""
    principal = hashlib.sha256(f"Bearer {name}".encode()).hexdigest()
    return TenantSettings(name=name, principals=(principal,), **values)


async def test_a_tenant_at_its_limit_is_told_that_it_is_its_own(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(tenants=(tenant("small", max_sessions=1),))
    await gateway.connect(additional_headers=header("small"))
    response = await refusal(gateway, **header("small"))
    assert response.status == 429
    assert json.loads(response.body)["error"]["code"] == "too-many-sessions"
    await gateway.connect(additional_headers=header("other"))
    await gateway.connect()
    assert (await get(gateway, "/ping")).status == 200


async def test_everybody_else_has_a_limit_of_their_own(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(admission={"tenant_max_sessions": 1})
    await gateway.connect(additional_headers=header("a"))
    assert (await refusal(gateway, **header("a"))).status == 429
    await gateway.connect(additional_headers=header("b"))


async def test_the_higher_priority_is_served_first(start_gateway: GatewayStarter) -> None:
    tenants = (tenant("late", priority=1), tenant("urgent", priority=9))
    gateway = await start_gateway(server=FULL, admission=QUEUE, tenants=tenants)
    first = await gateway.open()
    late = await queued(gateway, additional_headers=header("late"))
    urgent = await queued(gateway, additional_headers=header("urgent"))
    await first.close()
    assert await first_turn(urgent.client) == TEXT
    await urgent.client.send("session.end")
    assert await first_turn(late.client) == TEXT


# ---- over HTTP/2


@asynccontextmanager
async def http2_gateway(vllm: FakeVllm, **sections: Any) -> AsyncIterator[Http2Gateway]:
    gateway = Http2Gateway(vllm.url, [EndpointSettings(name="parley")], **sections)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.close()


async def test_over_http2_a_full_node_refuses_with_503_and_when_to_retry(vllm: FakeVllm) -> None:
    async with http2_gateway(vllm, server=FULL) as gateway, part_client(gateway.http2_port) as client:
        first = client.invoke()
        await first.opened()
        status, name, body = await client.invoke().refusal()
        assert (status, name, body["ErrorCode"]) == (503, "ServiceUnavailableError", "at-capacity")
        await first.end()


async def test_over_http2_a_session_waits_for_its_place(vllm: FakeVllm) -> None:
    async with (
        http2_gateway(vllm, server=FULL, admission={**QUEUE, "queue_max": 1}) as gateway,
        part_client(gateway.http2_port) as client,
    ):
        first, waiting = client.invoke(), client.invoke()
        await first.opened()
        await waiting.opened(MODEL)
        assert (await client.invoke().refusal())[2]["ErrorCode"] == "at-capacity"
        await waiting.send_turn(AUDIO)
        await first.end()
        assert await waiting.result() == TEXT
        await waiting.end()


async def test_the_queue_is_one_for_both_ports(vllm: FakeVllm) -> None:
    async with (
        http2_gateway(vllm, server=FULL, admission={**QUEUE, "queue_max": 1}) as gateway,
        part_client(gateway.http2_port) as client,
    ):
        first = await gateway.open()
        waiting = client.invoke()
        await waiting.opened()
        assert (await refusal(gateway)).status == 503
        await waiting.send_turn(AUDIO)
        await first.close()
        assert await waiting.result() == TEXT
        await waiting.end()


async def test_over_http2_a_tenant_at_its_limit_is_throttled(vllm: FakeVllm) -> None:
    async with (
        http2_gateway(vllm, admission={"tenant_max_sessions": 1}) as gateway,
        part_client(gateway.http2_port) as client,
    ):
        first = client.invoke()
        await first.opened()
        status, name, body = await client.invoke().refusal()
        assert (name, body["ErrorCode"]) == ("ThrottlingException", "too-many-sessions")
        assert status in (400, 429)
        await first.end()
