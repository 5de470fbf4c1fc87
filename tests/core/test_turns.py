import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.content import Audio, Text
from parley.core.invariants import check
from parley.core.snapshot import JournalState, TranscriptState, TurnState
from parley.core.turns import Turn, TurnQueue

from .builders import audio

WORD = Text.of(" word")


def closed_turn(queue: TurnQueue, *, started: bool = True) -> Turn:
    turn = queue.add(0, started=started)
    turn.closed = True
    return turn


def totals(queue: TurnQueue) -> tuple[int, int, int]:
    return queue.held_samples, queue.held_bytes, queue.kept_bytes


def test_a_new_queue_has_no_turn() -> None:
    queue = TurnQueue()
    assert (len(queue), queue.head, queue.open, totals(queue), queue.text_bytes) == (0, None, None, (0, 0, 0), 0)


def test_the_head_is_the_oldest_turn_and_the_open_one_the_newest() -> None:
    queue = TurnQueue()
    first = closed_turn(queue)
    second = queue.add(0, started=False)
    assert (queue.head, queue.open) == (first, second)
    assert len(queue) == 2


def test_no_turn_is_open_once_the_newest_is_closed() -> None:
    queue = TurnQueue()
    closed_turn(queue)
    assert queue.open is None


def test_a_new_turn_is_open_and_empty() -> None:
    turn = TurnQueue().add(320, started=True)
    assert (turn.begin, turn.started, turn.closed, turn.given_up) == (320, True, False, False)
    assert (turn.received_samples, turn.held_samples, turn.has_work) == (0, 0, False)


def test_turns_are_numbered_from_1_also_past_those_that_are_over() -> None:
    queue = TurnQueue()
    first = closed_turn(queue)
    queue.remove(first)
    assert (first.item, queue.add(0, started=True).item) == (1, 2)


def test_the_oldest_turn_that_is_not_started_is_the_one_to_start() -> None:
    queue = TurnQueue()
    turns = [closed_turn(queue), closed_turn(queue, started=False), queue.add(0, started=False)]
    assert queue.start()
    assert [turn.started for turn in turns] == [True, True, False]


def test_there_is_nothing_to_start_when_all_turns_are_started() -> None:
    queue = TurnQueue()
    assert not queue.start()
    queue.add(0, started=True)
    assert not queue.start()


def test_a_turn_is_found_by_its_item() -> None:
    queue = TurnQueue()
    closed_turn(queue)
    second = queue.add(0, started=True)
    assert (queue.find(2), queue.find(3)) == (second, None)


def test_item_0_is_the_oldest_turn() -> None:
    queue = TurnQueue()
    assert queue.find(0) is None
    first = closed_turn(queue)
    queue.add(0, started=True)
    assert queue.find(0) is first


# ---- audio


def test_held_audio_is_counted_until_the_model_is_sent_it_and_kept_from_then() -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    one, three = audio("one", 100), audio("three", 20)
    queue.hold(turn, one)
    queue.hold(turn, three)
    assert totals(queue) == (120, 3 + 160 + 5 + 160, 0)
    queue.feed(turn, one)
    assert totals(queue) == (20, 5 + 160, 3 + 160)
    assert (turn.fed, turn.held_samples, turn.received_samples) == (100, 20, 120)


def test_audio_that_goes_to_the_model_at_once_is_kept_and_never_held() -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    queue.keep(turn, audio("one", 100))
    assert (totals(queue), turn.fed, turn.has_work) == ((0, 0, 3 + 160), 100, True)


def test_a_turn_that_was_given_up_has_no_work() -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    queue.hold(turn, audio())
    turn.given_up = True
    assert not turn.has_work


def test_settling_lets_the_audio_before_the_replay_point_go_and_settles_its_text() -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    for mark in ("a", "b", "c"):
        queue.keep(turn, audio(mark, 100))
    turn.transcript.add(120, WORD)
    turn.transcript.add(250, WORD)
    queue.settle(turn, 150)
    assert (turn.replay_point, turn.journal.start, queue.kept_bytes) == (150, 100, 2 * 161)
    assert turn.transcript.recent == [(250, WORD)]


def test_the_replay_point_does_not_go_back() -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    queue.keep(turn, audio("a", 300))
    queue.settle(turn, 200)
    queue.settle(turn, 100)
    assert turn.replay_point == 200


def test_audio_that_no_model_was_sent_is_not_let_go_by_settling() -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    queue.keep(turn, audio("a", 100))
    queue.hold(turn, audio("b", 100))
    queue.settle(turn, 500)
    check(queue.invariants())
    assert turn.held_samples == 100


def test_there_is_always_something_left_to_send_to_another_leg() -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    queue.keep(turn, audio("a", 100))
    queue.settle(turn, 500)
    assert turn.replay_point < turn.journal.end
    assert turn.journal.next > turn.journal.first


