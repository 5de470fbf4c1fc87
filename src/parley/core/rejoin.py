"""Where a new leg's text takes up what an old leg's had said.

The new leg hears audio again from the replay point and says the recent text once more. Until it has, nothing of it is
passed on. The same model on the same audio says the same; when it does not, the two texts are aligned.
"""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

from parley.core.content import Text

_WORD = re.compile(r"\S+")
_SPACE = re.compile(r"\s")
_ALIGNED_WORDS_MAX = 60
"""How many of the last words said are looked for in the new text."""


@dataclass(frozen=True, slots=True)
class Joint:
    """How the new text goes on from the old.

    `rest` follows what was said, for those who can't be told of a change. `common` is how many characters of the two
    are the same, up to a word's beginning; None when all that was said still stands.
    """

    rest: str
    common: int | None = None


class Rejoin:
    """Compares what a new leg says with what was said. Positions are samples since the turn began.

    `late_samples` is how much later than before a word may be said; `patience_samples` how long the new leg is waited
    for. Without a clock the text's length stands in for positions. `ends_otherwise`: what the client was told does not
    end as what was said, so no word of it may be continued.
    """

    __slots__ = (
        "_has_clock",
        "_heard",
        "_late_samples",
        "_patience_samples",
        "_said",
        "ends_otherwise",
        "entries",
        "until",
    )

    def __init__(
        self, *, late_samples: int, patience_samples: int, has_clock: bool = True, ends_otherwise: bool = False
    ) -> None:
        self.ends_otherwise = ends_otherwise
        self._has_clock = has_clock
        self._said = ""
        self._heard = ""
        self._late_samples = late_samples
        self._patience_samples = patience_samples
        self.until = 0
        self.entries: list[tuple[int, Text]] = []

    @property
    def said(self) -> str:
        """What is to be said again."""
        return self._said

    @property
    def heard(self) -> str:
        """What the new leg has said."""
        return self._heard

    def expect(self, position: int, text: Text) -> None:
        """This was said."""
        self._said += text.decode()
        self.until = max(self.until, position)

    def expect_more(self, position: int, text: Text) -> None:
        """This is being said by the leg that is still at work, and told."""
        self.ends_otherwise = False
        self.expect(position, text)

    def hear(self, position: int, text: Text) -> Joint | None:
        """The new leg moved to this position, saying this. Returns how it goes on, as soon as that is known."""
        if not text.is_empty:
            self.entries.append((position, text))
            self._heard += text.decode()
        said, heard = self._said, self._heard
        if heard.startswith(said):
            if self.ends_otherwise and not self.is_overdue(position) and not _SPACE.search(heard, len(said)):
                # Perhaps the word that it is in is not over.
                return None
            return Joint(self._onward(len(said))) if heard != said or position >= self.until else None
        if not self._has_clock:
            return self.conclude() if len(heard) >= len(said) else None
        if said.startswith(heard):
            # It may still say the rest. If it never does, it says something else next, or the turn ends.
            return None
        return self.conclude() if position > self.until + self._late_samples else None

    def is_overdue(self, position: int) -> bool:
        """Whether the new leg should have said all of it by this position."""
        return position > self.until + self._patience_samples

    def conclude(self) -> Joint:
        """The new leg has said enough: how it goes on."""
        said, heard = self._said, self._heard
        if heard.startswith(said):
            return Joint(self._onward(len(said)))
        return Joint(self._rest(), _common_words(said, heard))

    def _onward(self, start: int) -> str:
        """The new text from here on, or from the next word on."""
        rest = self._heard[start:]
        if not self.ends_otherwise:
            return rest
        space = _SPACE.search(rest)
        return rest[space.start() :] if space else ""

    def _rest(self) -> str:
        """What follows, in the new text, the last word that both have or the last position that both reached."""
        said = [match.group() for match in _WORD.finditer(self._said)][-_ALIGNED_WORDS_MAX:]
        spans = [match.span() for match in _WORD.finditer(self._heard)]
        heard = [self._heard[start:end] for start, end in spans]
        first = self._first_new_word(spans)
        blocks = [
            block for block in SequenceMatcher(None, said, heard, autojunk=False).get_matching_blocks() if block.size
        ]
        if blocks:
            last = blocks[-1]
            first = max(first, last.b + last.size)
        if said and first and heard[first - 1] != said[-1] and heard[first - 1].startswith(said[-1]):
            # What was said stopped within this word.
            return self._onward(spans[first - 1][0] + len(said[-1]))
        return self._heard[spans[first - 1][1] if first else 0 :]

    def _first_new_word(self, spans: list[tuple[int, int]]) -> int:
        """The index of the first word of the new text that begins after the position where the old text stopped."""
        if not self._has_clock:
            return 0
        characters = 0
        for position, text in self.entries:
            if position > self.until + self._late_samples:
                break
            characters += len(text.decode())
        return sum(1 for start, _ in spans if start < characters)


def _common_words(said: str, heard: str) -> int:
    """How many characters both begin with, up to the beginning of a word."""
    count = 0
    for ours, theirs in zip(said, heard, strict=False):
        if ours != theirs:
            break
        count += 1
    while count and not said[count - 1].isspace() and not (count < len(said) and said[count].isspace()):
        count -= 1
    return count
