"""A session that leaves its server, stays after all, or goes on at another."""

import math

import pytest

from parley.core import effects as ef
from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import Effect
from parley.core.errors import ParleyError
from parley.core.limits import AtBound, SessionLimits
from parley.core.notices import GoingAway, InputAcked, Outcome, Recovering, Resumed
from parley.core.profile import VOXTRAL
from parley.core.retention import Retention
from parley.core.session import Session
from parley.core.snapshot import (
    LifetimeState,
    OutputKind,
    OutputState,
    RecoveryState,
    SessionState,
    StateError,
    TurnState,
)

from .builders import MOVE, audio, deltas, done, heard, moved, opted_in, pcm, ready, running, says, under_way

REFUSED = ev.StateRefused(ParleyError("store-unavailable"))
BACK = ev.ResumeRequested(generation=2, seq=0)


def notices(effects: list[Effect]) -> list[object]:
    return [effect.notice for effect in effects if isinstance(effect, ef.SendNotice)]


def kinds(effects: list[Effect]) -> list[type]:
    return [type(effect) for effect in effects]


# ---- when it goes


def test_an_idle_session_goes_at_once() -> None:
    effects = opted_in()(MOVE)
    assert kinds(effects) == [ef.SendNotice, ef.CloseLeg, ef.StoreState]
    assert notices(effects) == [GoingAway("shutting-down", 10.0, True)]


def test_an_idle_session_goes_when_its_moment_has_come() -> None:
    driven = opted_in()
    assert ef.StoreState() not in driven(ev.DrainStarted(10.0, 3.0, 9.0))
    assert driven.session.next_deadline() == 3.0
    assert driven.fire()[-1] == ef.StoreState()


def test_a_turn_goes_in_its_first_pause() -> None:
    driven = running(is_opted_in=True, first=pcm(48_000))
    driven(*deltas(3), says(" hello"))
    assert ef.StoreState() not in driven(MOVE)
    assert ef.StoreState() not in driven(*deltas(VOXTRAL.settle_frames - 1))
    assert driven(*deltas(1))[-1] == ef.StoreState()


def test_a_turn_without_a_pause_goes_at_its_last_moment() -> None:
    under_way()


def test_a_turn_that_is_complete_is_waited_for() -> None:
    driven = running(is_opted_in=True)
    driven(MOVE, ev.TurnEnded())
    assert ef.StoreState() not in driven(*deltas(64))
    assert driven(done()[-1])[-1] == ef.StoreState()


def test_a_session_whose_leg_is_lost_goes_at_once() -> None:
    driven = running(is_opted_in=True)
    driven(*deltas(3), says(" hello"))
    driven(ev.LegFailed(1, ParleyError("upstream-closed")))
    assert driven(MOVE)[-1] == ef.StoreState()


def test_a_session_whose_client_is_away_goes_at_once() -> None:
    driven = running(is_opted_in=True)
    driven(*deltas(3), says(" hello"), ev.ClientClosed())
    assert driven(ev.DrainStarted(10.0, 5.0, 9.0))[-1] == ef.StoreState()


def test_a_session_whose_client_goes_away_meanwhile_goes_with_it() -> None:
    driven = running(is_opted_in=True)
    driven(*deltas(3), says(" hello"), ev.DrainStarted(10.0, 5.0, 9.0))
    assert driven(ev.ClientClosed())[-1] == ef.StoreState()


def test_it_does_not_go_in_the_middle_of_a_message() -> None:
    driven = opted_in()
    driven(ev.TurnStarted(), ev.DrainStarted(10.0, 5.0, 9.0))
    driven.now = 9.0
    assert ef.StoreState() not in driven(ev.AudioReceived(audio(), messages=0))
    assert driven(ev.TimerFired())[-1] == ef.StoreState()


def test_a_client_that_did_not_opt_in_is_told_of_the_end() -> None:
    effects = ready()(MOVE)
    assert kinds(effects) == [ef.CloseLeg, ef.EndSession]


def test_a_drain_that_is_taken_back_moves_nobody() -> None:
    driven = running(is_opted_in=True, first=pcm(48_000))
    driven(*deltas(3), says(" hello"), MOVE, ev.DrainCancelled())
    assert ef.StoreState() not in driven(*deltas(20))
    assert not driven.session.ended


