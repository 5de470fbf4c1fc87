"""The word error rate: how far a transcript is from the text that was read."""

import re
from collections.abc import Sequence

_APOSTROPHES = str.maketrans({"\u2018": "'", "\u2019": "'"})
_NO_WORD = re.compile(r"[^\w']+")


def words_of(text: str) -> list[str]:
    """The words in lower case, without punctuation; apostrophes stay within words."""
    spaced = _NO_WORD.sub(" ", text.translate(_APOSTROPHES).lower())
    return [word for part in spaced.split() if (word := part.strip("'"))]


def word_error_rate(reference: str, transcript: str) -> float:
    """Words inserted, left out or replaced, as a share of the reference's words (Levenshtein, 1966).

    It may exceed 1. A reference without words gives 0 for a transcript without words, 1 for any other.
    """
    expected, heard = words_of(reference), words_of(transcript)
    if not expected:
        return float(bool(heard))
    return _distance(expected, heard) / len(expected)


def _distance(expected: Sequence[str], heard: Sequence[str]) -> int:
    """Edits from one to the other, one row of the table at a time."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(expected, 1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(heard, 1):
            replaced = diagonal + (word != other)
            diagonal = row[place]
            row[place] = min(row[place] + 1, row[place - 1] + 1, replaced)
    return row[-1]
