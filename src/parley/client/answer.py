"""The answer that a server owes its client, and how long it may take."""

from parley.client.failure import SessionFailed
from parley.core.errors import ParleyError


class Answer:
    """Its time runs anew with everything that the server says, and only while an answer is awaited."""

    __slots__ = ("_at", "_timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._at: float | None = None

    def expect(self, now: float, *, is_awaited: bool) -> None:
        """The time begins, or there is nothing to wait for."""
        self._at = now + self._timeout_s if is_awaited else None

    def forget(self) -> None:
        """Who owed it is gone."""
        self._at = None

    def due_at(self, now: float, *, is_awaited: bool) -> float | None:
        """When to ask for the failure; None when nothing is awaited."""
        if not is_awaited:
            return None
        # Input does not come with a time: the first call that has one sets the clock.
        return now if self._at is None else self._at

    def failure(self, now: float, *, is_awaited: bool) -> SessionFailed | None:
        """Why the session is given up, when the answer has not come in time; begins the time when it has not begun."""
        if not is_awaited or self._at is None:
            self.expect(now, is_awaited=is_awaited)
            return None
        if now < self._at:
            return None
        detail = f"The end of the turn was awaited for {self._timeout_s:g} s."
        return SessionFailed.of(ParleyError("upstream-stalled", detail))
