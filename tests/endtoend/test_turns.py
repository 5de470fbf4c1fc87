"""Turns through the whole gateway."""

from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import RunningGateway
from tests.support.sound import pcm
from tests.support.voxtral import transcript


async def test_three_turns_sent_without_waiting_lose_nothing(gateway: RunningGateway, vllm: FakeVllm) -> None:
    turns = [pcm(2.0, seed) for seed in range(3)]
    client = await gateway.open()
    for audio in turns:
        await client.send_turn(audio)
    texts = [await client.result() for _ in turns]
    assert vllm.sessions[0].turns == turns
    assert texts == [transcript(32_000, turn) for turn in range(3)]