def test_dropping_lets_the_oldest_audio_go() -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    queue.keep(turn, audio("one", 100))
    queue.keep(turn, audio("two", 100))
    queue.drop(turn)
    assert (queue.kept_bytes, turn.journal.start, turn.fed) == (3 + 160, 100, 200)


@pytest.mark.parametrize("fed", [0, 1, 2])
def test_removing_a_turn_drops_all_its_audio_sent_or_not(fed: int) -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    pieces = [audio("one", 100), audio("two", 50)]
    for piece in pieces:
        queue.hold(turn, piece)
    for piece in pieces[:fed]:
        queue.feed(turn, piece)
    queue.remove(turn)
    assert (len(queue), totals(queue)) == (0, (0, 0, 0))
    check(queue.invariants())


def test_the_audio_of_a_void_turn_is_gone_and_its_length_known() -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    queue.keep(turn, audio("one", 100))
    queue.hold(turn, audio("two", 50))
    queue.void(turn)
    assert (len(queue), totals(queue), turn.received_samples, turn.held_samples) == (1, (0, 0, 0), 150, 0)
    check(queue.invariants())


def test_clearing_drops_turns_and_totals() -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    queue.keep(turn, audio())
    queue.hold(turn, audio())
    queue.clear()
    assert (len(queue), totals(queue)) == (0, (0, 0, 0))
    check(queue.invariants())


def test_the_texts_memory_is_that_of_all_turns() -> None:
    queue = TurnQueue()
    for turn in (closed_turn(queue), queue.add(0, started=True)):
        turn.transcript.add(1, WORD)
    assert queue.text_bytes == 2 * (len(WORD.literal) + 200)


# ---- audio that is dropped before it is sent


def test_the_oldest_pieces_that_were_not_sent_are_skipped() -> None:
    queue = TurnQueue()
    turn = queue.add(1_000, started=True)
    queue.keep(turn, audio("sent", 100))
    for mark in ("a", "b", "c"):
        queue.hold(turn, audio(mark, 50))
    assert queue.skip(turn, 2) == (1_100, 1_200)
    check(queue.invariants())
    assert (totals(queue), turn.fed, turn.received_samples) == ((50, 161, 164), 100, 150)
    assert turn.journal.piece(1) == audio("c", 50)


def test_what_is_skipped_next_follows_what_was_skipped_before() -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    for mark in ("a", "b", "c"):
        queue.hold(turn, audio(mark, 50))
    assert [queue.skip(turn, 1), queue.skip(turn, 1)] == [(0, 50), (50, 100)]


def test_positions_are_told_on_the_cursor_with_what_was_dropped() -> None:
    turn = TurnQueue().add(1_000, started=True)
    turn.holes.add(100, 50)
    assert (turn.cursor(99), turn.cursor(100)) == (1_099, 1_150)
    assert [turn.interval(0, 100), turn.interval(50, 101), turn.interval(100, 200)] == [
        (1_000, 1_100),
        (1_050, 1_151),
        (1_150, 1_250),
    ]


def test_an_interval_does_not_end_before_it_begins() -> None:
    turn = TurnQueue().add(0, started=True)
    turn.holes.add(100, 50)
    assert turn.interval(100, 100) == (150, 150)


def test_the_turns_can_be_gone_through_oldest_first() -> None:
    queue = TurnQueue()
    turns = [closed_turn(queue), queue.add(0, started=True)]
    assert list(queue) == turns


def test_a_check_fails_when_turns_overlap_on_the_cursor() -> None:
    queue = TurnQueue()
    queue.hold(closed_turn(queue), audio("a", 100))
    queue.add(99, started=True)
    with pytest.raises(AssertionError, match="turns follow each other"):
        check(queue.invariants())


# ---- failures


@pytest.mark.parametrize(
    ("positions", "failures"),
    [([0], 1), ([0, 0, 0], 3), ([10, 10], 2), ([10, 20], 1), ([10, 20, 15, 20], 3), ([10, 20, 30, 31], 1)],
)
def test_failures_count_from_the_furthest_that_a_leg_got(positions: list[int], failures: int) -> None:
    turn = TurnQueue().add(0, started=True)
    for position in positions:
        turn.failed_at(position)
    assert turn.failures == failures


# ---- whatever happens


@given(st.lists(st.tuples(st.sampled_from("hhkfsdvx"), st.integers(1, 1_000), st.binary(max_size=20)), max_size=60))
def test_the_totals_are_what_is_held_whatever_goes_in_and_out(moves: list[tuple[str, int, bytes]]) -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    for move, samples, payload in moves:
        is_fed = turn.fed == turn.journal.end
        if move == "h":
            queue.hold(turn, Audio(payload, samples))
        elif move == "k" and is_fed:
            queue.keep(turn, Audio(payload, samples))
        elif move == "f" and not is_fed:
            index, _ = turn.journal.locate(turn.fed)
            queue.feed(turn, turn.journal.piece(index))
        elif move == "s":
            queue.settle(turn, turn.replay_point + samples)
        elif move == "d" and turn.journal.start < turn.fed:
            queue.drop(turn)
        elif move == "v":
            queue.void(turn)
        elif move == "x" and not is_fed:
            queue.skip(turn, 1)
        check(queue.invariants())


