import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.content import Text
from parley.core.effects import SendDelta, SendDone, SendError
from parley.core.errors import ParleyError
from parley.core.ledger import Output
from parley.core.outbox import Outbox

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
    assert outbox.held_bytes == (8 + 64) + (2 + 64)


@pytest.mark.parametrize(("output", "cost"), [(DONE, 14 + 256), (SendError(ParleyError("invalid-json")), 512)])
def test_any_other_output_counts_as_in_the_ledger(output: Output, cost: int) -> None:
    outbox = Outbox(1_000)
    outbox.hold(output)
    assert outbox.held_bytes == cost


def test_it_is_full_above_the_bound_and_not_at_it() -> None:
    outbox = Outbox(bytes_max=72)
    outbox.hold_delta(HELLO, 1)
    assert not outbox.is_full
    outbox.hold_delta(NO_WORDS, 1)
    assert outbox.is_full


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
