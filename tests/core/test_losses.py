"""The loss of a leg: what is asked for, what the client is told, and what it may ask for later."""

import pytest

from parley.core.effects import Effect, LegPurpose, OpenLeg, SendNotice
from parley.core.errors import ParleyError
from parley.core.leg import Leg
from parley.core.legs import Legs
from parley.core.limits import SessionLimits
from parley.core.losses import Losses
from parley.core.notices import Outcome, Recovered, Recovering
from parley.core.outlet import Outlet
from parley.core.profile import VOXTRAL
from parley.core.snapshot import RecoveryState
from parley.core.turns import Turn, TurnQueue

from .builders import CLOSED, NO_WORDS, SECOND, pcm

LIMITS = SessionLimits(recovery_timeout_s=60.0)


class Bench:
    """A turn of 3 s on a leg that has consumed a second of it."""

    def __init__(self) -> None:
        self.done: list[Effect] = []
        self.turns = TurnQueue()
        self.turn: Turn = self.turns.add(100, started=True)
        self.turns.keep(self.turn, pcm(3 * SECOND))
        outlet = Outlet(LIMITS, self.done)
        outlet.begin_numbers()
        self.legs = Legs(VOXTRAL, self.done)
        self.losses = Losses(LIMITS, self.legs, outlet, jitter=0.0)
        self.leg = self.opened()

    def opened(self, *, frames: int = 6) -> Leg:
        self.legs.open(0.0)
        leg = self.legs.at_work
        assert leg is not None
        leg.start(self.turn, 0, 0.0)
        leg.sent(3 * SECOND, 0, 0.0)
        for _ in range(frames):
            leg.moved(NO_WORDS, 0.0)
        return leg

    @property
    def notices(self) -> list[object]:
        return [effect.notice for effect in self.done if isinstance(effect, SendNotice)]

    @property
    def purposes(self) -> list[LegPurpose]:
        return [effect.purpose for effect in self.done if isinstance(effect, OpenLeg)]


def test_a_loss_is_told_once_and_another_leg_is_asked_for_when_it_is_time() -> None:
    bench = Bench()
    recovery = bench.losses.begin(bench.leg, bench.turn, CLOSED, 5.0)
    bench.losses.begin(bench.leg, bench.turn, ParleyError("upstream-error"), 6.0)
    assert bench.notices == [Recovering("upstream-closed")]
    recovery.retry_at = 8.0
    bench.losses.retry(7.9)
    assert len(bench.purposes) == 1
    bench.losses.retry(8.0)
    assert bench.purposes[1:] == [LegPurpose.RECOVERY]
    bench.losses.retry(9.0)
    assert len(bench.purposes) == 2
    assert recovery.deadline == 65.0


def test_without_a_loss_nothing_is_asked_for_or_told() -> None:
    bench = Bench()
    bench.losses.retry(9.0)
    bench.losses.repaired()
    assert (len(bench.purposes), bench.notices) == (1, [])


def test_a_leg_that_never_opened_is_asked_for_again_as_what_it_was() -> None:
    bench = Bench()
    bench.legs.open(0.0, LegPurpose.RETURN)
    leg = bench.legs.at_work
    assert leg is not None
    bench.losses.begin(leg, bench.turn, CLOSED, 0.0).schedule(0.0)
    bench.losses.retry(0.0)
    assert bench.purposes[-1] is LegPurpose.RETURN


def test_a_loss_is_repaired_when_another_leg_has_come_as_far() -> None:
    bench = Bench()
    bench.losses.begin(bench.leg, bench.turn, CLOSED, 0.0).began(0, 0)
    behind = bench.opened(frames=5)
    behind.is_replaying = True
    bench.losses.look(behind)
    assert not bench.losses.restored
    behind.moved(NO_WORDS, 0.0)
    bench.losses.look(behind)
    assert not behind.is_replaying
    interval = (100, 100 + bench.leg.consumed)
    assert bench.notices[1:] == [Recovered(Outcome.REHYDRATED, (interval,), ())]
    assert (bench.losses.restored, bench.losses.missed) == ([interval], [])
    bench.losses.forget()
    assert bench.losses.restored == []


def test_a_loss_before_anything_was_heard_is_told_as_such() -> None:
    bench = Bench()
    leg = bench.opened(frames=0)
    bench.losses.begin(leg, bench.turn, CLOSED, 0.0)
    bench.losses.repaired()
    assert bench.notices[1:] == [Recovered(Outcome.RESUMED, (), ())]


@pytest.mark.parametrize(("base", "told"), [(0, []), (1_280, [Recovering, Recovered])])
def test_a_loss_that_was_meant_is_told_only_if_something_is_missing(base: int, told: list[type]) -> None:
    bench = Bench()
    bench.losses.begin(bench.leg, bench.turn, CLOSED, 0.0, is_told=False).began(base, 0)
    bench.losses.repaired()
    assert [type(notice) for notice in bench.notices] == told
    assert bench.losses.missed == ([(100, 100 + base)] if base else [])


# ---- another server


def test_a_session_that_leaves_counts_its_leg_as_lost() -> None:
    bench = Bench()
    bench.losses.leave(bench.leg)
    assert bench.notices == [Recovering("moved")]
    bench.losses.retry(1e9)
    assert len(bench.purposes) == 1


def test_one_that_leaves_while_it_recovers_keeps_the_reason() -> None:
    bench = Bench()
    bench.losses.begin(bench.leg, bench.turn, CLOSED, 0.0)
    bench.losses.leave(bench.leg)
    assert bench.losses.recovery is not None
    assert bench.losses.recovery.error.code == "upstream-closed"


def test_one_without_a_leg_leaves_nothing_behind() -> None:
    bench = Bench()
    bench.losses.leave(None)
    bench.losses.stay(0.0)
    assert bench.losses.recovery is None


def test_one_that_stays_looks_for_a_leg_again() -> None:
    bench = Bench()
    bench.losses.leave(bench.leg)
    bench.losses.stay(7.0)
    assert bench.losses.recovery is not None
    assert bench.losses.recovery.deadline == 67.0
    assert bench.purposes[1:] == [LegPurpose.RECOVERY]


@pytest.mark.parametrize(
    ("base", "restored", "missed"),
    [(0, [(100, 8_100)], []), (1_280, [(1_380, 8_100)], [(100, 1_380)]), (8_000, [], [(100, 8_100)])],
)
def test_what_was_lost_elsewhere_is_known_before_it_is_replayed(
    base: int, restored: list[tuple[int, int]], missed: list[tuple[int, int]]
) -> None:
    bench = Bench()
    bench.losses.restore(RecoveryState(8_000, "moved"), bench.turn, base)
    assert (bench.losses.restored, bench.losses.missed) == (restored, missed)
    bench.losses.stay(0.0)
    assert bench.purposes[-1] is LegPurpose.RETURN
