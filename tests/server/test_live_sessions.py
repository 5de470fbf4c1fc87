"""Sessions that are looked for in the store: by whom, how many at a time, and what they are told."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from parley.access.caller import Caller
from parley.core.errors import ParleyError
from parley.ingress.attachment import SessionName
from parley.server.handover import Handover
from parley.server.live_sessions import LiveSessions
from parley.server.runner import SessionRunner
from tests.support.logs import LogWatch
from tests.support.waiting import Changes

TOKEN = "p1." + "A" * 43


ME = Caller("me")


class Port:
    def __init__(self, runner: "Runner") -> None:
        self._runner = runner

    def start(self) -> None:
        self._runner.starts += 1


class Runner:
    """A session that was fetched."""

    def __init__(self) -> None:
        self.name = SessionName("sess-1", 17)
        self.starts = 0
        self.ended = False
        self.outcome = ""
        self.is_abandoned = False
        self.over = asyncio.Event()

    def first_port(self) -> Port:
        return Port(self)

    async def run(self) -> None:
        await self.over.wait()


class Way:
    """A handover that answers when it is told to."""

    def __init__(self) -> None:
        self.fetches: list[str] = []
        self.may_answer = asyncio.Event()
        self.answer: Runner | Exception | None = None
        self.noted: list[str] = []
        self.is_closed = False

    async def fetch(self, token: str, _principal: str) -> Any:
        self.fetches.append(token)
        await self.may_answer.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def note(self, _runner: object, token: str, _principal: str) -> None:
        self.noted.append(token)

    def forget(self, _runner: object) -> None:
        self.noted.clear()

    async def close(self) -> None:
        self.is_closed = True


class Scene:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.way = Way()
        self.changes = Changes()
        self.answers: list[str] = []
        self.live = LiveSessions(
            random=random.Random(1).randbytes,
            window_s=30.0,
            retry_after_s=2.0,
            tasks=tasks,
            handover=cast(Handover, self.way),
        )

    def fetch(self, token: str = TOKEN) -> bool:
        return self.live.fetch(token, ME, self._done)

    def _done(self, error: ParleyError | None) -> None:
        self.answers.append("" if error is None else error.code)
        self.changes.notify()

    async def until_answered(self, count: int = 1) -> list[str]:
        self.way.may_answer.set()
        await self.changes.until("the answers", lambda: len(self.answers) == count)
        return self.answers


@pytest.fixture
async def scene(log: LogWatch) -> AsyncIterator[Scene]:
    async with asyncio.TaskGroup() as tasks:
        scene = Scene(tasks)
        yield scene
        await scene.live.close()
        if isinstance(scene.way.answer, Runner):
            scene.way.answer.over.set()
    assert TOKEN not in log.everything


async def test_a_session_that_is_found_is_started_and_known_here(scene: Scene) -> None:
    runner = scene.way.answer = Runner()
    assert scene.fetch()
    assert await scene.until_answered() == [""]
    assert runner.starts == 1
    assert cast(object, scene.live.claim(TOKEN, ME)) is runner
    assert not scene.fetch(), "it is here"


async def test_who_comes_for_the_same_session_waits_for_the_same_answer(scene: Scene) -> None:
    runner = scene.way.answer = Runner()
    assert [scene.fetch() for _ in range(3)] == [True] * 3
    assert await scene.until_answered(3) == [""] * 3
    assert (scene.way.fetches, runner.starts) == ([TOKEN], 1)


async def test_a_session_that_is_not_there_is_left_to_resume_to_refuse(scene: Scene) -> None:
    scene.fetch()
    assert await scene.until_answered() == [""]
    with pytest.raises(ParleyError, match="unknown-session"):
        scene.live.claim(TOKEN, ME)


async def test_why_it_can_not_go_on_here_is_told(scene: Scene) -> None:
    scene.way.answer = ParleyError("state-unsupported")
    scene.fetch()
    assert await scene.until_answered() == ["state-unsupported"]


async def test_a_bug_of_ours_is_told_as_one(scene: Scene, log: LogWatch) -> None:
    log.expect_errors("parley.session")
    scene.way.answer = RuntimeError("bug")
    scene.fetch()
    assert await scene.until_answered() == ["internal-error"]


async def test_not_too_many_are_looked_for_at_a_time(scene: Scene) -> None:
    for number in range(64):
        scene.fetch(f"p1.{number}")
    with pytest.raises(ParleyError, match="store-unavailable"):
        scene.fetch("p1.64")
    await scene.until_answered(64)
    assert scene.fetch("p1.64")


async def test_a_node_that_drains_sends_on_who_may_be_known_elsewhere(scene: Scene) -> None:
    scene.live.refuse()
    with pytest.raises(ParleyError, match="moved"):
        scene.fetch()


async def test_who_is_still_looked_for_at_the_end_is_told(scene: Scene) -> None:
    scene.fetch()
    await asyncio.sleep(0)
    await scene.live.close()
    await scene.changes.until("the answer", lambda: scene.answers == ["shutting-down"])
    assert scene.way.is_closed


async def test_a_session_that_has_left_is_told_from_one_that_ended(scene: Scene) -> None:
    runner = Runner()
    token = scene.live.issue(cast(SessionRunner, runner), "me")
    assert scene.way.noted == [token]
    runner.ended, runner.outcome = True, "moved"
    with pytest.raises(ParleyError, match="moved"):
        scene.live.claim(token, ME)
    scene.live.begin(cast(SessionRunner, runner), lambda: None)
    runner.over.set()
    await scene.live.empty.wait()
    assert (scene.live.moved, scene.live.ended, scene.way.noted) == (1, 0, [])
    with pytest.raises(ParleyError, match="unknown-session"):
        scene.live.claim(token, ME)


async def test_without_a_store_nobody_is_looked_for() -> None:
    async with asyncio.TaskGroup() as tasks:
        live = LiveSessions(random=random.Random(1).randbytes, window_s=30.0, retry_after_s=2.0, tasks=tasks)
        assert not live.fetch(TOKEN, ME, lambda _error: None)
        await live.close()
