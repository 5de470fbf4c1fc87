"""The server's events as the user gets them, with places in the audio where these were asked for."""

from parley.client import events as to
from parley.core.content import Text
from parley.core.usage import Usage
from parley.wire import contract

STEP_S = 0.08
"""Audio that one delta stands for."""


class Translation:
    """Counts the deltas of a turn: each is a step of 80 ms."""

    __slots__ = ("_item", "_steps", "_timestamps")

    def __init__(self, *, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._item = 0
        self._steps = 0

    def delta(self, text: Text, item: int) -> to.TextDelta | None:
        """A step of this turn; None when nothing was said in it."""
        self._count_from(item)
        self._steps += 1
        if text.is_empty:
            return None
        return to.TextDelta(text.decode(), round(self._steps * STEP_S, 2) if self._timestamps else None, item)

    def done(self, text: Text, usage: Usage, item: int, text_from_ms: int | None = None) -> to.TurnDone:
        """The end of this turn."""
        self._count_from(item)
        is_exact = self._timestamps and self._steps == usage.completion_tokens
        self._steps = 0
        return to.TurnDone(text.decode().removeprefix(" "), usage, is_exact, item, text_from_ms)

    def _count_from(self, item: int) -> None:
        if item != self._item:
            self._item, self._steps = item, 0


def notice_of(event: contract.ContractEvent) -> to.Event | None:
    """What the server says of the session or a turn, beside text; None for what is not for the user."""
    match event:
        case contract.Revised():
            interval_ms = (event.from_ms, event.to_ms)
            return to.TextRevised(event.item, event.start, event.end, event.text.decode(), interval_ms)
        case contract.TurnFailed():
            return to.TurnFailed(event.item, event.code, event.message, event.fault, event.retry)
        case contract.Cancelled():
            return to.TurnCancelled(event.item)
        case contract.Cleared():
            return to.InputCleared(event.item)
        case contract.Recovering():
            return to.Recovering(event.reason)
        case contract.Recovered():
            return to.Recovered(event.outcome, event.replayed_ms, event.lost)
        case contract.Gap():
            return to.Gap((event.from_ms, event.to_ms), event.reason)
        case contract.Queued():
            return to.Queued(event.position, None if event.eta_ms is None else event.eta_ms / 1_000)
        case contract.Lagging():
            return to.Lagging(event.lag_ms / 1_000)
        case contract.Expiring():
            return to.Expiring(event.reason, event.in_ms / 1_000)
        case contract.GoingAway():
            return to.GoingAway(event.reason, event.deadline_ms / 1_000, event.moves)
        case _:
            return None
