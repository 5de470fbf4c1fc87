"""Small models in place of the real ones, for the parts that are pure."""

from collections.abc import Sequence

import numpy as np

from parley.engine.listener import Listener, ListenerSettings
from parley.engine.live import LiveTranscriber
from parley.engine.recognizer import Recognition, Samples
from parley.engine.vocabulary import Vocabulary

FIRST_WORD_TOKEN = 3
WORD_COUNT = 40
SPACE = "\u2581"


def vocabulary_file(pieces: Sequence[bytes]) -> bytes:
    """Pieces as the vocabulary's file has them."""
    out = bytearray()
    for piece in pieces:
        if len(piece) >= 128:
            out += bytes([128 + len(piece) % 128, len(piece) // 128])
        else:
            out.append(len(piece))
        out += piece
    return bytes(out)


def numbered_vocabulary() -> Vocabulary:
    """Words w0, w1, ... behind the three special tokens."""
    words = [f"{SPACE}w{index}".encode() for index in range(WORD_COUNT)]
    return Vocabulary(vocabulary_file([b"<unk>", b"<s>", b"</s>", *words]))


class LoudnessDetector:
    """Speech is what is loud."""

    def probability(self, hop: Samples) -> float:
        return 1.0 if float(np.abs(hop).mean()) > 0.05 else 0.0


class CountingRecognizer:
    """Says w0, w1, ...: one word for each quarter second of loud audio; the last one is wrong on every other decode."""

    def __init__(self) -> None:
        self.calls = 0
        self.longest_samples = 0

    def recognize(self, audio: Samples, draft: Sequence[int] = (), forced: int = 0) -> Recognition:
        self.calls += 1
        self.longest_samples = max(self.longest_samples, len(audio))
        loud = int((np.abs(audio) > 0.05).sum())
        count = loud // 4000
        words = [FIRST_WORD_TOKEN + index % WORD_COUNT for index in range(count)]
        if words and loud % 1024 < 512:
            words[-1] = FIRST_WORD_TOKEN + WORD_COUNT - 1
        tokens = [*draft[:forced], *words[forced:]]
        return Recognition(tokens, [1.0] * len(tokens))


def transcriber(recognizer: CountingRecognizer | None = None) -> LiveTranscriber:
    """The live layer over these models."""
    listener = Listener(
        recognizer or CountingRecognizer(), LoudnessDetector(), numbered_vocabulary(), ListenerSettings()
    )
    return LiveTranscriber(listener)


def loud(seconds: float, seed: int = 1) -> bytes:
    """Noise that the detector takes for speech, PCM16."""
    noise = np.random.default_rng(seed).uniform(0.1, 0.5, round(seconds * 16_000))
    return bytes((noise * 32767).astype("<i2").tobytes())


def quiet(seconds: float) -> bytes:
    """Digital silence, PCM16."""
    return bytes(2 * round(seconds * 16_000))
