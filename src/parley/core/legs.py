"""The legs of a session: one at work, and sometimes another that is to succeed it."""

from collections.abc import Iterator

from parley.core.effects import CloseLeg, Effect, LegPurpose, OpenLeg
from parley.core.invariants import Invariant
from parley.core.leg import Leg, LegState
from parley.core.profile import ModelProfile
from parley.core.turns import Turn


class Legs:
    """Opens legs and closes them. Effects are appended to `out`.

    `at_work` serves the oldest turn; `successor` says the same again, unseen, until it takes over.
    """

    __slots__ = ("_count", "_out", "_profile", "at_work", "successor")

    def __init__(self, profile: ModelProfile, out: list[Effect]) -> None:
        self._profile = profile
        self._out = out
        self._count = 0
        self.at_work: Leg | None = None
        self.successor: Leg | None = None

    def find(self, leg_id: int) -> Leg | None:
        """The leg of this number, if it is still wanted."""
        for leg in (self.at_work, self.successor):
            if leg is not None and leg.id == leg_id:
                return leg
        return None

    @property
    def is_queued(self) -> bool:
        """Whether the leg that is to work waits for a stream."""
        return self.at_work is not None and self.at_work.is_queued

    def queued(self, leg_id: int) -> bool:
        """A leg waits for a stream; nobody else can be asked for one sooner. Whether the leg is to work."""
        leg = self.find(leg_id)
        if leg is not None:
            leg.is_queued = True
        return leg is not None and leg is self.at_work

    def admitted(self, leg_id: int, now: float) -> None:
        """A leg has its stream, and is being connected from now on."""
        leg = self.find(leg_id)
        if leg is not None:
            leg.is_queued = False
            leg.progress_at = now

    def open(self, now: float, purpose: LegPurpose = LegPurpose.NEW) -> None:
        """Ask for a leg to work on."""
        self.at_work = self._connect(now, purpose)

    def open_successor(self, now: float) -> None:
        """Ask for one that is to succeed the leg at work."""
        self.successor = self._connect(now, LegPurpose.SUCCESSOR)

    def _connect(self, now: float, purpose: LegPurpose) -> Leg:
        self._count += 1
        self._out.append(OpenLeg(self._count, purpose))
        return Leg(self._count, self._profile, now, purpose)

    def __len__(self) -> int:
        return (self.at_work is not None) + (self.successor is not None)

    def drop(self) -> None:
        """Nothing more is wanted of the leg at work."""
        if self.at_work is not None:
            self._out.append(CloseLeg(self.at_work.id))
            self.at_work = None

    def drop_successor(self) -> None:
        """Nothing more is wanted of the successor."""
        if self.successor is not None:
            self._out.append(CloseLeg(self.successor.id))
            self.successor = None

    def succeed(self) -> None:
        """The successor takes over."""
        self.drop()
        self.at_work, self.successor = self.successor, None

    def close(self) -> None:
        """Nothing more is wanted of any."""
        self.drop_successor()
        self.drop()

    def invariants(self, head: Turn | None) -> Iterator[Invariant]:
        """What holds of them; `head` is the oldest turn."""
        leg, successor = self.at_work, self.successor
        for each in (leg, successor):
            if each is None or not each.is_at_work:
                continue
            yield head is not None and each.turn is head, "legs work on the oldest turn"
            assert head is not None, "that was just said"
            is_flushing = each.state is LegState.FLUSHING
            yield head.started, "a leg works on a started turn"
            yield each.lag_samples >= 0, "the model consumes no more than it was sent"
            yield each.piece >= head.journal.first, "what a leg still has to be sent is kept"
            yield head.closed or not is_flushing, "only a complete turn is flushed"
            yield each.piece == head.journal.next or not is_flushing, "a flushed turn has been sent"
        yield successor is None or leg is not None, "a successor succeeds somebody"
