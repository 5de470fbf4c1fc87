"""A gateway that is told to stop: what becomes of its sessions, and of those who come too late."""

import asyncio

from tests.support.client import Client, code_of
from tests.support.fake_vllm import FakeConnection, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.http import post
from tests.support.raw import CLOSE, frame
from tests.support.sound import pcm
from tests.support.voxtral import transcript


async def flushing(gateway: RunningGateway, vllm: FakeVllm) -> tuple[Client, FakeConnection]:
    """A client that waits for the text of its turn, and the leg whose model holds it back."""
    client = await gateway.open()
    leg = await vllm.session(len(vllm.sessions) - 1)
    leg.hold_model()
    await client.send_turn(pcm(1.0))
    await leg.until_received("end")
    return client, leg


async def test_idle_sessions_end_at_once_and_are_told(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(drain={"timeout_s": 600.0})
    clients = [await gateway.connect(), await gateway.open()]
    gateway.begin_stop()
    for client in clients:
        ending = await client.until_closed()
        assert ending.error_code == "shutting-down"
        assert (ending.code, ending.reason) == (1012, "shutting-down")
    await gateway.until_stopped()
    await vllm.until_idle()


async def test_a_turn_without_audio_yet_is_no_reason_to_wait(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(drain={"timeout_s": 600.0})
    client = await gateway.open()
    await client.start()
    await client.send_raw("hello")
    assert await client.error() == "invalid-json"
    gateway.begin_stop()
    assert (await client.until_closed()).error_code == "shutting-down"


async def test_a_turn_in_flight_finishes_first(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(drain={"timeout_s": 600.0})
    client, leg = await flushing(gateway, vllm)
    idle = await gateway.connect()
    gateway.begin_stop()
    # The end of the idle session tells that the drain has begun.
    await idle.until_closed()
    leg.release_model()
    assert await client.result() == transcript(16_000)
    ending = await client.until_closed()
    assert (ending.error_code, ending.code) == ("shutting-down", 1012)
    await gateway.until_stopped()


async def test_a_turn_whose_audio_still_comes_finishes_first(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(drain={"timeout_s": 600.0})
    client = await gateway.open()
    await client.start()
    await client.say(pcm(0.8, 1))
    await client.until("transcription.delta")
    idle = await gateway.connect()
    gateway.begin_stop()
    await idle.until_closed()
    await client.say(pcm(0.8, 2))
    await client.finish()
    assert (await client.until("transcription.done"))[-1]["text"] == transcript(25_600)
    assert (await client.until_closed()).error_code == "shutting-down"


async def test_turns_that_wait_behind_the_one_in_flight_finish_too(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(drain={"timeout_s": 600.0})
    client, leg = await flushing(gateway, vllm)
    await client.send_turn(pcm(1.0))
    await client.send_raw("hello")
    assert await client.error() == "invalid-json"
    gateway.begin_stop()
    leg.release_model()
    assert [await client.result() for _ in range(2)] == [transcript(16_000), transcript(16_000, 1)]
    assert (await client.until_closed()).error_code == "shutting-down"


async def test_a_turn_that_hangs_is_ended_at_the_deadline(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(drain={"timeout_s": 0.1})
    client, leg = await flushing(gateway, vllm)
    gateway.begin_stop()
    ending = await client.until_closed()
    assert (ending.error_code, ending.code) == ("shutting-down", 1012)
    assert "transcription.done" not in ending.kinds
    await leg.until_lost()
    await gateway.until_stopped()


async def test_a_second_signal_ends_a_turn_that_hangs_at_once(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(drain={"timeout_s": 600.0})
    client, _ = await flushing(gateway, vllm)
    idle = await gateway.connect()
    gateway.begin_stop()
    await idle.until_closed()
    gateway.hurry()
    assert (await client.until_closed()).error_code == "shutting-down"
    await gateway.until_stopped()


async def test_who_comes_during_a_drain_is_refused_with_503(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(drain={"timeout_s": 600.0}, server={"retry_after_s": 7.0})
    client, leg = await flushing(gateway, vllm)
    idle = await gateway.connect()
    gateway.begin_stop()
    await idle.until_closed()
    response = await (await gateway.raw()).upgrade()
    assert (response.status, response.error["code"]) == (503, "shutting-down")
    assert response.headers["retry-after"] == "7"
    answer = await post(gateway, "/invocations", pcm(0.1), Content_Type="audio/pcm")
    assert (answer.status, answer.error["code"]) == (503, "shutting-down")
    leg.release_model()
    await client.result()


async def test_a_request_in_flight_is_answered_first(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(drain={"timeout_s": 600.0})
    vllm.runs = False
    answering = asyncio.create_task(post(gateway, "/invocations", pcm(1.0), Content_Type="audio/pcm"))
    leg = await vllm.session()
    await leg.until_received("end")
    gateway.begin_stop()
    leg.release_model()
    assert (await answering).json["text"] == transcript(16_000).strip()
    await gateway.until_stopped()


async def test_a_request_that_hangs_is_answered_with_the_reason(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(drain={"timeout_s": 0.1})
    vllm.runs = False
    answering = asyncio.create_task(post(gateway, "/invocations", pcm(1.0), Content_Type="audio/pcm"))
    await (await vllm.session()).until_received("end")
    gateway.begin_stop()
    answer = await answering
    assert (answer.status, answer.error["code"]) == (503, "shutting-down")
    await gateway.until_stopped()


async def test_a_session_whose_leg_is_still_being_opened_is_ended(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(drain={"timeout_s": 600.0}, upstream={"connect_timeout_s": 0.5})
    vllm.holds_handshakes = True
    client = await gateway.connect()
    await vllm.session()
    gateway.begin_stop()
    assert code_of((await client.until_closed()).events[-1]) == "shutting-down"
    await gateway.until_stopped()


async def test_a_client_that_does_not_answer_the_close_delays_the_end_by_its_bound_alone(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(drain={"timeout_s": 600.0})
    socket = await gateway.raw()
    await socket.upgrade()
    gateway.begin_stop()
    _, close = await socket.until_close()
    assert close.close_code == 1012
    await gateway.until_stopped()
    assert await socket.until_eof() == b""


async def test_a_client_that_answers_the_close_does_not_delay_the_end(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(drain={"timeout_s": 600.0})
    socket = await gateway.raw()
    await socket.upgrade()
    gateway.begin_stop()
    _, close = await socket.until_close()
    socket.send(frame(CLOSE, close.payload))
    assert await socket.until_eof() == b""
    await gateway.until_stopped()


async def test_nothing_listens_any_more_after_the_end(gateway: RunningGateway) -> None:
    gateway.begin_stop()
    await gateway.until_stopped()
    try:
        await gateway.raw()
    except ConnectionRefusedError:
        return
    raise AssertionError("it still listens")
