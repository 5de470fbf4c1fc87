"""`parley serve` as a process: signals."""

import signal

import pytest

from tests.support.fake_vllm import FakeVllm
from tests.support.process import serving
from tests.support.sound import pcm
from tests.support.voxtral import transcript


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_idle_sessions_at_once_and_the_process_cleanly(
    vllm: FakeVllm, number: signal.Signals
) -> None:
    async with serving(vllm.url) as serve:
        client = await serve.connect()
        serve.signal(number)
        ending = await client.until_closed()
        assert (ending.error_code, ending.code) == ("shutting-down", 1012)
        assert await serve.until_ended() == 0


async def test_a_signal_lets_a_turn_in_flight_finish(vllm: FakeVllm) -> None:
    vllm.runs = False
    async with serving(vllm.url) as serve:
        client = await serve.connect()
        await client.name_model()
        await client.send_turn(pcm(1.0))
        leg = await vllm.session()
        await leg.until_received("end")
        serve.signal()
        await serve.until_logged("draining 1 sessions")
        leg.release_model()
        assert await client.result() == transcript(16_000)
        assert (await client.until_closed()).error_code == "shutting-down"
        assert await serve.until_ended() == 0


async def test_a_turn_that_hangs_is_ended_at_the_deadline(vllm: FakeVllm) -> None:
    vllm.runs = False
    async with serving(vllm.url, "--set", "drain.timeout_s=0.2") as serve:
        client = await serve.connect()
        await client.name_model()
        await client.send_turn(pcm(1.0))
        await (await vllm.session()).until_received("end")
        serve.signal()
        assert (await client.until_closed()).error_code == "shutting-down"
        assert await serve.until_ended() == 0


async def test_a_second_signal_ends_a_turn_that_hangs_at_once(vllm: FakeVllm) -> None:
    vllm.runs = False
    async with serving(vllm.url, "--set", "drain.timeout_s=600") as serve:
        client = await serve.connect()
        await client.name_model()
        await client.send_turn(pcm(1.0))
        await (await vllm.session()).until_received("end")
        serve.signal()
        await serve.until_logged("draining 1 sessions")
        serve.signal()
        assert (await client.until_closed()).error_code == "shutting-down"
        assert await serve.until_ended() == 0
