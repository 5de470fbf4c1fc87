"""An operator's drain: the process goes on when it is done, until it is undone or told to stop."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from parley.server.draining import Draining, DrainState
from parley.server.live_sessions import LiveSessions
from tests.support.waiting import bounded

TURNS_MAX = 100


@pytest.fixture
async def draining() -> AsyncIterator[Draining]:
    """Of a node without sessions."""
    async with asyncio.TaskGroup() as tasks:
        live = LiveSessions(random=bytes, window_s=1.0, retry_after_s=1.0, tasks=tasks)
        yield Draining(live, live.clock, settle_s=0.0, timeout_s=600.0)


async def drained(draining: Draining) -> asyncio.Task[bool]:
    """A drain that is done, and held."""
    draining.hold()
    running = asyncio.create_task(draining.run())
    # There is nobody to wait for: a few turns of the loop will do.
    for _ in range(TURNS_MAX):
        await asyncio.sleep(0)
    assert draining.view().state is DrainState.DRAINED
    return running


async def test_a_held_drain_does_not_end_by_itself(draining: Draining) -> None:
    running = await drained(draining)
    assert not running.done()
    draining.signalled()
    assert await bounded("the end", running)
    assert draining.view().state is DrainState.OVER


async def test_a_held_drain_is_taken_back_when_it_is_done(draining: Draining) -> None:
    running = await drained(draining)
    assert draining.undo()
    assert not await bounded("the drain is taken back", running)
    assert draining.view().state is DrainState.SERVING


async def test_an_operators_times_are_for_one_drain_alone(draining: Draining) -> None:
    draining.hold(timeout_s=5.0, settle_s=50.0)
    running = asyncio.create_task(draining.run())
    await asyncio.sleep(0)
    deadline_s = draining.view().deadline_s
    assert deadline_s is not None
    assert 50.0 < deadline_s <= 55.0
    draining.undo()
    await bounded("the drain is taken back", running)
    draining.hold()
    running = await drained(draining)
    draining.signalled()
    await bounded("the end", running)


async def test_a_second_wish_changes_nothing(draining: Draining) -> None:
    draining.hold(settle_s=50.0)
    draining.hold(settle_s=0.0)
    running = asyncio.create_task(draining.run())
    await asyncio.sleep(0)
    assert draining.view().state is DrainState.SETTLING
    draining.signalled()
    draining.hurry()
    assert await bounded("the end", running)
