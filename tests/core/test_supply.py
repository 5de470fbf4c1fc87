"""Legs as the session sees them: pace, watchdogs, failures between turns, and what a model server may not do."""

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import (
    CloseLeg,
    Effect,
    EndSession,
    EndTurn,
    LegPurpose,
    OpenLeg,
    SendAudio,
    SendDone,
    StartTurn,
)
from parley.core.limits import SessionLimits
from parley.core.usage import Usage

from .builders import (
    CLOSED,
    FRAME,
    NO_WORDS,
    SECOND,
    USAGE,
    AnError,
    Driven,
    audio,
    deltas,
    done,
    fails,
    flushing,
    opted_in,
    pcm,
    ready,
    running,
    transcribed,
    turn,
)

WORDS = Text.of(" word")

# ---- pace


# ---- watchdogs

PATIENCE = SessionLimits(connect_timeout_s=5, first_delta_timeout_s=7, stall_timeout_s=11, flush_timeout_s=13)


def test_a_leg_that_does_not_open_in_time_ends_the_session() -> None:
    driven = Driven(PATIENCE)
    assert driven.session.next_deadline() == 5.0
    assert driven.fire() == [
        CloseLeg(1),
        EndSession(AnError("upstream-unavailable", "It did not accept the connection in time.")),
    ]


def test_an_open_leg_without_a_turn_waits_for_nothing() -> None:
    driven = ready(PATIENCE)
    assert driven.session.next_deadline() is None
    assert driven.at(1_000.0, ev.TimerFired()) == []


def test_a_model_that_has_its_audio_and_never_says_anything_is_given_up() -> None:
    driven = running(PATIENCE, audio("0", 11_200))
    assert driven.session.next_deadline() == 7.0
    assert driven.fire() == [CloseLeg(1), OpenLeg(2, LegPurpose.RECOVERY)]


def test_a_model_that_falls_silent_over_a_second_behind_is_given_up() -> None:
    driven = running(PATIENCE, audio("0", SECOND))
    driven.at(2.0, *deltas(1))
    driven.at(3.0, ev.AudioReceived(audio("1", SECOND)))
    assert driven.session.next_deadline() == 14.0
    assert driven.fire() == [CloseLeg(1), OpenLeg(2, LegPurpose.RECOVERY)]


