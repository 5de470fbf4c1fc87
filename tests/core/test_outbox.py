from hypothesis import given
from hypothesis import strategies as st

from parley.core.content import Text
from parley.core.effects import Effect, SendDelta, SendDone
from parley.core.outbox import Outbox

from .builders import NO_WORDS, USAGE

HELLO = Text.of(" hello")
WORLD = Text.of(" world")
DONE = SendDone(Text.of(" hello world"), USAGE)


def blocked(bytes_max: int = 1_000) -> Outbox:
    outbox = Outbox(bytes_max)
    outbox.block()
    return outbox


def test_a_new_outbox_holds_nothing_for_a_client_that_reads() -> None:
    outbox = Outbox(0)
    assert (outbox.blocked, outbox.held_bytes, outbox.is_full) == (False, 0, False)


def test_a_done_passes_straight_through_to_a_client_that_reads() -> None:
    outbox = Outbox(0)
    assert outbox.done(DONE) == [DONE]
    assert outbox.held_bytes == 0


def test_deltas_are_held_and_joined_while_the_client_does_not_read() -> None:
    outbox = blocked()
    outbox.hold(HELLO)
    outbox.hold(WORLD)
    assert outbox.unblock() == [SendDelta(Text.of(" hello world"))]


def test_a_done_keeps_its_place_behind_the_deltas_before_it() -> None:
    outbox = blocked()
    outbox.hold(HELLO)
    assert outbox.done(DONE) + outbox.done(DONE) == []
    outbox.hold(WORLD)
    assert outbox.unblock() == [SendDelta(HELLO), DONE, DONE, SendDelta(WORLD)]


def test_nothing_is_handed_out_twice() -> None:
    outbox = blocked()
    outbox.hold(HELLO)
    outbox.unblock()
    assert outbox.unblock() == []
    assert (outbox.blocked, outbox.held_bytes) == (False, 0)


def test_a_held_delta_counts_its_text_and_its_object() -> None:
    outbox = blocked()
    outbox.hold(HELLO)
    outbox.hold(NO_WORDS)
    assert outbox.held_bytes == (8 + 64) + (2 + 64)


def test_a_held_done_counts_its_text_and_its_objects() -> None:
    outbox = blocked()
    outbox.done(DONE)
    assert outbox.held_bytes == 14 + 256


def test_it_is_full_above_the_bound_and_not_at_it() -> None:
    outbox = blocked(bytes_max=72)
    outbox.hold(HELLO)
    assert not outbox.is_full
    outbox.hold(NO_WORDS)
    assert outbox.is_full


results = st.lists(st.text(max_size=8).map(lambda text: SendDelta(Text.of(text))) | st.just(DONE), max_size=30)


@given(st.lists(results, max_size=6))
def test_no_text_is_lost_or_moved_however_often_the_client_stops_reading(spells: list[list[Effect]]) -> None:
    outbox = Outbox(1_000_000)
    for spell in spells:
        outbox.block()
        for result in spell:
            if isinstance(result, SendDelta):
                outbox.hold(result.text)
            elif isinstance(result, SendDone):
                assert outbox.done(result) == []
        assert _turns(outbox.unblock()) == _turns(spell)


def _turns(results: list[Effect]) -> list[str]:
    """The text between one end of a turn and the next."""
    turns = [""]
    for result in results:
        if isinstance(result, SendDelta):
            turns[-1] += result.text.decode()
        else:
            assert result == DONE
            turns.append("")
    return turns
