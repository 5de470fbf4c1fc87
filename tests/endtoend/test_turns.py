"""Turns through the whole gateway: nothing lost, nothing repeated, nothing late."""

import asyncio

import pytest

from parley.core.turns import TurnQueue
from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.sound import pcm, pieces
from tests.support.voxtral import steps_of, transcript

WINDOW_SAMPLES = 3 * 16_000
PIECE_SAMPLES = 8_100
"""The longest piece that is sent to a model server at once."""


async def test_session_created_comes_before_anything_else_is_known(gateway: RunningGateway, vllm: FakeVllm) -> None:
    vllm.holds_handshakes = True
    assert (await gateway.connect()).session_id.startswith("sess-")


async def test_every_session_has_an_id_of_its_own(gateway: RunningGateway) -> None:
    clients = [await gateway.connect() for _ in range(3)]
    assert len({client.session_id for client in clients}) == 3


async def test_a_turn_comes_back_as_the_model_server_said_it(gateway: RunningGateway) -> None:
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    *deltas, done = await client.until("transcription.done")
    assert [event["delta"] for event in deltas] == [" t0w0", " t0w5", " t0w10", " t0w15", " t0w20"]
    assert done == {
        "type": "transcription.done",
        "text": transcript(16_000),
        "usage": {
            "prompt_tokens": 39,
            "total_tokens": 39 + steps_of(16_000),
            "completion_tokens": steps_of(16_000),
            "prompt_tokens_details": None,
        },
    }


async def test_text_beyond_ascii_comes_back_as_it_was_said(gateway: RunningGateway, vllm: FakeVllm) -> None:
    said = ' "Grüße"\n\\ 日本 \U0001f600 \x7f\x1b </script>'
    vllm.speech = lambda _turn, step: said if step == 0 else ""
    client = await gateway.open()
    await client.send_turn(pcm(0.1))
    assert await client.result() == said


async def test_three_turns_sent_without_waiting_lose_nothing(gateway: RunningGateway, vllm: FakeVllm) -> None:
    turns = [pcm(2.0, seed) for seed in range(3)]
    client = await gateway.open()
    for audio in turns:
        await client.send_turn(audio)
    assert [await client.result() for _ in turns] == [transcript(32_000, turn) for turn in range(3)]
    assert vllm.sessions[0].turns == turns


async def test_turns_sent_in_vllms_buffered_order_lose_nothing(gateway: RunningGateway, vllm: FakeVllm) -> None:
    turns = [pcm(2.0, seed) for seed in range(3)]
    client = await gateway.open()
    for audio in turns:
        await client.say(audio)
        await client.finish()
    for _ in turns:
        await client.start()
    assert [await client.result() for _ in turns] == [transcript(32_000, turn) for turn in range(3)]
    assert vllm.sessions[0].turns == turns


async def test_the_next_turn_waits_until_the_model_is_done_with_the_one_before(
    gateway: RunningGateway, vllm: FakeVllm
) -> None:
    client = await gateway.open()
    leg = await vllm.session()
    leg.hold_model()
    await client.send_turn(pcm(0.5, 1))
    await client.send_turn(pcm(0.5, 2))
    # What comes back on the client's own connection tells that the gateway has had all of it.
    await client.send_raw("hello")
    assert await client.error() == "invalid-json"
    await leg.until_received("end")
    assert leg.counts["start"] == 1
    leg.release_model()
    await client.result()
    await client.result()
    assert leg.turns == [pcm(0.5, 1), pcm(0.5, 2)]


