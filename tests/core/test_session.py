from typing import get_args

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import (
    CloseLeg,
    Effect,
    EndSession,
    EndTurn,
    OpenLeg,
    PauseInput,
    SendAudio,
    SendDelta,
    SendDone,
    SendError,
    StartTurn,
)
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.session import Session
from parley.core.usage import Usage

from .builders import (
    NO_WORDS,
    SECOND,
    USAGE,
    AnError,
    Driven,
    audio,
    deltas,
    done,
    flushing,
    pcm,
    ready,
    running,
    transcribed,
    turn,
)

WORDS = Text.of(" Guten Tag")
EMPTY_DONE = SendDone(NO_WORDS, Usage())

MAIN_PATH: list[tuple[ev.Event, list[Effect]]] = [
    (ev.ModelNamed("voxtral"), []),
    (ev.LegOpened(1), []),
    (ev.TurnStarted(), []),
    (ev.AudioReceived(audio("one")), [StartTurn(1), SendAudio(1, audio("one"))]),
    (ev.AudioReceived(audio("two")), [SendAudio(1, audio("two"))]),
    (ev.DeltaReceived(1, NO_WORDS), []),
    (ev.DeltaReceived(1, WORDS), [SendDelta(WORDS)]),
    (ev.AudioReceived(audio("three")), [SendAudio(1, audio("three"))]),
    (ev.TurnEnded(), [EndTurn(1)]),
    (ev.DeltaReceived(1, WORDS), [SendDelta(WORDS)]),
    (ev.DeltaReceived(1, NO_WORDS), []),
    (ev.DeltaReceived(1, NO_WORDS), []),
    (ev.DeltaReceived(1, NO_WORDS), []),
    (ev.TurnTranscribed(1, WORDS, USAGE), [SendDone(WORDS, USAGE)]),
    (ev.TurnStarted(), []),
    (ev.AudioReceived(audio("four")), [StartTurn(1), SendAudio(1, audio("four"))]),
    (ev.TurnEnded(), [EndTurn(1)]),
    (ev.DeltaReceived(1, NO_WORDS), []),
    (ev.DeltaReceived(1, NO_WORDS), []),
    (ev.DeltaReceived(1, NO_WORDS), []),
    (ev.DeltaReceived(1, NO_WORDS), []),
    (ev.TurnTranscribed(1, NO_WORDS, USAGE), [SendDone(NO_WORDS, USAGE)]),
    (ev.ClientClosed(), [CloseLeg(1), EndSession(None)]),
]


# ---- the main path


def test_a_session_opens_its_leg_at_once() -> None:
    assert Driven().opening == [OpenLeg(1)]


def test_every_event_of_two_turns_has_the_effects_of_the_table() -> None:
    driven = Driven()
    seen = [(event, driven(event)) for event, _ in MAIN_PATH]
    assert seen == MAIN_PATH


def test_a_model_need_not_be_named_by_the_session_to_begin() -> None:
    session = Session(SessionLimits())
    session.open(0.0)
    assert session.handle_client(ev.ModelNamed(""), 1, 0.0) == []
    assert session.handle_client(ev.TurnStarted(), 1, 0.0) == []


def test_empty_deltas_are_passed_on_when_asked_for() -> None:
    driven = running(SessionLimits(forward_empty_deltas=True))
    assert driven(*deltas(2)) == [SendDelta(NO_WORDS), SendDelta(NO_WORDS)]


def test_a_turn_that_was_heard_while_the_leg_was_opening_is_sent_when_it_is_open() -> None:
    driven = Driven()
    assert driven(ev.ModelNamed("voxtral"), *turn(audio("one"), audio("two"))) == []
    assert driven(ev.LegOpened(1)) == [
        StartTurn(1),
        SendAudio(1, audio("one")),
        SendAudio(1, audio("two")),
        EndTurn(1),
    ]


def test_a_single_character_is_passed_on() -> None:
    assert running()(ev.DeltaReceived(1, Text.of("."))) == [SendDelta(Text.of("."))]


# ---- the short way in, for audio and deltas


