"""How much speech a stretch of audio holds, told by its energy alone.

It answers one question: may a model that said nothing to this audio be right? So it has to tell talking from the
things that microphones deliver while nobody talks, and need not be exact to the word.

```
PCM16 ─► 32 ms windows, every 16 ms ─► power in 24 bands ─► over each band's own floor ─► runs of 0.1 s and more
```
A band's floor is what it has in the quietest fifth of the seconds around. Hum, hiss and fans are their own floor;
speech rises above it with every syllable, even where nobody pauses. A click is over before a run is long enough.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_WINDOW_SAMPLES = 512
_HOP_SAMPLES = 256

_BANDS = 24
_BINS_PER_BAND = 5
_FIRST_BIN = 6
"""Bins are 31.25 Hz apart: the bands are 156 Hz wide and reach from 188 Hz, above mains hum and rumble, to 3.9 kHz."""

_FLOOR_SHARE = 0.2
_FLOOR_WINDOWS = 250
"""A floor is taken from 4 s, so that a fan that starts is not speech for long..."""

_FLOOR_STEP_WINDOWS = 62
"""...and taken anew every second."""

_QUIET_RMS = 2.0
"""No floor is below that of white noise of this level, -84 dB of full scale: on digital silence all would stand out."""

_ABOVE_FLOOR = 0.8
"""Mean over the bands, in natural logarithms of power, at which a window counts. White noise itself is at 0.6."""

_ABOVE_FLOOR_MAX = 4.0
"""A band counts for no more than this, so that a tone alone is not speech."""

_RUN_LEAST_WINDOWS = 6
_GAP_MOST_WINDOWS = 12


def speech_samples(pcm: bytes) -> int:
    """Samples of `pcm`, PCM16 little-endian at 16 kHz, mono, that are in speech; gaps within words count as speech."""
    samples = np.frombuffer(pcm, "<i2", len(pcm) // 2).astype(np.float32)
    if len(samples) < _WINDOW_SAMPLES:
        return 0
    is_loud = _above_floor(_band_powers(samples)) >= _ABOVE_FLOOR
    is_speech = _closed(_without_short_runs(is_loud))
    return min(len(samples), int(is_speech.sum()) * _HOP_SAMPLES)


def _band_powers(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape (windows, bands)."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW_SAMPLES)[::_HOP_SAMPLES]
    # The window takes out a constant offset, but for the lowest bins, which no band has.
    spectrum = np.fft.rfft(windows * _HANN, axis=1)[:, _FIRST_BIN : _FIRST_BIN + _BANDS * _BINS_PER_BAND]
    powers: NDArray[np.float32] = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    return powers.reshape(len(windows), _BANDS, _BINS_PER_BAND).mean(axis=2)


def _above_floor(powers: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each window, how far its bands are above their floors on average."""
    height: NDArray[np.float32] = np.empty(len(powers), np.float32)
    for start in range(0, len(powers), _FLOOR_STEP_WINDOWS):
        end = min(start + _FLOOR_STEP_WINDOWS, len(powers))
        # The step lies in the middle of what its floor is taken from, as far as there is audio on both sides.
        first = max(0, min(start - (_FLOOR_WINDOWS - _FLOOR_STEP_WINDOWS) // 2, len(powers) - _FLOOR_WINDOWS))
        around = powers[first : first + _FLOOR_WINDOWS]
        at = int(_FLOOR_SHARE * (len(around) - 1))
        floor = np.maximum(np.partition(around, at, axis=0)[at], _QUIET_POWER)
        above = np.log(np.maximum(powers[start:end], _QUIET_POWER) / floor)
        height[start:end] = np.clip(above, 0.0, _ABOVE_FLOOR_MAX).mean(axis=1)
    return height


def _without_short_runs(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The flags without runs too short for speech."""
    kept = flags.copy()
    for start, end in _runs(flags):
        if end - start < _RUN_LEAST_WINDOWS:
            kept[start:end] = False
    return kept


def _closed(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The flags with short gaps between runs filled."""
    filled = flags.copy()
    runs = _runs(flags)
    for (_, end), (start, _) in pairwise(runs):
        if start - end <= _GAP_MOST_WINDOWS:
            filled[end:start] = True
    return filled


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where the flags are set: first and one past the last of each run."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False]))))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


_HANN = np.hanning(_WINDOW_SAMPLES).astype(np.float32)
_QUIET_POWER = np.float32(_QUIET_RMS**2 * float(np.square(_HANN).sum()))
