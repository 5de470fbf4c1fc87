"""What a lost leg leaves behind: its turn, as far as it had come, until another leg has caught up."""

import math

from parley.core.errors import ParleyError
from parley.core.leg import Leg, LegState
from parley.core.legs import Legs
from parley.core.limits import SessionLimits
from parley.core.notices import Intervals, Outcome, Recovered, Recovering
from parley.core.outlet import Outlet
from parley.core.recovery import Recovery
from parley.core.snapshot import RecoveryState
from parley.core.turns import Turn


class Losses:
    """The loss that is being repaired, `recovery`, if there is one; and the intervals on the session's cursor that were
    decoded again and lost until now, `restored` and `missed`, which the session empties. `restored_samples` and
    `missed_samples` are how much that was since the session began.
    """

    __slots__ = (
        "_jitter",
        "_legs",
        "_outlet",
        "_timeout_s",
        "missed",
        "missed_samples",
        "recovery",
        "restored",
        "restored_samples",
    )

    def __init__(self, limits: SessionLimits, legs: Legs, outlet: Outlet, *, jitter: float) -> None:
        self._timeout_s = limits.recovery_timeout_s
        self._legs = legs
        self._outlet = outlet
        self._jitter = jitter
        self.recovery: Recovery | None = None
        self.restored: list[tuple[int, int]] = []
        self.missed: list[tuple[int, int]] = []
        self.restored_samples = 0
        self.missed_samples = 0

    def begin(self, leg: Leg, turn: Turn, error: ParleyError, now: float, *, is_told: bool = True) -> Recovery:
        """A leg is lost, perhaps not the first. A loss that is not told is one that was meant: the client hears of it
        only if it does not go well."""
        recovery = self.recovery
        if recovery is None:
            deadline = now + self._timeout_s
            recovery = Recovery(turn, leg.consumed, error, deadline=deadline, jitter=self._jitter)
            if leg.state is LegState.CONNECTING:
                # It takes nobody's place, so it has none to ask for.
                recovery.purpose = leg.purpose
            self.recovery = recovery
        else:
            recovery.failed(error, leg.consumed)
        if is_told and not recovery.is_told:
            recovery.is_told = True
            self._outlet.notice(Recovering(recovery.error.code))
        return recovery

    def retry(self, now: float) -> None:
        """Ask for another leg if it is time to."""
        recovery = self.recovery
        if recovery is not None and recovery.retry_at is not None and now >= recovery.retry_at:
            recovery.retry_at = None
            self._legs.open(now, recovery.purpose)

    def look(self, leg: Leg) -> None:
        """Whether the leg that replays has caught up."""
        is_joined = leg.rejoin is None or leg.rejoin.is_overdue(leg.spoken)
        if is_joined and (self.recovery is None or leg.consumed >= self.recovery.position):
            leg.is_replaying = False
            self.repaired()

    def repaired(self) -> None:
        """Another leg has caught up, or the turn has ended."""
        recovery, self.recovery = self.recovery, None
        if recovery is None:
            return
        if not recovery.is_told:
            if not recovery.lost:
                return
            self._outlet.notice(Recovering(recovery.error.code))
        outcome = Outcome.RESTARTED if recovery.lost else Outcome.REHYDRATED if recovery.replayed else Outcome.RESUMED
        self.restored += recovery.replayed
        self.missed += recovery.lost
        self.restored_samples += _samples(recovery.replayed)
        self.missed_samples += _samples(recovery.lost)
        self._outlet.notice(Recovered(outcome, recovery.replayed, recovery.lost))

    def forget(self) -> None:
        """The client knows what was decoded again and lost until now."""
        self.restored.clear()
        self.missed.clear()

    # ---- another server

    def leave(self, leg: Leg | None) -> None:
        """The session is about to go on elsewhere: its leg counts as lost, and none is asked for."""
        if leg is not None and leg.is_at_work:
            assert leg.turn is not None, "a leg at work has a turn"
            error = ParleyError("moved") if self.recovery is None else self.recovery.error
            self.begin(leg, leg.turn, error, math.inf)
        if self.recovery is not None:
            self.recovery.hold()

    def stay(self, now: float) -> None:
        """The session goes on here."""
        recovery = self.recovery
        if recovery is not None:
            recovery.deadline = now + self._timeout_s
            recovery.schedule(now)
            self.retry(now)

    def restore(self, state: RecoveryState, turn: Turn, base: int) -> None:
        """Go on with what was lost elsewhere; the next leg begins at `base`. What will be replayed is in `restored` and
        `missed` from now on, so that the client is told of it first."""
        self.recovery = Recovery.restored(state, turn, jitter=self._jitter)
        said = max(turn.replay_point, turn.transcript.last_position)
        if base < state.position:
            self.restored.append(turn.interval(base, state.position))
        if base > said:
            self.missed.append(turn.interval(said, base))


def _samples(intervals: Intervals) -> int:
    return sum(end - begin for begin, end in intervals)
