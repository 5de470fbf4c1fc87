"""Turns on a server without the session contract, such as a stock vLLM: one at a time, or audio is silently dropped."""

from enum import Enum

from parley.client.events import Event
from parley.client.outgoing import Kind
from parley.client.translation import Translation
from parley.core.errors import ParleyError
from parley.wire import contract


class _State(Enum):
    NONE = "none"
    RUNNING = "running"
    ENDING = "ending"


class StockTurn:
    """What may be sent now. `item` is the number of the turn that runs, or ran last."""

    __slots__ = ("_is_given_up", "_state", "item")

    def __init__(self) -> None:
        self._state = _State.NONE
        self._is_given_up = False
        self.item = 0

    @property
    def is_running(self) -> bool:
        """Whether a turn was begun that is not done."""
        return self._state is not _State.NONE

    @property
    def is_awaited(self) -> bool:
        """Whether all audio was sent and the result is due."""
        return self._state is _State.ENDING

    def may_send(self, kind: Kind) -> bool:
        """Whether an input may go now; the start of the next turn waits until the one before is done."""
        return kind is not Kind.START or not self.is_running

    def sent(self, kind: Kind) -> None:
        """An input went."""
        if kind is Kind.START:
            self.item += 1
            self._state, self._is_given_up = _State.RUNNING, False
        elif kind is Kind.END:
            self._state = _State.NONE if self._is_given_up else _State.ENDING

    def told(self, event: contract.ContractEvent, translation: Translation) -> tuple[Event | None, bool]:
        """What the user is told of an event, and whether it ends the turn.

        Raises:
            ParleyError: upstream-truncated, when the turn was not to end yet.
        """
        match event:
            case contract.Delta(text):
                return translation.delta(text, self.item), False
            case contract.Done(text, usage):
                if not self.is_awaited:
                    raise ParleyError("upstream-truncated")
                self._state = _State.NONE
                return translation.done(text, usage, self.item), True
            case contract.Failed(parley_code="turn-failed"):
                # What is left of its input the server passes over.
                self._is_given_up = True
                if self.is_awaited:
                    self._state = _State.NONE
                return None, True
            case _:
                # Newer servers may say more than is known here.
                return None, False