# ---- on its way


def test_nothing_is_taken_or_told_on_the_way() -> None:
    driven = under_way()
    before = driven.session.state(driven.now)
    assert driven(*heard(audio()), ev.TurnEnded(), ev.ResumeEnabled(), ev.InputRejected(ParleyError("gap"))) == []
    assert driven(ev.ClientBlocked(), ev.ClientUnblocked(), ev.LegOpened(1), says(" more"), ev.TimerFired()) == []
    assert driven.session.state(driven.now) == before


def test_its_leg_counts_as_lost_and_the_client_is_told() -> None:
    driven = running(is_opted_in=True, first=pcm(16_000))
    driven(*deltas(3), says(" hello"), MOVE)
    assert notices(driven.at(9.0, ev.TimerFired())) == [Recovering("moved")]


def test_who_comes_back_on_the_way_is_sent_on() -> None:
    driven = under_way()
    (effect,) = driven(BACK)
    assert isinstance(effect, ef.CloseAttachment)
    assert (effect.generation, effect.error.code) == (2, "moved")


def test_who_goes_away_on_the_way_does_not_hold_it_up() -> None:
    driven = under_way()
    assert driven(ev.ClientClosed()) == []
    assert driven(ev.StateStored()) == [ef.LeaveSession()]


def test_the_client_may_end_it_on_the_way() -> None:
    driven = under_way()
    (*_, end) = driven(ev.SessionClosed())
    assert isinstance(end, ef.EndSession)
    assert driven(ev.StateStored()) == []


def test_it_ends_on_the_way_when_the_time_is_up() -> None:
    driven = under_way()
    assert driven.session.next_deadline() == 10.0
    (*_, end) = driven.fire()
    assert isinstance(end, ef.EndSession)
    assert end.error is not None
    assert end.error.code == "shutting-down"


def test_a_drain_that_is_taken_back_does_not_stop_one_on_its_way() -> None:
    driven = under_way()
    driven(ev.DrainCancelled())
    assert driven(ev.StateStored()) == [ef.LeaveSession()]


def test_who_hurries_ends_it_on_its_way() -> None:
    driven = under_way()
    driven(ev.DrainStarted(9.0))
    (*_, end) = driven(ev.TimerFired())
    assert isinstance(end, ef.EndSession)


# ---- it stays


def test_what_was_not_asked_for_is_no_answer() -> None:
    driven = opted_in()
    assert driven(ev.StateStored(), REFUSED) == []


def test_it_goes_on_here_when_its_state_is_refused() -> None:
    driven = under_way()
    effects = driven(REFUSED)
    assert kinds(effects)[-1] is ef.OpenLeg
    driven(ev.LegOpened(2), *deltas(3, leg=2))
    assert driven(says(" hello", leg=2)) != [ef.StoreState()]
    assert not driven.session.ended


def test_a_client_that_does_not_read_is_told_nothing_when_it_stays() -> None:
    driven = under_way()
    driven(ev.ClientBlocked())
    assert ef.SendNotice not in kinds(driven(REFUSED))
    driven(ev.LegOpened(2))


def test_a_client_that_went_away_is_told_nothing_when_it_stays() -> None:
    driven = under_way()
    driven(ev.ClientClosed(), REFUSED)
    assert not driven.session.is_attached
    assert isinstance(driven(BACK)[0], ef.Attach)


def test_an_idle_session_that_can_not_go_ends() -> None:
    driven = opted_in()
    driven(MOVE)
    assert isinstance(driven(REFUSED)[-1], ef.EndSession)


# ---- elsewhere


def test_it_waits_for_its_client_and_asks_for_a_leg_at_once() -> None:
    other = moved(under_way())
    assert [effect for effect in other.opening if isinstance(effect, ef.OpenLeg)] == [
        ef.OpenLeg(1, ef.LegPurpose.RETURN)
    ]
    assert not other.session.is_attached
    assert other.session.next_deadline() is not None


def test_an_idle_session_asks_for_none() -> None:
    driven = opted_in()
    driven(MOVE)
    assert moved(driven).opening == []


