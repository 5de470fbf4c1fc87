"""What vLLM does well on its own, and the gateway has to leave as it is."""

import asyncio
import json

import pytest

from .process import Gateway, Vllm
from .sound import Sound, loud, quiet
from .talk import Session, open_session, ready_session

SENTENCE = quiet(0.4) + loud(3.0) + quiet(0.6)
SOUNDS = {
    "a sentence": SENTENCE,
    "nothing said": quiet(1.6),
    "two words": quiet(0.8) + loud(0.4) + quiet(0.4) + loud(0.4) + quiet(0.8),
    "the same word after a pause": quiet(0.8) + loud(0.4) + quiet(1.2) + loud(0.4) + quiet(0.8),
    "the whole text and on": loud(8.0),
    "cut at once": quiet(0.8) + loud(1.04),
}


@pytest.mark.parametrize("sound", SOUNDS.values(), ids=SOUNDS.keys())
async def test_a_turn_gets_the_text_that_the_model_was_made_to_say(url: str, sound: Sound) -> None:
    async with ready_session(url) as session:
        result = await session.turn(sound)
    assert (result.text, result.steps) == (sound.text, sound.steps)


@pytest.mark.parametrize("sound", SOUNDS.values(), ids=SOUNDS.keys())
async def test_the_gateway_gives_vllms_own_answer(vllm_url: str, gateway_url: str, sound: Sound) -> None:
    async with ready_session(vllm_url) as session:
        expected = await session.turn(sound)
    async with ready_session(gateway_url) as session:
        result = await session.turn(sound)
    assert (result.text, result.steps) == (expected.text, expected.steps)


async def test_the_text_is_all_deltas_joined(url: str) -> None:
    async with ready_session(url) as session:
        result = await session.turn(SENTENCE)
    assert "".join(result.deltas) == result.text


async def test_the_gateway_passes_every_delta_on_when_it_is_told_to(real_vllm: Vllm) -> None:
    everything = {"PARLEY_SESSION_FORWARD_EMPTY_DELTAS": "true"}
    async with ready_session(real_vllm.url) as session:
        expected = await session.turn(SENTENCE)
    with Gateway.in_front_of("gateway-all-deltas", real_vllm.url, environment=everything) as gateway:
        await asyncio.to_thread(gateway.until_ready)
        async with ready_session(gateway.url) as session:
            result = await session.turn(SENTENCE)
    assert result == expected
    assert len(expected.deltas) == expected.steps


async def test_text_comes_while_audio_is_still_to_come(url: str) -> None:
    async with ready_session(url) as session:
        await session.begin()
        await session.say(SENTENCE)
        await session.until_text(SENTENCE.text_so_far)
        await session.say(loud(0.8))
        await session.finish()
        result = await session.result()
    assert result.text == (SENTENCE + loud(0.8)).text


async def test_turns_that_wait_for_each_other_start_afresh(url: str) -> None:
    async with ready_session(url) as session:
        results = [await session.turn(SENTENCE) for _ in range(3)]
    assert [result.text for result in results] == [SENTENCE.text] * 3


async def test_audio_sent_before_the_turn_begins_belongs_to_it(url: str) -> None:
    async with ready_session(url) as session:
        await session.say(SENTENCE)
        await session.begin()
        await session.finish()
        result = await session.result()
    assert (result.text, result.steps) == (SENTENCE.text, SENTENCE.steps)


async def test_a_turn_without_audio_is_done_at_once_and_empty(url: str) -> None:
    async with ready_session(url) as session:
        await session.begin()
        await session.finish()
        result = await session.result()
        following = await session.turn(SENTENCE)
    assert (result.text, result.steps, following.text) == ("", 0, SENTENCE.text)


async def test_four_sessions_at_once_do_not_mix(url: str) -> None:
    sounds = [loud(0.8) + quiet(0.4) + loud(0.8 * length) + quiet(0.8) for length in range(1, 5)]

    async def transcribe(sound: Sound) -> str:
        async with ready_session(url) as session:
            return (await session.turn(sound)).text

    texts = await asyncio.gather(*map(transcribe, sounds))
    assert texts == [sound.text for sound in sounds]


async def test_a_long_pause_within_a_turn_changes_nothing(url: str) -> None:
    first, second = quiet(0.4) + loud(1.2), loud(1.2) + quiet(0.8)
    async with ready_session(url) as session:
        await session.begin()
        await session.say(first)
        await session.until_text(first.text_so_far)
        # The pause is what is tested, not a way to wait for something; it is longer than the gateway's watchdogs wait.
        await asyncio.sleep(20)
        await session.say(second)
        await session.finish()
        result = await session.result()
    assert result.text == (first + second).text


BAD_MESSAGES = {
    "invalid_json": "{",
    "unknown_event": json.dumps({"type": "response.create"}),
    "invalid_event": json.dumps({"type": "session.update", "session": {"model": "x"}}),
    "model_not_found": json.dumps({"type": "session.update", "model": "nope"}),
    "invalid_audio": json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA"}),
}


async def _error_code(session: Session, message: str) -> str:
    await session.send_raw(message)
    event = await session.receive()
    assert event["type"] == "error"
    assert isinstance(event["error"], str)
    return str(event["code"])


@pytest.mark.parametrize(("code", "message"), BAD_MESSAGES.items(), ids=BAD_MESSAGES.keys())
async def test_a_bad_message_gets_vllms_code(url: str, code: str, message: str) -> None:
    async with ready_session(url) as session:
        assert await _error_code(session, message) == code


@pytest.mark.parametrize("message", BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
async def test_a_bad_message_leaves_the_session_usable(url: str, message: str) -> None:
    async with ready_session(url) as session:
        await _error_code(session, message)
        await session.name_model()
        result = await session.turn(SENTENCE)
    assert result.text == SENTENCE.text


@pytest.mark.parametrize("audio", ["", "A", "AA==", "????"], ids=["empty", "cut base64", "odd", "no base64"])
async def test_audio_that_cannot_be_audio_is_refused(url: str, audio: str) -> None:
    async with ready_session(url) as session:
        message = json.dumps({"type": "input_audio_buffer.append", "audio": audio})
        assert await _error_code(session, message) == "invalid_audio"


async def test_a_turn_before_a_model_is_named_is_refused(url: str) -> None:
    async with open_session(url) as session:
        message = json.dumps({"type": "input_audio_buffer.commit"})
        assert await _error_code(session, message) == "model_not_validated"
