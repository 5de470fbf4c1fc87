"""Whether a model server that has failed is to be left alone, is to be tried, or works again.

```
             failed                    its time has passed            worked
  CLOSED ─────────────► OPEN ──────────────────────────► HALF_OPEN ──────────► CLOSED
                         ▲    0.5 s, doubling to 30 s         │
                         └──────────────── failed ────────────┘
```
Pure: `now` is given, in seconds from any origin, and never goes back.
"""

from enum import Enum

OPEN_INITIAL_S = 0.5
OPEN_MAX_S = 30.0

_FORGET_AFTER_S = 60.0
"""Failures that lie further apart than this do not follow each other."""

_DOUBLINGS_MAX = 16


class BreakerState(Enum):
    """What may be sent to a server: everything, nothing, or one thing, to see how it does."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """The breaker of one server. `failures` are those that followed each other.

    While it is half-open one trial, a leg or a probe turn, decides. That it is taken for the only one is the caller's
    to see to: `has_trial`.
    """

    __slots__ = ("_failed_at", "_open_until", "failures", "has_trial")

    def __init__(self) -> None:
        self.failures = 0
        self.has_trial = False
        self._failed_at: float | None = None
        self._open_until: float | None = None

    def state(self, now: float) -> BreakerState:
        """Where it stands."""
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def open_for_s(self, now: float) -> float:
        """How long it stays open; 0.0 when it is not."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - now)

    def failed(self, now: float) -> bool:
        """A leg failed, could not be opened, or a probe turn did. False when that says nothing new: what fails
        together, as with its server, is one failure."""
        if now < (self._open_until or now):
            return False
        follows = self._failed_at is not None and now - self._failed_at <= _FORGET_AFTER_S
        self.failures = self.failures + 1 if follows else 1
        self._open(now, min(OPEN_MAX_S, OPEN_INITIAL_S * 2 ** min(self.failures - 1, _DOUBLINGS_MAX)))
        return True

    def eject(self, now: float, for_s: float) -> None:
        """Leave the server alone for so long although no single failure asks for it."""
        self._open(now, max(for_s, self.open_for_s(now)))

    def worked(self, since: float) -> bool:
        """Something that began at `since` worked. It closes the breaker, and ends the row of failures, unless it began
        before the last of them. Returns whether it has."""
        if self._failed_at is None or since <= self._failed_at:
            return False
        self.failures = 0
        self.has_trial = False
        self._failed_at = self._open_until = None
        return True

    def begin_trial(self, now: float) -> bool:
        """Begin the trial that decides; False where there is none to begin."""
        if self.has_trial or self.state(now) is not BreakerState.HALF_OPEN:
            return False
        self.has_trial = True
        return True

    def abandon_trial(self) -> None:
        """The trial ended and showed nothing."""
        self.has_trial = False

    def _open(self, now: float, for_s: float) -> None:
        self.has_trial = False
        self._failed_at = now
        self._open_until = now + for_s
