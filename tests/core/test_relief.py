"""Legs that are given up while they work: an operator relieves their server, or there is no room for a successor."""

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import (
    CloseLeg,
    LegPurpose,
    OpenLeg,
    SendDelta,
    SendNotice,
)
from parley.core.errors import ParleyError
from parley.core.legs import Legs
from parley.core.limits import SessionLimits
from parley.core.losses import Losses
from parley.core.narration import Narration
from parley.core.notices import Recovered, Recovering
from parley.core.outlet import Outlet
from parley.core.profile import QWEN3_ASR, VOXTRAL
from parley.core.relief import Relief
from parley.core.rotation import Rotation
from parley.core.succession import Succession

from .builders import (
    FRAME,
    SECOND,
    Driven,
    deltas,
    done,
    fails,
    flushing,
    legs,
    pcm,
    ready,
    running,
    says,
    told,
    transcribed,
    turn,
)

FULL = ParleyError("at-capacity", retry_after_s=1.0)
SUCCESSOR = OpenLeg(2, LegPurpose.SUCCESSOR)
UNSEEN = [CloseLeg(2), CloseLeg(1), OpenLeg(3, LegPurpose.RECOVERY)]


def talking(*, is_opted_in: bool = False, limits: SessionLimits | None = None) -> Driven:
    """A model that has said a word and goes on with its turn."""
    driven = running(limits, pcm(3 * SECOND), is_opted_in=is_opted_in)
    driven(*deltas(4), says(" one"))
    return driven


# ---- when


def test_a_leg_that_is_to_go_is_succeeded_at_its_next_pause() -> None:
    driven = talking()
    assert legs(driven(ev.RotationAsked(1, 50.0), *deltas(11))) == []
    assert legs(driven(*deltas(1))) == [SUCCESSOR]


def test_from_a_time_on_no_pause_is_waited_for() -> None:
    driven = talking()
    driven(ev.RotationAsked(1, 4.0))
    assert driven.session.next_deadline() == 4.0
    assert driven.fire() == [SUCCESSOR]
    assert driven.session.next_deadline() == driven.now + 5.0


def test_a_time_that_has_come_already_is_now() -> None:
    assert talking()(ev.RotationAsked(1, 0.0)) == [SUCCESSOR]


def test_a_pause_that_the_leg_is_in_will_do() -> None:
    driven = talking()
    driven(*deltas(12))
    assert driven(ev.RotationAsked(0)) == [SUCCESSOR]


def test_who_is_asked_again_tries_again() -> None:
    driven = talking()
    driven(ev.RotationAsked(1, 0.0), fails(2))
    assert driven(ev.RotationAsked(1, 0.0)) == [OpenLeg(3, LegPurpose.SUCCESSOR)]


def test_who_has_been_asked_is_not_asked_for_another_successor() -> None:
    driven = talking()
    driven(ev.RotationAsked(1, 0.0))
    assert driven(ev.RotationAsked(1, 0.0)) == []


@pytest.mark.parametrize("leg", [2, 7])
def test_a_leg_that_is_gone_need_not_go(leg: int) -> None:
    driven = talking()
    assert driven(ev.RotationAsked(leg, 0.0)) == []
    assert legs(driven(*deltas(20))) == []


def test_a_session_without_a_leg_has_none_to_give() -> None:
    driven = ready()
    driven(fails())
    assert driven(ev.RotationAsked()) == []


def test_a_session_without_a_turn_at_work_is_quiet() -> None:
    legs = Legs(VOXTRAL, [])
    limits = SessionLimits()
    outlet = Outlet(limits, [])
    rotation = Rotation(limits, VOXTRAL, context_s=0.0)
    losses = Losses(limits, legs, outlet, jitter=0.0)
    narration = Narration(outlet, VOXTRAL, forwards_empty=False)
    relief = Relief(VOXTRAL, legs, rotation, losses, Succession(VOXTRAL, legs, rotation, narration))
    assert relief.is_quiet


def test_a_leg_that_is_not_there_yet_need_not_go() -> None:
    driven = Driven()
    assert driven(ev.RotationAsked(1, 0.0)) == []
    assert driven(ev.LegOpened(1)) == []


def test_a_leg_between_turns_is_closed_and_another_opened_when_it_is_needed() -> None:
    driven = ready()
    assert driven(ev.RotationAsked(1)) == [CloseLeg(1)]
    assert driven(ev.TurnStarted()) == []
    assert driven(ev.AudioReceived(pcm(FRAME))) == [OpenLeg(2, LegPurpose.RETURN)]


def test_a_leg_that_ends_its_turn_may_and_is_not_kept() -> None:
    driven = flushing()
    assert driven(ev.RotationAsked(1, 0.0)) == []
    assert legs(driven(*done())) == [CloseLeg(1)]


