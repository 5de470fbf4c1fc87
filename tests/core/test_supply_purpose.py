"""Legs that come and go on purpose, as far as the supply sees to it; `test_parking` and `test_relief` have the rest."""

import pytest

from parley.core import events as ev
from parley.core.effects import CloseLeg, Effect, LegPurpose, OpenLeg
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.outlet import Outlet
from parley.core.profile import VOXTRAL
from parley.core.snapshot import RecoveryState
from parley.core.supply import Supply
from parley.core.turns import TurnQueue

from .builders import FRAME, SECOND, deltas, done, fails, flushing, pcm, ready, running

IDLE = SessionLimits(idle_release_s=2.0)


def supply(turns: TurnQueue, out: list[Effect]) -> Supply:
    return Supply(IDLE, VOXTRAL, turns, Outlet(IDLE, out), out, jitter=0.0, context_s=0.0)


def test_a_leg_between_turns_goes_when_it_is_idle_and_not_before() -> None:
    driven = ready(IDLE)
    assert driven.at(1.0, ev.TimerFired()) == []
    assert driven.fire() == [CloseLeg(1)]
    assert driven.session.is_parked


def test_a_leg_whose_silence_is_one_goes() -> None:
    driven = running(IDLE, pcm(FRAME))
    for number in range(1, 40):
        driven(ev.AudioReceived(pcm(FRAME, number * FRAME)))
    driven(*deltas(31))
    assert driven(ev.SpeechMeasured(0, 0)) == [CloseLeg(1)]
    driven(ev.AudioReceived(pcm(SECOND, 40 * FRAME)))
    assert driven(ev.SpeechMeasured(0, SECOND)) == [OpenLeg(2, LegPurpose.RETURN)]


def test_a_leg_that_is_to_go_goes_after_its_turn() -> None:
    driven = flushing()
    driven(ev.RotationAsked(1))
    assert CloseLeg(1) in driven(*done())


def test_without_room_for_a_successor_the_leg_makes_room_in_a_pause() -> None:
    driven = running(first=pcm(3 * SECOND))
    driven(ev.RotationAsked(1, 9.0), *deltas(12))
    assert driven(fails(2, ParleyError("at-capacity")))[:2] == [CloseLeg(2), CloseLeg(1)]


def test_when_its_time_has_come_a_leg_is_succeeded_without_a_pause() -> None:
    driven = running(first=pcm(3 * SECOND))
    driven(ev.RotationAsked(1, 1.0))
    assert driven.fire() == [OpenLeg(2, LegPurpose.SUCCESSOR)]


def test_a_supply_leaves_and_stays() -> None:
    turns, out = TurnQueue(), list[Effect]()
    one = supply(turns, out)
    one.legs.open(0.0)
    one.leave()
    assert out == [OpenLeg(1), CloseLeg(1)]
    turns.hold(turns.add(0, started=True), pcm(SECOND))
    one.stay(0.0)
    assert out[2:] == [OpenLeg(2, LegPurpose.RETURN)]


def test_what_was_learnt_and_lost_goes_along() -> None:
    turns, out = TurnQueue(), list[Effect]()
    turns.keep(turns.add(0, started=True), pcm(SECOND))
    one = supply(turns, out)
    one.restore(RecoveryState(8_000, "moved"), counts_otherwise=True, mutes=2)
    assert one.learnt() == (True, 2)
    assert one.losses.recovery is not None
    assert not one.is_parked


def test_a_loss_without_a_turn_is_none_to_go_on_with() -> None:
    with pytest.raises(ValueError, match="there is no turn to be recovered"):
        supply(TurnQueue(), []).restore(RecoveryState(8_000, "moved"), counts_otherwise=None, mutes=0)


def test_a_session_that_was_parked_elsewhere_is_parked_here() -> None:
    turns, out = TurnQueue(), list[Effect]()
    turns.keep(turns.add(0, started=True), pcm(SECOND))
    one = supply(turns, out)
    one.restore(None, counts_otherwise=None, mutes=0)
    one.stay(0.0)
    assert (one.is_parked, out) == (True, [])


def test_the_measure_of_a_leg_that_is_gone_changes_nothing() -> None:
    assert running()(ev.SpeechMeasured(7, 0)) == []


def test_a_rotation_asked_for_changes_nothing_at_once() -> None:
    assert running()(ev.RotationAsked()) == []
