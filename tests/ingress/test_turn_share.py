"""Work that comes in crowds, and the share of each turn of the event loop that it gets."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from parley.ingress.turn_share import TurnLine, TurnShare
from tests.support.waiting import Changes

SHARE_S = 0.003


class Stopwatch:
    """A clock that moves when work says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Line:
    """A line, and in which turn of the loop its work was done."""

    def __init__(self) -> None:
        self.stopwatch = Stopwatch()
        self.line = TurnLine(SHARE_S, stopwatch=self.stopwatch)
        self.changes = Changes()
        self.done: list[tuple[str, int]] = []
        self._turn = 0
        # Before the share's own, so that what is done in a turn is counted to it.
        self._ticking = asyncio.get_running_loop().call_soon(self._next_turn)

    def work(self, name: str, takes_s: float) -> Callable[[], None]:
        return partial(self._do, name, takes_s)

    def _do(self, name: str, takes_s: float) -> None:
        self.stopwatch.now += takes_s
        self.done.append((name, self._turn))
        self.changes.notify()

    def _next_turn(self) -> None:
        self._turn += 1
        self._ticking = asyncio.get_running_loop().call_soon(self._next_turn)

    async def all_done(self, count: int) -> None:
        """Count turns until so much is done."""
        await self.changes.until(f"{count} are done", lambda: len(self.done) == count)
        self._ticking.cancel()


async def test_work_that_comes_alone_is_done_at_once() -> None:
    line = Line()
    line.line.do(line.work("one", 0.001))
    assert line.done == [("one", 0)]
    await line.all_done(1)


async def test_work_goes_on_in_the_next_turn_once_the_share_is_spent_and_in_the_order_in_which_it_came() -> None:
    line = Line()
    for number in range(7):
        line.line.do(line.work(str(number), 0.001))
    assert [name for name, _ in line.done] == ["0", "1", "2"]
    await line.all_done(7)
    assert [name for name, _ in line.done] == ["0", "1", "2", "3", "4", "5", "6"]
    turns = [turn for _, turn in line.done]
    assert max(turns.count(turn) for turn in turns) == 3


async def test_work_that_takes_longer_than_the_share_is_done_once_a_turn() -> None:
    line = Line()
    for number in range(3):
        line.line.do(line.work(str(number), 1.0))
    await line.all_done(3)
    assert len({turn for _, turn in line.done}) == 3


async def test_what_comes_later_does_not_overtake_what_waits() -> None:
    line = Line()
    for name in ("slow", "waits"):
        line.line.do(line.work(name, 1.0))
    later = line.work("later", 0.0)
    asyncio.get_running_loop().call_soon(line.line.do, later)
    await line.all_done(3)
    assert [name for name, _ in line.done] == ["slow", "waits", "later"]


async def test_work_that_fails_has_used_its_time_and_fails_for_its_caller_alone() -> None:
    stopwatch, changes = Stopwatch(), Changes()
    share = TurnShare(SHARE_S, changes.notify, stopwatch=stopwatch)

    def fail() -> None:
        stopwatch.now += 1.0
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        share.spend(fail)
    assert share.is_spent
    await changes.until("there is a share again", lambda: not share.is_spent)


async def test_a_share_is_also_bounded_in_pieces() -> None:
    share = TurnShare(SHARE_S, lambda: None, count_max=2, stopwatch=Stopwatch())
    share.spend(lambda: None)
    assert not share.is_spent
    share.spend(lambda: None)
    assert share.is_spent
