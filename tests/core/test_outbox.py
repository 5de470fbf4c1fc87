import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.content import Text
from parley.core.effects import SendDelta, SendDone, SendError, SendNotice
from parley.core.errors import ParleyError
from parley.core.invariants import check
from parley.core.ledger import Output
from parley.core.notices import DropReason, Gap
from parley.core.outbox import Outbox
from parley.core.tally import Tally

from .builders import NO_WORDS, USAGE

HELLO = Text.of(" hello")
WORLD = Text.of(" world")
DONE = SendDone(Text.of(" hello world"), USAGE, item=1)


def test_a_new_outbox_holds_nothing() -> None:
    outbox = Outbox(0)
    assert (outbox.held_bytes, outbox.is_full, outbox.release()) == (0, False, [])


def test_the_deltas_of_a_turn_are_joined() -> None:
    outbox = Outbox(1_000)
    outbox.hold_delta(HELLO, 1)
    outbox.hold_delta(WORLD, 1)
    assert outbox.release() == [SendDelta(Text.of(" hello world"), item=1)]


def test_the_deltas_of_two_turns_are_not() -> None:
    outbox = Outbox(1_000)
    outbox.hold_delta(HELLO, 1)
    outbox.hold_delta(WORLD, 2)
    assert outbox.release() == [SendDelta(HELLO, item=1), SendDelta(WORLD, item=2)]


def test_a_done_keeps_its_place_behind_the_deltas_before_it() -> None:
    outbox = Outbox(1_000)
    outbox.hold_delta(HELLO, 1)
    outbox.hold(DONE)
    outbox.hold(DONE)
    outbox.hold_delta(WORLD, 1)
    assert outbox.release() == [SendDelta(HELLO, item=1), DONE, DONE, SendDelta(WORLD, item=1)]


def test_nothing_is_handed_out_twice() -> None:
    outbox = Outbox(1_000)
    outbox.hold_delta(HELLO, 1)
    outbox.release()
    assert (outbox.release(), outbox.held_bytes) == ([], 0)


def test_a_held_delta_counts_its_text_and_its_object() -> None:
    outbox = Outbox(1_000)
    outbox.hold_delta(HELLO, 1)
    outbox.hold_delta(NO_WORDS, 1)
    assert outbox.held_bytes == (8 + 96) + (2 + 96) + 256


@pytest.mark.parametrize(("output", "cost"), [(DONE, 14 + 256), (SendError(ParleyError("invalid-json")), 512)])
def test_any_other_output_counts_as_in_the_ledger(output: Output, cost: int) -> None:
    outbox = Outbox(1_000)
    outbox.hold(output)
    assert outbox.held_bytes == cost


def test_it_is_full_above_the_bound_and_not_at_it() -> None:
    outbox = Outbox(bytes_max=256 + 104)
    outbox.hold_delta(HELLO, 1)
    assert not outbox.is_full
    outbox.hold_delta(NO_WORDS, 1)
    assert outbox.is_full


def test_it_is_full_when_what_is_held_is_of_more_audio_than_may_be() -> None:
    outbox = Outbox(10_000, samples_max=300)
    outbox.hold_delta(HELLO, 1, (100, 300))
    outbox.hold_delta(HELLO, 1, (300, 400))
    assert (outbox.held_samples, outbox.is_full) == (300, False)
    outbox.hold_delta(HELLO, 1, (400, 401))
    assert outbox.is_full


def test_the_audio_between_two_turns_is_of_no_account() -> None:
    outbox = Outbox(10_000)
    outbox.hold_delta(HELLO, 1, (0, 300))
    outbox.hold_delta(HELLO, 2, (1_000, 1_100))
    assert outbox.held_samples == 400


def test_text_of_no_known_audio_does_not_count_as_audio() -> None:
    outbox = Outbox(10_000)
    outbox.hold_delta(HELLO, 1)
    outbox.hold_delta(WORLD, 1, (50_000, 50_300))
    check(outbox.invariants())
    assert outbox.held_samples == 300


def test_deltas_that_are_joined_for_good_cost_less() -> None:
    outbox = Outbox(10_000)
    for _ in range(16):
        outbox.hold_delta(HELLO, 1)
    assert outbox.held_bytes == 2 + 16 * 6 + 256


def test_joined_deltas_are_counted() -> None:
    tally = Tally()
    outbox = Outbox(10_000, tally=tally)
    for item in (1, 1, 1, 2):
        outbox.hold_delta(HELLO, item)
    assert tally.coalesced_deltas == 2


def test_the_most_that_waited_is_remembered() -> None:
    tally = Tally()
    outbox = Outbox(10_000, tally=tally)
    outbox.hold(DONE)
    outbox.hold(DONE)
    outbox.release()
    outbox.hold_delta(NO_WORDS, 1)
    assert tally.output_bytes_most == 2 * (14 + 256)


# ---- dropping text


def spoken(outbox: Outbox, count: int, *, item: int = 1, begin: int = 0) -> None:
    for number in range(count):
        outbox.hold_delta(Text.of(f" {number}"), item, (begin + 100 * number, begin + 100 * number + 100))


def slow(first: int, last: int) -> SendNotice:
    return SendNotice(Gap((first, last), DropReason.SLOW_CLIENT))


def overrun(first: int, last: int) -> SendNotice:
    return SendNotice(Gap((first, last), DropReason.INPUT_OVERRUN))


