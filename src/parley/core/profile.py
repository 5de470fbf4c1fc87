"""What differs from model to model behind the same protocol."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """The clock that a model's deltas make.

    With Voxtral one delta comes for each `frame_samples` of audio, most of them empty, the first after `head_frames`
    frames and a look-ahead of 2.5 ms (measured, vLLM 0.32 and 0.33). So the audio consumed after n deltas is
    (n + head_frames) frames, less than a frame short.
    """

    frame_samples: int
    head_frames: int


VOXTRAL = ModelProfile(frame_samples=1280, head_frames=7)
"""Voxtral-Mini-4B-Realtime on vLLM, and the embedded engine, which keeps the same clock."""
