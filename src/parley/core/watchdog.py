"""How long a leg may keep its session waiting."""

from parley.core.content import SAMPLE_RATE
from parley.core.errors import ParleyError
from parley.core.feed import STALL_LAG_SAMPLES
from parley.core.leg import Leg, LegState
from parley.core.limits import SessionLimits

_FIRST_DELTA_SAMPLES = int(0.7 * SAMPLE_RATE)
"""Audio after which a first delta is due: 562.5 ms on Voxtral (measured), and a margin."""


class Watchdog:
    """Watches legs. Where deltas are no clock (`is_paced` False), silence within a turn says nothing."""

    __slots__ = ("_is_paced", "_limits")

    def __init__(self, limits: SessionLimits, *, is_paced: bool) -> None:
        self._limits = limits
        self._is_paced = is_paced

    def deadline(self, leg: Leg) -> float | None:
        """When the leg should have moved; None when it owes nothing."""
        limits = self._limits
        match leg.state:
            case LegState.READY:
                return None
            case LegState.CONNECTING:
                # The wait for a stream has a bound of its own, where there are streams to be had.
                return None if leg.is_queued else leg.progress_at + limits.connect_timeout_s
            case LegState.FLUSHING:
                return leg.progress_at + limits.flush_timeout_s
        if not self._is_paced and not leg.blocked:
            # Deltas that are no clock can't tell a stall; a connection that takes nothing more can.
            return None
        return leg.progress_at + (limits.stall_timeout_s if leg.deltas else limits.first_delta_timeout_s)

    def bite(self, leg: Leg, now: float) -> ParleyError | None:
        """What is wrong with the leg at this time; None when nothing is."""
        deadline = self.deadline(leg)
        if deadline is None or now < deadline:
            return None
        if leg.state is LegState.CONNECTING:
            return ParleyError("upstream-unavailable", "It did not accept the connection in time.")
        if leg.state is LegState.RUNNING:
            due = STALL_LAG_SAMPLES if leg.deltas else _FIRST_DELTA_SAMPLES
            assert leg.turn is not None, "a leg runs a turn"
            if leg.lag_samples < due and not (leg.blocked and leg.piece < leg.turn.journal.next):
                # It is not the model's turn: it has had all there is, or all that it was given.
                leg.progress_at = now
                return None
        return ParleyError("upstream-stalled", f"It was silent for {now - leg.progress_at:.0f} s.")
