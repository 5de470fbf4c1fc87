"""How late an event loop is: a timer that looks at how late it fires itself.

A timer that fires late says that everything that came meanwhile was late too. So a stall counts once for each interval
that it lasted, each time with what is left of it: percentiles are those of all moments, not of the few timers that fire
while the loop is busy.
"""

import asyncio
import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass

INTERVAL_S = 0.02
WINDOW_MAX_S = 60.0
_SAMPLES_MAX = round(WINDOW_MAX_S / INTERVAL_S)


@dataclass(frozen=True, slots=True)
class LagView:
    """How late the loop was in the last `window_s` seconds, in milliseconds: half of the time by no more than `p50_ms`,
    all but a hundredth of it by no more than `p99_ms`, at the worst by `max_ms`."""

    window_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float


class LoopLag:
    """Watches the loop that it runs on, fifty times a second, and remembers a minute. `clock` is the loop's."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._late_s = array("d", bytes(8 * _SAMPLES_MAX))
        self._at = array("d", [-math.inf]) * _SAMPLES_MAX
        self._next = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            self._set()
            await asyncio.Event().wait()
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def note(self, due: float, now: float) -> None:
        """A timer that was due then has fired."""
        late_s = max(0.0, now - due)
        for _ in range(_SAMPLES_MAX):
            self._late_s[self._next] = late_s
            self._at[self._next] = now
            self._next = (self._next + 1) % _SAMPLES_MAX
            late_s -= INTERVAL_S
            if late_s <= 0:
                return

    def view(self, window_s: float = WINDOW_MAX_S) -> LagView:
        """How late it was of late; a minute is the most that is known."""
        since = self._clock() - window_s
        late_s = sorted(late for late, at in zip(self._late_s, self._at, strict=True) if at >= since)
        return LagView(window_s, _ms(late_s, 0.5), _ms(late_s, 0.99), _ms(late_s, 1.0))

    def quantile_s(self, share: float, window_s: float = WINDOW_MAX_S) -> float:
        """How late it was at the most in this share of the last so many seconds."""
        since = self._clock() - window_s
        late_s = sorted(late for late, at in zip(self._late_s, self._at, strict=True) if at >= since)
        return _ms(late_s, share) / 1000

    def _set(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = self._clock() + INTERVAL_S
        self._timer = loop.call_at(self._due, self._fired)

    def _fired(self) -> None:
        self.note(self._due, self._clock())
        self._set()


def _ms(late_s: list[float], share: float) -> float:
    """The nearest-rank percentile, in milliseconds; 0 of nothing."""
    rank = max(1, math.ceil(share * len(late_s)))
    return round(1000 * late_s[rank - 1], 3) if late_s else 0.0
