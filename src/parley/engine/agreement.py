"""Which words of a growing segment are certain enough to be told: agreement between successive hypotheses.

Words told are never taken back. A word is committed when the latest hypotheses agree on it and on everything before
it, and when it is not too near the end of what was heard, where hypotheses change most. A word that the recogniser
itself doubts waits for more of them. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommitPolicy:
    """When a word is committed.

    `agreements` hypotheses in a row hold it, and `held_words` further words follow it (`held_words_in_pause` when the
    speaker has paused). A word of which the recogniser is less than `doubt_below` sure needs `doubtful_agreements`.
    """

    agreements: int = 2
    held_words: int = 1
    held_words_in_pause: int = 0
    doubt_below: float = 0.7
    doubtful_agreements: int = 4


@dataclass(frozen=True, slots=True)
class Candidate:
    """A word of a hypothesis: equal `key` means the same word, `probability` is the recogniser's own."""

    key: str
    probability: float = 1.0


class Agreement:
    """The hypotheses of one segment so far."""

    def __init__(self, policy: CommitPolicy) -> None:
        self._policy = policy
        self._previous: list[str] = []
        self._counts: list[int] = []

    def observe(self, hypothesis: Sequence[Candidate], *, in_pause: bool = False) -> int:
        """How many leading words of `hypothesis` are certain now."""
        keys = [word.key for word in hypothesis]
        same = _common_prefix(self._previous, keys)
        self._previous = keys
        self._counts = [count + 1 for count in self._counts[:same]] + [1] * (len(keys) - same)
        policy = self._policy
        limit = len(keys) - (policy.held_words_in_pause if in_pause else policy.held_words)
        certain = 0
        while certain < limit and self._counts[certain] >= self._needed(hypothesis[certain]):
            certain += 1
        return certain

    def _needed(self, word: Candidate) -> int:
        policy = self._policy
        return policy.doubtful_agreements if word.probability < policy.doubt_below else policy.agreements


def matched(told: Sequence[str], hypothesis: Sequence[str]) -> int:
    """How many leading words of `hypothesis` stand for all of `told`, by the least number of edits.

    Of equally good numbers it is one that ends in the same word as `told`, else the one nearest to the length of
    `told`, so that a changed word counts as changed and not as removed.
    """
    distances = list(range(len(hypothesis) + 1))
    for row, word in enumerate(told, start=1):
        diagonal, distances[0] = distances[0], row
        for column, other in enumerate(hypothesis, start=1):
            edited = min(distances[column], distances[column - 1]) + 1
            diagonal, distances[column] = distances[column], min(edited, diagonal + (word != other))

    def rank(length: int) -> tuple[int, bool, int]:
        ends_alike = bool(told) and length > 0 and told[-1] == hypothesis[length - 1]
        return distances[length], not ends_alike, abs(length - len(told))

    return min(range(len(distances)), key=rank)


def _common_prefix(first: Sequence[str], second: Sequence[str]) -> int:
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length
