"""One stretch of speech while it is being heard: its audio, its hypotheses, and the words told so far."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from parley.engine.agreement import Agreement, CommitPolicy, matched
from parley.engine.clock import SAMPLE_RATE_HZ
from parley.engine.detector import HOP_SAMPLES
from parley.engine.recognizer import Recognizer, Samples, without_loop
from parley.engine.vocabulary import Vocabulary, Word, flattened

SEGMENT_MAX_HOPS = 375
"""Longest segment: 12 s. A longer one is split."""


@dataclass(frozen=True, slots=True)
class Tuning:
    policy: CommitPolicy = field(default_factory=CommitPolicy)
    interval_s: float = 0.32
    growth: float = 0.04
    early_s: float = 0.192
    pause_s: float = 0.8
    pause5_s: float = 0.48
    pause8_s: float = 0.256
    pad_s: float = 0.2
    forced_live: bool = True
    forced_final: bool = True
    second_pause_s: float = 0.0
    keyed: bool = True


class Segment:
    def __init__(self, recognizer: Recognizer, vocabulary: Vocabulary, tuning: Tuning) -> None:
        self._recognizer = recognizer
        self._vocabulary = vocabulary
        self._t = tuning
        self._pad = round(tuning.pad_s * SAMPLE_RATE_HZ)
        self._audio: Samples = np.zeros(SEGMENT_MAX_HOPS * HOP_SAMPLES + 16 * HOP_SAMPLES + self._pad, np.float32)
        self.hops = 0
        self._told: list[Word] = []
        self._hypothesis: list[Word] = []
        self._agreement = Agreement(tuning.policy)
        self.decoded_hops = 0

    def append(self, hop: Samples) -> None:
        start = self.hops * HOP_SAMPLES
        self._audio[start : start + HOP_SAMPLES] = hop
        self.hops += 1

    def _words(self, hops: int, forced: int) -> list[Word]:
        n = hops * HOP_SAMPLES
        audio = self._audio[: n + self._pad].copy()
        audio[n:] = 0
        draft = flattened(self._hypothesis)
        nf = len(flattened(self._hypothesis[:forced]))
        tokens = self._recognizer.recognize(audio, draft, nf)
        self.decoded_hops = hops
        return self._vocabulary.words(without_loop(tokens, nf))

    def _keys(self, words: Sequence[Word]) -> list[str]:
        if not self._t.keyed:
            return [self._vocabulary.text(w) for w in words]
        return [self._vocabulary.key(w) for w in words]

    def decode(self, in_pause: bool) -> list[str]:
        forced = len(self._told) if self._t.forced_live else 0
        words = self._words(self.hops, forced)
        if self._t.forced_live:
            at = len(self._told)
        else:
            at = matched(self._keys(self._told), self._keys(words))
        certain = self._agreement.observe(self._keys(words[at:]) if not self._t.forced_live else self._keys(words), self.hops, in_pause=in_pause)
        if not self._t.forced_live:
            certain += at
        self._hypothesis = words
        return self._tell(words[at : max(at, certain)])

    def _tell(self, words: Sequence[Word]) -> list[str]:
        self._told += words
        return [self._vocabulary.text(w) for w in words]

    def settle(self, hops: int) -> list[str]:
        if self._t.forced_final:
            if self.decoded_hops == hops:
                words = self._hypothesis
            else:
                words = self._words(hops, len(self._told))
            at = len(self._told)
        else:
            words = self._words(hops, 0)
            at = matched(self._keys(self._told), self._keys(words))
        return self._tell(words[at:])

    def split(self) -> tuple[list[str], "Segment"]:
        cut = self._quietest()
        words = self._words(cut, 0)
        c = matched(self._keys(words), self._keys(self._told))
        texts: list[str] = []
        if c >= len(self._told):
            at = matched(self._keys(self._told), self._keys(words))
            texts = [self._vocabulary.text(w) for w in words[at:]]
        rest = Segment(self._recognizer, self._vocabulary, self._t)
        left = self._audio[cut * HOP_SAMPLES : self.hops * HOP_SAMPLES]
        rest._audio[: len(left)] = left
        rest.hops = self.hops - cut
        rest._told = self._told[c:]
        rest._hypothesis = self._told[c:]
        return texts, rest

    def _quietest(self) -> int:
        first, last = self.hops - 125, self.hops - 18
        a = self._audio[first * HOP_SAMPLES : (last + 2) * HOP_SAMPLES].reshape(-1, HOP_SAMPLES)
        e = (a * a).mean(1)
        e = e[:-1] + e[1:]
        return first + int(e.argmin()) + 1
