import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.content import Text
from parley.core.effects import SendDelta, SendDone, SendError, SendNotice
from parley.core.errors import ParleyError
from parley.core.invariants import check
from parley.core.ledger import Ledger, Output, cost_bytes
from parley.core.notices import Recovering, TextRevised

from .builders import USAGE

WORD = Text.of("word")


def delta(seq: int) -> SendDelta:
    return SendDelta(WORD, seq=seq)


def ledger_of(count: int, bytes_max: int = 100_000) -> Ledger:
    ledger = Ledger(bytes_max)
    for seq in range(1, count + 1):
        ledger.enter(delta(seq))
    return ledger


@pytest.mark.parametrize(
    ("output", "cost"),
    [
        (delta(1), 6 + 256),
        (SendDone(WORD, USAGE), 6 + 256),
        (SendNotice(TextRevised(1, 0, 4, WORD, (0, 1))), 6 + 256),
        (SendNotice(Recovering("upstream-closed")), 512),
        (SendError(ParleyError("invalid-json")), 512),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_output_costs_its_text_and_its_objects(output: Output, cost: int) -> None:
    assert cost_bytes(output) == cost


def test_numbers_begin_at_1() -> None:
    ledger = Ledger(1_000)
    assert (ledger.last, ledger.next()) == (0, 1)
    ledger.enter(delta(1))
    assert (ledger.last, ledger.next()) == (1, 2)


@pytest.mark.parametrize("seq", [0, 1, 3])
def test_a_number_that_leaves_a_gap_or_repeats_one_is_a_mistake(seq: int) -> None:
    with pytest.raises(AssertionError, match="numbers have no gaps"):
        ledger_of(1).enter(delta(seq))


def test_everything_after_a_number_can_be_had_again() -> None:
    assert ledger_of(4).after(2) == [delta(3), delta(4)]


def test_nothing_comes_after_the_last_number() -> None:
    assert ledger_of(4).after(4) == []


def test_what_is_acknowledged_is_gone_and_no_longer_reached() -> None:
    ledger = ledger_of(4)
    ledger.acknowledge(3)
    assert (ledger.bytes, ledger.reaches(2), ledger.reaches(3), ledger.after(3)) == (262, False, True, [delta(4)])


def test_an_old_acknowledgement_changes_nothing() -> None:
    ledger = ledger_of(4)
    ledger.acknowledge(3)
    ledger.acknowledge(1)
    assert ledger.acknowledged == 3


def test_an_acknowledgement_beyond_the_end_drops_what_there_is() -> None:
    ledger = ledger_of(2)
    ledger.acknowledge(9)
    assert (ledger.acknowledged, ledger.bytes) == (2, 0)


@pytest.mark.parametrize(("seq", "reaches"), [(-1, False), (0, True), (4, True), (5, False)])
def test_it_reaches_from_what_was_acknowledged_to_what_was_sent(seq: int, reaches: bool) -> None:
    assert ledger_of(4).reaches(seq) is reaches


def test_at_the_bound_the_oldest_go() -> None:
    ledger = ledger_of(5, bytes_max=3 * 262)
    assert (ledger.bytes, ledger.reaches(1), ledger.after(2)) == (786, False, [delta(3), delta(4), delta(5)])


def test_an_output_over_the_bound_by_itself_is_kept_until_the_next() -> None:
    ledger = ledger_of(1, bytes_max=100)
    assert ledger.after(0) == [delta(1)]
    ledger.enter(delta(2))
    assert not ledger.reaches(0)
    assert ledger.after(1) == [delta(2)]


def test_clearing_drops_everything_and_keeps_the_count() -> None:
    ledger = ledger_of(3)
    ledger.clear()
    assert (ledger.bytes, ledger.last, ledger.after(3)) == (0, 3, [])
    check(ledger.invariants())


@given(st.lists(st.booleans() | st.integers(0, 40), max_size=60), st.integers(0, 3_000))
def test_it_is_bounded_and_reaches_what_it_keeps_whatever_happens(moves: list[bool | int], bytes_max: int) -> None:
    ledger = Ledger(bytes_max)
    for move in moves:
        if isinstance(move, bool):
            ledger.enter(delta(ledger.next()))
        else:
            ledger.acknowledge(min(move, ledger.last))
        check(ledger.invariants())
        assert [output.seq for output in ledger.after(ledger.acknowledged)] == list(
            range(ledger.acknowledged + 1, ledger.last + 1)
        )


def test_a_check_fails_when_a_number_is_missing() -> None:
    ledger = ledger_of(3)
    ledger.acknowledged = 1
    with pytest.raises(AssertionError):
        check(ledger.invariants())


def test_a_check_fails_when_the_total_is_wrong() -> None:
    ledger = ledger_of(3)
    ledger.bytes = 1
    with pytest.raises(AssertionError):
        check(ledger.invariants())


def test_a_check_fails_when_the_bound_is_exceeded() -> None:
    ledger = Ledger(-1)
    with pytest.raises(AssertionError, match="the ledger is bounded"):
        check(ledger.invariants())


def test_numbers_that_do_not_follow_are_none_to_go_on_with() -> None:
    with pytest.raises(ValueError, match="numbers have no gaps"):
        Ledger(10_000).restore(7, [SendDelta(Text.of("a"), 9)])


def test_a_check_fails_when_numbers_begin_before_1() -> None:
    ledger = Ledger(10_000)
    ledger.restore(-2, [])
    with pytest.raises(AssertionError, match="numbers begin with 1"):
        check(ledger.invariants())


def test_another_ledger_goes_on_with_the_numbers() -> None:
    ledger = Ledger(10_000)
    ledger.restore(7, [SendDelta(Text.of("a"), 8), SendDelta(Text.of("b"), 9)])
    check(ledger.invariants())
    assert (ledger.acknowledged, ledger.last, ledger.next()) == (7, 9, 10)
    assert ledger.reaches(7)
    assert not ledger.reaches(6)
