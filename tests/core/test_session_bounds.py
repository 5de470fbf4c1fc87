"""What bounds a session's output, and how it ends when the server goes away."""

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import CloseLeg, Effect, EndSession, EndTurn, SendAudio, SendDelta, SendDone, StartTurn
from parley.core.limits import SessionLimits
from parley.core.usage import Usage

from .builders import NO_WORDS, SECOND, USAGE, AnError, Driven, audio, done, flushing, ready, running, turn

HELD = SessionLimits(held_audio_max_s=3.0, pace_window_s=1.0)
OVERFLOW = EndSession(AnError("input-overflow", "It may hold 3 s."))

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
    driven(ev.ClientBlocked(), ev.DeltaReceived(1, ONE), ev.TurnEnded(), ev.DeltaReceived(1, TWO), *done())
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
    assert driven(ev.ClientBlocked(), *done(long)) == [CloseLeg(1), SendDone(Text.of(long), USAGE), SLOW]


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
    assert driven(*done()) == [SendDone(Text.of(" hello"), USAGE), CloseLeg(1), GOING]


def test_a_drain_lets_turns_finish_that_were_already_sent() -> None:
    driven = flushing()
    driven(*turn(audio("1")))
    assert driven(ev.DrainStarted(deadline=10.0)) == []
    assert driven(*done(" one")) == [
        SendDone(Text.of(" one"), USAGE),
        StartTurn(1),
        SendAudio(1, audio("1")),
        EndTurn(1),
    ]
    assert driven(*done(" two")) == [SendDone(Text.of(" two"), USAGE), CloseLeg(1), GOING]


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
    assert driven(*done()) == [SendDone(Text.of(" hello"), USAGE), CloseLeg(1), OVERFLOW]
