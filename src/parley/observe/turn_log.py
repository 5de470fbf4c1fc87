"""The turns of a session as they are watched: when each began, first said something, and had all its audio."""

from collections.abc import Iterable, Iterator, Sequence

from parley.core.survey import TurnView


class WatchedTurn:
    """A turn that has begun and is not over: its ordinal, and when it came how far, None until it has."""

    __slots__ = ("began_at", "closed_at", "item", "text_at")

    def __init__(self, item: int, began_at: float) -> None:
        self.item = item
        self.began_at = began_at
        self.text_at: float | None = None
        self.closed_at: float | None = None


class TurnLog:
    """The turns that are not over, oldest first; they end in this order, but for those that are dropped."""

    __slots__ = ("_last", "_turns")

    def __init__(self) -> None:
        self._turns: list[WatchedTurn] = []
        self._last = 0

    @property
    def head(self) -> WatchedTurn | None:
        """The oldest."""
        return self._turns[0] if self._turns else None

    @property
    def last(self) -> WatchedTurn | None:
        """The newest."""
        return self._turns[-1] if self._turns else None

    @property
    def may_begin(self) -> bool:
        """Whether audio that comes now belongs to a turn that is not known yet."""
        return not self._turns or self._turns[-1].closed_at is not None

    def began(self, views: Sequence[TurnView], now: float) -> Iterator[WatchedTurn]:
        """Those of the session's turns that are new."""
        for view in views:
            if view.item > self._last:
                self._last = view.item
                turn = WatchedTurn(view.item, now)
                self._turns.append(turn)
                yield turn

    def closed(self, views: Iterable[TurnView], now: float) -> Iterator[tuple[WatchedTurn, TurnView]]:
        """Those whose audio is complete since the last look."""
        closed = {view.item: view for view in views if view.is_closed}
        for turn in self._turns:
            if turn.closed_at is None and turn.item in closed:
                turn.closed_at = now
                yield turn, closed[turn.item]

    def take(self, item: int = 0) -> WatchedTurn | None:
        """A turn is over: the one of this ordinal, 0 for the oldest. None when it is not known."""
        for turn in self._turns:
            if not item or turn.item == item:
                self._turns.remove(turn)
                return turn
        return None