def test_its_client_is_told_what_will_be_decoded_again_and_what_it_had_not_been_sent() -> None:
    other = moved(under_way())
    attach, resumed, *repeated = other(BACK)
    assert attach == ef.Attach(2)
    assert resumed == ef.SendNotice(Resumed(Outcome.REHYDRATED, 2, 16_000, ((0, 14_080),), ()))
    assert [effect.seq for effect in repeated if isinstance(effect, ef.SendDelta | ef.SendNotice)][:2] == [1, 2]


def test_it_is_told_once() -> None:
    other = moved(under_way())
    other(BACK, ev.ClientClosed())
    effects = other(ev.ResumeRequested(3, 0))
    assert isinstance(effects[1], ef.SendNotice)
    assert isinstance(effects[1].notice, Resumed)
    assert effects[1].notice.outcome is Outcome.RESUMED


def test_it_expires_there_when_nobody_comes() -> None:
    driven = opted_in()
    driven(MOVE)
    other = moved(driven)
    (*_, end) = other.fire()
    assert isinstance(end, ef.EndSession)
    assert end.error is not None
    assert end.error.code == "expired"


def test_its_age_and_its_policies_go_along() -> None:
    driven = opted_in()
    driven.at(5.0, MOVE)
    state = driven.session.state(driven.now)
    assert state.lifetime.age_s == 5.0
    assert (state.input_policy, state.output_policy) == ("block", "terminate")
    other = moved(driven, input_policy=AtBound.DROP_OLDEST.value, output_policy=AtBound.BLOCK.value)
    again = other.session.state(other.now)
    assert (again.input_policy, again.output_policy, again.lifetime.age_s) == ("drop-oldest", "block", 5.0)


def test_what_is_kept_of_it_goes_along() -> None:
    driven = opted_in()
    driven(MOVE)
    assert driven.session.state(driven.now).retention == "none"
    other = moved(driven, retention="transcript")
    assert other.session.state(other.now).retention == "transcript"
    assert ef.Retain(Retention.TRANSCRIPT) in other.opening


def test_a_state_without_policies_takes_the_servers() -> None:
    driven = opted_in()
    driven(MOVE)
    other = moved(driven, input_policy="", output_policy="")
    assert other.session.state(0.0).input_policy == "block"


@pytest.mark.parametrize(
    "state",
    [
        SessionState(0, 0, 0, input_policy="canary"),
        SessionState(0, 0, 0, retention="canary"),
        SessionState(0, 0, 0, sent=(OutputState(OutputKind.RECOVERING, 1, code="canary"),)),
        SessionState(0, 0, 0, sent=(OutputState(OutputKind.CLEARED, 2),)),
        SessionState(0, 0, 0, recovery=RecoveryState(0, "moved")),
        SessionState(0, 0, 0, turns=(TurnState(1, 0),), items=1, recovery=RecoveryState(0, "canary")),
    ],
    ids=["a policy", "a class", "an output", "a number", "a loss without a turn", "a cause"],
)
def test_what_can_not_be_made_out_is_refused_and_not_quoted(state: SessionState) -> None:
    with pytest.raises(StateError) as caught:
        Session.restored(state, SessionLimits(), (), VOXTRAL, 0.0)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("age_s", [-1.0, math.inf, math.nan])
def test_an_age_that_is_none_is_refused(age_s: float) -> None:
    with pytest.raises(StateError, match="age"):
        Session.restored(SessionState(0, 0, 0, lifetime=LifetimeState(age_s)), SessionLimits(), (), VOXTRAL, 0.0)


def test_what_waited_for_the_client_waits_there() -> None:
    state = SessionState(0, 0, 2, waiting=(OutputState(OutputKind.DELTA, item=1, text=Text.of(" hello")),))
    session = Session.restored(state, SessionLimits(), (), VOXTRAL, 0.0)
    session.open(0.0)
    effects = session.handle(ev.ResumeRequested(2, 2), 0.0)
    assert effects[-1] == ef.SendDelta(Text.of(" hello"), 3, 1)


def test_the_window_is_what_is_left_of_it() -> None:
    driven = opted_in()
    assert driven.session.window_s(0.0) == 30.0
    driven(ev.ClientClosed())
    assert driven.session.window_s(10.0) == 20.0
    assert driven.session.window_s(40.0) == 0.0


def test_input_goes_on_where_it_was() -> None:
    other = moved(under_way())
    other(BACK)
    effects = other(*heard(pcm(16_000)))
    assert notices(effects) == [InputAcked(3, 32_000)]
