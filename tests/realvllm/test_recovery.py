"""vLLM dies under four live sessions and is started again by the gateway's supervisor: what was said is said once."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from parley.client import Event, RealtimeSession, Recovered, Recovering, TextDelta, TurnDone, connect

from .process import MODEL, START_TIMEOUT_S, Gateway, wait_gone
from .sound import Sound, loud, quiet
from .talk import Result, ready_session

PATIENCE_S = START_TIMEOUT_S - 60
"""For anything that has to wait for another vLLM."""
PATIENT = {
    "PARLEY_SESSION_RECOVERY_TIMEOUT_S": str(PATIENCE_S),
    "PARLEY_UPSTREAM_CONNECT_TIMEOUT_S": "30",
    # The first answers of a vLLM that has just started may take long on a busy machine.
    "PARLEY_SESSION_FIRST_DELTA_TIMEOUT_S": "90",
    "PARLEY_SESSION_STALL_TIMEOUT_S": "90",
    "PARLEY_SESSION_FLUSH_TIMEOUT_S": "90",
}


@dataclass(frozen=True)
class Speech:
    """A turn, spoken in three parts: until vLLM is lost, while it is away, and when another has caught up."""

    before: Sound
    meanwhile: Sound
    after: Sound

    @property
    def whole(self) -> Sound:
        return self.before + self.meanwhile + self.after

    @property
    def text_before(self) -> str:
        return self.before.text_so_far

    @property
    def text_to_come(self) -> str:
        """What the model has to say, beyond that, before the last part."""
        so_far = (self.before + self.meanwhile).text_so_far
        assert so_far.startswith(self.text_before)
        return so_far.removeprefix(self.text_before)


PAUSE = quiet(1.6)
"""Longer than the second of silence from which on nothing is heard again."""
BLINK = quiet(0.4)
"""Too short for that, and for the model to forget."""

UP_TO_A_PAUSE = quiet(0.4) + loud(2.0)
WITHIN_A_WORD = Speech(
    before=UP_TO_A_PAUSE + PAUSE + loud(2.0),
    meanwhile=loud(1.2) + PAUSE + loud(1.2),
    after=loud(0.8) + PAUSE + loud(0.8) + quiet(0.8),
)
WITHIN_A_PAUSE = Speech(
    before=loud(1.6) + BLINK + loud(1.2) + quiet(2.8),
    meanwhile=quiet(0.8) + loud(1.6) + BLINK + loud(1.2),
    after=PAUSE + loud(1.6) + quiet(0.4),
)
WITHOUT_A_PAUSE = Speech(
    before=(loud(0.8) + BLINK) * 5,
    meanwhile=(loud(0.8) + BLINK) * 3,
    after=loud(1.6),
)
WITH_LITTLE_TO_SAY = Speech(
    before=quiet(3.2) + loud(0.4) + quiet(2.4),
    meanwhile=quiet(2.4) + loud(0.4) + quiet(0.8),
    after=quiet(1.6) + loud(0.4) + PAUSE,
)
PLAIN = [WITHIN_A_PAUSE, WITHOUT_A_PAUSE, WITH_LITTLE_TO_SAY]


async def _plain_turn(url: str, speech: Speech, all_speaking: asyncio.Barrier) -> Result:
    """The turn of a client that knows nothing of recoveries."""
    async with ready_session(url) as session:
        await session.begin()
        await session.speak(speech.before)
        await session.until_text(speech.text_before)
        await all_speaking.wait()
        await session.speak(speech.meanwhile)
        await session.until_text(speech.text_to_come, PATIENCE_S)
        await session.speak(speech.after)
        await session.finish()
        rest = await session.result(PATIENCE_S)
    return Result((speech.text_before, speech.text_to_come, *rest.deltas), rest.text, rest.steps)


class Listener:
    """The events of one turn of a session of Parley's own client."""

    def __init__(self, session: RealtimeSession) -> None:
        self._session = session
        self.events: list[Event] = []

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.events.append(await anext(self._session))

    async def until_text(self, text: str) -> None:
        await self.until(lambda: len(self.text) >= len(text))
        assert self.text == text