def text(first: int, last: int) -> Text:
    return Text.of("".join(f" {number}" for number in range(first, last)))


def test_the_oldest_text_is_dropped_and_a_gap_left_in_its_place() -> None:
    tally = Tally()
    outbox = Outbox(100_000, samples_max=8_000, tally=tally)
    spoken(outbox, 81)
    assert outbox.is_full
    outbox.shed(is_told=True)
    check(outbox.invariants())
    assert outbox.release() == [slow(0, 4_800), SendDelta(text(48, 81), item=1)]
    assert (tally.dropped_deltas, tally.dropped_text_bytes) == (48, len(text(0, 48).literal) - 2)


def test_gaps_that_follow_each_other_are_one() -> None:
    outbox = Outbox(100_000, samples_max=8_000)
    spoken(outbox, 81)
    outbox.shed(is_told=True)
    spoken(outbox, 60, begin=8_100)
    outbox.shed(is_told=True)
    check(outbox.invariants())
    assert outbox.waiting()[0] == slow(0, 11_200)


def test_a_plain_client_gets_no_gap() -> None:
    outbox = Outbox(100_000, samples_max=8_000)
    spoken(outbox, 81)
    outbox.shed(is_told=False)
    assert outbox.release() == [SendDelta(text(48, 81), item=1)]


def test_ends_of_turns_stay_where_they_are() -> None:
    outbox = Outbox(100_000, samples_max=1_000)
    spoken(outbox, 20)
    outbox.hold(DONE)
    spoken(outbox, 5, item=2, begin=5_000)
    outbox.shed(is_told=True)
    check(outbox.invariants())
    assert outbox.release() == [slow(0, 2_000), DONE, SendDelta(text(0, 5), item=2)]


def test_text_is_dropped_for_its_bytes_as_for_its_audio() -> None:
    outbox = Outbox(3_000)
    spoken(outbox, 96)
    outbox.shed(is_told=True)
    assert 1_000 < outbox.held_bytes <= 1_500
    assert outbox.waiting() == [slow(0, 4_800), SendDelta(text(48, 96), item=1)]


def test_what_is_no_text_is_not_dropped() -> None:
    outbox = Outbox(100)
    outbox.hold(DONE)
    outbox.hold_delta(HELLO, 2)
    outbox.shed(is_told=True)
    assert (outbox.is_full, outbox.release()) == (True, [DONE])


def test_text_of_no_known_audio_leaves_no_gap() -> None:
    outbox = Outbox(100)
    outbox.hold_delta(HELLO, 1)
    outbox.shed(is_told=True)
    assert (outbox.held_bytes, outbox.release()) == (0, [])


# ---- gaps in the input


def test_gaps_in_the_input_come_first_and_touching_ones_are_one() -> None:
    outbox = Outbox(10_000)
    outbox.hold_delta(HELLO, 1)
    for interval in ((0, 100), (200, 300), (100, 200), (300, 400)):
        outbox.hold(overrun(*interval))
        check(outbox.invariants())
    waiting = outbox.release()
    assert waiting[-1] == SendDelta(HELLO, item=1)
    assert waiting[:-1] in (
        [overrun(0, 400)],
        [overrun(0, 300), overrun(300, 400)],
        [overrun(0, 200), overrun(200, 400)],
    )


def test_the_closest_two_of_too_many_gaps_in_the_input_become_one() -> None:
    outbox = Outbox(100_000)
    for number in range(16):
        outbox.hold(overrun(1_000 * number, 1_000 * number + 10))
    outbox.hold(overrun(7_020, 7_030))
    check(outbox.invariants())
    assert outbox.held_bytes == 16 * 512
    assert outbox.release() == [
        overrun(1_000 * number, 1_000 * number + (30 if number == 7 else 10)) for number in range(16)
    ]


def test_a_gap_for_a_slow_client_keeps_its_place() -> None:
    outbox = Outbox(10_000)
    outbox.hold(DONE)
    outbox.hold(slow(0, 100))
    assert outbox.release() == [DONE, slow(0, 100)]


@pytest.mark.parametrize("total", ["held_bytes", "held_samples"])
def test_a_check_fails_when_a_total_is_wrong(total: str) -> None:
    outbox = Outbox(10_000)
    setattr(outbox, total, 1)
    with pytest.raises(AssertionError):
        check(outbox.invariants())


results = st.lists(
    st.builds(lambda text, item: SendDelta(Text.of(text), item=item), st.text(max_size=8), st.integers(1, 3))
    | st.just(DONE),
    max_size=30,
)


@given(st.lists(results, max_size=6))
def test_no_text_is_lost_or_moved_however_often_the_client_stops_reading(spells: list[list[Output]]) -> None:
    outbox = Outbox(1_000_000)
    for spell in spells:
        for result in spell:
            if isinstance(result, SendDelta):
                outbox.hold_delta(result.text, result.item)
            else:
                outbox.hold(result)
        assert _runs(outbox.release()) == _runs(spell)


def _runs(results: list[Output]) -> list[tuple[int, str]]:
    """The text of each run of deltas of one turn; a done is a run of its own."""
    runs: list[tuple[int, str]] = []
    for result in results:
        if not isinstance(result, SendDelta):
            runs.append((0, ""))
        elif runs and runs[-1][0] == result.item:
            runs[-1] = (result.item, runs[-1][1] + result.text.decode())
        else:
            runs.append((result.item, result.text.decode()))
    return runs
