from parley.core.arrivals import Arrivals
from parley.core.turns import Turn, TurnQueue

from .builders import SECOND, audio


def said(turns: TurnQueue, turn: Turn, arrivals: Arrivals, *times: float) -> None:
    """A second of audio came at each of these times, and went to the model."""
    for at in times:
        turns.keep(turn, audio(samples=SECOND))
        arrivals.mark(turn.begin + turn.received_samples, at)


def test_without_audio_nothing_waits() -> None:
    turns = TurnQueue()
    assert Arrivals(turns).oldest(0) is None
    turns.add(0, started=True)
    assert Arrivals(turns).oldest(0) is None


def test_the_oldest_audio_that_was_not_answered_is_told() -> None:
    turns = TurnQueue()
    turn, arrivals = turns.add(0, started=True), Arrivals(turns)
    said(turns, turn, arrivals, 1.0, 2.0, 3.0)
    seen = []
    for top in (0, SECOND - 1, SECOND, 3 * SECOND - 1, 3 * SECOND):
        turn.top = top
        seen.append(arrivals.oldest(0))
    assert seen == [1.0, 1.0, 2.0, 3.0, None]


def test_what_a_model_may_have_without_answering_does_not_wait() -> None:
    turns = TurnQueue()
    turn, arrivals = turns.add(0, started=True), Arrivals(turns)
    said(turns, turn, arrivals, 1.0, 2.0)
    assert arrivals.oldest(SECOND) == 2.0
    assert arrivals.oldest(2 * SECOND) is None


def test_audio_of_a_later_turn_waits_behind_the_first() -> None:
    turns = TurnQueue()
    first, arrivals = turns.add(0, started=True), Arrivals(turns)
    said(turns, first, arrivals, 1.0)
    first.closed, first.top = True, SECOND
    second = turns.add(SECOND, started=True)
    turns.hold(second, audio(samples=SECOND))
    arrivals.mark(2 * SECOND, 5.0)
    assert arrivals.oldest(0) == 5.0


def test_a_turn_that_was_not_started_waits_for_its_client() -> None:
    turns = TurnQueue()
    turn, arrivals = turns.add(0, started=False), Arrivals(turns)
    turns.hold(turn, audio(samples=SECOND))
    arrivals.mark(SECOND, 1.0)
    assert arrivals.oldest(0) is None
    turn.started = True
    arrivals.renew(0, 9.0)
    assert arrivals.oldest(0) == 9.0


def test_only_what_follows_is_renewed() -> None:
    turns = TurnQueue()
    turn, arrivals = turns.add(0, started=True), Arrivals(turns)
    said(turns, turn, arrivals, 1.0, 2.0)
    arrivals.renew(SECOND, 9.0)
    assert arrivals.oldest(0) == 1.0
    turn.top = SECOND
    assert arrivals.oldest(0) == 9.0


def test_what_was_given_up_waits_for_nobody() -> None:
    turns = TurnQueue()
    turn, arrivals = turns.add(0, started=True), Arrivals(turns)
    said(turns, turn, arrivals, 1.0)
    turn.given_up = True
    assert arrivals.oldest(0) is None


def test_the_marks_are_bounded_and_the_latest_is_among_them() -> None:
    turns = TurnQueue()
    turn, arrivals = turns.add(0, started=True), Arrivals(turns)
    said(turns, turn, arrivals, *map(float, range(1, 1001)))
    turn.top = 999 * SECOND
    assert arrivals.oldest(0) == 1000.0


def test_at_the_bound_the_oldest_is_known_to_an_eighth() -> None:
    turns = TurnQueue()
    turn, arrivals = turns.add(0, started=True), Arrivals(turns)
    said(turns, turn, arrivals, *map(float, range(1, 1001)))
    oldest = arrivals.oldest(0)
    assert oldest is not None
    assert 1000 - oldest > 999 * 7 / 8
