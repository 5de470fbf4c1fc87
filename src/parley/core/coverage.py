"""Whether the deltas of a turn cover its audio, which tells a turn that was transcribed from one that was cut short."""

from parley.core.content import SAMPLE_RATE
from parley.core.leg import Leg
from parley.core.profile import ModelProfile
from parley.core.turns import Turn

_TELLING_SAMPLES = SAMPLE_RATE
"""Audio from which on a turn that is covered tells how its server counts. A shorter one may be covered by chance."""
_SAME_SHARE = 0.02
"""By how much the shares of two legs may differ that are taken to be the same."""


class Coverage:
    """Judges a `done` that was asked for: aborted while it flushes, vLLM says `done` all the same.

    Where two legs fall short by the same share of the audio, that is how their server counts, and it is believed from
    then on; but not where it was seen to count as its model does, for two legs may also break at the same point.
    `counts_otherwise` is None while neither is known.
    """

    __slots__ = ("_late_samples", "counts_otherwise")

    def __init__(self, profile: ModelProfile) -> None:
        self._late_samples = profile.late_frames * profile.frame_samples
        self.counts_otherwise: bool | None = None

    def is_whole(self, leg: Leg, turn: Turn) -> bool:
        """Whether a turn whose end this leg has told is transcribed whole."""
        audio_samples, covered_samples = leg.fed - leg.base, leg.spoken - leg.base
        if covered_samples >= audio_samples + self._late_samples:
            if audio_samples >= _TELLING_SAMPLES and self.counts_otherwise is None:
                self.counts_otherwise = False
            return True
        if self.counts_otherwise is None and covered_samples:
            share = covered_samples / audio_samples
            if abs(share - turn.short_share) < _SAME_SHARE:
                self.counts_otherwise = True
            turn.short_share = share
        return self.counts_otherwise is True
