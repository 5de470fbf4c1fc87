import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.content import Audio
from parley.core.turns import Turn, TurnQueue

from .builders import audio


def closed_turn(queue: TurnQueue, *, started: bool = True) -> Turn:
    turn = queue.add(started=started)
    turn.closed = True
    return turn


def test_a_new_queue_has_no_turn() -> None:
    queue = TurnQueue()
    assert (len(queue), queue.head, queue.open, queue.held_samples, queue.held_bytes) == (0, None, None, 0, 0)


def test_the_head_is_the_oldest_turn_and_the_open_one_the_newest() -> None:
    queue = TurnQueue()
    first = closed_turn(queue)
    second = queue.add(started=False)
    assert (queue.head, queue.open) == (first, second)
    assert len(queue) == 2


def test_no_turn_is_open_once_the_newest_is_closed() -> None:
    queue = TurnQueue()
    closed_turn(queue)
    assert queue.open is None


def test_a_new_turn_is_open_and_empty() -> None:
    turn = TurnQueue().add(started=True)
    assert (turn.started, turn.closed, turn.received_samples, list(turn.held)) == (True, False, 0, [])


def test_the_oldest_turn_that_is_not_started_is_the_one_to_start() -> None:
    queue = TurnQueue()
    turns = [closed_turn(queue), closed_turn(queue, started=False), queue.add(started=False)]
    assert queue.start()
    assert [turn.started for turn in turns] == [True, True, False]


def test_there_is_nothing_to_start_when_all_turns_are_started() -> None:
    queue = TurnQueue()
    assert not queue.start()
    queue.add(started=True)
    assert not queue.start()


def test_held_audio_comes_out_in_order_and_is_counted_while_it_is_held() -> None:
    queue = TurnQueue()
    turn = queue.add(started=True)
    queue.hold(turn, audio("one", 100))
    queue.hold(turn, audio("three", 20))
    assert (queue.held_samples, queue.held_bytes) == (120, 3 + 160 + 5 + 160)
    assert queue.release(turn) == audio("one", 100)
    assert (queue.held_samples, queue.held_bytes) == (20, 5 + 160)
    assert queue.release(turn) == audio("three", 20)
    assert (queue.held_samples, queue.held_bytes) == (0, 0)


def test_a_turn_that_holds_nothing_releases_nothing() -> None:
    queue = TurnQueue()
    turn = queue.add(started=True)
    with pytest.raises(IndexError):
        queue.release(turn)


def test_finishing_drops_the_head() -> None:
    queue = TurnQueue()
    closed_turn(queue)
    second = queue.add(started=True)
    queue.finish()
    assert queue.head is second


def test_a_turn_that_still_holds_audio_cannot_be_finished() -> None:
    queue = TurnQueue()
    queue.hold(queue.add(started=True), audio())
    with pytest.raises(AssertionError, match="holds no audio"):
        queue.finish()


def test_clearing_drops_turns_and_totals() -> None:
    queue = TurnQueue()
    queue.hold(queue.add(started=True), audio())
    queue.clear()
    assert (len(queue), queue.held_samples, queue.held_bytes) == (0, 0, 0)
    queue.check()


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 1_000), st.binary(max_size=20))))
def test_the_totals_are_what_is_held_whatever_goes_in_and_out(moves: list[tuple[bool, int, bytes]]) -> None:
    queue = TurnQueue()
    turn = queue.add(started=True)
    for is_release, samples, payload in moves:
        if is_release and turn.held:
            queue.release(turn)
        else:
            queue.hold(turn, Audio(payload, samples))
        queue.check()


@pytest.mark.parametrize("total", ["held_samples", "held_bytes"])
def test_a_check_fails_when_a_total_is_wrong(total: str) -> None:
    queue = TurnQueue()
    setattr(queue, total, 1)
    with pytest.raises(AssertionError):
        queue.check()


def test_a_check_fails_when_a_turn_before_the_last_is_open() -> None:
    queue = TurnQueue()
    queue.add(started=True)
    queue.add(started=True)
    with pytest.raises(AssertionError, match="only the last turn is open"):
        queue.check()
