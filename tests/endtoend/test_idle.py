"""A session that needs no stream gives it back, and has one again when it does; its client notices nothing."""

from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.sound import pcm
from tests.support.voxtral import transcript

IDLE = {"idle_release_s": 0.2}
ONE_STREAM = {"max_sessions": 1}
SILENCE = bytes(2 * 16_000)


async def begun(gateway: RunningGateway) -> Client:
    client = await gateway.connect()
    await client.name_model()
    return client


async def until_parked(vllm: FakeVllm) -> None:
    await vllm.changes.until("the leg is closed", lambda: bool(vllm.sessions) and not vllm.live)


async def test_between_turns_the_stream_is_anothers(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(session=IDLE, upstream=ONE_STREAM)
    first = await begun(gateway)
    await first.send_turn(pcm(1.0))
    assert await first.result() == transcript(16_000)
    await until_parked(vllm)
    second = await begun(gateway)
    await second.send_turn(pcm(0.5))
    assert await second.result() == transcript(8_000)
    await until_parked(vllm)
    await first.send_turn(pcm(2.0))
    assert await first.result() == transcript(32_000)
    assert vllm.traps == []


async def test_within_a_turn_without_audio_the_stream_is_anothers(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(session=IDLE, upstream=ONE_STREAM)
    vllm.speech = lambda _turn, step: " one" if step == 0 else ""
    first = await begun(gateway)
    await first.start()
    await first.say(pcm(0.7) + 2 * SILENCE)
    await until_parked(vllm)
    vllm.speech = lambda _turn, step: " two" if step == 0 else ""
    second = await begun(gateway)
    await second.send_turn(pcm(0.5))
    assert await second.result() == " two"
    await until_parked(vllm)
    await first.say(pcm(0.5))
    await first.finish()
    assert await first.result() == " one two"
    assert vllm.traps == []


async def test_within_a_silence_the_stream_is_anothers_until_there_is_speech(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(session={"idle_release_s": 2.0}, upstream=ONE_STREAM)
    vllm.speech = lambda _turn, step: " one" if step == 0 else ""
    first = await begun(gateway)
    await first.start()
    # A frame that the model answers, and then nothing, for longer than a session is to be idle.
    await first.say(pcm(0.08) + 4 * SILENCE)
    await until_parked(vllm)
    vllm.speech = lambda _turn, step: " two" if step == 0 else ""
    await first.say(2 * SILENCE)
    second = await begun(gateway)
    await second.send_turn(pcm(0.5))
    assert await second.result() == " two"
    await second.close()
    await first.say(SILENCE + pcm(0.5))
    await first.finish()
    assert await first.result() == " one two"
    # What the model is sent again begins with the last of the silence.
    assert len(vllm.sessions[-1].turns[-1]) < 5 * len(SILENCE)
    assert vllm.traps == []
