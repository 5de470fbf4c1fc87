"""A rate with bursts: so many at once, then so many a second."""


class TokenBucket:
    """Holds up to `burst` tokens and gains `rate_per_s` of them a second; it is full to begin with.

    `now` is in seconds from any origin, and never goes back.
    """

    __slots__ = ("_at", "_burst", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: int, now: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> bool:
        """Take a token; whether there was one."""
        self._gain(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def wait_s(self, number: int, now: float) -> float:
        """How long it takes until so many tokens are there, if none is taken meanwhile but for these; 0.0 at once."""
        self._gain(now)
        return max(0.0, (number - self._tokens) / self._rate_per_s)

    def _gain(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate_per_s)
        self._at = now
