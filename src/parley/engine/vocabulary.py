"""The recogniser's vocabulary: tokens to words and text.

A word is the token that starts it (its bytes begin with the space mark) and those that continue it, as a tuple.
"""

from collections.abc import Iterable, Sequence

BEGIN = 1
"""The token a decode starts from."""

END = 2
"""The token that ends a decode."""

Word = tuple[int, ...]

_SPACE = "\u2581".encode()
_CONTROL = b"<<ST_"
_FIRST_TEXT_TOKEN = 3


class Vocabulary:
    """Byte strings by token.

    The file is a sequence of length-prefixed byte strings: lengths below 128 in one byte, others in two, of which the
    first is the remainder by 128 plus 128 and the second the quotient.

    Raises:
        ValueError: the file ends within an entry.
    """

    def __init__(self, file: bytes) -> None:
        self._pieces = _read_pieces(file)
        self._starts = [piece.startswith(_SPACE) for piece in self._pieces]
        self._spoken = [
            any(character.isalnum() for character in piece.decode("utf-8", "replace")) for piece in self._pieces
        ]

    def __len__(self) -> int:
        return len(self._pieces)

    def words(self, tokens: Sequence[int]) -> list[Word]:
        """The tokens grouped into words; control tokens are left out."""
        return [tuple(tokens[index] for index in span) for span in self.spans(tokens)]

    def spans(self, tokens: Sequence[int]) -> list[list[int]]:
        """For each word of `tokens` the positions of its tokens; control tokens are left out."""
        spans: list[list[int]] = []
        for index, token in enumerate(tokens):
            if token < _FIRST_TEXT_TOKEN or self._pieces[token].startswith(_CONTROL):
                continue
            if not spans or self._starts[token]:
                spans.append([])
            spans[-1].append(index)
        return spans

    def is_spoken(self, token: int) -> bool:
        """Whether the token has letters or digits: punctuation is a matter of style, and uncertain where speech is."""
        return self._spoken[token]

    def text(self, word: Word) -> str:
        """The word's characters, without surrounding spaces. Bytes that are not UTF-8 are left out."""
        joined = b"".join(self._pieces[token] for token in word)
        return joined.replace(_SPACE, b" ").decode("utf-8", "ignore").strip()

    def key(self, word: Word) -> str:
        """What makes two spellings the same word: letters and digits alone, in one case."""
        return normalised(self.text(word))


def normalised(text: str) -> str:
    """The text's letters, digits and apostrophes inside it, case folded; the text itself if it has none."""
    folded = text.casefold()
    kept = "".join(character for character in folded if character.isalnum() or character == "'").strip("'")
    return kept or folded


def flattened(words: Iterable[Word]) -> list[int]:
    """The words' tokens in one list."""
    return [token for word in words for token in word]


def _read_pieces(file: bytes) -> list[bytes]:
    pieces, position = [], 0
    while position < len(file):
        length = file[position]
        position += 1
        if length >= 128:
            if position == len(file):
                raise ValueError("the vocabulary ends within an entry")
            length += file[position] * 128 - 128
            position += 1
        piece = file[position : position + length]
        if len(piece) < length:
            raise ValueError("the vocabulary ends within an entry")
        pieces.append(piece)
        position += length
    return pieces
