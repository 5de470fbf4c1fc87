import pytest

from parley.core.effects import CloseLeg, Effect, LegPurpose, OpenLeg
from parley.core.invariants import check
from parley.core.leg import Leg, LegState
from parley.core.legs import Legs
from parley.core.profile import VOXTRAL
from parley.core.turns import TurnQueue

from .builders import SECOND, pcm


class Bench:
    """Legs, and what they have had done."""

    def __init__(self) -> None:
        self.done: list[Effect] = []
        self.legs = Legs(VOXTRAL, self.done)

    def opened(self) -> Leg:
        self.legs.open(0.0)
        assert self.legs.at_work is not None
        return self.legs.at_work

    def succeeded(self) -> Leg:
        self.legs.open_successor(0.0)
        assert self.legs.successor is not None
        return self.legs.successor


def test_legs_are_numbered_in_the_order_in_which_they_are_asked_for() -> None:
    bench = Bench()
    assert (bench.opened().id, bench.succeeded().id) == (1, 2)
    assert bench.done == [OpenLeg(1, LegPurpose.NEW), OpenLeg(2, LegPurpose.SUCCESSOR)]


def test_a_leg_is_found_for_as_long_as_it_is_wanted() -> None:
    bench = Bench()
    first, second = bench.opened(), bench.succeeded()
    found = [bench.legs.find(number) for number in (1, 2, 3)]
    bench.legs.drop_successor()
    assert found == [first, second, None]
    assert bench.legs.find(2) is None


def test_a_successor_takes_the_place_of_the_leg_at_work_which_is_closed() -> None:
    bench = Bench()
    bench.opened()
    second = bench.succeeded()
    bench.legs.succeed()
    assert (bench.legs.at_work, bench.legs.successor) == (second, None)
    assert bench.done[-1] == CloseLeg(1)


def test_a_successor_takes_the_place_of_a_leg_that_is_gone() -> None:
    bench = Bench()
    bench.opened()
    bench.succeeded()
    bench.legs.drop()
    bench.legs.succeed()
    assert bench.done[2:] == [CloseLeg(1)]


def test_in_the_end_both_are_closed() -> None:
    bench = Bench()
    bench.opened()
    bench.succeeded()
    bench.legs.close()
    assert bench.done[2:] == [CloseLeg(2), CloseLeg(1)]


def test_where_there_is_none_nothing_is_closed() -> None:
    bench = Bench()
    bench.legs.close()
    assert not bench.done


# ---- invariants


def test_legs_in_order_pass_their_check() -> None:
    bench, queue = Bench(), TurnQueue()
    turn = queue.add(0, started=True)
    queue.keep(turn, pcm(SECOND))
    leg = bench.opened()
    check(bench.legs.invariants(turn))
    leg.start(turn, 0, 0.0)
    leg.sent(SECOND, 0, 0.0)
    turn.closed = True
    leg.state = LegState.FLUSHING
    check(bench.legs.invariants(turn))


def test_a_leg_at_work_without_a_turn_does_not_pass() -> None:
    bench = Bench()
    bench.opened().state = LegState.RUNNING
    with pytest.raises(AssertionError, match="legs work on the oldest turn"):
        check(bench.legs.invariants(None))


def test_a_successor_without_anybody_to_succeed_does_not_pass() -> None:
    bench = Bench()
    bench.succeeded()
    with pytest.raises(AssertionError, match="succeeds somebody"):
        check(bench.legs.invariants(None))


# ---- the queue


def test_a_leg_waits_for_its_stream_until_it_is_admitted() -> None:
    bench = Bench()
    states = [bench.legs.is_queued]
    leg = bench.opened()
    assert bench.legs.queued(1)
    states.append(bench.legs.is_queued)
    bench.legs.admitted(1, 7.0)
    assert [*states, bench.legs.is_queued] == [False, True, False]
    assert leg.progress_at == 7.0


def test_nobody_waits_for_a_leg_that_is_gone_or_only_to_succeed() -> None:
    bench = Bench()
    bench.opened()
    bench.succeeded()
    assert [bench.legs.queued(number) for number in (2, 3)] == [False, False]
    bench.legs.admitted(3, 7.0)
    assert not bench.legs.is_queued


def test_both_are_counted() -> None:
    bench = Bench()
    counts = [len(bench.legs)]
    bench.opened()
    counts.append(len(bench.legs))
    bench.succeeded()
    assert [*counts, len(bench.legs)] == [0, 1, 2]
