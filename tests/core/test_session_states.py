"""What the server, the pool and the operator do to a session, and what its client is told of it."""

from parley.core import events as ev
from parley.core.effects import CloseLeg, Effect, EndSession, IssueToken, SendNotice
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.notices import GoingAway, InputAcked, Notice, Queued

from .builders import FRAME, SECOND, AnError, Driven, audio, fails, heard, opted_in, running, turn

FULL = ParleyError("at-capacity", retry_after_s=3.0)


def states(effects: list[Effect]) -> list[Notice]:
    """What states where things stand, but for acknowledgements."""
    notices = [effect.notice for effect in effects if isinstance(effect, SendNotice) and not effect.seq]
    return [notice for notice in notices if not isinstance(notice, InputAcked)]


def waiting(*, is_opted_in: bool = True) -> Driven:
    """A session that is third in the queue."""
    driven = Driven(SessionLimits(connect_timeout_s=5.0))
    driven(ev.ModelNamed("voxtral"), *([ev.ResumeEnabled()] if is_opted_in else []))
    driven(ev.LegQueued(1, 3, 20.0))
    return driven


# ---- the queue


def test_a_client_that_opted_in_is_told_its_place_until_it_has_a_stream() -> None:
    driven = waiting()
    assert states(driven(ev.LegQueued(1, 2, 10.0))) == [Queued(2, 10.0)]
    assert states(driven(ev.LegAdmitted(1))) == [Queued(0, None)]
    assert driven(ev.LegOpened(1)) == []


def test_a_client_of_vllm_is_told_nothing_of_the_queue() -> None:
    driven = waiting(is_opted_in=False)
    assert driven(ev.LegQueued(1, 2, 10.0), ev.LegAdmitted(1), ev.LegOpened(1)) == []


def test_one_that_opts_in_while_it_waits_is_told() -> None:
    driven = waiting(is_opted_in=False)
    assert driven.at(4.0, ev.ResumeEnabled()) == [IssueToken(), SendNotice(Queued(3, 16.0))]


def test_one_that_comes_back_while_it_waits_is_told() -> None:
    driven = waiting()
    driven(ev.ClientClosed())
    assert Queued(3, 20.0) in states(driven(ev.ResumeRequested(2, 0)))


def test_one_that_reads_again_is_told_what_it_could_not_be_told() -> None:
    driven = waiting()
    assert states(driven(ev.ClientBlocked(), ev.LegQueued(1, 1))) == []
    assert states(driven(ev.ClientUnblocked())) == [Queued(1, None)]


def test_a_leg_that_waits_for_its_stream_is_given_its_time_to_connect_from_its_admission() -> None:
    driven = waiting()
    assert driven.session.next_deadline() is None
    driven.at(60.0, ev.LegAdmitted(1))
    assert driven.session.next_deadline() == 65.0


def test_audio_is_taken_while_the_session_waits() -> None:
    driven = waiting()
    driven(*turn(audio("one")))
    assert len(driven(ev.LegAdmitted(1), ev.LegOpened(1))) > 2


def test_one_that_waited_in_vain_is_told_why_and_when_to_come_back() -> None:
    driven = waiting()
    assert driven(ev.LegFailed(1, FULL))[-1] == EndSession(AnError("at-capacity", "", retry_after_s=3.0), 1)


def test_a_leg_that_is_lost_waits_for_nothing_any_more() -> None:
    driven = running(is_opted_in=True)
    driven(fails())
    assert states(driven(ev.LegQueued(2, 1))) == [Queued(1, None)]
    assert states(driven(fails(2))) == [Queued(0, None)]
    assert driven(ev.LegQueued(2, 1), ev.LegAdmitted(2)) == []


# ---- the server goes


def test_a_client_that_opted_in_is_told_that_the_server_goes() -> None:
    driven = opted_in()
    driven(ev.TurnStarted(), *heard(audio()))
    assert states(driven.at(10.0, ev.DrainStarted(40.0))) == [GoingAway("shutting-down", 30.0, moves=False)]


def test_a_session_that_can_move_is_told_so_and_not_ended_while_it_is_idle() -> None:
    driven = opted_in()
    assert states(driven.at(10.0, ev.DrainStarted(40.0, 20.0, 35.0))) == [GoingAway("shutting-down", 30.0, moves=True)]
    assert not driven.session.ended


def test_who_comes_back_while_the_server_goes_is_told_again() -> None:
    driven = opted_in()
    driven(ev.TurnStarted(), *heard(audio()), ev.DrainStarted(40.0))
    driven.at(10.0, ev.ClientClosed())
    assert states(driven.at(12.0, ev.ResumeRequested(2, 0)))[-1] == GoingAway("shutting-down", 28.0, moves=False)


def test_a_server_that_stays_after_all_goes_on_as_before() -> None:
    driven = opted_in()
    driven(ev.TurnStarted(), *heard(audio()), ev.DrainStarted(40.0), ev.DrainCancelled())
    driven(ev.ClientClosed())
    assert not [s for s in states(driven(ev.ResumeRequested(2, 0))) if isinstance(s, GoingAway)]
    assert not driven.at(50.0, ev.TimerFired())
    assert not driven.session.ended


def test_the_operator_ends_a_session() -> None:
    driven = running(is_opted_in=True)
    assert driven(ev.EndAsked()) == [CloseLeg(1), EndSession(AnError("ended-by-operator"), 1)]


def test_the_operator_ends_one_whose_client_is_away() -> None:
    driven = running(is_opted_in=True)
    driven(ev.ClientClosed())
    assert driven(ev.EndAsked()) == [CloseLeg(1), EndSession(AnError("ended-by-operator"))]


# ---- what can be asked of it


def test_the_rest_of_a_frame_is_what_a_model_lacks_to_say_something_new() -> None:
    driven = opted_in()
    assert driven.session.frame_rest_samples() == 40
    driven(ev.TurnStarted(), *heard(audio(samples=40)))
    assert driven.session.frame_rest_samples() == FRAME
    driven(*heard(audio(samples=FRAME - 1)))
    assert driven.session.frame_rest_samples() == 1


def test_the_delay_of_a_leg_is_how_long_ago_the_oldest_audio_was_sent_that_it_has_not_consumed() -> None:
    driven = opted_in()
    driven(ev.TurnStarted(), *heard(audio(samples=SECOND)))
    assert driven.session.delay_s(1, 3.0) == 3.0
    assert driven.session.delay_s(2, 3.0) == 0.0


def test_the_lag_of_a_session_is_how_long_ago_the_oldest_audio_came_that_is_not_answered() -> None:
    driven = opted_in()
    driven(ev.TurnStarted(), *heard(audio(samples=SECOND)))
    assert driven.session.lag_s(3.0) == 3.0


def test_a_session_says_why_another_leg_is_on_its_way() -> None:
    driven = running()
    assert driven.session.recovering == ""
    driven(fails())
    assert driven.session.recovering == "upstream-closed"
