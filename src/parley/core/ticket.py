"""What is applied for on a node: a place for a session, and a stream for each leg."""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum

from parley.core.effects import LegPurpose
from parley.core.errors import ParleyError
from parley.core.tenant import PRIORITY_MAX, Tenant

RANKS = LegPurpose.NEW + PRIORITY_MAX + 1
"""How many ranks there are: those of living sessions, and one for each priority of new ones."""


@dataclass(eq=False, slots=True)
class Place:
    """What one session holds from its first stream to its end, once it has it."""

    tenant: Tenant
    model: str
    is_held: bool = False

    @property
    def rank(self) -> int:
        """Of its session while that is new: the higher its tenant's priority, the sooner it is served."""
        return LegPurpose.NEW + PRIORITY_MAX - self.tenant.priority


class TicketState(Enum):
    """How far a leg's application is."""

    WAITING = "waiting"
    PROMISED = "promised"
    OPENING = "opening"
    OVER = "over"


@dataclass(eq=False, slots=True)
class Ticket[P: Hashable]:
    """A leg's application for a stream of a pool, and for its session's place if that has none.

    `position`, from 1, counts those who wait for the same pool and come before it; it is as of the last count.
    `refusal` is set when it has waited in vain.
    """

    place: Place
    pool: P
    rank: int
    expires_at: float
    is_new: bool
    arrival: int = 0
    state: TicketState = TicketState.WAITING
    is_counted_by_pool: bool = False
    position: int = 0
    refusal: ParleyError | None = None
