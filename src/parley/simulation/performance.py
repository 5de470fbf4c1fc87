"""What a user does: speaks in turns, sometimes ahead of real time, drops what was said, gives turns up, and goes."""

import random
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import pairwise

from parley.core.content import SAMPLE_RATE
from parley.simulation.speech import Speech, transcript_of

_PIECE_SAMPLES = (320, 8_000)
_LARGE_PIECE_SAMPLES = (8_000, 24_000)

_HALTED_MAX_S = 30.0


class Act(Enum):
    """One thing that a user does."""

    START = auto()
    AUDIO = auto()
    END = auto()
    CLEAR = auto()
    CANCEL = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """An act, at a time after the beginning. AUDIO is of `start` to `end` on the tape, CANCEL of the turn `item`."""

    at_s: float
    act: Act
    start: int = 0
    end: int = 0
    item: int = 0


@dataclass(slots=True)
class Item:
    """A turn as the user meant it: its part of the tape, and what became of it."""

    start: int
    end: int
    is_cleared: bool = False
    is_cancelled: bool = False


@dataclass(slots=True)
class Performance:
    """The steps in order, and the turns that come of them; item numbers count from 1. `halted_s` is for how long in all
    nothing is sent within turns."""

    speech: Speech
    steps: list[Step] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    halted_s: float = 0.0

    def words(self, item: int) -> list[str]:
        """What a model says that hears all of this turn, once and undisturbed. Long turns are read in parts."""
        meant = self.items[item - 1]
        words: list[str] = []
        for start, end in self.speech.word_intervals(meant.start, meant.end):
            words += transcript_of(self.speech.pcm(start, end))
        return words


@dataclass(frozen=True, slots=True)
class Manner:
    """How a user behaves. `is_contract` says that clear and cancel exist; `halt_rate` is the chance that nothing is
    sent for a time after a piece."""

    turns_max: int = 5
    ahead_rate: float = 0.3
    clear_rate: float = 0.25
    cancel_rate: float = 0.15
    is_contract: bool = True
    piece_samples: tuple[int, int] = _PIECE_SAMPLES
    halt_rate: float = 0.0
    halt_s: tuple[float, float] = (1.0, 8.0)


LONG_MANNER = Manner(turns_max=3, ahead_rate=0.0, clear_rate=0.0, cancel_rate=0.0, piece_samples=(6_000, 8_000))
"""Hours of it."""


def perform(chance: random.Random, speech: Speech, manner: Manner) -> Performance:
    """Draw what a user does with this tape."""
    performance = Performance(speech)
    # Drawn apart, so that what else a seed means stays as it is.
    halts = random.Random(speech.samples)  # noqa: S311  the same each time, on purpose
    turns = chance.randint(1, manner.turns_max)
    cuts = sorted(chance.randrange(speech.samples) for _ in range(turns - 1))
    edges = [0, *cuts, speech.samples]
    now = 0.0
    for start, end in pairwise(edges):
        if end > start:
            now = _turn(chance, halts, performance, manner, start, end, now)
            now += chance.choice((0.0, 0.0, 0.3, chance.uniform(0.5, 4.0)))
    return performance


def _turn(
    chance: random.Random,
    halts: random.Random,
    performance: Performance,
    manner: Manner,
    start: int,
    end: int,
    now: float,
) -> float:
    steps, items = performance.steps, performance.items
    pace = chance.choice((2.0, 8.0, 50.0)) if chance.random() < manner.ahead_rate else 1.0
    low, high = manner.piece_samples
    if chance.random() < 0.1:
        # Longer than what the server passes on whole.
        low, high = _LARGE_PIECE_SAMPLES
    clears_at = chance.randrange(start, end) if manner.is_contract and chance.random() < manner.clear_rate else end
    gives_up = manner.is_contract and chance.random() < manner.cancel_rate
    items.append(Item(start, end))
    steps.append(Step(now, Act.START))
    at = start
    while at < end:
        until = min(end, at + chance.randint(low, high))
        now += (until - at) / SAMPLE_RATE / pace
        steps.append(Step(now, Act.AUDIO, at, until))
        at = until
        if performance.halted_s < _HALTED_MAX_S and halts.random() < manner.halt_rate:
            halt_s = halts.uniform(*manner.halt_s)
            performance.halted_s += halt_s
            now += halt_s
        if at >= clears_at and at < end:
            clears_at = end
            items[-1].end, items[-1].is_cleared = at, True
            items.append(Item(at, end))
            steps.append(Step(now, Act.CLEAR))
        if gives_up and at < end and chance.random() < 0.02:
            # In the middle: what follows in this turn is not said.
            items[-1].end, items[-1].is_cancelled = at, True
            steps.append(Step(now, Act.CANCEL, item=len(items)))
            return now
    steps.append(Step(now, Act.END))
    if gives_up:
        items[-1].is_cancelled = True
        steps.append(Step(now + chance.choice((0.0, 0.2, 1.0)), Act.CANCEL, item=len(items)))
    return now
