"""Speech that a model without weights can transcribe: words that are told apart by their samples.

```
sample    high byte 0x20: speech    0x00: a pause    low byte: noise, different everywhere
word      a run of speech; its text is derived from a checksum of its samples
```
So the transcript is a function of the audio alone. Audio that is lost, doubled or reordered changes it, and a
transcript that began in a pause says the same words as one that began before.
"""

import random
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise
from zlib import crc32

from parley.core.content import SAMPLE_RATE

FRAME_SAMPLES = 1_280
WORD_MAX_SAMPLES = 9 * FRAME_SAMPLES
"""The longest word: with the two frames that its text may be late, shorter than `settle_frames` of the profile."""

_SPEECH, _PAUSE = b"\x20", b"\x00"
_NOISE_BYTES_MAX = 1 << 21
"""Noise that is made once; a minute of speech has no stretch twice."""
_SYLLABLES = [a + b for a in ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z") for b in "aeiou"]
_RARE = ("é", "ß", "漢", "😀", '"', "\\", "ñ", "'")
"""What is more than one byte on the wire, or escaped there."""


@dataclass(frozen=True, slots=True)
class Talk:
    """How somebody talks: ranges in seconds of words, the gaps between them, and the pauses after every few."""

    word_s: tuple[float, float] = (0.12, 0.68)
    gap_s: tuple[float, float] = (0.03, 0.3)
    pause_s: tuple[float, float] = (1.0, 3.0)
    words_a_phrase: tuple[int, int] = (1, 8)
    long_pause_rate: float = 0.05
    long_pause_s: tuple[float, float] = (8.0, 20.0)


class Speech:
    """Audio of any length by position, in samples; made when it is asked for, the same each time."""

    def __init__(self, chance: random.Random, duration_s: float, talk: Talk) -> None:
        lengths = [int(chance.random() * SAMPLE_RATE)]
        total, end = lengths[0], int(duration_s * SAMPLE_RATE)

        def add(range_s: tuple[float, float], samples_max: int = 1 << 60) -> None:
            nonlocal total
            lengths.append(max(160, min(samples_max, int(chance.uniform(*range_s) * SAMPLE_RATE))))
            total += lengths[-1]

        while total < end:
            for _ in range(chance.randint(*talk.words_a_phrase)):
                add(talk.word_s, WORD_MAX_SAMPLES)
                add(talk.gap_s)
            is_long = chance.random() < talk.long_pause_rate
            pause = lengths.pop()
            total -= pause
            add(talk.long_pause_s if is_long else talk.pause_s)
        # Even places are pauses, odd ones words.
        self._edges = [0, *accumulate(lengths)]
        self.samples = self._edges[-1]
        self._period = min(2 * self.samples, _NOISE_BYTES_MAX)
        self._noise = chance.randbytes(self._period)

    def pcm(self, start: int, end: int) -> bytes:
        """PCM16 LE of the samples from `start` to `end`."""
        end = min(end, self.samples)
        if start >= end:
            return b""
        pcm = bytearray(2 * (end - start))
        place = bisect_right(self._edges, start) - 1
        at = start
        while at < end:
            until = min(end, self._edges[place + 1])
            high = _SPEECH if place % 2 else _PAUSE
            size = until - at
            pcm[2 * (at - start) : 2 * (until - start) : 2] = self._low(at + 977 * place, size)
            pcm[2 * (at - start) + 1 : 2 * (until - start) : 2] = high * size
            at, place = until, place + 1
        return bytes(pcm)

    def _low(self, start: int, size: int) -> bytes:
        start %= self._period
        low = self._noise[start : start + size]
        while len(low) < size:
            low += self._noise[: size - len(low)]
        return low

    def word_intervals(self, start: int, end: int) -> list[tuple[int, int]]:
        """Where the words are between two positions, cut at these."""
        first = max(0, bisect_right(self._edges, start) - 1)
        found = []
        for place, (a, b) in enumerate(pairwise(self._edges[first:]), first):
            if a >= end:
                break
            if place % 2 and b > start:
                found.append((max(a, start), min(b, end)))
        return found


def spoken(checksum: int, dialect: int = 0) -> str:
    """What is said for the word with this checksum, with the space before it.

    Dialect 0 is the one that counts. In the others some words are others or come out as two, each time the same for
    a dialect; `base_of` tells which word was meant.
    """
    number, syllables = checksum, []
    for _ in range(3):
        number, place = divmod(number, len(_SYLLABLES))
        syllables.append(_SYLLABLES[place])
    rare = _RARE[number % len(_RARE)] if number % 5 == 0 else ""
    base = " " + "".join(syllables) + rare
    if not dialect:
        return base
    change = crc32(dialect.to_bytes(4, "big"), checksum) % 24
    if change == 0:
        return base + base + "+"
    return f"{base}-{dialect}" if change < 5 else base


def base_of(word: str) -> str:
    """The word of dialect 0 that was meant, without a space."""
    return word.strip().rstrip("+").partition("-")[0]


def word_text(pcm: bytes) -> str:
    """What is said for a word with these samples."""
    return spoken(crc32(pcm))


def words_of(pcm: bytes) -> list[tuple[int, int]]:
    """The runs of speech in this audio, in samples."""
    high, found, at = pcm[1::2], [], 0
    while (start := high.find(_SPEECH, at)) >= 0:
        end = high.find(_PAUSE, start)
        at = len(high) if end < 0 else end
        found.append((start, at))
    return found


def transcript_of(pcm: bytes) -> list[str]:
    """The words of this audio: what a model says that hears all of it, once."""
    return [word_text(pcm[2 * start : 2 * end]) for start, end in words_of(pcm)]


def speech_samples(pcm: bytes) -> int:
    """How many samples of this audio are speech."""
    return pcm[1::2].count(_SPEECH)
