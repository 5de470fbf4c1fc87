"""What bounds a session, and how it ends on purpose: input, output, turns, errors, drain."""

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import (
    CloseLeg,
    Effect,
    EndSession,
    EndTurn,
    PauseInput,
    ResumeInput,
    SendAudio,
    SendDelta,
    SendDone,
    SendError,
    StartTurn,
)
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.usage import Usage

from .builders import NO_WORDS, USAGE, AnError, Driven, audio, deltas, done, flushing, heard, ready, running, turn

SECOND = 16_000
HELD = SessionLimits(held_audio_max_s=3.0, pace_window_s=1.0)
OVERFLOW = EndSession(AnError("input-overflow", "It may hold 3 s."))

# ---- input


def test_reading_stops_above_the_bound_and_starts_again_a_second_below_it() -> None:
    driven = running(HELD, audio("0", SECOND))
    held = [audio(str(number), SECOND) for number in range(1, 6)]
    assert driven(*heard(*held[:3])) == []
    assert driven(ev.AudioReceived(held[3])) == [PauseInput()]
    assert driven(ev.AudioReceived(held[4])) == []
    # A second more may go each time the lag falls below the window's second: four are held then, three, two.
    sent = [driven(*deltas(count)) for count in (1, 5, 13)]
    assert sent == [
        [SendAudio(1, held[0])],
        [SendAudio(1, held[1])],
        [SendAudio(1, held[2]), ResumeInput()],
    ]


def test_reading_stops_for_many_tiny_pieces_by_the_memory_they_take() -> None:
    driven = flushing(SessionLimits(held_audio_max_s=0.01))
    driven(ev.TurnStarted())
    # 10 ms may take 853 bytes: a piece costs 160 beside its payload.
    seen = [driven(ev.AudioReceived(audio("x", 1))) for _ in range(6)]
    assert seen == [[], [], [], [], [], [PauseInput()]]


def test_held_audio_may_take_the_memory_of_the_bound() -> None:
    driven = flushing(SessionLimits(held_audio_max_s=30 / SECOND))
    driven(ev.TurnStarted())
    # 30 samples may take 160 bytes: a piece with nothing in it.
    assert driven(ev.AudioReceived(audio("", 1))) == []
    assert driven(ev.AudioReceived(audio("", 1))) == [PauseInput()]


def test_reading_starts_again_when_nothing_is_held_where_the_bound_is_below_the_margin() -> None:
    driven = flushing(SessionLimits(held_audio_max_s=0.5))
    assert driven(ev.TurnStarted(), ev.AudioReceived(audio("1", SECOND))) == [PauseInput()]
    assert driven(done()) == [
        SendDone(Text.of(" hello"), USAGE),
        StartTurn(1),
        SendAudio(1, audio("1", SECOND)),
        ResumeInput(),
    ]


def test_audio_before_a_start_that_fits_the_bound_is_held() -> None:
    driven = ready(HELD)
    assert driven(ev.AudioReceived(audio("1", 3 * SECOND))) == []
    assert driven(ev.TurnStarted()) == [StartTurn(1), SendAudio(1, audio("1", 3 * SECOND))]


def test_audio_over_the_bound_that_no_start_could_free_ends_the_session() -> None:
    driven = ready(HELD)
    assert driven(ev.AudioReceived(audio("1", 3 * SECOND))) == []
    assert driven(ev.AudioReceived(audio("2", 1))) == [CloseLeg(1), OVERFLOW]


def test_audio_ahead_of_its_start_pauses_while_the_turn_before_is_at_work_and_overflows_after_it() -> None:
    driven = flushing(HELD)
    assert driven(ev.AudioReceived(audio("1", 3 * SECOND + 1))) == [PauseInput()]
    assert driven(done()) == [SendDone(Text.of(" hello"), USAGE), CloseLeg(1), OVERFLOW]


