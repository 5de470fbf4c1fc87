"""What the server says of the user's turns, as the user is told it; and what the server still owes."""

from parley.client.events import Event
from parley.client.stock import StockTurn
from parley.client.translation import Translation, notice_of
from parley.client.turns import Turns
from parley.wire import contract


class Results:
    """Keeps count of the turns while it passes on what is said of them. `stock` is the turn of a server without the
    session contract."""

    __slots__ = ("_is_queued", "_is_recovering", "_translation", "_turns", "stock")

    def __init__(self, turns: Turns, *, timestamps: bool) -> None:
        self._turns = turns
        self._translation = Translation(timestamps=timestamps)
        self._is_recovering = False
        self._is_queued = False
        self.stock = StockTurn()

    @property
    def are_awaited(self) -> bool:
        """Whether a server with the contract has to say something: a turn has ended, and no model server is looked for
        or waited for.

        While a turn is open, silence may be all there is to transcribe.
        """
        return self._turns.awaited > 0 and not self._is_recovering and not self._is_queued

    def told(self, event: contract.ContractEvent) -> Event | None:
        """What the user is told of an event; None for nothing."""
        match event:
            case contract.Delta(text, item):
                return self._translation.delta(text, item)
            case contract.Done(text, usage, item, _, text_from_ms):
                self._turns.over(item)
                return self._translation.done(text, usage, item, text_from_ms)
            case contract.TurnFailed() | contract.Cancelled() | contract.Cleared():
                self._given_up(event)
            case contract.Recovering() | contract.Recovered():
                self._is_recovering = isinstance(event, contract.Recovering)
            case contract.Queued(position):
                self._is_queued = position > 0
        return notice_of(event)

    def told_by_stock(self, event: contract.ContractEvent) -> Event | None:
        """The same for a server without the contract.

        Raises:
            ParleyError: upstream-truncated, when a turn ended that was not to end yet.
        """
        told, is_over = self.stock.told(event, self._translation)
        if is_over:
            self._turns.over(self.stock.item)
        return told

    def _given_up(self, event: contract.TurnFailed | contract.Cancelled | contract.Cleared) -> None:
        turns, item = self._turns, event.item
        if not turns.pending or item <= turns.pending[0]:
            # With the turn ends the recovery that it was in.
            self._is_recovering = False
        if isinstance(event, contract.Cancelled):
            turns.cancelled(item)
        else:
            turns.over(item)
