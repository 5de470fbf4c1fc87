"""The numbers of the server's events: each is taken once, in order, and acknowledged."""

from parley.client.limits import ClientLimits
from parley.core.errors import ParleyError
from parley.wire import contract

Numbered = (
    contract.Delta
    | contract.Done
    | contract.Revised
    | contract.TurnFailed
    | contract.Cancelled
    | contract.Cleared
    | contract.Recovering
    | contract.Recovered
    | contract.Gap
    | contract.Ended
    | contract.Failed
    | contract.Unknown
)
MayLackNumber = contract.Failed | contract.Unknown
"""What may also state where things stand, which is not numbered."""


class Numbering:
    """`last` is the number of the last event taken; `due_at` is when the server is to be told of it at the latest."""

    __slots__ = ("_bytes", "_events", "_limits", "due_at", "last")

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._events = 0
        self._bytes = 0
        self.due_at: float | None = None
        self.last = 0

    def take(self, event: contract.ContractEvent, size_bytes: int, now: float) -> bool:
        """Whether an event is to be acted on; False when it was before.

        Raises:
            ParleyError: upstream-protocol, when it can't be here: one before it is missing, or its number is.
        """
        if not isinstance(event, Numbered):
            raise ParleyError("upstream-protocol", "It began the session a second time.")
        if not event.seq:
            if isinstance(event, MayLackNumber):
                return True
            raise ParleyError("upstream-protocol", "It sent an event without its number.")
        if event.seq <= self.last:
            return False
        if event.seq != self.last + 1:
            detail = f"Event {event.seq} came after event {self.last}: those between are lost."
            raise ParleyError("upstream-protocol", detail)
        self.last = event.seq
        self._events += 1
        self._bytes += size_bytes
        if self.due_at is None:
            self.due_at = now + self._limits.ack_delay_s
        return True

    def is_due(self, event: contract.ContractEvent | None, now: float) -> bool:
        """Whether to tell the server now, after this event; the end of a turn lets it forget the most."""
        if self.due_at is None:
            return False
        limits = self._limits
        return (
            isinstance(event, contract.Done)
            or self._events >= limits.ack_max_events
            or self._bytes >= limits.ack_max_bytes
            or now >= self.due_at
        )

    def told(self) -> None:
        """The server has been told of everything."""
        self._events = self._bytes = 0
        self.due_at = None
