from hypothesis import given
from hypothesis import strategies as st

from parley.client import (
    Gap,
    InputCleared,
    Recovering,
    TextDelta,
    TextRevised,
    Transcript,
    TurnCancelled,
    TurnDone,
    TurnFailed,
    Usage,
)
from parley.client.transcript import revised

SPAN = (0, 80)


def transcript(*texts: str, item: int = 1) -> Transcript:
    said = Transcript()
    for text in texts:
        said.apply(TextDelta(text, None, item))
    return said


def test_pieces_add_up_without_the_first_space() -> None:
    assert transcript(" Hello", " there.").text(1) == "Hello there."


def test_a_revision_replaces_code_points() -> None:
    said = transcript(" 😀é", " there.")
    assert said.apply(TextRevised(1, 1, 3, "oh", SPAN))
    assert said.text(1) == "oh there."


def test_a_revision_counts_from_the_first_space() -> None:
    said = transcript(" Hello")
    said.apply(TextRevised(1, 0, 6, "Hullo", SPAN))
    assert said.text(1) == "Hullo"


def test_the_final_text_is_the_last_word() -> None:
    said = transcript(" Hello")
    assert said.apply(TurnDone("Hello there.", Usage(), item=1))
    assert said.text(1) == "Hello there."
    assert said.is_over(1)


def test_a_final_text_that_is_not_whole_leaves_the_pieces() -> None:
    said = transcript(" Hello", " there.")
    said.apply(TurnDone("there.", Usage(), item=1, text_from_ms=500))
    assert said.text(1) == "Hello there."


def test_each_item_has_its_text_and_the_latest_is_meant_without_one() -> None:
    said = transcript(" Hello")
    said.apply(TextDelta(" You", None, 2))
    assert said.items == [1, 2]
    assert said.latest == 2
    assert (said.text(), said.text(1), said.text(7)) == ("You", "Hello", "")


def test_what_is_cleared_or_cancelled_has_no_text() -> None:
    said = transcript(" Hello")
    assert said.apply(InputCleared(1))
    said.apply(TextDelta(" You", None, 2))
    assert said.apply(TurnCancelled(2))
    assert (said.items, said.latest, said.text()) == ([], 0, "")


def test_a_turn_that_failed_keeps_what_it_had() -> None:
    said = transcript(" Hello")
    assert not said.apply(TurnFailed(1, "turn-failed", "", "upstream", "same-session"))
    assert said.text(1) == "Hello"
    assert said.is_over(1)


def test_other_events_change_nothing() -> None:
    assert not transcript(" Hello").apply(Recovering("upstream-closed"))


def test_the_oldest_turns_are_forgotten_at_the_bound() -> None:
    said = Transcript(items_max=2)
    for item in range(1, 5):
        said.apply(TextDelta(" x", None, item))
        said.apply(TurnDone("x", Usage(), item=item))
    assert said.items == [3, 4]
    assert not said.is_over(1)


def test_after_a_gap_of_text_a_turn_is_not_revised_and_its_end_has_all() -> None:
    said = transcript(" one")
    said.apply(Gap((0, 80), "slow-client"))
    assert not said.apply(TextRevised(1, 9, 12, "x", SPAN))
    assert said.text(1) == "one"
    said.apply(TurnDone("one two", Usage(), item=1))
    said.apply(TextDelta(" three", None, 2))
    assert said.apply(TextRevised(2, 0, 6, " four", SPAN))
    assert (said.text(1), said.text(2)) == ("one two", "four")


def test_a_gap_of_audio_lets_a_turn_be_revised() -> None:
    said = transcript(" one")
    said.apply(Gap((0, 80), "input-overrun"))
    assert said.apply(TextRevised(1, 0, 4, " two", SPAN))


def test_a_transcript_does_not_show_what_was_said() -> None:
    assert "private" not in repr(transcript("private"))


def test_revised_pieces_keep_their_places() -> None:
    pieces = [TextDelta(" one", 0.1, 1), TextDelta(" two", 0.2, 1), TextDelta(" three", 0.3, 1)]
    changed = revised(pieces, TextRevised(1, 2, 9, "X", SPAN))
    assert changed == [TextDelta(" o", 0.1, 1), TextDelta("X", 0.3, 1), TextDelta("three", 0.3, 1)]


def test_words_that_are_put_in_are_where_those_before_them_are() -> None:
    pieces = [TextDelta(" one", 0.1, 1), TextDelta(" two", 0.2, 1)]
    assert revised(pieces, TextRevised(1, 4, 4, " and", SPAN))[1] == TextDelta(" and", 0.1, 1)
    assert revised([], TextRevised(1, 0, 0, "x", SPAN)) == [TextDelta("x", None, 1)]


@given(
    st.lists(st.text(min_size=1, max_size=5), max_size=6), st.integers(0, 20), st.integers(0, 20), st.text(max_size=5)
)
def test_pieces_and_text_are_revised_alike(texts: list[str], one: int, other: int, new: str) -> None:
    whole = "".join(texts)
    start, end = sorted((min(one, len(whole)), min(other, len(whole))))
    pieces = revised([TextDelta(text, 0.0, 1) for text in texts], TextRevised(1, start, end, new, SPAN))
    assert "".join(piece.text for piece in pieces) == whole[:start] + new + whole[end:]
    assert all(piece.text for piece in pieces)
