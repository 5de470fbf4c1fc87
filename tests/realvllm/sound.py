"""Test audio of known loudness: seconds of white noise and of silence, PCM16 at 16 kHz, mono."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import numpy as np

from .script import FRAME_S, answer, last_step_with_text, steps

RATE = 16_000
_FRAME_SAMPLES = int(RATE * FRAME_S)
_NOISE_AMPLITUDE = 0.2


@dataclass(frozen=True)
class Sound:
    """Frames of 80 ms, loud or quiet."""

    frames: tuple[bool, ...]

    def __add__(self, other: "Sound") -> "Sound":
        return Sound(self.frames + other.frames)

    def __mul__(self, times: int) -> "Sound":
        return Sound(self.frames * times)

    @property
    def seconds(self) -> float:
        return len(self.frames) * FRAME_S

    @property
    def text(self) -> str:
        """What the tiny model answers to this as one turn."""
        return answer(self.frames)

    @property
    def text_so_far(self) -> str:
        """What the tiny model has answered to this when it is not the end of the turn."""
        return answer(self.frames, is_final=False)

    @property
    def text_until_s(self) -> float:
        """Where the text ends, by the clock that a delta each 80 ms makes, from 0."""
        return round(last_step_with_text(self.frames) * FRAME_S, 3)

    @property
    def steps(self) -> int:
        """The `completion_tokens` of this as one turn."""
        return steps(len(self.frames))

    def pcm(self) -> bytes:
        noise = np.random.default_rng(7).normal(0.0, _NOISE_AMPLITUDE, (len(self.frames), _FRAME_SAMPLES))
        samples = noise * np.array(self.frames, dtype=float)[:, None]
        pcm: bytes = (samples.clip(-1.0, 1.0) * 32767).astype("<i2").tobytes()
        return pcm

    def pieces(self) -> Iterator[bytes]:
        """The audio frame by frame."""
        pcm, size = self.pcm(), _FRAME_SAMPLES * 2
        for start in range(0, len(pcm), size):
            yield pcm[start : start + size]

    def appends(self) -> Iterator[str]:
        """The same as base64."""
        for piece in self.pieces():
            yield b64encode(piece).decode()

    async def spoken(self) -> AsyncIterator[bytes]:
        """The audio frame by frame, each when it has been spoken."""
        clock = asyncio.get_running_loop().time
        began = clock()
        for number, piece in enumerate(self.pieces(), 1):
            await asyncio.sleep(began + number * FRAME_S - clock())
            yield piece


def loud(seconds: float) -> Sound:
    return Sound((True,) * round(seconds / FRAME_S))


def quiet(seconds: float) -> Sound:
    return Sound((False,) * round(seconds / FRAME_S))