async def test_thirty_turns_use_one_leg(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    for turn in range(30):
        await client.send_turn(pcm(0.1, turn))
        assert await client.result() == transcript(1_600, turn)
    assert len(vllm.sessions) == 1


async def test_the_first_words_come_while_audio_is_still_being_sent(gateway: RunningGateway) -> None:
    client = await gateway.open()
    await client.start()
    await client.say(pcm(0.6))
    first = await client.receive()
    assert (first["type"], first["delta"]) == ("transcription.delta", " t0w0")
    await client.say(pcm(0.6))
    await client.finish()
    assert (await client.until("transcription.done"))[-1]["text"] == transcript(19_200)


async def test_a_piece_as_short_as_one_sample_arrives(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    audio = pcm(0.01)
    await client.send_turn(audio, piece_bytes=2)
    await client.result()
    assert vllm.sessions[0].turns == [audio]


async def test_a_piece_as_long_as_a_message_may_be_arrives_cut(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    audio = pcm(90.0)
    await client.send_turn(audio, piece_bytes=len(audio))
    await client.result()
    leg = vllm.sessions[0]
    assert leg.turns == [audio]
    assert leg.model.lag_max_samples <= WINDOW_SAMPLES + PIECE_SAMPLES


# ---- pace


async def test_a_recording_sent_at_once_is_paced_by_what_the_model_has_consumed(
    start_gateway: GatewayStarter, vllm: FakeVllm, held: "Held"
) -> None:
    gateway = await start_gateway(session={"held_audio_max_s": 20.0})
    client = await gateway.open()
    leg = await vllm.session()
    leg.steps_per_turn_of_loop = 8
    audio = pcm(600.0)
    sending = asyncio.create_task(client.send_turn(audio, piece_bytes=32_000))
    text = await client.result()
    await sending
    assert text == transcript(600 * 16_000)
    assert leg.turns == [audio]
    assert leg.model.lag_max_samples <= WINDOW_SAMPLES + PIECE_SAMPLES
    # What the kernel had of the connection when reading stopped is read at once when it goes on.
    assert held.samples_max <= (20 + 10) * 16_000


class Held:
    """The most audio that any session held."""

    samples_max = 0


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    seen = Held()
    hold = TurnQueue.hold

    def watched(queue: TurnQueue, *args: object) -> None:
        hold(queue, *args)  # type: ignore[arg-type]
        seen.samples_max = max(seen.samples_max, queue.held_samples)

    monkeypatch.setattr(TurnQueue, "hold", watched)
    return seen


async def test_a_model_that_stands_still_gets_the_window_and_no_more(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    leg = await vllm.session()
    leg.hold_model()
    await client.start()
    await client.say(pcm(20.0), 16_000)
    await client.send_raw("hello")
    assert await client.error() == "invalid-json"
    await leg.until_samples(WINDOW_SAMPLES)
    assert len(leg.turns[0]) // 2 <= WINDOW_SAMPLES + PIECE_SAMPLES
    leg.release_model()
    await client.finish()
    await client.until("transcription.done")
    assert leg.turns == [pcm(20.0)]


async def test_without_pacing_all_audio_goes_on_at_once(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(session={"pace_window_s": 0.0})
    client = await gateway.open()
    leg = await vllm.session()
    leg.hold_model()
    await client.start()
    await client.say(pcm(20.0), 16_000)
    await leg.until_samples(320_000)


async def test_pings_of_the_model_server_are_answered_while_it_is_not_sent_anything(
    gateway: RunningGateway, vllm: FakeVllm
) -> None:
    client = await gateway.open()
    leg = await vllm.session()
    leg.ping(b"idle")
    await leg.until_pong()
    leg.hold_model()
    await client.start()
    sending = asyncio.create_task(client.say(pcm(130.0), 16_000))
    await leg.until_samples(WINDOW_SAMPLES)
    leg.ping(b"paused")
    await vllm.changes.until("both pongs", lambda: leg.pongs == [b"idle", b"paused"])
    leg.release_model()
    await sending


async def test_twenty_sessions_at_once_keep_their_words_apart(gateway: RunningGateway, vllm: FakeVllm) -> None:
    async def talk(number: int) -> tuple[bytes, str]:
        client: Client = await gateway.open()
        audio = pcm(1.0 + number / 10, number)
        await client.start()
        for piece in pieces(audio):
            await client.append(piece)
            await asyncio.sleep(0)
        await client.finish()
        return audio, await client.result()

    spoken = await asyncio.gather(*(talk(number) for number in range(20)))
    assert sorted(audio for audio, _ in spoken) == sorted(leg.turns[0] for leg in vllm.sessions)
    for audio, text in spoken:
        assert text == transcript(len(audio) // 2)


# ---- the client's side


async def test_a_client_that_says_goodbye_takes_its_leg_with_it(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    await client.start()
    await client.say(pcm(1.0))
    leg = await vllm.session()
    await leg.until_samples(16_000)
    await client.close()
    await leg.until_lost()


async def test_a_client_that_breaks_off_takes_its_leg_with_it(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    await client.start()
    await client.say(pcm(1.0))
    leg = await vllm.session()
    await leg.until_samples(16_000)
    client.abort()
    await leg.until_lost()


async def test_a_client_that_leaves_during_the_handshake_leaves_no_leg_behind(
    gateway: RunningGateway, vllm: FakeVllm
) -> None:
    vllm.holds_handshakes = True
    client = await gateway.connect()
    leg = await vllm.session()
    await client.close()
    leg.answer_handshake()
    await vllm.until_idle()
