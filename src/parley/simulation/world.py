"""One virtual clock and one heap of events: everything that happens in a run, in one order that a seed decides."""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from parley.simulation.invariants import require

EVENTS_KEPT = 400
"""How many of the last events a failure can show."""
CLOCK_STEP_S = 1e-9
"""A timer of another clock is set so much late: what is rounded must not fire before its time, again and again."""
_STEPS_AT_ONCE_MAX = 20_000
"""Things that may happen at one instant; more is a loop."""


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One line of the log: virtual seconds, who, and what."""

    at_s: float
    actor: str
    what: str


class Timer:
    """Something that will happen, unless it is cancelled."""

    __slots__ = ("_call", "at_s")

    def __init__(self, at_s: float, call: Callable[[], None]) -> None:
        self.at_s = at_s
        self._call: Callable[[], None] | None = call

    @property
    def is_due(self) -> bool:
        """Whether it has neither happened nor been cancelled."""
        return self._call is not None

    def cancel(self) -> None:
        """It will not happen."""
        self._call = None

    def fire(self) -> None:
        """It happens, at most once."""
        call, self._call = self._call, None
        if call is not None:
            call()


class World:
    """The clock, the events to come, the one source of chance, and the log of what happened last."""

    def __init__(self, seed: int, *, keeps_log: bool = True) -> None:
        self.now = 0.0
        self.chance = random.Random(seed)  # noqa: S311  the same each time, on purpose
        self.steps = 0
        self._steps_at_once = 0
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0
        self._log: deque[tuple[float, str, str, tuple[Any, ...]]] = deque(maxlen=EVENTS_KEPT)
        self._keeps_log = keeps_log
        self._faults: list[Timer] = []
        self._is_stopped = False
        self.is_healed = False

    def at(self, at_s: float, call: Callable[[], None]) -> Timer:
        """Let it happen at this time, or now if that has passed; what is due at once happens in the order of asking."""
        timer = Timer(max(at_s, self.now), call)
        self._count += 1
        heapq.heappush(self._heap, (timer.at_s, self._count, timer))
        return timer

    def after(self, delay_s: float, call: Callable[[], None]) -> Timer:
        """Let it happen so many seconds from now."""
        return self.at(self.now + delay_s, call)

    def sometimes(self, rate_a_minute: float, is_possible: Callable[[], bool], happen: Callable[[], None]) -> None:
        """Let a fault happen at random times as long as it is possible, until everything heals."""
        if not rate_a_minute or self.is_healed:
            return

        def strike() -> None:
            if is_possible():
                happen()
                self.sometimes(rate_a_minute, is_possible, happen)

        self._faults = [timer for timer in self._faults if timer.is_due]
        self._faults.append(self.after(self.chance.expovariate(rate_a_minute / 60), strike))

    def heal(self) -> None:
        """No fault happens any more."""
        self.log("world", "everything heals")
        self.is_healed = True
        for timer in self._faults:
            timer.cancel()
        self._faults.clear()

    def stop(self) -> None:
        """Let `run` return."""
        self._is_stopped = True

    def run(self, until_s: float) -> bool:
        """Let things happen until `stop` (True), the time has come, or nothing is left to happen (False)."""
        heap = self._heap
        self._is_stopped = False
        while not self._is_stopped:
            if not heap or heap[0][0] > until_s:
                self.now = max(self.now, until_s)
                return False
            at_s, _, timer = heapq.heappop(heap)
            if timer.is_due:
                self._count_step(at_s)
                timer.fire()
        return True

    def _count_step(self, at_s: float) -> None:
        self.steps += 1
        self._steps_at_once = self._steps_at_once + 1 if at_s == self.now else 0
        self.now = at_s
        require(self._steps_at_once < _STEPS_AT_ONCE_MAX, "{} steps and no time passes", _STEPS_AT_ONCE_MAX)

    @property
    def pending(self) -> int:
        """How many things are still to happen."""
        return sum(timer.is_due for _, _, timer in self._heap)

    def log(self, actor: str, what: str, *values: Any) -> None:
        """Note what happened; `what` is a format for `values`, filled in only when someone looks."""
        if self._keeps_log:
            self._log.append((self.now, actor, what, values))

    def last_events(self, count: int = EVENTS_KEPT) -> list[LoggedEvent]:
        """The end of the log, oldest first."""
        lines = list(self._log)[-count:]
        return [LoggedEvent(at_s, actor, what.format(*values)) for at_s, actor, what, values in lines]
