"""When speech starts and ends: hysteresis over the detector's probabilities."""

from enum import Enum, auto

from parley.engine.clock import SAMPLE_RATE_HZ
from parley.engine.detector import HOP_SAMPLES

ON_PROBABILITY = 0.5
"""At or above this a hop counts towards the start of speech."""

OFF_PROBABILITY = 0.35
"""Below this a hop counts as silence once speech has started."""

START_HOPS = 2
"""Hops in a row at `ON_PROBABILITY` that start a segment: a click is shorter than 64 ms."""

PRE_ROLL_HOPS = 12
"""Audio kept from before the start, 384 ms: the detector hears soft onsets late."""


def hops(seconds: float) -> int:
    """The nearest whole number of hops, at least one."""
    return max(1, round(seconds * SAMPLE_RATE_HZ / HOP_SAMPLES))


class GateState(Enum):
    """What the latest hop is."""

    SILENCE = auto()
    START = auto()
    """The first hop of a segment; the pre-roll and the hops that led to it belong to the segment too."""
    SPEECH = auto()
    END = auto()
    """The last hop of a segment: the pause has lasted."""


class Gate:
    """Turns probabilities, one a hop, into segments."""

    def __init__(self) -> None:
        self._speaking = False
        self._loud_hops = 0
        self._silent_hops = 0

    @property
    def silent_hops(self) -> int:
        """Hops of silence since speech was last heard within the segment."""
        return self._silent_hops

    def push(self, probability: float, pause_hops: int) -> GateState:
        """The next hop's state; `pause_hops` of silence end the segment."""
        if not self._speaking:
            self._loud_hops = self._loud_hops + 1 if probability >= ON_PROBABILITY else 0
            if self._loud_hops < START_HOPS:
                return GateState.SILENCE
            self._speaking = True
            self._loud_hops = self._silent_hops = 0
            return GateState.START
        self._silent_hops = self._silent_hops + 1 if probability < OFF_PROBABILITY else 0
        if self._silent_hops < pause_hops:
            return GateState.SPEECH
        self._speaking = False
        return GateState.END
