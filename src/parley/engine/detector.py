"""Is this speech: the Silero voice-activity detector, run with onnxruntime."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from parley.engine.clock import SAMPLE_RATE_HZ
from parley.engine.model import InferenceSession, load_model
from parley.engine.recognizer import Samples
from parley.engine.weights import DETECTOR, Weights

HOP_SAMPLES = 512
"""Audio for one probability: 32 ms."""

_CONTEXT_SAMPLES = 64
_STATE_SHAPE = (2, 1, 128)


class Detector(Protocol):
    """The detector's memory of one stream."""

    def probability(self, hop: Samples) -> float:
        """How likely the next `HOP_SAMPLES` samples hold speech, 0 to 1."""
        ...


class SileroModel:
    """The detector's model, shared by all streams."""

    def __init__(self, weights: Weights) -> None:
        self._session = load_model(weights.contents[DETECTOR])

    def open(self) -> "SileroDetector":
        """Start a stream."""
        return SileroDetector(self._session)


class SileroDetector:
    """One stream's detector: the model's recurrent state and the last samples of the hop before."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._state: npt.NDArray[np.float32] = np.zeros(_STATE_SHAPE, np.float32)
        self._window: npt.NDArray[np.float32] = np.zeros((1, _CONTEXT_SAMPLES + HOP_SAMPLES), np.float32)
        self._rate = np.array(SAMPLE_RATE_HZ, np.int64)

    def probability(self, hop: Samples) -> float:
        """How likely the next `HOP_SAMPLES` samples, shape (512,), hold speech."""
        window = self._window
        window[0, :_CONTEXT_SAMPLES] = window[0, HOP_SAMPLES:]
        window[0, _CONTEXT_SAMPLES:] = hop
        found, self._state = self._session.run(None, {"input": window, "state": self._state, "sr": self._rate})
        return float(found[0, 0])
