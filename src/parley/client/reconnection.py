"""The time between the loss of a connection and its end: how long it has lasted, and when to try again."""

from collections.abc import Sequence

from parley.client.backoff import Backoff
from parley.client.failure import SessionFailed
from parley.client.limits import ClientLimits
from parley.client.loss import lost_for_good


class Reconnection:
    """`window_s` is how long the server keeps a session without a connection."""

    __slots__ = (
        "_backoff",
        "_close_code",
        "_failure",
        "_fruitless",
        "_has_progress",
        "_limits",
        "_lost_at",
        "_resumed_at",
        "_retry_after_s",
        "attempts",
        "window_s",
    )

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._backoff = Backoff(limits.retry_first_s, limits.retry_max_s)
        self._close_code = 0
        self._failure: SessionFailed | None = None
        self._fruitless = 0
        self._has_progress = True
        self._lost_at: float | None = None
        self._resumed_at = 0.0
        self._retry_after_s = 0.0
        self.attempts = 0
        self.window_s = 0.0

    @property
    def is_under_way(self) -> bool:
        """Whether the session is without its connection."""
        return self._lost_at is not None

    def begin(self, now: float, close_code: int) -> None:
        """The connection was lost."""
        if self._has_progress or now - self._resumed_at >= self._limits.stable_after_s:
            self._backoff.reset()
            self._fruitless = 0
        else:
            self._fruitless += 1
        self._has_progress = False
        self._lost_at = now
        self._close_code = close_code
        self._failure = None
        self._retry_after_s = 0.0
        self.attempts = 0

    def spread(self, delay_s: float) -> None:
        """The first attempt is not made before this delay: many may have been told at once."""
        self._retry_after_s = delay_s

    def goes_elsewhere(self) -> None:
        """The next attempt is made at another server, so what this one asked for does not count."""
        self._retry_after_s = 0.0

    def refused(self, failure: SessionFailed) -> None:
        """An attempt failed for this reason; another may not."""
        self._failure = failure
        self._retry_after_s = max(0.0, failure.retry_after_s or 0.0)

    def next_attempt_at(self, now: float, jitter: float) -> float | None:
        """When to try next; None to give up. The last attempt is made at the window's end."""
        assert self._lost_at is not None
        end = self._lost_at + self.window_s
        wanted = now + self._retry_after_s
        if self._fruitless >= self._limits.fruitless_max or (self.attempts and now >= end) or wanted > end:
            return None
        self._retry_after_s = 0.0
        return min(end, max(wanted, now + self._backoff.next(jitter)))

    def resumed(self, now: float) -> tuple[int, float]:
        """The session has its connection again; returns how many attempts and seconds it took."""
        assert self._lost_at is not None
        downtime_s = now - self._lost_at
        self._lost_at = None
        self._resumed_at = now
        return self.attempts, downtime_s

    def progressed(self) -> None:
        """The connection brought something new."""
        self._has_progress = True

    def failure(self, now: float, pending: Sequence[int]) -> SessionFailed:
        """Why the session is given up; `pending` are the items that were not done."""
        assert self._lost_at is not None
        return lost_for_good(self._close_code, now - self._lost_at, self.attempts, pending, self._failure)