def test_where_a_turn_waits_another_leg_is_opened_at_once() -> None:
    driven = flushing()
    driven(ev.RotationAsked(1, 0.0), *turn(pcm(SECOND)))
    assert legs(driven(*done())) == [CloseLeg(1), OpenLeg(2, LegPurpose.RETURN)]


def test_a_leg_that_was_lost_need_not_go_and_the_next_may_stay() -> None:
    driven = talking()
    driven(ev.RotationAsked(1, 9.0), fails(), ev.LegOpened(2), *deltas(4, 2), says(" one", 2))
    assert driven.session.next_deadline() == 15.0
    assert legs(driven(*deltas(31, 2))) == []


def test_a_successor_that_is_to_go_is_dropped_and_the_leg_works_on() -> None:
    driven = talking()
    driven(ev.RotationAsked(1, 0.0))
    assert driven(ev.RotationAsked(2, 0.0)) == [CloseLeg(2)]


# ---- without a clock


def test_a_leg_without_a_clock_is_given_up_at_the_time_and_nobody_is_told() -> None:
    driven = running(first=pcm(SECOND), is_opted_in=True, profile=QWEN3_ASR)
    driven(says(" one"), ev.RotationAsked(1, 4.0))
    assert legs(driven.fire()) == [CloseLeg(1), OpenLeg(2, LegPurpose.RECOVERY)]
    assert driven.session.recovering == "upstream-closed"
    driven(ev.LegOpened(2))
    assert told(driven(says(" one two", 2))) == [SendDelta(Text.of(" two"), 2, 1)]
    assert driven.session.recovering == ""


def test_a_leg_without_a_clock_may_finish_its_turn_without_such_a_time() -> None:
    driven = running(first=pcm(SECOND), profile=QWEN3_ASR)
    assert legs(driven(ev.RotationAsked(1), *deltas(30))) == []
    assert legs(driven(ev.TurnEnded(), transcribed())) == [CloseLeg(1)]


def test_what_is_lost_by_it_is_told() -> None:
    driven = running(SessionLimits(journal_max_s=2.0), pcm(SECOND), is_opted_in=True, profile=QWEN3_ASR)
    for number in range(1, 6):
        driven(ev.AudioReceived(pcm(SECOND, number * SECOND)))
    driven(ev.RotationAsked(1, 0.0), ev.LegOpened(2))
    notices = [effect.notice for effect in driven(says(" x", 2)) if isinstance(effect, SendNotice)]
    assert [type(notice) for notice in notices] == [Recovering, Recovered]


# ---- no room for a successor


def test_at_a_pause_the_old_leg_makes_room_and_nobody_is_told() -> None:
    driven = talking(is_opted_in=True)
    driven(ev.RotationAsked(1), *deltas(12))
    assert driven(fails(2, FULL)) == UNSEEN
    assert told(driven(ev.LegOpened(3), *deltas(30, 3))) == []
    assert driven.session.recovering == ""
    assert told(driven(says(" two", 3))) == [SendDelta(Text.of(" two"), 2, 1)]


def test_without_a_pause_the_old_leg_works_on_and_tries_again_later() -> None:
    driven = talking()
    driven(ev.RotationAsked(1, 0.0))
    assert driven(fails(2, FULL)) == [CloseLeg(2)]
    assert told(driven(says(" two"))) == [SendDelta(Text.of(" two"))]
    assert driven(ev.RotationAsked(1, 0.0)) == [OpenLeg(3, LegPurpose.SUCCESSOR)]


def test_where_the_model_can_go_on_no_longer_no_pause_is_waited_for() -> None:
    driven = talking(limits=SessionLimits(rotate_after_s=0.5, rotate_force_s=0.5))
    driven(says(" two"), says(" three"))
    assert legs(driven(fails(2, FULL))) == UNSEEN


def test_another_fault_of_a_successor_leaves_the_old_leg_at_work() -> None:
    driven = talking()
    driven(ev.RotationAsked(1), *deltas(12))
    assert driven(fails(2)) == [CloseLeg(2)]


def test_when_that_does_not_go_well_the_client_is_told_after_all() -> None:
    driven = talking(is_opted_in=True)
    driven(ev.RotationAsked(1), *deltas(12), fails(2, FULL))
    (notice,) = [effect.notice for effect in driven(fails(3)) if isinstance(effect, SendNotice)]
    assert notice == Recovering("upstream-closed")


def test_a_session_that_ends_need_not_move() -> None:
    driven = talking()
    driven(ev.RotationAsked(1, 9.0), ev.SessionClosed())
    assert driven.session.next_deadline() is None
