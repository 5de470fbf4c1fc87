"""How fast something has been happening of late, and so how long so much more of it takes."""

from collections import deque

_TIMES_MAX = 32
_SPAN_MIN_S = 1.0
"""What happens all at once says little about how often it does."""

_OLD_AFTER_S = 900.0
"""What happened that long ago says nothing about now."""


class Throughput:
    """Times at which something happened, of which the last few are kept. `now` is in seconds, and never goes back."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_TIMES_MAX)

    def count(self, now: float) -> None:
        """It has happened."""
        self._times.append(now)

    def time_for_s(self, number: int, now: float) -> float | None:
        """How long it will take to happen so many times more, as fast as of late; None while that is not known."""
        times = self._times
        while times and now - times[0] > _OLD_AFTER_S:
            times.popleft()
        if len(times) < 2:
            return None
        # The first one only marks the beginning: how long it took is not known.
        return number * max(_SPAN_MIN_S, now - times[0]) / (len(times) - 1)
