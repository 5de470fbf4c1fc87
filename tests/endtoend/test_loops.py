"""The gateway on asyncio's own event loop as well: what Windows has, and what a debugger may want."""

import asyncio

import pytest
import uvloop

from tests.support.client import code_of
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.http import get, post
from tests.support.raw import CLOSE, PING, PONG, frame, text_frame
from tests.support.sound import encoded, pcm, pieces, wav
from tests.support.voxtral import transcript

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])


async def test_the_loops_are_what_they_are_called(request: pytest.FixtureRequest) -> None:
    is_uvloop = isinstance(asyncio.get_running_loop(), uvloop.Loop)
    assert is_uvloop == ("uvloop" in request.node.name)


async def test_turns_run_together_lose_nothing(gateway: RunningGateway, vllm: FakeVllm) -> None:
    turns = [pcm(2.0, seed) for seed in range(3)]
    client = await gateway.open()
    for audio in turns:
        await client.send_turn(audio)
    assert [await client.result() for _ in turns] == [transcript(32_000, turn) for turn in range(3)]
    assert vllm.sessions[0].turns == turns


async def test_a_recording_sent_at_once_is_paced(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(session={"held_audio_max_s": 5.0})
    client = await gateway.open()
    leg = await vllm.session()
    leg.steps_per_turn_of_loop = 8
    audio = pcm(120.0)
    sending = asyncio.create_task(client.send_turn(audio, piece_bytes=32_000))
    assert await client.result() == transcript(120 * 16_000)
    await sending
    assert leg.turns == [audio]
    assert leg.model.lag_max_samples <= 3 * 16_000 + 8_100


async def test_plain_http_works(gateway: RunningGateway) -> None:
    assert (await get(gateway, "/ping")).status == 200
    answer = await post(gateway, "/invocations", wav(pcm(1.0)), Content_Type="audio/wav")
    assert answer.json["text"] == transcript(16_000).strip()


async def test_a_head_and_frames_may_come_byte_by_byte(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    assert (await socket.upgrade(Connection="keep-alive, Upgrade")).status == 101
    await socket.frame()
    data = frame(PING, b"bytes")
    await socket.send_apart(*(data[at : at + 1] for at in range(len(data))))
    pong = await socket.frame()
    assert (pong.opcode, pong.payload) == (PONG, b"bytes")


async def test_a_model_server_that_dies_costs_no_word(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    await client.start()
    await client.say(pcm(1.0))
    leg = await vllm.session()
    await leg.until_samples(16_000)
    leg.abort()
    await leg.until_lost()
    await client.finish()
    assert await client.result() == transcript(16_000)


async def test_a_client_that_breaks_off_takes_its_leg_with_it(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    leg = await vllm.session()
    client.abort()
    await leg.until_lost()


async def test_a_client_that_does_not_read_gets_everything_later(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(server={"write_buffer_max_bytes": 1_024}, session={"output_max_bytes": 2**25})
    vllm.speech = lambda _turn, step: f" {step:06}" + "x" * 40_000
    socket = await gateway.raw(receive_buffer_bytes=4_096)
    await socket.upgrade()
    await socket.frame()
    socket.send(text_frame("session.update", model=""))
    socket.send(text_frame("input_audio_buffer.commit"))
    for piece in pieces(pcm(6.0)):
        socket.send(text_frame("input_audio_buffer.append", audio=encoded(piece)))
    socket.send(text_frame("input_audio_buffer.commit", final=True))
    leg = await vllm.session()
    await vllm.changes.until("the model is done", lambda: any(turn.is_done for turn in leg.model.generations))
    got, messages = "", 0
    while (event := (await socket.frame()).event)["type"] == "transcription.delta":
        got += event["delta"]
        messages += 1
    assert got == event["text"] == leg.model.generations[0].text
    assert messages < leg.model.generations[0].steps


async def test_the_closing_handshake_works(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    await socket.upgrade()
    await socket.frame()
    socket.send(frame(CLOSE, (1001).to_bytes(2)))
    _, close = await socket.until_close()
    assert close.close_code == 1001
    assert await socket.until_eof() == b""


async def test_a_drain_finishes_a_turn_in_flight(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(drain={"timeout_s": 600.0})
    client = await gateway.open()
    leg = await vllm.session()
    leg.hold_model()
    await client.send_turn(pcm(1.0))
    await leg.until_received("end")
    gateway.begin_stop()
    leg.release_model()
    assert await client.result() == transcript(16_000)
    assert code_of((await client.until_closed()).events[-1]) == "shutting-down"
    await gateway.until_stopped()
