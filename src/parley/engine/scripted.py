"""An engine without a model, for tests and benchmarks: its words are checksums of the audio.

It keeps the delta clock of the real thing, and what it says is a function of the samples it was given. Speech falls
into phrases. A phrase begins with a frame that is not digital silence, and ends before a pause: a run of `PAUSE_FRAMES`
frames of nothing but zeros, or the end of the turn.

```
frames    . # # # # # # . # . . . . . . . . . . # # # # # #         # sound   . zeros only
says              w       w               www         w     www     the last www: the turn ends
```
After `frames_per_word` frames, at the first frame of sound from there on, comes a word, which stands for the CRC-32 of
the phrase so far; the phrase's end is told in three words of it. Audio lost, repeated, reordered or changed on the way
shows as another transcript from there on; equal transcripts mean that all but the pauses arrived whole.

A pause leaves nothing behind: what is cut within one, at a frame's edge, says as two turns what it says as one.
"""

import zlib
from dataclasses import dataclass

from parley.engine.clock import (
    FRAME_SAMPLES,
    SAMPLE_RATE_HZ,
    deltas_of_turn,
    samples_for_delta,
)
from parley.engine.transcriber import BYTES_PER_SAMPLE, EngineDescription, TurnBuffer

FRAMES_PER_STEP_MAX = 125
"""Most frames that one step consumes: 10 s."""

PAUSE_FRAMES = 8
"""Frames of digital silence that end a phrase: 0.64 s. No more than ten empty deltas come before a phrase's last words,
fewer than those by which the gateway knows a pause with Voxtral."""

FINAL_WORDS = 3
"""Words at the end of a phrase: 18 bits of the checksum."""

_SILENT_FRAME = bytes(FRAME_SAMPLES * BYTES_PER_SAMPLE)

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


class _Phrase:
    """What is said from one pause to the next. Silence counts once sound follows it: pauses are not part of phrases."""

    def __init__(self, frames_per_word: int) -> None:
        self._frames_per_word = frames_per_word
        self._reset()

    def _reset(self) -> None:
        self._checksum = 0
        self._is_open = False
        self._silent_frames = 0
        self._frames_since_word = 0

    def hear(self, frame: bytes) -> str:
        """The text that this frame brings, most often none. Only the last one of a turn may be shorter than a frame."""
        if frame == _SILENT_FRAME[: len(frame)]:
            self._silent_frames += 1
            return self.end() if self._silent_frames == PAUSE_FRAMES else ""
        if self._is_open:
            self._frames_since_word += self._silent_frames
            for _ in range(self._silent_frames):
                self._checksum = zlib.crc32(_SILENT_FRAME, self._checksum)
        self._is_open = True
        self._silent_frames = 0
        self._checksum = zlib.crc32(frame, self._checksum)
        self._frames_since_word += 1
        if self._frames_since_word < self._frames_per_word:
            return ""
        self._frames_since_word = 0
        return f" {word_of(self._checksum)}"

    def end(self) -> str:
        """The last words of the phrase, if there is one; what comes next begins another."""
        checksum, was_open = self._checksum, self._is_open
        self._reset()
        return "".join(f" {word_of(checksum >> 6 * index)}" for index in range(FINAL_WORDS)) if was_open else ""


class ScriptedTranscriber(TurnBuffer):
    """A `Transcriber` that says checksums. The text in delta `k` covers the first `k + 1` frames of audio."""

    def __init__(self, frames_per_word: int) -> None:
        super().__init__()
        self._phrase = _Phrase(frames_per_word)

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
        """Consume a frame, or what is left. Returns its text."""
        return self._phrase.hear(self._take(FRAME_SAMPLES))

    def _tail(self) -> list[str]:
        """The deltas of the turn's end; the last words go where all audio is covered, nothing after them."""
        deltas = [""] * (deltas_of_turn(self._fed_samples) - self._emitted)
        at = 0
        while self.pending_samples:
            deltas[at] = self._frame()
            at += 1
        if at:
            deltas[at - 1] += self._phrase.end()
        self._emitted += len(deltas)
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