def test_audio_of_a_running_turn_may_take_the_short_way_in() -> None:
    driven = running()
    assert driven.session.take_audio(audio("next"), 1, 1.0)
    assert driven(ev.AudioReceived(audio("last")), ev.TurnEnded()) == [SendAudio(1, audio("last")), EndTurn(1)]


@pytest.mark.parametrize("make", [Driven, ready, flushing], ids=["connecting", "ready", "flushing"])
def test_audio_outside_a_running_turn_may_not(make: type[Driven]) -> None:
    driven = make()
    assert not driven.session.take_audio(audio(), 1, 1.0)
    driven.session.check()


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ([ev.LegBlocked(1)], "the leg does not read"),
        ([ev.AudioReceived(audio("ahead", 48_000))], "the window is full"),
        ([ev.AudioReceived(audio("ahead", 48_000)), ev.AudioReceived(audio("held"))], "audio is held before it"),
        ([ev.TurnEnded()], "the turn has ended"),
        ([ev.LegBlocked(1), ev.AudioReceived(audio("held")), ev.TurnEnded()], "the turn has ended and is not sent"),
        ([ev.ClientClosed()], "the session has ended"),
    ],
)
def test_audio_that_must_wait_or_is_not_wanted_may_not(before: list[ev.Event], why: str) -> None:
    driven = running()
    driven(*before)
    assert not driven.session.take_audio(audio(), 1, 1.0), why
    driven.session.check()


def test_a_delta_may_take_the_short_way_in_and_is_sent_when_it_has_text() -> None:
    session = running().session
    assert session.take_delta(1, WORDS, 1.0) is True
    assert session.take_delta(1, NO_WORDS, 1.0) is False


def test_the_last_deltas_of_a_turn_may_too() -> None:
    assert flushing().session.take_delta(1, WORDS, 1.0) is True


def test_an_empty_delta_is_sent_on_the_short_way_when_asked_for() -> None:
    assert running(SessionLimits(forward_empty_deltas=True)).session.take_delta(1, NO_WORDS, 1.0) is True


@pytest.mark.parametrize(
    ("before", "leg", "why"),
    [
        ([], 2, "the leg is another"),
        ([ev.ClientBlocked()], 1, "the client does not read"),
        ([ev.LegBlocked(1), ev.AudioReceived(audio("held"))], 1, "audio is held, which it may free"),
        ([ev.TurnEnded(), *done()], 1, "no turn is running"),
        ([ev.ClientClosed()], 1, "the session has ended"),
    ],
)
def test_a_delta_that_does_more_may_not(before: list[ev.Event], leg: int, why: str) -> None:
    driven = running()
    driven(*before)
    assert driven.session.take_delta(leg, WORDS, 1.0) is None, why


# ---- turns ahead of the model


def test_three_turns_sent_without_waiting_are_served_one_after_the_other() -> None:
    driven = ready()
    one, two, three = (turn(audio(f"{name}.1"), audio(f"{name}.2")) for name in ("one", "two", "three"))

    def served(name: str) -> list[Effect]:
        return [StartTurn(1), SendAudio(1, audio(f"{name}.1")), SendAudio(1, audio(f"{name}.2")), EndTurn(1)]

    assert driven(*one) == served("one")
    assert driven(*two, *three) == []
    assert driven(*done(" one")) == [SendDone(Text.of(" one"), USAGE), *served("two")]
    assert driven(*done(" two")) == [SendDone(Text.of(" two"), USAGE), *served("three")]
    assert driven(*done(" three")) == [SendDone(Text.of(" three"), USAGE)]


def test_audio_that_comes_while_the_turn_before_is_flushed_waits_for_its_start() -> None:
    driven = flushing()
    assert driven(ev.AudioReceived(audio("next"))) == []
    assert driven(*done(), ev.AudioReceived(audio("more"))) == [SendDone(Text.of(" hello"), USAGE)]
    assert driven(ev.TurnStarted()) == [StartTurn(1), SendAudio(1, audio("next")), SendAudio(1, audio("more"))]


