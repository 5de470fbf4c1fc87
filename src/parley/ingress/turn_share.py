"""A share of each turn of the event loop, for work that comes in crowds.

A thousand connections that are made or lost at once are ready in one turn of the loop, and whatever else is ready in it
waits until all of them have been dealt with. What has a share of the turn is done as far as that goes, and the rest in
the turns that follow, between which everybody else has theirs.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable


class TurnShare:
    """`share_s` of each turn, and at most so many pieces of work in it; one at least. `on_turn` is called in the next
    turn, when there is a share again. `stopwatch` gives seconds, also within a turn: a loop's own clock may stand still
    there."""

    def __init__(
        self,
        share_s: float,
        on_turn: Callable[[], None],
        *,
        count_max: int = 1_000,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._share_s = share_s
        self._count_max = count_max
        self._on_turn = on_turn
        self._stopwatch = stopwatch
        self._spent_s = 0.0
        self._count = 0

    @property
    def is_spent(self) -> bool:
        """Whether nothing more is to be begun in this turn."""
        return self._count >= self._count_max or self._spent_s >= self._share_s

    def spend(self, work: Callable[[], None]) -> None:
        """Do a piece of work; what it takes is the share's."""
        if not self._count:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._count += 1
        began = self._stopwatch()
        try:
            work()
        finally:
            self._spent_s += self._stopwatch() - began

    def _next_turn(self) -> None:
        self._spent_s = 0.0
        self._count = 0
        self._on_turn()


class TurnLine:
    """Work that is done in the order in which it comes, at once while the turn's share lasts. It may not raise."""

    def __init__(self, share_s: float, *, stopwatch: Callable[[], float] = time.perf_counter) -> None:
        self._share = TurnShare(share_s, self._go_on, stopwatch=stopwatch)
        self._waiting: deque[Callable[[], None]] = deque()

    def do(self, work: Callable[[], None]) -> None:
        """Do it now or in one of the next turns."""
        if self._waiting or self._share.is_spent:
            self._waiting.append(work)
        else:
            self._share.spend(work)

    def _go_on(self) -> None:
        while self._waiting and not self._share.is_spent:
            self._share.spend(self._waiting.popleft())
