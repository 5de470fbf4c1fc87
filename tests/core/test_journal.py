import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.content import Audio
from parley.core.invariants import check
from parley.core.journal import PIECE_OVERHEAD_BYTES, Journal, cost_bytes

from .builders import audio, pcm, places

A, B, C = audio("a", 100), audio("bb", 50), audio("ccc", 10)


def full() -> Journal:
    journal = Journal()
    for piece in (A, B, C):
        journal.append(piece)
    return journal


def test_a_new_journal_is_empty_at_the_beginning_of_its_turn() -> None:
    journal = Journal()
    assert (journal.first, journal.next, journal.start, journal.end, journal.bytes) == (0, 0, 0, 0, 0)


def test_a_piece_costs_its_payload_and_its_objects() -> None:
    assert cost_bytes(C) == 3 + PIECE_OVERHEAD_BYTES


def test_pieces_are_kept_in_order_by_their_index() -> None:
    journal = full()
    assert [journal.piece(index) for index in range(journal.next)] == [A, B, C]
    assert (journal.end, journal.bytes) == (160, 6 + 3 * PIECE_OVERHEAD_BYTES)


def test_a_piece_that_is_not_there_yet_cannot_be_had() -> None:
    with pytest.raises(IndexError):
        full().piece(3)


def test_a_piece_that_is_gone_cannot_be_had() -> None:
    journal = full()
    journal.drop()
    with pytest.raises(IndexError):
        journal.piece(0)


def test_dropping_lets_the_oldest_piece_go_and_keeps_the_indexes_of_the_others() -> None:
    journal = full()
    assert journal.drop() == A
    assert (journal.first, journal.start, journal.next, journal.piece(1)) == (1, 100, 3, B)


@pytest.mark.parametrize(
    ("first", "index", "count", "left"),
    [(0, 1, 1, [A, C]), (0, 0, 2, [C]), (0, 2, 1, [A, B]), (1, 1, 2, []), (1, 2, 1, [B])],
)
def test_what_is_cut_from_the_midst_is_as_if_it_had_never_come(
    first: int, index: int, count: int, left: list[Audio]
) -> None:
    journal = full()
    if first:
        journal.drop()
    samples, cost = journal.cut(index, count)
    check(journal.invariants())
    kept = [journal.piece(place) for place in range(journal.first, journal.next)]
    assert kept == left
    assert (journal.end, journal.bytes) == (160 - samples, sum(map(cost_bytes, left)))
    assert (samples, cost) == (160 - journal.start - sum(piece.samples for piece in left), cost)


@pytest.mark.parametrize(("position", "start"), [(0, 0), (99, 0), (100, 100), (149, 100), (150, 150), (999, 160)])
def test_trimming_lets_go_what_ends_by_a_position(position: int, start: int) -> None:
    journal = full()
    journal.trim(position)
    assert journal.start == start


@pytest.mark.parametrize(
    ("position", "place"),
    [(0, (0, 0)), (99, (0, 99)), (100, (1, 0)), (120, (1, 20)), (159, (2, 9)), (160, (3, 0))],
)
def test_a_position_is_in_a_piece_and_so_many_samples_into_it(position: int, place: tuple[int, int]) -> None:
    assert full().locate(position) == place


def test_a_position_is_found_also_when_older_pieces_are_gone() -> None:
    journal = full()
    journal.drop()
    assert journal.locate(120) == (1, 20)


@pytest.mark.parametrize(
    ("position", "pieces"), [(0, [A, B, C]), (99, [A, B, C]), (100, [B, C]), (150, [C]), (160, [])]
)
def test_the_pieces_since_a_position_are_those_with_audio_after_it(position: int, pieces: list[Audio]) -> None:
    assert list(full().since(position)) == pieces


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.data())
def test_locating_agrees_with_counting_samples(lengths: list[int], data: st.DataObject) -> None:
    journal = Journal()
    for length in lengths:
        journal.append(audio(samples=length))
    journal.trim(data.draw(st.integers(0, sum(lengths) - 1)))
    position = data.draw(st.integers(journal.start, journal.end - 1))
    owners = [(index, place) for index, length in enumerate(lengths) for place in range(length)]
    assert journal.locate(position) == owners[position]
    check(journal.invariants())


@pytest.mark.parametrize("total", ["start", "end", "bytes"])
def test_a_check_fails_when_a_total_is_wrong(total: str) -> None:
    journal = full()
    setattr(journal, total, getattr(journal, total) + 1)
    with pytest.raises(AssertionError):
        check(journal.invariants())


def test_the_oldest_piece_is_the_first_to_go() -> None:
    journal = full()
    assert journal.oldest == A
    journal.drop()
    assert journal.oldest == B


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        (0, 300, [(0, 100), (100, 200), (200, 300)]),
        (100, 300, [(100, 200), (200, 300)]),
        (150, 300, [(150, 200), (200, 300)]),
        (0, 299, [(0, 100), (100, 200)]),
        (50, 99, []),
        (0, 999, [(0, 100), (100, 200), (200, 300)]),
    ],
)
def test_the_audio_between_two_positions_is_cut_at_its_beginning_and_whole_at_its_end(
    begin: int, end: int, expected: list[tuple[int, int]]
) -> None:
    journal = Journal()
    for start in (0, 100, 200):
        journal.append(pcm(100, start))
    heard = [(places(piece)[0], places(piece)[-1] + 1) for piece in journal.between(begin, end)]
    assert heard == expected


def test_another_journal_goes_on_with_what_is_kept() -> None:
    journal = Journal()
    for piece in (audio("a", 100), audio("b", 200), audio("c", 300)):
        journal.append(piece)
    journal.drop()
    other = Journal()
    other.restore(journal.state())
    check(other.invariants())
    assert other.state() == journal.state()
    assert (other.first, other.start, other.end, other.bytes) == (1, 100, 600, journal.bytes)
    assert other.piece(2) == audio("c", 300)