def test_a_turn_that_is_still_open_when_the_one_before_ends_goes_on_live() -> None:
    driven = flushing()
    driven(ev.TurnStarted(), ev.AudioReceived(audio("held")))
    assert driven(*done()) == [SendDone(Text.of(" hello"), USAGE), StartTurn(1), SendAudio(1, audio("held"))]
    assert driven(ev.AudioReceived(audio("live"))) == [SendAudio(1, audio("live"))]
    assert driven(ev.TurnEnded()) == [EndTurn(1)]


def test_a_buffered_turn_is_sent_when_it_is_started_after_its_end() -> None:
    driven = ready()
    assert driven(ev.AudioReceived(audio("one")), ev.AudioReceived(audio("two")), ev.TurnEnded()) == []
    assert driven(ev.TurnStarted()) == [
        StartTurn(1),
        SendAudio(1, audio("one")),
        SendAudio(1, audio("two")),
        EndTurn(1),
    ]


def test_audio_before_the_start_of_its_turn_is_its_first_part() -> None:
    driven = ready()
    driven(ev.AudioReceived(audio("before")))
    assert driven(ev.TurnStarted()) == [StartTurn(1), SendAudio(1, audio("before"))]
    assert driven(ev.AudioReceived(audio("after"))) == [SendAudio(1, audio("after"))]


def test_buffered_turns_are_started_oldest_first() -> None:
    driven = ready()
    driven(ev.AudioReceived(audio("one")), ev.TurnEnded(), ev.AudioReceived(audio("two")), ev.TurnEnded())
    assert driven(ev.TurnStarted()) == [StartTurn(1), SendAudio(1, audio("one")), EndTurn(1)]
    assert driven(ev.TurnStarted()) == []
    assert driven(*done()) == [
        SendDone(Text.of(" hello"), USAGE),
        StartTurn(1),
        SendAudio(1, audio("two")),
        EndTurn(1),
    ]


# ---- what vLLM would trip over


def test_an_end_that_meets_no_turn_is_ignored_and_does_not_end_the_next_one() -> None:
    driven = ready()
    assert driven(ev.TurnEnded(), ev.TurnEnded()) == []
    assert driven(ev.TurnStarted(), ev.AudioReceived(audio())) == [StartTurn(1), SendAudio(1, audio())]


def test_a_second_end_of_the_same_turn_is_ignored() -> None:
    assert flushing()(ev.TurnEnded()) == []


def test_a_second_start_of_a_running_turn_is_ignored() -> None:
    driven = running()
    assert driven(ev.TurnStarted()) == []
    assert driven(ev.TurnEnded(), *done()) == [EndTurn(1), SendDone(Text.of(" hello"), USAGE)]


def test_a_turn_without_audio_is_answered_here() -> None:
    assert ready()(ev.TurnStarted(), ev.TurnEnded()) == [EMPTY_DONE]


def test_a_turn_without_audio_is_answered_in_its_place() -> None:
    driven = flushing()
    assert driven(*turn(), *turn(audio("last"))) == []
    assert driven(*done()) == [
        SendDone(Text.of(" hello"), USAGE),
        EMPTY_DONE,
        StartTurn(1),
        SendAudio(1, audio("last")),
        EndTurn(1),
    ]


# ---- the model's name


@pytest.mark.parametrize("name", ["voxtral", "whisper", ""])
def test_a_name_that_is_served_or_empty_lets_turns_start(name: str) -> None:
    driven = Driven(models=["voxtral", "whisper"])
    assert driven(ev.ModelNamed(name)) == []
    assert driven(ev.LegOpened(1), ev.TurnStarted(), ev.AudioReceived(audio())) == [
        StartTurn(1),
        SendAudio(1, audio()),
    ]


def test_a_turn_before_the_model_is_named_is_refused_and_its_audio_kept() -> None:
    driven = Driven()
    driven(ev.LegOpened(1))
    assert driven(ev.AudioReceived(audio()), ev.TurnStarted()) == [SendError(AnError("model-not-set"))]
    assert driven(ev.ModelNamed("voxtral"), ev.TurnStarted()) == [StartTurn(1), SendAudio(1, audio())]