async def _turn_that_is_told(url: str, speech: Speech, all_speaking: asyncio.Barrier) -> list[Event]:
    """What a client is told in its turn that opted in to the session contract."""
    async with connect(url, model=MODEL, answer_timeout_s=PATIENCE_S) as session:
        listener = Listener(session)
        await session.start_turn()
        await _speak(session, speech.before)
        await listener.until_text(speech.text_before)
        await all_speaking.wait()
        await _speak(session, speech.meanwhile)
        await listener.until_text(speech.text_before + speech.text_to_come)
        await _speak(session, speech.after)
        await session.end_turn()
        await listener.until(lambda: isinstance(listener.events[-1], TurnDone))
    return listener.events


async def _speak(session: RealtimeSession, sound: Sound) -> None:
    async for piece in sound.spoken():
        await session.send_audio(piece)


@pytest.fixture(scope="module")
def supervised() -> Iterator[Gateway]:
    """A gateway that starts vLLM, and starts it again."""
    with Gateway.launching_vllm("gateway-recovery", environment=PATIENT) as gateway:
        gateway.until_ready()
        yield gateway


DEATHS = {
    "its engine killed": ("VLLM::EngineCor", signal.SIGKILL),
    "its server killed": ("vllm", signal.SIGKILL),
    "told to stop": ("vllm", signal.SIGTERM),
}


@pytest.mark.parametrize(("process", "number"), DEATHS.values(), ids=DEATHS.keys())
async def test_four_sessions_survive_a_vllm_that_dies_within_their_turns(
    supervised: Gateway, process: str, number: signal.Signals
) -> None:
    url = supervised.url
    # A death that came before this one may not be over yet.
    await asyncio.to_thread(supervised.until_ready)
    all_speaking = asyncio.Barrier(len(PLAIN) + 2)
    async with asyncio.TaskGroup() as tasks:
        told = tasks.create_task(_turn_that_is_told(url, WITHIN_A_WORD, all_speaking))
        plain = [tasks.create_task(_plain_turn(url, speech, all_speaking)) for speech in PLAIN]
        async with asyncio.timeout(PATIENCE_S):
            await all_speaking.wait()
        dying = {member for member in supervised.members() if member.pid != supervised.pid}
        supervised.signal_descendant(process, number)
    assert not wait_gone(dying), "what is left of a vLLM holds its memory"
    for task, speech in zip(plain, PLAIN, strict=True):
        _assert_seamless(task.result(), speech.whole)
    _assert_told(told.result(), WITHIN_A_WORD)


def _assert_seamless(result: Result, sound: Sound) -> None:
    assert (result.text, result.steps) == (sound.text, sound.steps)
    assert "".join(result.deltas) == sound.text


def _assert_told(events: list[Event], speech: Speech) -> None:
    """Text as if nothing had happened, and one loss, with what was heard again."""
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    [done] = [event for event in events if isinstance(event, TurnDone)]
    sound = speech.whole
    _assert_seamless(Result(tuple(texts), f" {done.text}", done.usage.completion_tokens), sound)
    recovering, recovered = (event for event in events if isinstance(event, Recovering | Recovered))
    assert isinstance(recovering, Recovering)
    assert recovering.reason in ("upstream-error", "upstream-closed", "upstream-truncated")
    assert isinstance(recovered, Recovered)
    assert (recovered.outcome, recovered.lost_ms) == ("rehydrated", ())
    [(begin_ms, end_ms)] = recovered.replayed_ms
    assert begin_ms == 1000 * (UP_TO_A_PAUSE + PAUSE).text_until_s
    assert 1000 * speech.before.text_until_s <= end_ms <= 1000 * (speech.before + speech.meanwhile).seconds
