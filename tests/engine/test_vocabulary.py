import pytest

from parley.engine.vocabulary import Vocabulary, flattened, normalised

from .doubles import SPACE, vocabulary_file

PIECES = [
    b"<unk>",
    b"<s>",
    b"</s>",
    f"{SPACE}Al".encode(),
    b"pha",
    b".",
    f"{SPACE}caf".encode(),
    b"\xc3",
    b"\xa9",
    b"<<ST_0>>",
    b"x" * 300,
]
VOCABULARY = Vocabulary(vocabulary_file(PIECES))


def test_long_entries_take_two_bytes_of_length() -> None:
    assert (len(VOCABULARY), VOCABULARY.text((10,))) == (len(PIECES), "x" * 300)


def test_tokens_group_into_words_at_the_space_mark() -> None:
    assert VOCABULARY.words([3, 4, 5, 6, 7, 8]) == [(3, 4, 5), (6, 7, 8)]


def test_text_that_starts_without_a_space_mark_is_a_word_too() -> None:
    assert VOCABULARY.words([4, 3]) == [(4,), (3,)]


def test_special_and_control_tokens_are_no_words() -> None:
    assert VOCABULARY.words([1, 9, 3, 2]) == [(3,)]


def test_a_character_split_over_two_tokens_is_joined() -> None:
    assert VOCABULARY.text((6, 7, 8)) == "café"


def test_half_a_character_is_left_out() -> None:
    assert VOCABULARY.text((6, 7)) == "caf"


def test_punctuation_and_case_do_not_make_another_word() -> None:
    assert VOCABULARY.key((3, 4, 5)) == "alpha"


@pytest.mark.parametrize(("text", "key"), [("Don't,", "don't"), ("'Tis", "tis"), ("--", "--"), ("11th.", "11th")])
def test_a_key_keeps_letters_digits_and_inner_apostrophes(text: str, key: str) -> None:
    assert normalised(text) == key


def test_words_flatten_to_their_tokens() -> None:
    assert flattened([(3, 4), (6,)]) == [3, 4, 6]


@pytest.mark.parametrize("file", [b"\x05abc", b"\x81"])
def test_a_file_that_ends_within_an_entry_is_refused(file: bytes) -> None:
    with pytest.raises(ValueError, match="ends within an entry"):
        Vocabulary(file)
