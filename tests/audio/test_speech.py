"""How much speech is found in sounds that are made to be like speech, and in sounds that are not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from parley.audio.speech import speech_samples

RATE = 16_000
WINDOW_S = 16
"""What is asked about at a time: 200 deltas of 80 ms."""
MUTE_S = 3.0
"""So much speech that got no text is taken for a fault of the model."""

Samples = NDArray[np.float64]

seeds = st.integers(0, 2**32 - 1)
levels = st.floats(0.0, 12_000.0)


def pcm(samples: Samples) -> bytes:
    return np.clip(np.rint(samples), -32_768, 32_767).astype("<i2").tobytes()


def found_s(samples: Samples) -> float:
    return speech_samples(pcm(samples)) / RATE


def nothing(seconds: float = WINDOW_S) -> Samples:
    return np.zeros(round(seconds * RATE))


def noise(level: float, seed: int, seconds: float = WINDOW_S) -> Samples:
    samples: Samples = level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return samples


def hum(frequency_hz: float, level: float) -> Samples:
    """A mains hum: a fundamental and its odd harmonics."""
    phase = 2 * np.pi * frequency_hz * np.arange(WINDOW_S * RATE) / RATE
    harmonics = np.sin(phase) + 0.5 * np.sin(3 * phase) + 0.3 * np.sin(5 * phase + 1) + 0.2 * np.sin(7 * phase)
    samples: Samples = level * harmonics
    return samples


def talk(seconds: float, seed: int, level: float = 2_000.0) -> Samples:
    """A voice of sorts: syllables of a quarter second, harmonics of a gliding pitch shaped by two formants."""
    random = np.random.default_rng(seed)
    syllables = []
    for _ in range(int(seconds * 4)):
        length = RATE // 4
        at = np.arange(length) / RATE
        pitch = random.uniform(90, 220) + random.uniform(-100, 100) * at
        formants = random.uniform(300, 800), random.uniform(1_000, 2_400)
        voice = np.zeros(length)
        for harmonic in range(1, 30):
            frequency = harmonic * pitch[0]
            gain = sum(np.exp(-(((frequency - formant) / 300) ** 2)) for formant in formants) + 0.02
            voice += gain * np.sin(2 * np.pi * harmonic * np.cumsum(pitch) / RATE)
        syllables.append(voice * np.sin(np.pi * at * 4) ** 2)
    talking: Samples = np.concatenate(syllables)
    scale: float = level / np.sqrt(np.mean(talking**2))
    return talking * scale


def test_no_audio_holds_no_speech() -> None:
    assert speech_samples(b"") == 0


def test_digital_silence_holds_no_speech() -> None:
    assert found_s(nothing()) == 0


@pytest.mark.parametrize("seconds", [2, 5, 10, 16])
@pytest.mark.parametrize("level", [60.0, 400.0, 3_000.0])
def test_speech_is_found_among_silence(seconds: int, level: float) -> None:
    audio = nothing()
    audio[: seconds * RATE] = talk(seconds, 1, level)
    assert found_s(audio) == pytest.approx(seconds, rel=0.2)


@pytest.mark.parametrize("snr_db", [20, 10, 6])
def test_speech_is_found_in_noise(snr_db: int) -> None:
    assert found_s(talk(WINDOW_S, 2) + noise(2_000 / 10 ** (snr_db / 20), 3)) > MUTE_S


@settings(max_examples=25)
@given(seeds, st.floats(1.0, 8_000.0), st.integers(-4_000, 4_000), st.sampled_from([50.0, 60.0]), st.floats(0, 1_000))
def test_an_offset_and_a_hum_change_little(
    seed: int, level: float, offset: int, hum_hz: float, hum_level: float
) -> None:
    audio = nothing() + noise(3, seed)
    audio[: 6 * RATE] += talk(6, seed, 1_500)
    assert found_s(audio + offset + hum(hum_hz, hum_level)) == pytest.approx(found_s(audio), abs=1.5)


@settings(max_examples=25)
@given(seeds, levels, st.integers(-20_000, 20_000))
def test_white_noise_is_no_speech(seed: int, level: float, offset: int) -> None:
    assert found_s(noise(level, seed) + offset) < 0.2


@settings(max_examples=25)
@given(st.floats(20.0, 400.0), levels, seeds)
def test_hum_is_no_speech(frequency_hz: float, level: float, seed: int) -> None:
    assert found_s(hum(frequency_hz, level) + noise(2, seed)) < 0.2


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, WINDOW_S * RATE - 1), st.integers(-32_768, 32_767)), max_size=100), seeds)
def test_clicks_are_no_speech(clicks: list[tuple[int, int]], seed: int) -> None:
    audio = noise(5, seed)
    for at, value in clicks:
        audio[at] = value
    # Ten of them may fall into a tenth of a second.
    assert found_s(audio) < MUTE_S


@pytest.mark.parametrize("seed", range(5))
def test_clicks_apart_from_each_other_are_no_speech_at_all(seed: int) -> None:
    audio = noise(5, seed)
    audio[RATE // 4 :: RATE // 4] = 30_000
    assert found_s(audio) == 0


def test_a_noise_that_begins_is_not_taken_for_speech() -> None:
    audio = noise(300, 4)
    audio[: 8 * RATE] = 0
    assert found_s(audio) < MUTE_S


@settings(max_examples=50)
@given(st.binary(max_size=40_000))
def test_the_answer_is_a_part_of_the_audio_whatever_it_is(pcm16: bytes) -> None:
    assert 0 <= speech_samples(pcm16) <= len(pcm16) // 2


def test_half_a_sample_at_the_end_is_left_out() -> None:
    audio = pcm(talk(4, 5))
    assert speech_samples(audio + b"\x7f") == speech_samples(audio)


def test_the_silence_between_two_phrases_is_no_speech() -> None:
    phrase = talk(2.0, seed=3)
    apart = found_s(np.concatenate([phrase, nothing(6.0), phrase]))
    assert 2.0 < apart < 4.5
