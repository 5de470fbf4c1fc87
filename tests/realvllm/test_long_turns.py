"""Turns longer than the model's context, in front of a tap that sees how many streams they took."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from parley.client import Event, Recovered, Recovering, TextDelta, TurnDone, connect

from .process import MAX_MODEL_LEN, MODEL, PROMPT_TOKENS, Gateway, Vllm
from .script import FRAME_S
from .sound import Sound, loud, quiet
from .talk import ANSWER_TIMEOUT_S, ready_session
from .tap import Tap, open_tap

CONTEXT_S = (MAX_MODEL_LEN - PROMPT_TOKENS) * FRAME_S
PAUSE = quiet(1.6)
BLINK = quiet(0.4)
"""No pause: nothing begins anew for it, neither the model's text nor a stream."""

LONG = (quiet(0.4) + loud(2.0) + PAUSE + loud(0.8) + BLINK + loud(1.6) + PAUSE + loud(0.8)) * 13
"""Three times the context and more, with a pause every few seconds."""
WITHOUT_A_PAUSE = (loud(2.0) + BLINK) * 17
ONE_PAUSE = (loud(2.0) + BLINK) * 5 + PAUSE + (loud(2.0) + BLINK) * 11 + loud(0.8)
"""Longer than the context, with its only pause before a stream has to be changed."""

NEVER_ROTATING = {"PARLEY_SESSION_ROTATE_AFTER_S": "86400", "PARLEY_SESSION_ROTATE_FORCE_S": "86400"}
ROTATING_BY_SETTING = {"PARLEY_SESSION_ROTATE_AFTER_S": "20", "PARLEY_SESSION_ROTATE_FORCE_S": "30"}


@asynccontextmanager
async def _gateway_before(tap: Tap, name: str, environment: dict[str, str] | None = None) -> AsyncIterator[str]:
    gateway = Gateway.in_front_of(name, tap.url, environment=environment)
    try:
        await asyncio.to_thread(gateway.until_ready)
        yield gateway.url
    finally:
        await asyncio.to_thread(gateway.end)


@pytest.fixture
async def rotating_url(tap: Tap) -> AsyncIterator[str]:
    """A gateway that knows the model's limit and changes streams before it."""
    async with _gateway_before(tap, "gateway-rotating") as url:
        yield url


@pytest.fixture
async def forgetful_tap(real_vllm: Vllm) -> AsyncIterator[Tap]:
    async with open_tap(real_vllm, hides_length=True) as opened:
        yield opened


@pytest.fixture
async def set_url(forgetful_tap: Tap) -> AsyncIterator[str]:
    """A gateway that doesn't know the model's limit, and has been told when to change streams."""
    async with _gateway_before(forgetful_tap, "gateway-set", ROTATING_BY_SETTING) as url:
        yield url


@pytest.fixture
async def unknowing_url(forgetful_tap: Tap) -> AsyncIterator[str]:
    """A gateway that doesn't know the model's limit, and does not change streams by itself in time."""
    async with _gateway_before(forgetful_tap, "gateway-unknowing", NEVER_ROTATING) as url:
        yield url


async def _events_of_turn(url: str, sound: Sound) -> list[Event]:
    """What a client is told in a turn, sent as fast as it is taken, that opted in to the session contract."""
    async with connect(url, model=MODEL, answer_timeout_s=ANSWER_TIMEOUT_S) as session, asyncio.TaskGroup() as tasks:

        async def send() -> None:
            await session.start_turn()
            await session.send_audio(sound.pcm())
            await session.end_turn()

        tasks.create_task(send())
        events: list[Event] = []
        while not (events and isinstance(events[-1], TurnDone)):
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                events.append(await anext(session))
    return events


def _text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_a_turn_of_several_contexts_has_no_seam(rotating_url: str) -> None:
    async with ready_session(rotating_url) as session:
        result = await session.turn(LONG)
    assert LONG.seconds > 3 * CONTEXT_S
    assert (result.text, result.steps) == (LONG.text, LONG.steps)
    assert "".join(result.deltas) == LONG.text


async def test_a_turn_of_several_contexts_changes_streams_before_vllm_truncates_it(tap: Tap, rotating_url: str) -> None:
    events = await _events_of_turn(rotating_url, LONG)
    assert _text(events) == LONG.text
    assert tap.streams > 3
    assert tap.truncated == 0
    assert not [event for event in events if isinstance(event, Recovering | Recovered)]


async def test_a_turn_without_a_pause_changes_streams_before_vllm_truncates_it(tap: Tap, rotating_url: str) -> None:
    async with ready_session(rotating_url) as session:
        result = await session.turn(WITHOUT_A_PAUSE)
    assert WITHOUT_A_PAUSE.seconds > CONTEXT_S
    # The model's text where the streams meet is one that begins in the midst of words.
    assert result.steps == WITHOUT_A_PAUSE.steps
    assert tap.streams > 1
    assert tap.truncated == 0


async def test_a_turn_that_changes_streams_between_pauses_has_no_seam(forgetful_tap: Tap, set_url: str) -> None:
    async with ready_session(set_url) as session:
        result = await session.turn(ONE_PAUSE)
    assert ONE_PAUSE.seconds > CONTEXT_S
    assert (result.text, "".join(result.deltas)) == (ONE_PAUSE.text, ONE_PAUSE.text)
    assert (forgetful_tap.streams, forgetful_tap.truncated) == (2, 0)


async def test_a_turn_that_vllm_truncates_goes_on_on_another_stream(forgetful_tap: Tap, unknowing_url: str) -> None:
    events = await _events_of_turn(unknowing_url, LONG)
    done = events[-1]
    assert isinstance(done, TurnDone)
    assert (f" {done.text}", done.usage.completion_tokens) == (LONG.text, LONG.steps)
    assert _text(events) == LONG.text
    assert forgetful_tap.truncated >= 3
    reasons = [event.reason for event in events if isinstance(event, Recovering)]
    assert reasons == ["upstream-truncated"] * forgetful_tap.truncated
    outcomes = [(event.outcome, event.lost_ms) for event in events if isinstance(event, Recovered)]
    assert outcomes == [("rehydrated", ())] * forgetful_tap.truncated
