"""What differs from model to model behind the same protocol."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """The clock that a model's deltas make.

    With Voxtral one delta comes for each `frame_samples` of audio, most of them empty, the first after `head_frames`
    frames and `look_ahead_samples`, 2.5 ms (measured, vLLM 0.32 and 0.33). So the audio consumed after n deltas is
    (n + head_frames) frames, less than a frame short, and the words that have ended by n frames have been said.

    A word is said at most `late_frames` after the frame in which it ends. `settle_frames` is the run of empty deltas
    after which no word that began before the run is still to come: how late a word may be said, and how long a word may
    be. `mute_frames` is the run after which the model may be mute; healthy pauses of Voxtral reach 165 (vLLM issue
    47614). `has_clock` is False for models whose deltas are no clock:
    Qwen3-ASR sends its text by segments of 5 s.
    """

    frame_samples: int = 1280
    look_ahead_samples: int = 40
    head_frames: int = 7
    late_frames: int = 2
    settle_frames: int = 12
    mute_frames: int = 200
    has_clock: bool = True


VOXTRAL = ModelProfile()
"""Voxtral-Mini-4B-Realtime on vLLM: a word is said within two frames of its end, and few are longer than 0.8 s."""

EMBEDDED = ModelProfile(settle_frames=20)
"""The embedded engine: Voxtral's clock, but words are held back until two passes agree on them. Of 12, 16, 20, 30 and
40 frames 20 gave replays the fewest word errors, 1.8 % (measured on real speech)."""

QWEN3_ASR = ModelProfile(has_clock=False)
"""Qwen3-ASR on vLLM: no clock, so no pacing, no pauses and no watchdog within a turn."""


def profile_of(model: str) -> ModelProfile:
    """The profile for a model's name, as the model server lists it; Voxtral's for names that are not known."""
    name = model.lower()
    if "qwen3-asr" in name:
        return QWEN3_ASR
    return EMBEDDED if name in ("tiny-en", "parley-tiny-en") else VOXTRAL
