"""One stretch of speech while it is being heard: its audio, its latest hypothesis, and the words told of it.

Words told are forced onto every later decode, so that what follows them is what the recogniser makes of the audio
given those words: text that only grows is consistent with itself, where joining free hypotheses to it repeats or
swallows words (measured: docs/engine.md).
"""

from collections.abc import Sequence

import numpy as np

from parley.engine.agreement import Agreement, Candidate, CommitPolicy, matched
from parley.engine.clock import SAMPLE_RATE_HZ
from parley.engine.detector import HOP_SAMPLES
from parley.engine.gate import PRE_ROLL_HOPS, START_HOPS
from parley.engine.recognizer import Recognition, Recognizer, Samples, without_loop
from parley.engine.vocabulary import Vocabulary, Word, flattened

SEGMENT_MAX_HOPS = 375
"""Longest segment: 12 s. Speech that goes on is split."""

SPLIT_WINDOW_HOPS = 125
"""A split falls in the quietest spot of the last 4 s..."""

SPLIT_MARGIN_HOPS = 19
"""...and at least 0.6 s before the end, so that the rest holds a word or more."""

PAD_SAMPLES = round(0.2 * SAMPLE_RATE_HZ)
"""Silence added for a decode: the recogniser drops the last sounds of audio that ends with them."""


class Segment:
    """A stretch of speech. Its text comes out in pieces that are never revised, each word with a space before it."""

    def __init__(self, recognizer: Recognizer, vocabulary: Vocabulary, policy: CommitPolicy) -> None:
        self._recognizer = recognizer
        self._vocabulary = vocabulary
        self._policy = policy
        self._agreement = Agreement(policy)
        self._audio: Samples = np.zeros((SEGMENT_MAX_HOPS + PRE_ROLL_HOPS + START_HOPS) * HOP_SAMPLES, np.float32)
        self._hypothesis: list[Word] = []
        self._probabilities: list[float] = []
        self._told: list[Word] = []
        self._hops = 0
        self._decoded_hops = 0

    @property
    def hops(self) -> int:
        """Length of the audio in hops."""
        return self._hops

    def append(self, hop: Samples) -> None:
        """Take the next hop, shape (512,); the caller splits at `SEGMENT_MAX_HOPS`."""
        start = self._hops * HOP_SAMPLES
        self._audio[start : start + HOP_SAMPLES] = hop
        self._hops += 1

    def decode(self, *, in_pause: bool) -> str:
        """Decode all audio so far. Returns the text that has become certain."""
        self._hypothesis = self._decoded(self._hops)
        candidates = [
            Candidate(self._vocabulary.key(word), probability)
            for word, probability in zip(self._hypothesis, self._probabilities, strict=True)
        ]
        certain = self._agreement.observe(candidates, in_pause=in_pause)
        return self._tell(self._hypothesis[len(self._told) : certain])

    def settle(self, hops: int) -> str:
        """End the segment at `hops`, the end of its speech. Returns the rest of its text."""
        if self._decoded_hops != hops:
            self._hypothesis = self._decoded(hops)
        return self._tell(self._hypothesis[len(self._told) :])

    def split(self) -> tuple[str, "Segment"]:
        """End the segment at a quiet spot shortly before its end. Returns its text's rest, and the new segment.

        Words told may have been spoken after the cut. They are told apart by decoding the part before it, and the new
        segment starts with them as told.
        """
        cut = self._quietest_hop()
        head = self._decoded(cut, forced=False)
        head_keys, told_keys = self._keys(head), self._keys(self._told)
        spoken_before = matched(head_keys, told_keys)
        carried = self._told[spoken_before:]
        text = "" if carried else self._tell(head[matched(told_keys, head_keys) :])
        rest = Segment(self._recognizer, self._vocabulary, self._policy)
        rest._hops = self._hops - cut
        rest._audio[: rest._hops * HOP_SAMPLES] = self._audio[cut * HOP_SAMPLES : self._hops * HOP_SAMPLES]
        rest._told = rest._hypothesis = carried
        return text, rest

    def _decoded(self, hops: int, *, forced: bool = True) -> list[Word]:
        samples = hops * HOP_SAMPLES
        audio: Samples = np.zeros(samples + PAD_SAMPLES, np.float32)
        audio[:samples] = self._audio[:samples]
        told_tokens = len(flattened(self._told)) if forced else 0
        found = self._recognizer.recognize(audio, flattened(self._hypothesis), told_tokens)
        found = without_loop(found, told_tokens)
        self._decoded_hops = hops
        spans = self._vocabulary.spans(found.tokens)
        self._probabilities = [self._least_probability(found, span) for span in spans]
        return [tuple(found.tokens[index] for index in span) for span in spans]

    def _least_probability(self, found: Recognition, span: Sequence[int]) -> float:
        spoken = [index for index in span if self._vocabulary.is_spoken(found.tokens[index])]
        return min((found.probabilities[index] for index in spoken), default=1.0)

    def _tell(self, words: Sequence[Word]) -> str:
        self._told = [*self._told, *words]
        texts = map(self._vocabulary.text, words)
        return "".join(f" {text}" for text in texts if text)

    def _keys(self, words: Sequence[Word]) -> list[str]:
        return [self._vocabulary.key(word) for word in words]

    def _quietest_hop(self) -> int:
        """The hop, within the allowed window, before which two hops together are quietest."""
        first = max(1, self._hops - SPLIT_WINDOW_HOPS)
        last = self._hops - SPLIT_MARGIN_HOPS
        energies = np.square(self._audio[(first - 1) * HOP_SAMPLES : (last + 1) * HOP_SAMPLES])
        by_hop = energies.reshape(-1, HOP_SAMPLES).sum(axis=1)
        return first + int((by_hop[:-1] + by_hop[1:]).argmin())
