"""Commits the faults of a `FaultPlan`, each once."""

from enum import Enum, auto

from parley.engine.options import FaultPlan


class Fault(Enum):
    """What befalls the session that has just sent a delta."""

    DIE = auto()
    DONE = auto()
    MUTE = auto()
    STALL = auto()
    ERROR = auto()


class FaultClock:
    """Counts the process's deltas and says when a fault is due."""

    def __init__(self, plan: FaultPlan) -> None:
        self._deltas = 0
        planned = (
            (plan.die_after_deltas, Fault.DIE),
            (plan.done_after_deltas, Fault.DONE),
            (plan.mute_after_deltas, Fault.MUTE),
            (plan.stall_after_deltas, Fault.STALL),
            (plan.error_after_deltas, Fault.ERROR),
        )
        self._due = {count: fault for count, fault in planned if count is not None}

    def count_delta(self) -> Fault | None:
        """Count a delta sent. Returns the fault that is due at it."""
        self._deltas += 1
        return self._due.get(self._deltas) if self._due else None
