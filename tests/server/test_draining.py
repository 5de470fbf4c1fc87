"""A node's way out: what happens in which order, what hurries it, what takes it back, and what can't hold it up."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.server.draining import Draining, DrainState
from parley.server.handover import Handover
from parley.server.live_sessions import LiveSessions
from parley.server.runner import SessionRunner
from tests.support.memory_store import MemoryStore
from tests.support.waiting import Changes, bounded

HOURS = 10_000.0


class Runner:
    """A session that ends when it is told to: at once, at a deadline that has passed, or never."""

    def __init__(self, scene: "Scene", *, is_idle: bool, hangs: bool) -> None:
        self.name: Any = type("Name", (), {"session_id": f"sess-{len(scene.runners)}"})
        self.outcome = ""
        self.is_abandoned = False
        self.told: list[ev.Event] = []
        self._scene = scene
        self._is_idle = is_idle
        self._hangs = hangs
        self._over = asyncio.Event()

    async def run(self) -> None:
        await self._over.wait()

    def receive(self, event: ev.Event) -> None:
        self.told.append(event)
        if isinstance(event, ev.DrainStarted):
            is_late = event.deadline <= self._scene.live.clock()
            if (self._is_idle or is_late) and not self._hangs:
                self.end("shutting-down")
        self._scene.changes.notify()

    def end(self, outcome: str) -> None:
        self.outcome = outcome
        self._over.set()

    @property
    def drain(self) -> ev.DrainStarted:
        (event,) = [event for event in self.told if isinstance(event, ev.DrainStarted)]
        return event


class Streams:
    """A listener with streams of its own, or without."""

    def __init__(self, changes: Changes) -> None:
        self.told: list[str] = []
        self.over = asyncio.Event()
        self.over.set()
        self._changes = changes

    def turn_away(self) -> None:
        self.told.append("turn away")

    def stop_accepting(self) -> None:
        self.told.append("stop accepting")

    def accept(self) -> None:
        self.told.append("accept")

    async def drain(self, timeout_s: float) -> None:
        self.told.append(f"drain {timeout_s:g}")
        self._changes.notify()
        await self.over.wait()

    async def hurry(self) -> None:
        self.told.append("hurry")
        self.over.set()


class Scene:
    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self.tasks = tasks
        self.changes = Changes()
        self.runners: list[Runner] = []
        self.streams = Streams(self.changes)
        self.running: list[asyncio.Task[bool]] = []
        self.make()

    def make(self, *, settle_s: float = 0.0, timeout_s: float = HOURS, shares: bool = False) -> None:
        handover = None
        if shares:
            handover = Handover(MemoryStore(lambda: 0.0), random=random.Random(1).randbytes, bytes_max=1_000)
        self.live = LiveSessions(
            random=random.Random(1).randbytes, window_s=30.0, retry_after_s=2.0, tasks=self.tasks, handover=handover
        )
        self.draining = Draining(
            self.live, self.live.clock, settle_s=settle_s, timeout_s=timeout_s, streams=self.streams
        )

    def begin(self, *, is_idle: bool = False, hangs: bool = False) -> Runner:
        runner = Runner(self, is_idle=is_idle, hangs=hangs)
        self.runners.append(runner)
        self.live.begin(cast(SessionRunner, runner), lambda: None)
        return runner

    def run(self) -> asyncio.Task[bool]:
        self.running.append(asyncio.create_task(self.draining.run()))
        return self.running[-1]

    async def until_state(self, state: DrainState) -> None:
        await self.until(lambda: self.draining.view().state is state)

    async def until(self, is_true: Callable[[], bool]) -> None:
        """It takes a few turns of the loop, and a few milliseconds at most."""
        async with asyncio.timeout(20.0):
            async for _ in _turns_of_the_loop():
                if is_true():
                    return

    def ready(self) -> tuple[str, str]:
        """Why the node is not ready, and why it takes no session; empty where it is and does."""
        return _code(self.live.check_ready), _code(self.live.check)


async def _turns_of_the_loop() -> AsyncIterator[None]:
    while True:
        yield
        await asyncio.sleep(0)


def _code(check: Any) -> str:
    try:
        check()
    except ParleyError as error:
        return error.code
    return ""


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with asyncio.TaskGroup() as tasks:
        scene = Scene(tasks)
        yield scene
        for runner in scene.runners:
            runner.end("over")
        scene.streams.over.set()
        await asyncio.gather(*scene.running, return_exceptions=True)


GONE = "shutting-down"


async def test_before_it_the_node_serves(scene: Scene) -> None:
    view = scene.draining.view()
    assert (view.state, view.deadline_s, view.is_final) == (DrainState.SERVING, None, False)
    assert scene.ready() == ("", "")
    assert not scene.draining.asked.is_set()


async def test_while_it_settles_the_node_is_not_ready_but_takes_sessions(scene: Scene) -> None:
    scene.make(settle_s=HOURS)
    session = scene.begin()
    scene.run()
    await scene.until_state(DrainState.SETTLING)
    assert scene.ready() == (GONE, "")
    assert session.told == []
    view = scene.draining.view()
    assert view.deadline_s is not None
    assert HOURS < view.deadline_s <= 2 * HOURS
    scene.draining.undo()


async def test_then_it_takes_none_and_tells_all(scene: Scene) -> None:
    scene.make(settle_s=0.001)
    sessions = [scene.begin() for _ in range(2)]
    running = scene.run()
    await scene.until_state(DrainState.DRAINING)
    assert scene.ready() == (GONE, GONE)
    assert [session.drain.move_at for session in sessions] == [None, None]
    assert scene.streams.told == ["turn away"]
    await scene.changes.until("the streams drain along", lambda: scene.streams.told[-1] == f"drain {HOURS:g}")
    for session in sessions:
        session.end("shutting-down")
    assert await bounded("the end", running)
    assert scene.draining.view().state is DrainState.OVER


async def test_without_sessions_it_is_over_at_once(scene: Scene) -> None:
    assert await bounded("the end", scene.draining.run())


async def test_it_waits_for_the_streams_too(scene: Scene) -> None:
    scene.streams.over.clear()
    running = scene.run()
    await scene.changes.until("the streams drain along", lambda: len(scene.streams.told) == 2)
    assert not running.done()
    scene.streams.over.set()
    assert await bounded("the end", running)


async def test_it_counts_who_went_since(scene: Scene) -> None:
    scene.begin().end("client-ended")
    await bounded("it is empty", scene.live.empty.wait())
    moved, ended, last = [scene.begin() for _ in range(3)]
    running = scene.run()
    await scene.until_state(DrainState.DRAINING)
    moved.end("moved")
    ended.end("shutting-down")
    await scene.until(lambda: len(scene.live) == 1)
    view = scene.draining.view()
    assert (view.live, view.moved, view.ended) == (1, 1, 1)
    last.end("moved")
    await bounded("the end", running)


async def test_where_others_can_go_on_the_moments_to_move_are_spread_over_the_first_half(scene: Scene) -> None:
    scene.make(timeout_s=100.0, shares=True)
    sessions = [scene.begin() for _ in range(4)]
    scene.run()
    await scene.until_state(DrainState.DRAINING)
    drains = [session.drain for session in sessions]
    deadline = drains[0].deadline
    assert [round(deadline - (drain.move_at or 0.0), 3) for drain in drains] == [100.0, 87.5, 75.0, 62.5]
    assert {round(deadline - (drain.move_by or 0.0), 3) for drain in drains} == {10.0}
    scene.draining.hurry()


@pytest.mark.parametrize(("timeout_s", "margin_s"), [(5.0, 1.0), (0.5, 0.5)])
async def test_the_last_moment_to_move_is_a_second_before_the_end_at_least(
    scene: Scene, timeout_s: float, margin_s: float
) -> None:
    scene.make(timeout_s=timeout_s, shares=True)
    session = scene.begin()
    scene.run()
    await scene.until_state(DrainState.DRAINING)
    drain = session.drain
    assert drain.move_by is not None
    assert drain.move_at is not None
    assert drain.deadline - drain.move_by == pytest.approx(margin_s)
    assert drain.move_at <= drain.move_by
    session.end("moved")


# ---- hurried


async def test_who_hurries_ends_what_is_left_at_once(scene: Scene) -> None:
    session = scene.begin()
    scene.streams.over.clear()
    running = scene.run()
    await scene.until_state(DrainState.DRAINING)
    scene.draining.hurry()
    assert await bounded("the end", running)
    assert session.outcome == "shutting-down"
    assert scene.streams.told[-1] == "hurry"


async def test_who_hurries_while_it_settles_is_not_kept_waiting(scene: Scene) -> None:
    scene.make(settle_s=HOURS)
    scene.begin()
    running = scene.run()
    await scene.until_state(DrainState.SETTLING)
    scene.draining.hurry()
    assert await bounded("the end", running)


async def test_sessions_and_streams_that_hang_do_not_hold_it_up(scene: Scene) -> None:
    scene.make(timeout_s=0.01)
    session = scene.begin(hangs=True)
    scene.streams.over.clear()
    assert await bounded("the end", scene.run())
    assert not session.outcome


async def test_sessions_that_hang_do_not_hold_up_who_hurries(scene: Scene) -> None:
    scene.begin(hangs=True)
    running = scene.run()
    await scene.until_state(DrainState.DRAINING)
    scene.draining.hurry()
    assert await bounded("the end", running)


# ---- asked, signalled, undone


async def test_an_operator_asks_and_may_take_it_back(scene: Scene) -> None:
    session = scene.begin()
    scene.draining.ask()
    await bounded("it is asked", scene.draining.asked.wait())
    running = scene.run()
    await scene.until_state(DrainState.DRAINING)
    assert scene.draining.undo()
    assert await bounded("the answer", running) is False
    assert isinstance(session.told[-1], ev.DrainCancelled)
    assert scene.ready() == ("", "")
    assert scene.streams.told[-1] == "accept"
    assert not scene.draining.asked.is_set()
    assert scene.draining.view().state is DrainState.SERVING


async def test_it_may_be_taken_back_while_it_settles(scene: Scene) -> None:
    scene.make(settle_s=HOURS)
    running = scene.run()
    await scene.until_state(DrainState.SETTLING)
    assert scene.draining.undo()
    assert await bounded("the answer", running) is False


async def test_a_node_that_was_taken_back_can_drain_again(scene: Scene) -> None:
    scene.begin()
    for _ in range(2):
        running = scene.run()
        await scene.until_state(DrainState.DRAINING)
        scene.draining.undo()
        assert await bounded("the answer", running) is False


async def test_what_is_not_asked_can_not_be_taken_back(scene: Scene) -> None:
    assert not scene.draining.undo()


async def test_what_is_over_can_not_be_taken_back(scene: Scene) -> None:
    await bounded("the end", scene.draining.run())
    assert not scene.draining.undo()


async def test_a_signal_can_not_be_taken_back(scene: Scene) -> None:
    scene.begin()
    scene.draining.signalled()
    scene.run()
    await scene.until_state(DrainState.DRAINING)
    assert scene.streams.told[0] == "stop accepting"
    assert not scene.draining.undo()
    scene.draining.hurry()


async def test_a_signal_that_comes_right_after_an_undoing_is_not_lost(scene: Scene) -> None:
    scene.begin()
    scene.draining.ask()
    running = scene.run()
    await scene.until_state(DrainState.DRAINING)
    assert scene.draining.undo()
    scene.draining.signalled()
    assert await bounded("the answer", running) is False
    assert scene.draining.asked.is_set()
    assert scene.draining.view().is_final
    scene.run()
    await scene.until_state(DrainState.DRAINING)
    assert not scene.draining.undo()
    scene.draining.hurry()


async def test_a_second_signal_hurries(scene: Scene) -> None:
    scene.begin()
    scene.draining.signalled()
    running = scene.run()
    await scene.until_state(DrainState.DRAINING)
    scene.draining.signalled()
    assert await bounded("the end", running)


async def test_a_signal_makes_an_operators_drain_final(scene: Scene) -> None:
    session = scene.begin()
    running = scene.run()
    await scene.until_state(DrainState.DRAINING)
    scene.draining.signalled()
    assert scene.streams.told[-1] == "stop accepting"
    assert scene.draining.view().is_final
    assert not running.done()
    assert len(session.told) == 1
    session.end("shutting-down")
    assert await bounded("the end", running)


async def test_a_node_without_other_streams_drains_too(scene: Scene) -> None:
    scene.draining = Draining(scene.live, scene.live.clock, settle_s=0.0, timeout_s=HOURS)
    for is_final in (False, True):
        session = scene.begin()
        running = scene.run()
        await scene.until_state(DrainState.DRAINING)
        if is_final:
            scene.draining.ask(is_final=True)
            scene.draining.hurry()
        else:
            scene.draining.undo()
        assert await bounded("the answer", running) is is_final
        session.end("over")
