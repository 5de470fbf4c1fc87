"""Where connections wait that have not said yet which session they came for, or who they are: not many, and not for
long."""

import asyncio
from typing import Protocol

from parley.core.errors import ParleyError


class Waiting(Protocol):
    """A connection that waits."""

    def refuse(self, error: ParleyError) -> None:
        """There is no session for it."""


class WaitingRoom:
    """Holds at most `places_max` connections, each for `timeout_s`; then it is refused. They wait `to` do something."""

    def __init__(self, places_max: int, timeout_s: float, to: str = "resume", late: str = "bad-request") -> None:
        self._to = to
        self._late = late
        self._places_max = places_max
        self._timeout_s = timeout_s
        self._timers: dict[Waiting, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._timers)

    def check(self) -> None:
        """Whether there is a place.

        Raises:
            ParleyError: at-capacity.
        """
        if len(self._timers) >= self._places_max:
            detail = f"{self._places_max} connections wait to {self._to}; retry after {self._timeout_s:g} s."
            raise ParleyError("at-capacity", detail, retry_after_s=self._timeout_s)

    def enter(self, one: Waiting) -> None:
        """It waits from now on."""
        self._timers[one] = asyncio.get_running_loop().call_later(self._timeout_s, self._waited, one)

    def leave(self, one: Waiting) -> None:
        """It does not wait any more, if it did."""
        timer = self._timers.pop(one, None)
        if timer is not None:
            timer.cancel()

    def refuse_all(self, error: ParleyError) -> None:
        """Nobody waits any more."""
        for one in list(self._timers):
            self.leave(one)
            one.refuse(error)

    def _waited(self, one: Waiting) -> None:
        self._timers.pop(one, None)
        one.refuse(ParleyError(self._late, f"No message came within {self._timeout_s:g} s."))
