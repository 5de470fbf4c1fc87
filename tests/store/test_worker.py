"""A thread that does one thing after another."""

import asyncio
import threading

import pytest

from parley.core.errors import ParleyError
from parley.store.worker import Worker
from tests.support.waiting import bounded


@pytest.fixture
def worker() -> Worker:
    return Worker("worker", waiting_max=1)


async def test_it_returns_what_the_function_returns(worker: Worker) -> None:
    assert await worker.call(divmod, 7, 2) == (3, 1)
    worker.close()


async def test_it_raises_what_the_function_raises(worker: Worker) -> None:
    with pytest.raises(ZeroDivisionError):
        await worker.call(divmod, 7, 0)
    worker.close()


async def test_all_is_done_in_one_thread_in_order(worker: Worker) -> None:
    names = [await worker.call(lambda: threading.current_thread().name) for _ in range(2)]
    assert names == ["worker", "worker"]
    worker.close()


async def hung(worker: Worker) -> tuple[asyncio.Task[None], threading.Event]:
    """A call under way, and what lets it end."""
    begun, may_end = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        may_end.wait(20.0)

    hanging = asyncio.create_task(worker.call(hang))
    await asyncio.to_thread(begun.wait, 20.0)
    return hanging, may_end


async def test_what_hangs_holds_up_what_waits_and_what_does_not_fit_is_refused(worker: Worker) -> None:
    hanging, may_end = await hung(worker)
    waiting = asyncio.create_task(worker.call(int))
    await asyncio.sleep(0)
    with pytest.raises(ParleyError, match="store-unavailable"):
        await worker.call(int)
    # A thread that hangs is not waited for, and has no room to be told.
    worker.close(timeout_s=0.01)
    may_end.set()
    await bounded("what hung", hanging)
    assert await bounded("what waited", waiting) == 0


async def test_who_gave_up_is_not_told(worker: Worker) -> None:
    hanging, may_end = await hung(worker)
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    may_end.set()
    assert await worker.call(int) == 0
    worker.close()


def test_a_loop_that_is_closed_is_no_matter() -> None:
    worker = Worker("worker")
    may_end = threading.Event()

    async def give_up() -> None:
        hanging = asyncio.create_task(worker.call(may_end.wait, 20.0))
        await asyncio.sleep(0)
        hanging.cancel()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(give_up())
    loop.close()
    may_end.set()
    worker.close()


def test_one_that_never_worked_can_be_closed(worker: Worker) -> None:
    worker.close()
