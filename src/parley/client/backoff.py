"""When to try again."""


class Backoff:
    """Delays before the attempts of a row: none, then `first_s`, doubling to `max_s`, each spread by up to a half."""

    __slots__ = ("_first_s", "_max_s", "_next_s")

    def __init__(self, first_s: float, max_s: float) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._next_s = 0.0

    def next(self, jitter: float) -> float:
        """Seconds until the next attempt; `jitter` in [0, 1) spreads the attempts of many clients."""
        delay_s = self._next_s
        self._next_s = min(self._max_s, 2 * delay_s) if delay_s else self._first_s
        return delay_s * (1 + jitter) / 2

    def reset(self) -> None:
        """The next attempt is the first of a row."""
        self._next_s = 0.0
