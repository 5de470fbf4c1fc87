"""The delta clock: which delta covers which audio, as vLLM's realtime protocol has it.

A model server emits one delta for each 80 ms frame of a turn, most of them empty, so counting deltas measures audio.
The constants are those of Voxtral-Mini-4B-Realtime on vLLM 0.33: the first delta needs seven frames and 2.5 ms of
look-ahead, and the end of a turn is padded with 17 frames of silence.
"""

SAMPLE_RATE_HZ = 16_000
"""Samples a second of all audio in this package; PCM16 little-endian, mono."""

FRAME_SAMPLES = 1_280
"""Audio for one delta: 80 ms."""

FIRST_DELTA_SAMPLES = 9_000
"""Audio that must have arrived before the first delta: 562.5 ms."""

FINAL_DELTAS = 17
"""Deltas that the end of a turn adds to those its audio has earned."""

PROMPT_TOKENS = 39
"""Tokens of a turn before its first delta; each delta is one more. A begin token, 32 of left padding, 6 of delay."""


def samples_for_delta(index: int) -> int:
    """Audio in samples that must have arrived before delta `index` (from 0) is emitted."""
    return FIRST_DELTA_SAMPLES + index * FRAME_SAMPLES


def tokens_of(audio_s: float) -> int:
    """Length in tokens of a turn that has a delta for each frame of so much audio."""
    return PROMPT_TOKENS + int(audio_s * SAMPLE_RATE_HZ) // FRAME_SAMPLES


def deltas_while_open(samples: int) -> int:
    """Deltas that `samples` of audio have earned while the turn goes on."""
    return max(0, (samples - FIRST_DELTA_SAMPLES) // FRAME_SAMPLES + 1)


def deltas_of_turn(samples: int) -> int:
    """Deltas of a whole turn of `samples`; a turn without audio has none."""
    if samples == 0:
        return 0
    return (samples + FINAL_DELTAS * FRAME_SAMPLES - FIRST_DELTA_SAMPLES) // FRAME_SAMPLES + 1


def delta_covering(samples: int) -> int:
    """Index of the first delta whose claim, `(index + 1) * 80 ms`, reaches `samples` of audio."""
    return max(0, -(-samples // FRAME_SAMPLES) - 1)