def test_a_name_that_is_not_served_is_refused_and_does_not_count_as_naming_one() -> None:
    driven = Driven()
    assert driven(ev.ModelNamed("other")) == [SendError(AnError("model-not-found"))]
    assert driven(ev.TurnStarted()) == [SendError(AnError("model-not-set"))]


def test_a_refused_name_leaves_the_one_before_in_force() -> None:
    driven = ready()
    assert driven(ev.ModelNamed("other")) == [SendError(AnError("model-not-found"))]
    assert driven(ev.TurnStarted(), ev.TurnEnded()) == [EMPTY_DONE]


def test_the_cursor_counts_the_audio_that_was_taken() -> None:
    driven = running(first=audio(samples=1_600))
    driven(ev.AudioReceived(audio(samples=800)))
    assert driven.session.cursor == 2_400


# ---- the end


def test_a_client_that_goes_ends_the_session_with_nobody_to_tell() -> None:
    assert running()(ev.ClientClosed()) == [CloseLeg(1), EndSession(None)]


def test_a_client_that_goes_while_the_leg_is_opening_closes_that_leg() -> None:
    assert Driven()(ev.ClientClosed()) == [CloseLeg(1), EndSession(None)]


EVERY_EVENT: list[ev.Event] = [
    ev.AudioReceived(audio()),
    ev.TurnStarted(),
    ev.TurnEnded(),
    ev.ModelNamed("voxtral"),
    ev.InputRejected(ParleyError("invalid-json")),
    ev.ClientBlocked(),
    ev.ClientUnblocked(),
    ev.ClientClosed(),
    ev.ResumeEnabled(),
    ev.OutputAcked(0),
    ev.PoliciesChosen(),
    ev.RetentionChosen(),
    ev.SessionClosed(),
    ev.InputCleared(),
    ev.InputFinished(),
    ev.TurnCancelled(),
    ev.ResumeRequested(2, 0),
    ev.LegQueued(1, 4),
    ev.LegAdmitted(1),
    ev.LegOpened(1),
    ev.LegFailed(1, ParleyError("upstream-closed")),
    ev.LegBlocked(1),
    ev.LegUnblocked(1),
    ev.DeltaReceived(1, WORDS),
    transcribed(),
    ev.SpeechMeasured(1, 0),
    ev.DrainStarted(deadline=10.0),
    ev.DrainCancelled(),
    ev.StateStored(),
    ev.StateRefused(ParleyError("state-unsupported")),
    ev.EndAsked(),
    ev.RotationAsked(),
    ev.TimerFired(),
]


def test_the_list_above_holds_every_event() -> None:
    assert {type(event) for event in EVERY_EVENT} == set(get_args(ev.Event))


@pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: type(event).__name__)
def test_nothing_comes_after_the_end(event: ev.Event) -> None:
    driven = running()
    driven(ev.ClientClosed())
    assert driven.at(100.0, event) == []
    assert driven.session.ended
    assert driven.session.next_deadline() is None


def test_a_check_that_finds_an_ended_session_at_work_fails() -> None:
    session = running().session
    session.ended = True
    with pytest.raises(AssertionError, match="an ended session has no leg"):
        session.check()


# ---- the input bound

BOUND = SessionLimits(held_audio_max_s=3.0)


def test_the_client_is_read_no_further_once_more_audio_is_held_than_the_bound() -> None:
    driven = flushing(BOUND)
    driven(ev.TurnStarted())
    assert driven(ev.AudioReceived(audio("a", 48_000))) == []
    assert driven(ev.AudioReceived(audio("b", 1))) == [PauseInput()]
    assert driven(ev.AudioReceived(audio("c", 1))) == []


def test_audio_that_a_model_has_not_consumed_waits_since_it_was_sent() -> None:
    driven = running(first=pcm(SECOND))
    assert driven.session.waits_s(1, 3.0) == 3.0
    assert driven.session.waits_s(7, 3.0) == 0.0


def test_turns_that_are_not_over_can_be_seen() -> None:
    assert [view.item for view in running().session.turn_views()] == [1]
