import pytest

from parley.core.errors import ParleyError
from parley.engine.inbox import TURNS_MAX, Inbox

PIECE = bytes(320)


def test_a_turn_runs_once_it_is_started() -> None:
    inbox = Inbox()
    inbox.append(PIECE)
    before = inbox.runnable
    inbox.start()
    assert (before, inbox.runnable and inbox.runnable.samples_received) == (None, 160)


def test_the_next_turn_runs_when_the_first_is_dropped() -> None:
    inbox = Inbox()
    for _ in range(2):
        inbox.start()
        inbox.append(PIECE)
        inbox.end()
    first = inbox.runnable
    assert first is not None
    inbox.drop(first)
    second = inbox.runnable
    assert second is not None
    assert second is not first


def test_a_start_goes_to_the_oldest_turn_that_waits_for_one() -> None:
    inbox = Inbox()
    for _ in range(2):
        inbox.append(PIECE)
        inbox.end()
    inbox.start()
    first = inbox.runnable
    assert first is not None
    inbox.drop(first)
    assert inbox.runnable is None


def test_a_start_within_a_started_turn_changes_nothing() -> None:
    inbox = Inbox()
    inbox.start()
    inbox.start()
    turn = inbox.runnable
    assert turn is not None
    inbox.end()
    inbox.drop(turn)
    assert inbox.runnable is None


def test_buffered_audio_is_counted_until_it_is_taken() -> None:
    inbox = Inbox()
    inbox.start()
    inbox.append(PIECE)
    turn = inbox.runnable
    assert turn is not None
    before = inbox.buffered_samples
    assert inbox.take(turn) == [PIECE]
    assert (before, inbox.buffered_samples) == (160, 0)


def test_dropping_a_turn_discards_its_audio() -> None:
    inbox = Inbox()
    inbox.start()
    inbox.append(PIECE)
    turn = inbox.runnable
    assert turn is not None
    inbox.drop(turn)
    assert inbox.buffered_samples == 0


def test_an_end_without_a_turn_is_refused() -> None:
    with pytest.raises(ParleyError, match="no turn to end"):
        Inbox().end()


def test_a_second_end_is_refused() -> None:
    inbox = Inbox()
    inbox.start()
    inbox.end()
    with pytest.raises(ParleyError, match="no turn to end"):
        inbox.end()


def test_turns_that_wait_are_bounded() -> None:
    inbox = Inbox()
    for _ in range(TURNS_MAX):
        inbox.start()
        inbox.end()
    with pytest.raises(ParleyError, match="too-many-turns"):
        inbox.start()


def test_what_a_turn_holds_is_not_printed() -> None:
    inbox = Inbox()
    inbox.append(b"ab")
    inbox.start()
    assert "ab" not in repr(inbox.runnable).replace("samples", "")
