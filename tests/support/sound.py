"""Audio for tests: PCM16 LE at 16 kHz, mono, every piece of it unlike the others, so that a lost one is seen."""

import base64
import random
import struct
from collections.abc import Iterator

SAMPLE_RATE = 16_000
PIECE_BYTES = 3_200
"""100 ms, what a usual client sends at once."""


def pcm(seconds: float, seed: int = 0) -> bytes:
    """Noise; another seed gives other noise."""
    return random.Random(seed).randbytes(int(seconds * SAMPLE_RATE) * 2)


def pieces(audio: bytes, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """The same audio, cut."""
    for start in range(0, len(audio), piece_bytes):
        yield audio[start : start + piece_bytes]


def encoded(audio: bytes) -> str:
    """As it stands in an append."""
    return base64.b64encode(audio).decode()


def wav(audio: bytes, *, rate_hz: int = SAMPLE_RATE, channels: int = 1, sample_bytes: int = 2, tag: int = 1) -> bytes:
    """A WAV file of these samples."""
    block = channels * sample_bytes
    form = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * block, block, sample_bytes * 8)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(audio)) + audio
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
