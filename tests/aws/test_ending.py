import asyncio

from parley.aws.ending import end_tasks
from tests.support.waiting import bounded


async def stubborn(times: int, swallowed: list[int]) -> None:
    """Goes on although it was cancelled so often."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if len(swallowed) == times:
                raise
            swallowed.append(1)


async def begun(times: int, swallowed: list[int]) -> asyncio.Task[None]:
    task = asyncio.create_task(stubborn(times, swallowed))
    await asyncio.sleep(0)
    return task


async def test_tasks_are_cancelled_and_waited_for() -> None:
    tasks = [await begun(0, []) for _ in range(2)]
    await bounded("their end", end_tasks(tasks))
    assert all(task.cancelled() for task in tasks)


async def test_one_that_swallows_it_is_cancelled_again() -> None:
    swallowed: list[int] = []
    task = await begun(2, swallowed)
    await bounded("its end", end_tasks([task], patience_s=0.01))
    assert task.cancelled()
    assert len(swallowed) == 2


async def test_one_that_never_ends_holds_nobody_up() -> None:
    task = await begun(7, [])
    await bounded("the wait's end", end_tasks([task], patience_s=0.01))
    assert not task.done()
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)


async def test_those_that_are_done_are_left_alone() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    await bounded("nothing", end_tasks([task]))
    assert not task.cancelled()
