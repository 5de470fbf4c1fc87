"""An engine without a model, for tests and benchmarks: its words are checksums of the audio.

It keeps the delta clock of the real thing, and what it says is a function of every sample it was given: every
`frames_per_word` frames a word stands for the CRC-32 of all audio so far, and the turn ends in three words of it. Audio
lost, repeated, reordered or changed on the way shows as another transcript from there on; equal transcripts mean that
the audio arrived whole.
"""

import zlib
from dataclasses import dataclass

from parley.engine.clock import (
    FRAME_SAMPLES,
    SAMPLE_RATE_HZ,
    delta_covering,
    deltas_of_turn,
    samples_for_delta,
)
from parley.engine.transcriber import EngineDescription, TurnBuffer

FRAMES_PER_STEP_MAX = 125
"""Most frames that one step consumes: 10 s."""

FINAL_WORDS = 3
"""Words at the end of a turn: 18 bits of the checksum."""

_WORD_LIST = (
    "acorn amber anchor apple april arrow autumn barley basket birch bridge candle canyon cedar cherry circle "
    "clover cobalt copper coral cotton daisy dolphin ember falcon feather fern forest garden ginger granite harbor "
    "hazel honey island ivory jasmine juniper lantern lemon linen maple marble meadow mirror morning mountain oak "
    "ocean olive orange pebble pepper pine raven river saffron silver spruce summer thunder timber velvet willow"
)

WORDS = tuple(_WORD_LIST.split())
"""What a checksum's six bits say."""


def word_of(checksum: int) -> str:
    """The word for the lowest six bits of `checksum`."""
    return WORDS[checksum % len(WORDS)]


class ScriptedTranscriber(TurnBuffer):
    """A `Transcriber` that says checksums. The word in delta `k` covers the first `k + 1` frames of audio."""

    def __init__(self, frames_per_word: int) -> None:
        super().__init__()
        self._frames_per_word = frames_per_word
        self._checksum = 0

    def step(self, behind_s: float = 0.0) -> list[str]:
        """Consume fed audio, 10 s at most, and return its deltas; see `Transcriber.step`. Never thins."""
        deltas: list[str] = []
        while len(deltas) < FRAMES_PER_STEP_MAX and not self._finished:
            if self._fed_samples >= samples_for_delta(self._emitted):
                deltas.append(self._frame())
                self._emitted += 1
            elif self._ended:
                deltas += self._tail()
            else:
                break
        return deltas

    def _frame(self) -> str:
        """Consume a frame. Returns its word, if it is due one."""
        self._consume(FRAME_SAMPLES)
        return "" if (self._emitted + 1) % self._frames_per_word else f" {word_of(self._checksum)}"

    def _consume(self, samples: int) -> None:
        self._checksum = zlib.crc32(self._take(samples), self._checksum)

    def _tail(self) -> list[str]:
        """The deltas of the turn's end; the last words go where all audio is covered, nothing after them."""
        count = deltas_of_turn(self._fed_samples) - self._emitted
        deltas = []
        for _ in range(count):
            deltas.append(self._frame() if self.pending_samples > FRAME_SAMPLES else "")
            self._emitted += 1
        self._consume(self.pending_samples)
        if deltas:
            at = delta_covering(self._fed_samples) - (self._emitted - count)
            deltas[at] = "".join(f" {word_of(self._checksum >> 6 * index)}" for index in range(FINAL_WORDS))
        self._finished = True
        return deltas


@dataclass(frozen=True, slots=True)
class ScriptedEngine:
    """The scripted engine; `frames_per_word` frames of 80 ms stand between two words."""

    frames_per_word: int = 4

    def open(self) -> ScriptedTranscriber:
        """Start a turn."""
        return ScriptedTranscriber(self.frames_per_word)

    def describe(self) -> EngineDescription:
        """The engine's name; it has no files."""
        return EngineDescription(name="scripted", sample_rate_hz=SAMPLE_RATE_HZ)
