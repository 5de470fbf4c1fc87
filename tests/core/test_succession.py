"""A leg that is to succeed another: when it is asked for, and when it takes over."""

import pytest

from parley.core.content import Text
from parley.core.effects import CloseLeg, Effect, LegPurpose, OpenLeg
from parley.core.leg import Leg
from parley.core.legs import Legs
from parley.core.limits import SessionLimits
from parley.core.narration import Narration
from parley.core.outlet import Outlet
from parley.core.profile import VOXTRAL
from parley.core.rejoin import Rejoin
from parley.core.rotation import Rotation
from parley.core.succession import Succession
from parley.core.turns import TurnQueue

from .builders import FRAME, NO_WORDS, SECOND, pcm

LIMITS = SessionLimits()


class Bench:
    """A leg that has answered ten frames of 3 s of audio."""

    def __init__(self) -> None:
        self.done: list[Effect] = []
        self.turns = TurnQueue()
        self.turn = self.turns.add(0, started=True)
        self.turns.keep(self.turn, pcm(3 * SECOND))
        outlet = Outlet(LIMITS, self.done)
        self.legs = Legs(VOXTRAL, self.done)
        self.rotation = Rotation(LIMITS, VOXTRAL, context_s=0.0)
        narration = Narration(outlet, VOXTRAL, forwards_empty=False)
        self.succession = Succession(VOXTRAL, self.legs, self.rotation, narration)
        self.legs.open(0.0)
        assert self.legs.at_work is not None
        self.old = self.begun(self.legs.at_work, 10)

    def begun(self, leg: Leg, frames: int) -> Leg:
        leg.start(self.turn, 0, 0.0)
        leg.sent(3 * SECOND, 0, 0.0)
        for _ in range(frames):
            leg.moved(NO_WORDS, 0.0)
        return leg

    def successor(self, frames: int = 0) -> Leg:
        self.legs.open_successor(0.0)
        assert self.legs.successor is not None
        return self.begun(self.legs.successor, frames)


def test_a_successor_is_asked_for_when_it_is_due_and_once() -> None:
    bench = Bench()
    bench.succession.look(bench.old, 0.0)
    assert bench.legs.successor is None
    bench.rotation.ask(0.0)
    bench.rotation.look(0.0)
    bench.succession.look(bench.old, 0.0)
    bench.succession.look(bench.old, 0.0)
    assert bench.done[1:] == [OpenLeg(2, LegPurpose.SUCCESSOR)]


def test_a_leg_that_says_something_again_is_not_succeeded() -> None:
    bench = Bench()
    bench.old.is_replaying = True
    bench.rotation.ask(0.0)
    bench.rotation.look(0.0)
    bench.succession.look(bench.old, 0.0)
    assert bench.legs.successor is None


@pytest.mark.parametrize(("point", "can_begin"), [(10 * FRAME, True), (10 * FRAME + 1, False)])
def test_a_successor_begins_where_nothing_is_left_out(point: int, can_begin: bool) -> None:
    bench = Bench()
    bench.turn.replay_point = point
    assert bench.succession.can_begin(bench.turn) is can_begin


def test_with_a_backlog_the_old_leg_is_held_back_until_its_successor_is_there() -> None:
    bench = Bench()
    assert not bench.succession.holds_back(bench.old, bench.turn)
    successor = bench.successor(frames=9)
    assert not bench.succession.holds_back(bench.old, bench.turn)
    bench.turns.hold(bench.turn, pcm(2 * SECOND))
    assert bench.succession.holds_back(bench.old, bench.turn)
    successor.moved(NO_WORDS, 0.0)
    assert not bench.succession.holds_back(bench.old, bench.turn)


def test_a_successor_takes_over_when_it_has_caught_up() -> None:
    bench = Bench()
    successor = bench.successor(frames=9)
    bench.succession.moved(successor, bench.turn, NO_WORDS)
    assert bench.legs.at_work is bench.old
    successor.moved(NO_WORDS, 0.0)
    bench.succession.moved(successor, bench.turn, NO_WORDS)
    assert (bench.legs.at_work, bench.legs.successor) == (successor, None)
    assert bench.done[-1] == CloseLeg(1)


def test_a_successor_that_has_less_to_say_is_dropped_after_a_while() -> None:
    bench = Bench()
    successor = bench.successor(frames=10)
    successor.rejoin = Rejoin(late_samples=FRAME, patience_samples=FRAME)
    successor.rejoin.expect(40 * FRAME, Text.of(" one"))
    for _ in range(VOXTRAL.settle_frames):
        bench.succession.moved(successor, bench.turn, NO_WORDS)
    assert bench.legs.successor is successor
    bench.succession.moved(successor, bench.turn, NO_WORDS)
    assert bench.done[-1] == CloseLeg(2)
