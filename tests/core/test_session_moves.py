"""A session on its way to another server, as those see it who hand it events; `test_relocation.py` has the details."""

from parley.core import effects as ef
from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.notices import Outcome, Resumed

from .builders import (
    MOVE,
    audio,
    done,
    heard,
    moved,
    opted_in,
    pcm,
    ready,
    running,
    says,
    transcribed,
    under_way,
)

BACK = ev.ResumeRequested(generation=2, seq=0)


def test_on_its_way_nothing_is_taken_from_its_client() -> None:
    driven = under_way()
    assert driven(*heard(audio())) == []


def test_one_whose_state_is_stored_leaves() -> None:
    assert under_way()(ev.StateStored()) == [ef.LeaveSession()]


def test_a_state_that_nobody_asked_for_changes_nothing() -> None:
    assert ready()(ev.StateStored()) == []


def test_one_whose_state_is_refused_goes_on() -> None:
    driven = under_way()
    driven(ev.StateRefused(ParleyError("store-unavailable")))
    assert driven.at(9.5, *heard(pcm(1_600))) is not None
    assert not driven.session.ended


def test_on_its_way_it_waits_for_the_drains_end_alone() -> None:
    driven = under_way()
    assert driven.session.next_deadline() == 10.0
    assert driven.at(9.5, ev.TimerFired()) == []


def test_at_another_server_it_is_rehydrated() -> None:
    other = moved(under_way())
    (notice,) = (
        one.notice
        for one in other.session.handle(BACK, other.now)
        if isinstance(one, ef.SendNotice) and isinstance(one.notice, Resumed)
    )
    assert notice.outcome is Outcome.REHYDRATED


def test_there_it_asks_for_a_leg_where_there_is_something_to_do() -> None:
    assert [type(one) for one in moved(under_way()).opening] == [ef.OpenLeg]


def test_a_drain_begins_with_what_can_still_be_done_here() -> None:
    driven = running(is_opted_in=True, first=pcm(16_000))
    driven(MOVE)
    assert not driven.session.ended


def test_a_drain_on_its_way_is_only_noted() -> None:
    assert under_way()(MOVE) == []


def test_a_session_whose_input_is_finished_ends_with_its_last_turn() -> None:
    driven = running(first=pcm(16_000))
    driven(ev.InputFinished())
    driven(*done()[:-1])
    assert driven(transcribed())[-1] == ef.EndSession(None)


def test_it_is_parked_when_it_has_given_its_stream_back() -> None:
    driven = ready(SessionLimits(idle_release_s=5.0))
    assert (driven.session.is_parked, driven.session.legs_count) == (False, 1)
    driven.at(5.0, ev.TimerFired())
    assert (driven.session.is_parked, driven.session.legs_count) == (True, 0)


def test_a_survey_counts_what_it_has() -> None:
    driven = running(is_opted_in=True, first=pcm(16_000))
    driven(says(" hello"))
    survey = driven.session.survey(driven.now)
    assert (survey.is_attached, survey.turns, survey.legs, survey.received_s) == (True, 1, 1, 1.0)


def test_a_client_that_is_there_has_all_of_its_window() -> None:
    assert opted_in(SessionLimits(resume_window_s=20.0)).session.window_s(5.0) == 20.0
