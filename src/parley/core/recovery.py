"""The loss of a leg, from the loss until another has caught up."""

import math

from parley.core.effects import LegPurpose
from parley.core.errors import ParleyError
from parley.core.snapshot import RecoveryState
from parley.core.turns import Turn

_FIRST_DELAY_S = 0.05
_DELAY_MAX_S = 1.0


class Recovery:
    """One loss: which turn it hit, how far the lost leg had come, and when the next attempt is due.

    `position` is what the new leg has to reach, in samples of the turn. `jitter` in [0, 1) spreads the attempts of many
    sessions that lost the same server. Legs are asked for with `purpose`; `is_told` says that the client knows.
    """

    __slots__ = (
        "_delay_s",
        "_jitter",
        "_lost",
        "_replayed_from",
        "deadline",
        "error",
        "had_leg",
        "is_told",
        "position",
        "purpose",
        "retry_at",
        "turn",
    )

    def __init__(self, turn: Turn, position: int, error: ParleyError, *, deadline: float, jitter: float) -> None:
        self.turn = turn
        self.position = position
        self.error = error
        self.deadline = deadline
        self.retry_at: float | None = None
        self.had_leg = False
        self.is_told = False
        self.purpose = LegPurpose.RECOVERY
        self._replayed_from: int | None = None
        self._lost: list[tuple[int, int]] = []
        self._jitter = jitter
        self._delay_s = 0.0

    def schedule(self, now: float) -> None:
        """Set when to try next: at once, then after 50 ms, doubling to 1 s, each shortened by up to half."""
        self.retry_at = now + self._delay_s * (1 - self._jitter / 2)
        self._delay_s = min(_DELAY_MAX_S, max(_FIRST_DELAY_S, self._delay_s * 2))

    def failed(self, error: ParleyError, position: int) -> None:
        """Another leg was lost before it had caught up."""
        self.error = error
        self.position = max(self.position, position)

    @property
    def replayed(self) -> tuple[tuple[int, int], ...]:
        """The interval that was decoded again, on the session's cursor; none when there was nothing yet."""
        base = self._replayed_from
        return () if base is None or base >= self.position else (self.turn.interval(base, self.position),)

    @property
    def lost(self) -> tuple[tuple[int, int], ...]:
        """The intervals whose words may be missing, on the session's cursor."""
        return tuple(self._lost)

    def began(self, base: int, said: int) -> None:
        """A leg replays from `base`; the words up to `said` have been said, so what is between them is lost."""
        self.had_leg = True
        self.purpose = LegPurpose.RECOVERY
        self.retry_at = None
        self._replayed_from = base if self._replayed_from is None else min(base, self._replayed_from)
        if base > said:
            self._lost.append(self.turn.interval(said, base))

    def hold(self) -> None:
        """Nothing is tried until `schedule` is called again, however long that takes."""
        self.retry_at = self.deadline = math.inf

    def state(self) -> RecoveryState:
        """How far it has come, as data."""
        base = -1 if self._replayed_from is None else self._replayed_from
        return RecoveryState(self.position, self.error.code, self.error.detail, self.had_leg, base, self.lost)

    @classmethod
    def restored(cls, state: RecoveryState, turn: Turn, *, jitter: float) -> "Recovery":
        """Go on with another one; nothing is tried yet."""
        error = ParleyError(state.code, state.detail)
        recovery = cls(turn, state.position, error, deadline=math.inf, jitter=jitter)
        recovery.had_leg = state.had_leg
        recovery.purpose, recovery.is_told = LegPurpose.RETURN, True
        recovery._replayed_from = None if state.replayed_from < 0 else state.replayed_from
        recovery._lost = list(state.lost)
        recovery.hold()
        return recovery
