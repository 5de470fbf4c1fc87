"""Which words of a growing segment are certain enough to be told: agreement between successive hypotheses.

Words told are never taken back. A word is committed when the latest hypotheses agree on it and on everything before
it, long enough, and when it is not too near the end of what was heard, where hypotheses change most. Pure: hypotheses
are sequences of keys (strings that are equal for the same word), positions are hops of audio.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CommitPolicy:
    """When a word is committed.

    `agreements` hypotheses in a row hold it, the first and the last of them at least `stable_hops` of audio apart, and
    `held_words` further words follow it (`held_words_in_pause` when the speaker has paused).
    """

    agreements: int = 2
    stable_hops: int = 0
    held_words: int = 2
    held_words_in_pause: int = 1


class Agreement:
    """The hypotheses of one segment so far. `committed` words are certain."""

    def __init__(self, policy: CommitPolicy) -> None:
        self._policy = policy
        self._previous: list[str] = []
        self._since_hops: list[int] = []
        self._counts: list[int] = []

    def observe(self, hypothesis: Sequence[str], position_hops: int, *, in_pause: bool = False) -> int:
        """How many leading words of `hypothesis`, decoded from audio up to `position_hops`, are certain now."""
        same = _common_prefix(self._previous, hypothesis)
        fresh = len(hypothesis) - same
        self._previous = list(hypothesis)
        self._since_hops = self._since_hops[:same] + [position_hops] * fresh
        self._counts = [count + 1 for count in self._counts[:same]] + [1] * fresh
        policy = self._policy
        limit = len(hypothesis) - (policy.held_words_in_pause if in_pause else policy.held_words)
        certain = 0
        while (
            certain < limit
            and self._counts[certain] >= policy.agreements
            and position_hops - self._since_hops[certain] >= policy.stable_hops
        ):
            certain += 1
        return certain


def matched(told: Sequence[str], hypothesis: Sequence[str]) -> int:
    """How many leading words of `hypothesis` stand for all of `told`, by the least number of edits.

    Of equally good numbers it is the one nearest to the length of `told`, so that a changed word counts as changed and
    not as removed.
    """
    distances = list(range(len(hypothesis) + 1))
    for row, word in enumerate(told, start=1):
        diagonal, distances[0] = distances[0], row
        for column, other in enumerate(hypothesis, start=1):
            edited = min(distances[column], distances[column - 1]) + 1
            diagonal, distances[column] = distances[column], min(edited, diagonal + (word != other))
    return min(range(len(distances)), key=lambda column: (distances[column], abs(column - len(told))))


def _common_prefix(first: Sequence[str], second: Sequence[str]) -> int:
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length
