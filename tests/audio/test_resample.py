import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.audio.pcm import Samples
from parley.audio.resample import Resampler


def tone(rate_hz: int, frequency_hz: float, duration_s: float) -> Samples:
    time_s = np.arange(int(rate_hz * duration_s)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def resampled(samples: Samples, rate_hz: int, piece: int = 1 << 20) -> Samples:
    resampler = Resampler(rate_hz)
    parts = [resampler.feed(samples[at : at + piece]) for at in range(0, len(samples), piece)]
    return np.concatenate([*parts, resampler.flush()])


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 24_000, 44_100, 48_000, 384_000])
def test_a_tone_keeps_its_frequency_level_and_length(rate_hz: int) -> None:
    output = resampled(tone(rate_hz, 1_000, 1.0), rate_hz)
    middle = slice(1_000, 15_000)
    assert abs(len(output) - 16_000) <= 1
    assert np.abs(output[middle] - tone(16_000, 1_000, 1.0)[middle]).max() < 1e-3


def test_what_16_khz_cannot_carry_is_filtered_out() -> None:
    assert np.abs(resampled(tone(48_000, 12_000, 1.0), 48_000)[1_000:15_000]).max() < 1e-3


@given(st.integers(1, 3_000), st.sampled_from([8_000, 22_050, 48_000]))
def test_the_output_does_not_depend_on_how_the_input_was_cut(piece: int, rate_hz: int) -> None:
    samples = tone(rate_hz, 440, 0.1)
    assert np.array_equal(resampled(samples, rate_hz, piece), resampled(samples, rate_hz))


def test_16_khz_passes_unchanged() -> None:
    samples = tone(16_000, 440, 0.1)
    assert np.array_equal(resampled(samples, 16_000, 7), samples)


def test_nothing_in_is_nothing_out() -> None:
    assert len(Resampler(8_000).feed(np.empty(0, np.float32))) == 0
