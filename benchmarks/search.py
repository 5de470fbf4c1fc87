"""Search for the greatest number of sessions that a server carries."""

import math


class Search:
    """Steps up or down from a first guess until it has a bracket, then halves the bracket."""

    def __init__(self, guess: int, growth: float, resolution: float, limit: int) -> None:
        self._guess = max(1, min(guess, limit))
        self._growth = growth
        self._resolution = resolution
        self._limit = limit
        self._carried = 0
        self._refused: int | None = None

    @property
    def carried(self) -> int:
        """The most sessions that were carried so far; 0 when none were."""
        return self._carried

    @property
    def limited(self) -> bool:
        """Whether the search ended at its limit, so that the server might carry more."""
        return self._carried >= self._limit

    def next_sessions(self) -> int | None:
        """How many to try next; None when the answer is known to within the resolution."""
        if self._refused is None:
            if self.limited:
                return None
            return min(self._limit, math.ceil(self._carried * self._growth)) if self._carried else self._guess
        if not self._carried:
            lower = int(self._refused / self._growth)
            return lower if lower >= 10 else None
        if self._refused <= self._carried * (1 + self._resolution):
            return None
        return round(math.sqrt(self._carried * self._refused))

    def record(self, sessions: int, carried: bool) -> None:
        """What the trial of `next_sessions()` gave."""
        if carried:
            self._carried = max(self._carried, sessions)
        elif self._refused is None or sessions < self._refused:
            self._refused = sessions
