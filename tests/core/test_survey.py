from parley.core import events as ev
from parley.core.content import Audio
from parley.core.limits import SessionLimits
from parley.core.session import Session


def test_a_new_session_waits_for_its_first_leg_and_holds_nothing() -> None:
    session = Session(SessionLimits())
    session.open(0.0)
    survey = session.survey(0.0)
    assert survey.is_attached
    assert (survey.is_queued, survey.is_parked, survey.is_leaving, survey.recovering) == (False, False, False, "")
    assert (survey.legs, survey.turns, survey.held_s, survey.lag_s, survey.generation) == (1, 0, 0.0, 0.0, 1)


def test_audio_that_no_model_has_had_is_held() -> None:
    session = Session(SessionLimits())
    session.open(0.0)
    session.handle_client(ev.TurnStarted(), 1, 0.0)
    session.handle_client(ev.AudioReceived(Audio(b"A" * 100, 16_000)), 1, 0.0)
    survey = session.survey(0.0)
    assert (survey.received_s, survey.held_s, survey.turns) == (1.0, 1.0, 1)
    assert survey.held_bytes > 0


def test_a_session_whose_server_drains_is_leaving() -> None:
    session = Session(SessionLimits())
    session.open(0.0)
    session.handle_client(ev.TurnStarted(), 1, 0.0)
    session.handle_client(ev.AudioReceived(Audio(b"A" * 100, 16_000)), 1, 0.0)
    session.handle(ev.DrainStarted(10.0), 0.0)
    assert session.survey(0.0).is_leaving


def test_a_session_that_waits_for_a_stream_is_queued() -> None:
    session = Session(SessionLimits())
    session.open(0.0)
    session.handle(ev.LegQueued(1, 3, None), 0.0)
    assert session.survey(0.0).is_queued


def test_a_turn_is_viewed_with_its_place_on_the_cursor() -> None:
    session = Session(SessionLimits())
    session.open(0.0)
    session.handle_client(ev.TurnStarted(), 1, 0.0)
    session.handle_client(ev.AudioReceived(Audio(b"A" * 100, 16_000)), 1, 0.0)
    session.handle_client(ev.TurnEnded(), 1, 0.0)
    session.handle_client(ev.AudioReceived(Audio(b"A" * 100, 8_000)), 1, 0.0)
    views = session.turn_views()
    assert [(view.item, view.begin_s, view.end_s, view.is_closed) for view in views] == [
        (1, 0.0, 1.0, True),
        (2, 1.0, 1.5, False),
    ]


def test_all_that_no_leg_has_settled_would_have_to_be_heard_again() -> None:
    session = Session(SessionLimits())
    session.open(0.0)
    assert session.survey(0.0).uncommitted_s == 0.0
    session.handle_client(ev.TurnStarted(), 1, 0.0)
    session.handle_client(ev.AudioReceived(Audio(b"A" * 100, 16_000)), 1, 0.0)
    assert session.survey(0.0).uncommitted_s == 1.0
