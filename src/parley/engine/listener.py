"""When to decode: the detector and the gate cut a stream into segments, and hops of audio decide when each is decoded.

Every decision lies at a position in the audio, so the same audio gives the same text at the same positions.
"""

from collections import deque
from dataclasses import dataclass, field

from parley.engine.agreement import CommitPolicy
from parley.engine.detector import Detector
from parley.engine.gate import PRE_ROLL_HOPS, START_HOPS, Gate, GateState, hops
from parley.engine.recognizer import Recognizer, Samples
from parley.engine.segment import SEGMENT_MAX_HOPS, Segment
from parley.engine.vocabulary import Vocabulary

BEHIND_MAX_S = 1.28
"""Decodes are at most this far apart, however far the stream is behind."""

TAIL_HOPS = 6
"""Silence kept after the end of speech when a segment is settled: 0.19 s."""


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """When segments are decoded and end.

    A decode every `interval_s`, or every `interval_share` of the segment's length if that is more (decodes of long
    segments cost more); one more `early_s` into a pause. A pause of `pause_s` ends a segment; of `long_pause_s` one
    that is longer than `long_s`; of `very_long_pause_s` one that is longer than `very_long_s`.
    """

    interval_s: float = 0.32
    interval_share: float = 0.04
    early_s: float = 0.192
    pause_s: float = 1.2
    long_s: float = 5.0
    long_pause_s: float = 0.48
    very_long_s: float = 8.0
    very_long_pause_s: float = 0.256
    policy: CommitPolicy = field(default_factory=CommitPolicy)


class Listener:
    """One turn's hops in, its certain text out.

    Memory is bounded: at most one segment (0.8 MB of audio) and the pre-roll.
    """

    def __init__(
        self, recognizer: Recognizer, detector: Detector, vocabulary: Vocabulary, settings: ListenerSettings
    ) -> None:
        self._recognizer = recognizer
        self._detector = detector
        self._vocabulary = vocabulary
        self._settings = settings
        self._early_hops = hops(settings.early_s)
        self._gate = Gate()
        self._pre_roll: deque[Samples] = deque(maxlen=PRE_ROLL_HOPS + START_HOPS)
        self._segment: Segment | None = None
        self._last_decode_hops = 0
        self._heard_hops = 0
        self.decodes = 0
        """Decodes so far; a caller sees by it whether `hear` was costly."""

    @property
    def pause_hop(self) -> int:
        """Hops from the turn's start to the pause that the speaker makes now; 0 while speech goes on."""
        silent = self._gate.silent_hops
        return self._heard_hops - silent if silent >= self._early_hops else 0

    def hear(self, hop: Samples, behind_s: float = 0.0) -> str:
        """Take the next hop, shape (512,). Returns the text that has become certain, most often none.

        `behind_s` spaces decodes apart, see `Transcriber.step`.
        """
        state = self._gate.push(self._detector.probability(hop), self._pause_hops())
        self._heard_hops += 1
        segment = self._segment
        if segment is None:
            self._pre_roll.append(hop)
            if state is GateState.START:
                self._start()
            return ""
        segment.append(hop)
        if state is GateState.END:
            return self._settle(segment)
        text = self._decode(segment) if self._due(segment, behind_s) else ""
        if segment.hops >= SEGMENT_MAX_HOPS:
            text += self._split(segment)
        return text

    def end(self) -> str:
        """Declare the turn's end. Returns the rest of its text."""
        return "" if self._segment is None else self._settle(self._segment)

    def _start(self) -> None:
        self._segment = Segment(self._recognizer, self._vocabulary, self._settings.policy)
        for hop in self._pre_roll:
            self._segment.append(hop)
        self._pre_roll.clear()
        self._last_decode_hops = self._segment.hops

    def _due(self, segment: Segment, behind_s: float) -> bool:
        silent = self._gate.silent_hops
        if silent >= self._early_hops:
            return silent == self._early_hops
        settings = self._settings
        interval = max(
            hops(max(settings.interval_s, min(behind_s, BEHIND_MAX_S))), int(settings.interval_share * segment.hops)
        )
        return segment.hops - self._last_decode_hops >= interval

    def _decode(self, segment: Segment) -> str:
        self.decodes += 1
        self._last_decode_hops = segment.hops
        return segment.decode(in_pause=self._gate.silent_hops >= self._early_hops)

    def _settle(self, segment: Segment) -> str:
        self.decodes += 1
        self._segment = None
        return segment.settle(segment.hops - max(0, self._gate.silent_hops - TAIL_HOPS))

    def _split(self, segment: Segment) -> str:
        self.decodes += 1
        text, self._segment = segment.split()
        self._last_decode_hops = 0
        return text

    def _pause_hops(self) -> int:
        """The pause that ends the segment now: the longer it is, the shorter the pause."""
        settings, segment = self._settings, self._segment
        if segment is None or segment.hops < hops(settings.long_s):
            return hops(settings.pause_s)
        return hops(settings.long_pause_s if segment.hops < hops(settings.very_long_s) else settings.very_long_pause_s)
