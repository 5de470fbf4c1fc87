import asyncio

import pytest

from parley.observe.loop_lag import INTERVAL_S, LoopLag
from tests.support.waiting import bounded


class Clock:
    """Stands still unless it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def noted(*late_s: float) -> tuple[LoopLag, Clock]:
    clock = Clock()
    lag = LoopLag(clock)
    for each in late_s:
        clock.now += INTERVAL_S
        lag.note(clock.now - each, clock.now)
    return lag, clock


def test_nothing_is_late_before_anything_was_seen() -> None:
    view = LoopLag(Clock()).view()
    assert (view.p50_ms, view.p99_ms, view.max_ms) == (0.0, 0.0, 0.0)


def test_percentiles_are_those_of_the_samples() -> None:
    lag, _ = noted(*[0.001] * 98, 0.005, 0.015)
    view = lag.view()
    assert view.p50_ms == pytest.approx(1.0)
    assert view.p99_ms == pytest.approx(5.0)
    assert view.max_ms == pytest.approx(15.0)


def test_a_stall_counts_for_all_the_time_that_it_lasted() -> None:
    lag, _ = noted(*[0.0] * 50, 1.0)
    # It took as long as fifty of the others.
    assert lag.view().p99_ms > 900.0
    assert lag.view().max_ms == pytest.approx(1000.0)


def test_what_is_older_than_the_window_does_not_count() -> None:
    lag, clock = noted(0.015)
    clock.now += 5.0
    lag.note(clock.now - 0.001, clock.now)
    assert lag.view(2.0).max_ms == pytest.approx(1.0)
    assert lag.view(10.0).max_ms == pytest.approx(15.0)


def test_a_timer_that_fires_early_is_not_late() -> None:
    lag, _ = noted(-0.001)
    assert lag.view().max_ms == 0.0


def test_a_stall_of_hours_is_bounded_by_what_is_remembered() -> None:
    lag, _ = noted(36_000.0)
    assert lag.view().p50_ms > 35_000_000.0


async def test_it_watches_the_loop_until_it_is_cancelled() -> None:
    loop = asyncio.get_running_loop()
    seen = asyncio.Event()

    class Watched(LoopLag):
        def note(self, due: float, now: float) -> None:
            super().note(due, now)
            if self.view().window_s and now >= due - 0.002:
                seen.set()

    lag = Watched(loop.time)
    running = asyncio.create_task(lag.run())
    await bounded("a sample", seen.wait())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()