@pytest.mark.parametrize("total", ["held_samples", "held_bytes", "kept_bytes"])
def test_a_check_fails_when_a_total_is_wrong(total: str) -> None:
    queue = TurnQueue()
    setattr(queue, total, 1)
    with pytest.raises(AssertionError):
        check(queue.invariants())


def test_a_check_fails_when_a_turn_before_the_last_is_open() -> None:
    queue = TurnQueue()
    queue.add(0, started=True)
    queue.add(0, started=True)
    with pytest.raises(AssertionError, match="only the last turn is open"):
        check(queue.invariants())


def test_a_check_fails_when_a_later_turn_is_at_the_model() -> None:
    queue = TurnQueue()
    closed_turn(queue)
    queue.keep(queue.add(0, started=True), audio())
    with pytest.raises(AssertionError, match="only the first is at the model"):
        check(queue.invariants())


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (TurnState(1, 0, started=True, fed=-1), "what was not sent is kept"),
        (TurnState(1, 0, started=True, journal=JournalState(0, -5, (audio("a", 10),))), "what was not sent is kept"),
        (TurnState(1, 0, started=True, journal=JournalState(0, 0, (audio("a", 10),)), fed=20), "what was not sent"),
        (TurnState(1, 0, started=True, journal=JournalState(0, 0, (Audio(b"a", 0),))), "a piece has an extent"),
        (TurnState(1, 0, started=True, replay_point=1), "what is replayed was sent"),
        (TurnState(1, 0, started=True, replay_point=-1), "what is replayed was sent"),
        (TurnState(1, 0, journal=JournalState(0, 5), fed=5), "a transcript was asked for"),
        (TurnState(1, 0, transcript=TranscriptState(recent=((2, WORD), (1, WORD)))), "text is in order"),
        (TurnState(1, 0, holes=((0, 0, 0),)), "a hole has an extent"),
        (TurnState(1, -1), "turns follow each other"),
        (TurnState(2, 0), "turns are numbered as they came"),
        (TurnState(0, 0), "turns are numbered as they came"),
    ],
    ids=lambda value: "" if isinstance(value, TurnState) else value,
)
def test_a_check_fails_when_a_turn_that_was_taken_over_is_none(state: TurnState, why: str) -> None:
    queue = TurnQueue()
    queue.restore([state], 1)
    with pytest.raises(AssertionError, match=why):
        check(queue.invariants())


def test_a_turn_that_is_given_up_keeps_its_place_and_no_audio() -> None:
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    queue.hold(turn, audio())
    queue.give_up(turn)
    assert (len(queue), turn.given_up, turn.has_work, totals(queue)) == (1, True, False, (0, 0, 0))
    check(queue.invariants())


def test_turns_of_which_no_transcript_was_asked_for_are_found() -> None:
    queue = TurnQueue()
    started, given_up, waiting = (queue.add(0, started=started) for started in (True, False, False))
    queue.give_up(given_up)
    assert started not in queue.unstarted()
    assert queue.unstarted() == [waiting]


def test_another_queue_goes_on_with_the_turns() -> None:
    queue = TurnQueue()
    first = queue.add(0, started=True)
    for mark in "abc":
        queue.hold(first, audio(mark, 1_000))
    queue.feed(first, audio("a", 1_000))
    first.closed = True
    queue.add(3_000, started=False)
    other = TurnQueue()
    other.restore(queue.state(), queue.count)
    check(other.invariants())
    assert other.state() == queue.state()
    assert (other.held_samples, other.held_bytes, other.kept_bytes) == (2_000, queue.held_bytes, queue.kept_bytes)
    assert other.add(4_000, started=False).item == 3


def test_a_turn_shows_where_it_is_on_the_cursor_and_how_far_it_has_come() -> None:
    queue = TurnQueue()
    turn = queue.add(16_000, started=True)
    queue.keep(turn, audio(samples=8_000))
    turn.closed = True
    view = turn.view()
    assert (view.item, view.begin_s, view.end_s, view.is_closed, view.is_given_up) == (1, 1.0, 1.5, True, False)


def test_nothing_is_heard_again_of_what_was_settled() -> None:
    queue = TurnQueue()
    assert queue.settled(5_000) == 5_000
    turn = queue.add(16_000, started=True)
    queue.keep(turn, audio(samples=16_000))
    assert queue.settled(32_000) == 16_000
    queue.settle(turn, 8_000)
    assert queue.settled(32_000) == 24_000