def test_more_audio_does_not_give_a_stalled_model_more_time() -> None:
    driven = running(PATIENCE, audio("0", 2 * SECOND))
    driven.at(5.0, ev.AudioReceived(audio("1", SECOND // 2)))
    assert driven.session.next_deadline() == 7.0


@pytest.mark.parametrize(("samples", "heard", "next_check"), [(11_199, 0, 14.0), (SECOND + 10_239, 1, 23.0)])
def test_a_client_that_falls_silent_is_not_taken_for_a_stalled_model(
    samples: int, heard: int, next_check: float
) -> None:
    driven = running(PATIENCE, audio("0", samples))
    driven.at(1.0 if heard else 0.0, *deltas(heard))
    assert driven.fire() == []
    assert driven.session.next_deadline() == next_check
    assert driven.fire() == []
    driven(ev.AudioReceived(audio("1")), ev.TurnEnded())
    assert driven(*done(" yes")) == [SendDone(Text.of(" yes"), USAGE)]


def test_a_model_server_that_stops_reading_is_stalled_however_little_it_was_sent() -> None:
    driven = running(PATIENCE, audio("0", 100))
    driven(ev.LegBlocked(1), ev.AudioReceived(audio("1", 100)))
    assert driven.fire() == [CloseLeg(1), OpenLeg(2, LegPurpose.RECOVERY)]


def test_audio_for_a_model_that_has_caught_up_gives_it_the_full_time_from_then() -> None:
    driven = running(PATIENCE, audio("0", SECOND))
    driven.at(5.0, ev.AudioReceived(audio("1", SECOND)))
    assert driven.session.next_deadline() == 12.0


def test_the_end_of_a_turn_gives_the_model_time_to_answer_from_then() -> None:
    driven = running(PATIENCE)
    driven.at(2.0, ev.TurnEnded())
    assert driven.session.next_deadline() == 15.0


def test_a_leg_that_does_not_answer_a_turns_end_is_given_up() -> None:
    driven = running(PATIENCE)
    driven.at(2.0, ev.TurnEnded())
    driven.at(4.0, *deltas(1))
    assert driven.session.next_deadline() == 17.0
    assert driven.fire() == [CloseLeg(1), OpenLeg(2, LegPurpose.RECOVERY)]


def test_a_model_whose_deltas_are_no_clock_is_not_watched_while_it_runs() -> None:
    driven = running(SessionLimits(pace_window_s=0), audio("0", 100 * SECOND))
    assert driven.session.next_deadline() is None
    assert driven.at(1_000.0, ev.TimerFired()) == []


def test_a_model_server_that_takes_nothing_more_stalls_though_its_deltas_are_no_clock() -> None:
    driven = running(SessionLimits(pace_window_s=0, first_delta_timeout_s=15.0), audio("0", 100 * SECOND))
    driven.at(3.0, ev.LegBlocked(1), ev.AudioReceived(audio("1")))
    assert driven.session.next_deadline() == 18.0
    assert driven.fire() == [CloseLeg(1), OpenLeg(2, LegPurpose.RECOVERY)]


def test_a_timer_that_fires_early_finds_nothing_due() -> None:
    driven = running(PATIENCE, audio("0", 2 * SECOND))
    assert driven.at(6.9, ev.TimerFired()) == []
    assert driven.session.next_deadline() == 7.0


# ---- failures


def test_a_leg_that_cannot_be_opened_ends_the_session_with_its_cause() -> None:
    driven = Driven()
    assert driven(ev.LegFailed(1, CLOSED)) == [CloseLeg(1), EndSession(CLOSED)]


def test_a_leg_that_fails_between_turns_is_replaced_when_the_next_turn_has_audio() -> None:
    driven = ready()
    assert driven(ev.LegFailed(1, CLOSED)) == [CloseLeg(1)]
    assert driven.session.next_deadline() is None
    assert driven(ev.TurnStarted()) == []
    assert driven.at(100.0, ev.AudioReceived(audio("1"))) == [OpenLeg(2, LegPurpose.RETURN)]
    assert driven.session.next_deadline() == 105.0
    assert driven(ev.AudioReceived(audio("2"))) == []
    assert driven(ev.LegOpened(2)) == [StartTurn(2), SendAudio(2, audio("1")), SendAudio(2, audio("2"))]


def test_a_leg_that_fails_while_its_turn_has_no_audio_is_replaced_when_it_has() -> None:
    driven = ready()
    driven(ev.TurnStarted())
    assert driven(fails()) == [CloseLeg(1)]
    assert driven(ev.AudioReceived(audio("1"))) == [OpenLeg(2, LegPurpose.RETURN)]


def test_a_leg_that_fails_before_its_turn_is_started_is_replaced_when_it_is() -> None:
    driven = ready()
    driven(ev.AudioReceived(audio("1")))
    assert driven(fails()) == [CloseLeg(1)]
    assert driven(ev.TurnStarted()) == [OpenLeg(2, LegPurpose.RETURN)]


def test_a_leg_that_fails_with_no_turn_waiting_is_no_loss_to_a_client_that_opted_in() -> None:
    driven = opted_in()
    assert driven(fails()) == [CloseLeg(1)]
    assert driven.session.next_deadline() is None


LOST: list[Effect] = [CloseLeg(1), OpenLeg(2, LegPurpose.RECOVERY)]


def test_a_done_that_was_not_asked_for_is_a_truncated_turn() -> None:
    assert running()(transcribed()) == LOST


def test_a_done_with_audio_still_held_is_a_truncated_turn() -> None:
    driven = running(SessionLimits(pace_window_s=1.0), audio("0", SECOND))
    driven(ev.AudioReceived(audio("1")), ev.TurnEnded())
    assert driven(transcribed()) == LOST


def test_a_done_before_a_word_could_be_said_for_each_frame_is_a_truncated_turn() -> None:
    driven = running(first=pcm(2 * FRAME))
    driven(ev.TurnEnded(), *deltas(1))
    assert driven(transcribed()) == LOST


def test_a_done_before_the_last_word_must_have_been_said_is_a_truncated_turn() -> None:
    driven = running(first=pcm(2 * FRAME))
    driven(ev.TurnEnded(), *deltas(3))
    assert driven(transcribed()) == LOST


def test_a_done_when_the_last_word_must_have_been_said_is_the_end_of_the_turn() -> None:
    driven = running(first=pcm(2 * FRAME))
    driven(ev.TurnEnded(), *deltas(4))
    assert driven(transcribed()) == [SendDone(Text.of(" hello"), USAGE)]


def test_a_done_of_a_model_whose_deltas_are_no_clock_is_believed() -> None:
    driven = running(SessionLimits(pace_window_s=0))
    assert driven(ev.TurnEnded(), transcribed()) == [EndTurn(1), SendDone(Text.of(" hello"), USAGE)]


OUT_OF_TURN = [
    (ev.DeltaReceived(1, NO_WORDS), "It sent text while no turn was running."),
    (transcribed(), "It ended a turn while none was running."),
]


@pytest.mark.parametrize(("event", "detail"), OUT_OF_TURN, ids=["delta", "done"])
def test_results_of_a_first_leg_that_is_not_open_break_the_protocol_and_end_the_session(
    event: ev.Event, detail: str
) -> None:
    assert Driven()(event) == [CloseLeg(1), EndSession(AnError("upstream-protocol", detail))]


@pytest.mark.parametrize(("event", "detail"), OUT_OF_TURN, ids=["delta", "done"])
def test_a_leg_with_results_between_turns_is_replaced(event: ev.Event, detail: str) -> None:
    driven = ready()
    assert driven(event) == [CloseLeg(1)], detail
    assert driven(ev.TurnStarted(), ev.AudioReceived(audio())) == [OpenLeg(2, LegPurpose.RETURN)]


# ---- legs that are not the session's any more


def replaced() -> Driven:
    """A session in a turn on its second leg."""
    driven = ready()
    driven(ev.LegFailed(1, CLOSED), ev.TurnStarted(), ev.AudioReceived(audio("0")), ev.LegOpened(2))
    return driven


@pytest.mark.parametrize(
    "event",
    [
        ev.LegOpened(1),
        ev.LegFailed(1, CLOSED),
        ev.LegBlocked(1),
        ev.LegUnblocked(1),
        ev.DeltaReceived(1, WORDS),
        transcribed(leg=1),
        ev.SpeechMeasured(1, 99_999),
        ev.LegOpened(3),
    ],
    ids=lambda event: f"{type(event).__name__}-{event.leg}",
)
def test_what_another_leg_says_is_ignored(event: ev.Event) -> None:
    driven = replaced()
    assert driven(event) == []
    assert driven(ev.AudioReceived(audio("1")), ev.TurnEnded(), *done(leg=2)) == [
        SendAudio(2, audio("1")),
        EndTurn(2),
        SendDone(Text.of(" hello"), USAGE),
    ]


@pytest.mark.parametrize(
    "event", [ev.DeltaReceived(1, WORDS), transcribed(), ev.LegUnblocked(1), ev.SpeechMeasured(1, 99_999)]
)
def test_what_a_leg_says_that_has_gone_is_ignored(event: ev.Event) -> None:
    driven = ready()
    driven(ev.LegFailed(1, CLOSED))
    assert driven(event) == []


def test_a_leg_opens_once() -> None:
    driven = running()
    assert driven(ev.LegOpened(1)) == []
    assert driven(ev.TurnEnded()) == [EndTurn(1)]


# ---- the invariants

EMPTY_DONE = SendDone(NO_WORDS, Usage())


def test_a_turn_that_waits_can_be_dropped_without_the_leg() -> None:
    driven = flushing()
    driven(*turn(audio("next")))
    assert CloseLeg(1) not in driven(ev.TurnCancelled(2))
