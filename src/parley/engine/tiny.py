"""The embedded recogniser as an engine: Moonshine's tiny-en weights under the live layer."""

import numpy as np

from parley.engine.clock import SAMPLE_RATE_HZ
from parley.engine.detector import SileroModel
from parley.engine.listener import Listener, ListenerSettings
from parley.engine.live import LiveTranscriber
from parley.engine.recognizer import TinyRecognizer
from parley.engine.transcriber import EngineDescription
from parley.engine.vocabulary import Vocabulary
from parley.engine.weights import VOCABULARY, Weights, WeightsError


class TinyEngine:
    """English speech recognition on the CPU. Loading takes about a second and decodes once to warm up.

    Raises:
        WeightsError: the files are not a model of this architecture.
    """

    def __init__(self, weights: Weights, settings: ListenerSettings | None = None) -> None:
        self._settings = settings or ListenerSettings()
        try:
            self._recognizer = TinyRecognizer(weights)
            self._detector = SileroModel(weights)
            self._vocabulary = Vocabulary(weights.contents[VOCABULARY])
            self._recognizer.recognize(np.zeros(SAMPLE_RATE_HZ, np.float32))
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise WeightsError(f"The model's files cannot be run ({type(error).__name__}).") from error
        if len(self._vocabulary) < self._recognizer.token_count:
            raise WeightsError("The model's vocabulary file has fewer entries than its decoder has tokens.")
        self._description = EngineDescription(
            name="tiny-en" if weights.packaged else "custom",
            sample_rate_hz=SAMPLE_RATE_HZ,
            packaged=weights.packaged,
            sha256={name: digest[:8] for name, digest in weights.sha256.items()},
        )

    def open(self) -> LiveTranscriber:
        """Start a turn, with a detector state of its own."""
        detector = self._detector.open()
        return LiveTranscriber(Listener(self._recognizer, detector, self._vocabulary, self._settings))

    def describe(self) -> EngineDescription:
        """The engine's name and the hashes of its files."""
        return self._description
