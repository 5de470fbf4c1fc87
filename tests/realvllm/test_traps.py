"""What the real vLLM does to a client that is not careful, each beside what the gateway makes of the same.

The tests of vLLM alone are here to notice when a release mends one of these: then the gateway's remedy can go.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import InvalidStatus

from .process import MAX_MODEL_LEN, MAX_NUM_SEQS, PROMPT_TOKENS, Gateway, Vllm
from .sound import loud, quiet
from .talk import ANSWER_TIMEOUT_S, Result, Session, open_session, ready_session
from .tap import Tap

FIRST = quiet(0.4) + loud(1.6) + quiet(0.4)
SECOND = quiet(0.4) + loud(2.4) + quiet(0.4)
THIRD = loud(0.8) + quiet(1.2) + loud(0.8) + quiet(0.8)


async def test_vllm_drops_a_turn_that_is_sent_before_the_last_one_is_done(vllm_url: str) -> None:
    async with ready_session(vllm_url) as session:
        await session.send_turn(FIRST)
        await session.send_turn(SECOND)
        first = await session.result()
        following = await session.turn(THIRD)
    assert (first.text, following.text) == (FIRST.text, THIRD.text)


async def test_the_gateway_keeps_turns_that_are_sent_before_the_last_one_is_done(gateway_url: str) -> None:
    sounds = [FIRST, SECOND, THIRD]
    async with ready_session(gateway_url) as session:
        for sound in sounds:
            await session.send_turn(sound)
        results = [await session.result() for _ in sounds]
    assert [(result.text, result.steps) for result in results] == [(sound.text, sound.steps) for sound in sounds]


async def test_vllm_answers_the_turn_after_a_stray_final_with_nothing(vllm_url: str) -> None:
    async with ready_session(vllm_url) as session:
        await session.finish()
        result = await session.turn(FIRST)
    assert (result.text, result.steps) == ("", 0)


async def test_the_gateway_answers_the_turn_after_a_stray_final(gateway_url: str) -> None:
    async with ready_session(gateway_url) as session:
        await session.finish()
        await session.send_turn(FIRST)
        done = (await session.until("transcription.done"))[-1]
    assert done["text"] == FIRST.text


async def test_vllm_drops_the_connection_on_a_binary_frame(vllm_url: str) -> None:
    async with ready_session(vllm_url) as session:
        await session.send_raw(FIRST.pcm())
        assert await session.until_closed() == ([], 1006)


async def test_the_gateway_answers_a_binary_frame_with_an_error(gateway_url: str) -> None:
    async with ready_session(gateway_url) as session:
        await session.send_raw(FIRST.pcm())
        assert (await session.receive())["type"] == "error"


TOO_LONG = (loud(0.8) + quiet(0.8)) * 26
"""41.6 s, where the model's length allows 37.8 s. `test_long_turns` shows what the gateway makes of such a turn."""


async def test_vllm_ends_a_turn_that_is_too_long_as_if_it_were_complete(vllm_url: str) -> None:
    async with ready_session(vllm_url) as session:
        await session.begin()
        await session.say(TOO_LONG)
        result = await session.result()
    assert result.steps == MAX_MODEL_LEN - PROMPT_TOKENS
    assert TOO_LONG.text.startswith(result.text)


BEGINNING = loud(1.2)


async def _live_session(stack: AsyncExitStack, url: str) -> Session:
    """A session in the middle of a turn, so that vLLM has given it one of its places."""
    session = await stack.enter_async_context(ready_session(url))
    await session.begin()
    await session.say(BEGINNING)
    await session.until_text(BEGINNING.text_so_far)
    return session


async def _goes_on(session: Session) -> None:
    await session.say(BEGINNING)
    await session.finish()
    said = (await session.result()).text
    assert said == (BEGINNING * 2).text


NO_ANSWER_S = 5.0
"""In which a session that has a place gets some 50 deltas on an idle machine."""


async def test_vllm_leaves_a_session_over_its_limit_without_any_answer(vllm_url: str) -> None:
    async with AsyncExitStack() as stack:
        live = [await _live_session(stack, vllm_url) for _ in range(MAX_NUM_SEQS)]
        extra = await stack.enter_async_context(ready_session(vllm_url))
        await extra.begin()
        await extra.say(BEGINNING)
        with pytest.raises(TimeoutError):
            await extra.receive(timeout_s=NO_ANSWER_S)
        await _goes_on(live[0])


async def _turn_when_admitted(url: str) -> Result:
    """Ask for a session until there is room."""
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        while True:
            try:
                async with ready_session(url) as session:
                    return await session.turn(FIRST)
            except InvalidStatus:
                continue


@pytest.fixture
async def small_gateway_url(real_vllm: Vllm) -> AsyncIterator[str]:
    """A gateway that knows a limit of two."""
    gateway = Gateway.in_front_of("gateway-small", real_vllm.url, "--upstream-max-sessions", "2")
    try:
        await asyncio.to_thread(gateway.until_ready)
        yield gateway.url
    finally:
        await asyncio.to_thread(gateway.end)


async def test_the_gateway_refuses_a_session_over_the_limit_before_it_begins(small_gateway_url: str) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await _live_session(stack, small_gateway_url)
        with pytest.raises(InvalidStatus) as refused:
            await stack.enter_async_context(open_session(small_gateway_url))
    assert refused.value.response.status_code == 503


async def test_the_gateway_has_room_again_when_a_session_has_ended(small_gateway_url: str) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await _live_session(stack, small_gateway_url)
    assert (await _turn_when_admitted(small_gateway_url)).text == FIRST.text


PUSHED = quiet(0.4) + (loud(1.6) + quiet(0.8)) * 8 + quiet(0.4)
"""20 s, where the gateway is to keep 3 s in vLLM's queue at a time."""
LAG_LIMIT_S = 5.0


@pytest.fixture
async def tapped_gateway_url(tap: Tap) -> AsyncIterator[str]:
    gateway = Gateway.in_front_of("gateway-tapped", tap.url)
    try:
        await asyncio.to_thread(gateway.until_ready)
        yield gateway.url
    finally:
        await asyncio.to_thread(gateway.end)


async def test_vllm_takes_any_amount_of_audio_into_its_queue(tap: Tap) -> None:
    async with ready_session(tap.url) as session:
        await session.turn(PUSHED)
    assert tap.lag_max_s > LAG_LIMIT_S


async def test_the_gateway_passes_pushed_audio_on_as_vllm_consumes_it(tap: Tap, tapped_gateway_url: str) -> None:
    async with ready_session(tapped_gateway_url) as session:
        await session.turn(PUSHED)
    assert tap.lag_max_s < LAG_LIMIT_S


async def test_pushed_audio_is_transcribed_to_the_end(url: str) -> None:
    async with ready_session(url) as session:
        result = await session.turn(PUSHED)
    assert (result.text, result.steps) == (PUSHED.text, PUSHED.steps)
