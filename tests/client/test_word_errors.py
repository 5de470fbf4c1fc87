import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.client.word_errors import word_error_rate, words_of


@pytest.mark.parametrize(
    ("reference", "transcript", "rate"),
    [
        ("one two three four", "one two three four", 0.0),
        ("one two three four", "one too three four", 0.25),
        ("one two three four", "one three four", 0.25),
        ("one two three four", "one two and three four", 0.25),
        ("one two three four", "", 1.0),
        ("one", "two three", 2.0),
        ("", "", 0.0),
        ("", "something", 1.0),
        ("Well, it's here!", "well it\u2019s here", 0.0),
    ],
)
def test_the_rate_counts_words_left_out_inserted_and_replaced(reference: str, transcript: str, rate: float) -> None:
    assert word_error_rate(reference, transcript) == rate


def test_quotation_marks_are_no_part_of_a_word() -> None:
    assert words_of("'Tis the 'end' of — it's") == ["tis", "the", "end", "of", "it's"]


texts = st.lists(st.sampled_from("abc"), max_size=8).map(" ".join)


@given(texts, texts)
def test_the_distance_is_symmetric_and_bounded(one: str, other: str) -> None:
    there = round(word_error_rate(one, other) * len(one.split()))
    back = round(word_error_rate(other, one) * len(other.split()))
    lengths = len(one.split()), len(other.split())
    if all(lengths):
        assert there == back
        assert abs(lengths[0] - lengths[1]) <= there <= max(lengths)