def test_a_turn_that_needs_its_start_read_is_read_on_even_just_below_the_bound() -> None:
    # The margin would keep the client unread, and the start that frees the audio with it, for good.
    driven = running(HELD, audio("0", SECOND))
    driven(ev.AudioReceived(audio("1", SECOND // 2)), ev.TurnEnded())
    assert driven(ev.AudioReceived(audio("2", 3 * SECOND))) == [PauseInput()]
    assert driven(*deltas(1)) == [SendAudio(1, audio("1", SECOND // 2)), EndTurn(1)]
    assert driven(done()) == [SendDone(Text.of(" hello"), USAGE), ResumeInput()]
    assert driven(ev.TurnStarted()) == [StartTurn(1), SendAudio(1, audio("2", 3 * SECOND))]


# ---- turns and errors

WAITING = "3 turns are waiting."


def test_audio_of_one_turn_too_many_ends_the_session() -> None:
    driven = flushing(SessionLimits(held_turns_max=3))
    driven(ev.AudioReceived(audio("1")), ev.TurnEnded(), ev.AudioReceived(audio("2")), ev.TurnEnded())
    assert driven(ev.AudioReceived(audio("3"))) == [CloseLeg(1), EndSession(AnError("too-many-turns", WAITING))]


def test_the_start_of_one_turn_too_many_ends_the_session() -> None:
    driven = flushing(SessionLimits(held_turns_max=3))
    driven(*turn(), *turn())
    assert driven(ev.TurnStarted()) == [CloseLeg(1), EndSession(AnError("too-many-turns", WAITING))]


def test_errors_are_told_and_one_too_many_ends_the_session() -> None:
    driven = ready(SessionLimits(client_errors_max=2))
    bad = ParleyError("invalid-json")
    assert driven(ev.InputRejected(bad), ev.ModelNamed("other")) == [
        SendError(bad),
        SendError(AnError("model-not-found")),
    ]
    assert driven(ev.InputRejected(bad)) == [
        CloseLeg(1),
        EndSession(AnError("too-many-errors", "The last was invalid-json.")),
    ]


# ---- output

ONE, TWO, THREE = (Text.of(word) for word in (" one", ' "two"', " thrée"))


def test_deltas_for_a_client_that_does_not_read_are_joined_until_it_does() -> None:
    driven = running()
    words: list[ev.Event] = [ev.DeltaReceived(1, text) for text in (ONE, NO_WORDS, TWO, THREE)]
    assert driven(ev.ClientBlocked(), *words) == []
    assert driven(ev.ClientUnblocked()) == [SendDelta(Text.of(' one "two" thrée'))]
    assert driven(ev.DeltaReceived(1, ONE)) == [SendDelta(ONE)]


def test_deltas_are_not_joined_across_the_end_of_a_turn() -> None:
    driven = running()
    driven(ev.ClientBlocked(), ev.DeltaReceived(1, ONE), ev.TurnEnded(), ev.DeltaReceived(1, TWO), done())
    driven(ev.TurnStarted(), ev.AudioReceived(audio()), ev.DeltaReceived(1, THREE))
    assert driven(ev.ClientUnblocked()) == [
        SendDelta(Text.of(' one "two"')),
        SendDone(Text.of(" hello"), USAGE),
        SendDelta(THREE),
    ]


def test_a_blocked_client_does_not_hold_up_the_model() -> None:
    driven = running()
    driven(ev.ClientBlocked())
    assert driven(ev.AudioReceived(audio("1")), ev.TurnEnded()) == [SendAudio(1, audio("1")), EndTurn(1)]


TIGHT = SessionLimits(output_max_bytes=1_000)
SLOW = EndSession(AnError("slow-client"))


def test_deltas_over_the_output_bound_end_the_session_and_are_handed_out_all_the_same() -> None:
    driven = running(TIGHT)
    long = Text.of("x" * 1_000)
    assert driven(ev.ClientBlocked(), ev.DeltaReceived(1, ONE)) == []
    assert driven(ev.DeltaReceived(1, long)) == [CloseLeg(1), SendDelta(Text.joined([ONE, long])), SLOW]


def test_a_done_over_the_output_bound_ends_the_session() -> None:
    driven = flushing(TIGHT)
    long = "x" * 1_000
    assert driven(ev.ClientBlocked(), done(long)) == [CloseLeg(1), SendDone(Text.of(long), USAGE), SLOW]


def test_answers_to_empty_turns_are_bounded_like_any_other_output() -> None:
    driven = ready(TIGHT)
    driven(ev.ClientBlocked())
    seen = [driven(*turn()) for _ in range(4)]
    answers: list[Effect] = [SendDone(NO_WORDS, Usage())] * 4
    assert seen == [[], [], [], [CloseLeg(1), *answers, SLOW]]


# ---- drain

GOING = EndSession(AnError("shutting-down"))


@pytest.mark.parametrize("make", [Driven, ready], ids=["connecting", "ready"])
def test_a_drain_ends_an_idle_session_at_once(make: type[Driven]) -> None:
    assert make()(ev.DrainStarted(deadline=10.0)) == [CloseLeg(1), GOING]


def test_a_drain_ends_a_session_whose_turn_has_no_audio_yet() -> None:
    driven = ready()
    assert driven(ev.TurnStarted(), ev.DrainStarted(deadline=10.0)) == [CloseLeg(1), GOING]


def test_a_drain_lets_the_turn_in_flight_finish() -> None:
    driven = running()
    assert driven(ev.DrainStarted(deadline=10.0)) == []
    assert driven(ev.AudioReceived(audio("1")), ev.TurnEnded()) == [SendAudio(1, audio("1")), EndTurn(1)]
    assert driven(done()) == [SendDone(Text.of(" hello"), USAGE), CloseLeg(1), GOING]


def test_a_drain_lets_turns_finish_that_were_already_sent() -> None:
    driven = flushing()
    driven(*turn(audio("1")))
    assert driven(ev.DrainStarted(deadline=10.0)) == []
    assert driven(done(" one")) == [
        SendDone(Text.of(" one"), USAGE),
        StartTurn(1),
        SendAudio(1, audio("1")),
        EndTurn(1),
    ]
    assert driven(done(" two")) == [SendDone(Text.of(" two"), USAGE), CloseLeg(1), GOING]


def test_a_turn_still_in_flight_at_the_drains_deadline_is_told_so() -> None:
    driven = running()
    driven(ev.DrainStarted(deadline=10.0))
    assert driven.session.next_deadline() == 10.0
    late = AnError("shutting-down", "The turn in flight did not finish in time.")
    assert driven.fire() == [CloseLeg(1), EndSession(late)]


def test_the_nearer_of_drain_and_watchdog_is_the_deadline() -> None:
    driven = running(SessionLimits(first_delta_timeout_s=7.0))
    driven(ev.DrainStarted(deadline=10.0))
    assert driven.session.next_deadline() == 7.0


def test_a_session_that_overflows_while_it_drains_ends_once() -> None:
    driven = flushing(HELD)
    driven(ev.DrainStarted(deadline=10.0), ev.AudioReceived(audio("1", 3 * SECOND + 1)))
    assert driven(done()) == [SendDone(Text.of(" hello"), USAGE), CloseLeg(1), OVERFLOW]
