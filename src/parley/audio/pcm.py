"""Samples in the encodings that files and telephones use, to mono floats and to PCM16.

```
bytes of a SampleFormat ──decode_mono──► float32 in [-1, 1) ──encode_pcm16──► PCM16 little-endian
```
Mono PCM16 comes out of the two bit for bit as it went in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parley.core.content import SAMPLE_RATE
from parley.core.errors import ParleyError

Samples = NDArray[np.float32]
"""Mono samples, shape (n,), full scale at ±1."""

RATE_MIN_HZ = 4_000
RATE_MAX_HZ = 384_000
CHANNELS_MAX = 65_535

_FULL_SCALE_16 = 32_768.0
_FLOAT_MAX = 1e6
_BYTES_A_MS = SAMPLE_RATE * 2 // 1_000


class Encoding(StrEnum):
    """How one sample is written. `be` is big-endian, `le` little-endian; 8-bit PCM is unsigned, as in WAV."""

    U8 = "u8"
    S16LE = "s16le"
    S16BE = "s16be"
    S24LE = "s24le"
    S32LE = "s32le"
    F32LE = "f32le"
    F64LE = "f64le"
    ALAW = "alaw"
    ULAW = "ulaw"


_SAMPLE_BYTES = {
    Encoding.U8: 1,
    Encoding.S16LE: 2,
    Encoding.S16BE: 2,
    Encoding.S24LE: 3,
    Encoding.S32LE: 4,
    Encoding.F32LE: 4,
    Encoding.F64LE: 8,
    Encoding.ALAW: 1,
    Encoding.ULAW: 1,
}


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """What a run of bytes holds: interleaved frames of `channels` samples each, `rate_hz` frames a second.

    Raises:
        ParleyError: invalid-audio, when the rate or the number of channels is outside what can be converted.
    """

    encoding: Encoding
    rate_hz: int = SAMPLE_RATE
    channels: int = 1

    def __post_init__(self) -> None:
        if not RATE_MIN_HZ <= self.rate_hz <= RATE_MAX_HZ:
            raise ParleyError(
                "invalid-audio", f"Its rate is {self.rate_hz} Hz; {RATE_MIN_HZ} to {RATE_MAX_HZ} Hz can be read."
            )
        if not 1 <= self.channels <= CHANNELS_MAX:
            raise ParleyError("invalid-audio", f"It has {self.channels} channels; 1 to {CHANNELS_MAX} can be read.")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame: one sample of each channel."""
        return _SAMPLE_BYTES[self.encoding] * self.channels


def decode_mono(data: bytes, form: SampleFormat) -> Samples:
    """The mean over the channels of whole frames; `len(data)` is a multiple of `form.frame_bytes`."""
    samples = _decode(data, form.encoding)
    if form.channels > 1:
        # A running sum adds in the same order whatever the number of frames, so that the result does not
        # depend on how the stream was cut.
        frames = samples.reshape(-1, form.channels).astype(np.float64)
        samples = np.add.accumulate(frames, axis=1)[:, -1] / form.channels
    return samples.astype(np.float32, copy=False)


def encode_pcm16(samples: Samples) -> bytes:
    """PCM16 little-endian, rounded and clipped; what is not a number becomes silence."""
    scaled = np.rint(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0) * np.float32(_FULL_SCALE_16))
    return np.clip(scaled, -32_768, 32_767).astype("<i2").tobytes()


def split_pcm(pcm: bytes, piece_ms: int) -> Iterator[bytes]:
    """PCM16 at 16 kHz, mono, in pieces of `piece_ms`; the last one may be shorter."""
    size = piece_ms * _BYTES_A_MS
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


def pcm_duration_s(size_bytes: int) -> float:
    """Seconds that this many bytes of PCM16 at 16 kHz, mono, last."""
    return size_bytes / (_BYTES_A_MS * 1_000)


def _decode(data: bytes, encoding: Encoding) -> NDArray[Any]:
    match encoding:
        case Encoding.S16LE:
            return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(_FULL_SCALE_16)
        case Encoding.S16BE:
            return np.frombuffer(data, ">i2").astype(np.float32) / np.float32(_FULL_SCALE_16)
        case Encoding.U8:
            return (np.frombuffer(data, np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)
        case Encoding.S24LE:
            # Three bytes become the upper three of four, which keeps the sign.
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            return wide.view("<i4").reshape(-1) / 2.0**31
        case Encoding.S32LE:
            return np.frombuffer(data, "<i4") / 2.0**31
        case Encoding.F32LE:
            return _finite(np.frombuffer(data, "<f4"))
        case Encoding.F64LE:
            return _finite(np.frombuffer(data, "<f8"))
        case Encoding.ALAW:
            return _ALAW[np.frombuffer(data, np.uint8)]
        case _:
            return _ULAW[np.frombuffer(data, np.uint8)]


def _finite(samples: NDArray[Any]) -> NDArray[Any]:
    # Before the resampler, in which one infinity would spread. Overshoot is kept up to what float32 squares safely.
    finite: NDArray[Any] = np.clip(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), -_FLOAT_MAX, _FLOAT_MAX)
    return finite


def _alaw_table() -> Samples:
    """ITU-T G.711 table 1: every other bit is inverted; the values are 13 bits, here scaled to 16."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = np.where(exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0))
    signed = np.where(code & 0x80, magnitude, -magnitude)
    return (signed / _FULL_SCALE_16).astype(np.float32)


def _ulaw_table() -> Samples:
    """ITU-T G.711 table 2: all bits are inverted; the values are 14 bits, here scaled to 16."""
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 15) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    signed = np.where(code & 0x80, -magnitude, magnitude)
    return (signed / _FULL_SCALE_16).astype(np.float32)


_ALAW = _alaw_table()
_ULAW = _ulaw_table()
