import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.content import Text
from parley.core.invariants import check
from parley.core.transcript import RECENT_MAX_BYTES, Transcript

OVERHEAD = 200


def said(*words: str, bytes_max: int = 100_000) -> Transcript:
    """A word every 100 samples."""
    transcript = Transcript(bytes_max)
    for number, word in enumerate(words, 1):
        transcript.add(100 * number, Text.of(word))
    return transcript


def final(transcript: Transcript, mark: int, rest: str = "") -> str:
    return transcript.final(mark, Text.of(rest)).decode()


def test_a_new_transcript_is_empty() -> None:
    transcript = Transcript(1_000)
    assert (transcript.settled, transcript.recent, transcript.bytes, transcript.last_position) == (0, [], 0, 0)


def test_what_was_said_is_recent_first() -> None:
    transcript = said(" a", " b")
    assert transcript.recent == [(100, Text.of(" a")), (200, Text.of(" b"))]
    assert (transcript.last_position, transcript.bytes) == (200, 2 * (4 + OVERHEAD))


def test_settling_joins_what_was_said_by_a_position() -> None:
    transcript = said(" a", " b", " c")
    transcript.settle(200)
    assert (transcript.settled, transcript.settled_characters) == (1, 4)
    assert transcript.recent == [(300, Text.of(" c"))]
    assert transcript.bytes == (6 + OVERHEAD) + (4 + OVERHEAD)


@pytest.mark.parametrize("words", [(), (" a",)])
def test_settling_before_anything_was_said_changes_nothing(words: tuple[str, ...]) -> None:
    transcript = said(*words)
    transcript.settle(99)
    assert (transcript.settled, len(transcript.recent)) == (0, len(words))


def test_characters_are_counted_as_code_points() -> None:
    transcript = said("é😀")
    transcript.settle(100)
    assert transcript.settled_characters == 2


def test_the_final_text_is_what_was_settled_up_to_a_mark_and_the_rest() -> None:
    transcript = said(" a", " b", " c")
    transcript.settle(100)
    mark = transcript.settled
    transcript.settle(200)
    assert final(transcript, mark, " x y") == " a x y"


def test_another_legs_words_replace_the_recent_ones() -> None:
    transcript = said(" a", " b")
    transcript.settle(100)
    transcript.replace_recent([(150, Text.of(" x")), (180, Text.of(" yy"))])
    assert transcript.recent == [(150, Text.of(" x")), (180, Text.of(" yy"))]
    assert transcript.last_position == 180
    check(transcript.invariants())


def test_the_last_position_stays_when_nothing_was_said_again() -> None:
    transcript = said(" a", " b")
    transcript.replace_recent([])
    assert (transcript.recent, transcript.last_position) == ([], 200)


def test_it_is_remembered_that_the_client_was_told_another_end_until_it_is_told_more() -> None:
    transcript = said(" a", " b")
    transcript.replace_recent([(150, Text.of(" x"))], ends_otherwise=True)
    differed = transcript.ends_otherwise
    transcript.add(300, Text.of(" y"))
    assert (differed, transcript.ends_otherwise) == (True, False)


# ---- the bound


def test_beyond_the_bound_the_oldest_settled_text_goes() -> None:
    transcript = said(" a", " b", " c", bytes_max=2 * (4 + OVERHEAD))
    for position in (100, 200, 300):
        transcript.settle(position)
    assert (final(transcript, transcript.settled), transcript.from_position) == (" b c", 100)
    check(transcript.invariants())


def test_recent_text_stays_whatever_the_bound() -> None:
    transcript = said(" a", " b", bytes_max=0)
    transcript.settle(100)
    assert (transcript.recent, transcript.from_position) == ([(200, Text.of(" b"))], 100)


def test_a_mark_stays_where_it_is_when_text_before_it_goes() -> None:
    transcript = said(" a", " b", " c", " d", bytes_max=3 * (4 + OVERHEAD))
    transcript.settle(100)
    transcript.settle(200)
    mark = transcript.settled
    transcript.settle(300)
    transcript.settle(400)
    assert final(transcript, mark, " x") == " b x"


def test_a_mark_whose_text_has_all_gone_stands_for_nothing() -> None:
    transcript = said(" a", " b", bytes_max=4 + OVERHEAD)
    transcript.settle(100)
    mark = transcript.settled
    transcript.settle(200)
    assert final(transcript, mark, " x") == " x"


@given(
    st.lists(st.tuples(st.text(max_size=4), st.booleans(), st.integers(0, 500)), max_size=40),
    st.integers(0, 3_000),
)
def test_settled_and_recent_text_is_the_end_of_all_that_was_said(
    moves: list[tuple[str, bool, int]], bytes_max: int
) -> None:
    transcript, everything = Transcript(bytes_max), ""
    for number, (word, settles, back) in enumerate(moves, 1):
        transcript.add(100 * number, Text.of(word))
        everything += word
        if settles:
            transcript.settle(100 * number - back)
        check(transcript.invariants())
        recent = "".join(text.decode() for _, text in transcript.recent)
        whole = final(transcript, transcript.settled, recent)
        assert everything.endswith(whole)
        assert whole == everything or transcript.from_position


def test_a_check_fails_when_the_total_is_wrong() -> None:
    transcript = said(" a")
    transcript.bytes = 0
    with pytest.raises(AssertionError):
        check(transcript.invariants())


def test_a_check_fails_when_text_is_out_of_order() -> None:
    transcript = said(" a", " b")
    transcript.add(50, Text.of(" c"))
    with pytest.raises(AssertionError, match="in order"):
        check(transcript.invariants())


def test_a_model_that_never_stops_talking_is_kept_within_bounds() -> None:
    transcript = Transcript(10_000)
    text = Text.of("x" * 10_000)
    for position in range(1, 400):
        transcript.add(position, text)
        check(transcript.invariants())
        assert transcript.bytes <= 10_000 + RECENT_MAX_BYTES + 10_300
    assert transcript.recent[-1] == (399, text)


def test_another_transcript_goes_on_with_what_was_said() -> None:
    transcript = Transcript(450)
    for position, word in ((1, " a"), (2, " b"), (3, " c")):
        transcript.add(position, Text.of(word))
        transcript.settle(position)
    transcript.add(4, Text.of(" d"))
    other = Transcript(450)
    other.restore(transcript.state())
    check(other.invariants())
    assert other.state() == transcript.state()
    assert (other.bytes, other.settled, other.recent) == (transcript.bytes, transcript.settled, transcript.recent)
    assert other.final(other.settled, Text.of(" e")) == transcript.final(transcript.settled, Text.of(" e"))
