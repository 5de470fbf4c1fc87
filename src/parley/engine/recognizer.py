"""Speech to tokens: an encoder-decoder recogniser, run with onnxruntime.

A live stream decodes the same growing segment again and again. `recognize` therefore takes the previous result as a
draft and verifies it in one pass of the decoder; decoding goes on token by token from the first difference. The result
is what plain greedy decoding gives, at the cost of the new tokens alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from parley.engine.clock import SAMPLE_RATE_HZ
from parley.engine.model import load_model
from parley.engine.vocabulary import BEGIN, END
from parley.engine.weights import DECODER, ENCODER, Weights

Samples = npt.NDArray[np.float32]
"""Mono audio at 16 kHz in [-1, 1], shape (samples,)."""

TOKENS_PER_S_MAX = 9.0
"""Most tokens decoded per second of audio; fast English speech needs about 6. Bounds a decode that runs away."""

TOKENS_EXTRA_MAX = 3
"""Tokens allowed beyond `TOKENS_PER_S_MAX`, for very short segments."""

_Feed = dict[str, npt.NDArray[np.generic]]
_Logits = npt.NDArray[np.float32]

_LAYERS = 6
_HEADS = 8
_HEAD_SIZE = 36


@dataclass(slots=True)
class Recognition:
    """Tokens, and the probability the recogniser gave each of them (1 for those that were forced)."""

    tokens: list[int] = field(default_factory=list)
    probabilities: list[float] = field(default_factory=list)

    def append(self, token: int, probability: float) -> None:
        """Add a token at the end."""
        self.tokens.append(token)
        self.probabilities.append(probability)

    def __repr__(self) -> str:
        return f"Recognition(tokens={len(self.tokens)})"


class Recognizer(Protocol):
    """What the live layer asks of a recogniser. Deterministic; may be called from several threads at once."""

    def recognize(self, audio: Samples, draft: Sequence[int] = (), forced: int = 0) -> Recognition:
        """What is spoken in `audio`. The first `forced` tokens of the guess `draft` are not questioned."""
        ...


class TinyRecognizer:
    """The tiny-en recogniser: two onnxruntime sessions, one thread each, shared by all streams."""

    def __init__(self, weights: Weights) -> None:
        self._encoder = load_model(weights.contents[ENCODER])
        self._decoder = load_model(weights.contents[DECODER])
        names = [
            (part, f"{layer}.{part}.{kind}")
            for layer in range(_LAYERS)
            for part in ("decoder", "encoder")
            for kind in ("key", "value")
        ]
        self._cache = [name for _, name in names]
        self._growing = [name for part, name in names if part == "decoder"]
        self._first_outputs = ["logits", *(f"present.{name}" for name in self._cache)]
        self._next_outputs = ["logits", *(f"present.{name}" for name in self._growing)]

    @property
    def token_count(self) -> int:
        """How many tokens the decoder chooses from."""
        return int(self._decoder.get_outputs()[0].shape[-1])

    def recognize(self, audio: Samples, draft: Sequence[int] = (), forced: int = 0) -> Recognition:
        """What is spoken in `audio`, shape (samples,), by greedy decoding."""
        batch = audio[np.newaxis, :]
        mask = np.ones(batch.shape, np.int64)
        (hidden,) = self._encoder.run(None, {"input_values": batch, "attention_mask": mask})
        limit = math.ceil(len(audio) / SAMPLE_RATE_HZ * TOKENS_PER_S_MAX) + TOKENS_EXTRA_MAX
        limit = max(limit, forced)
        feed = {"encoder_attention_mask": mask, "encoder_hidden_states": hidden}
        found, logits = self._verify(feed, list(draft)[:limit], forced)
        while len(found.tokens) < limit and (token := int(logits.argmax())) != END:
            found.append(token, _probability(logits, token))
            logits = self._advance(feed, token)
        return found

    def _verify(self, feed: _Feed, draft: list[int], forced: int) -> tuple[Recognition, _Logits]:
        """The part of the draft that holds, and the logits after it. Leaves the cache for `_advance` in `feed`."""
        feed["input_ids"] = np.array([[BEGIN, *draft]], np.int64)
        feed["use_cache_branch"] = np.array([False])
        empty = np.zeros((1, _HEADS, 1, _HEAD_SIZE), np.float32)
        for name in self._cache:
            feed[f"past_key_values.{name}"] = empty
        logits, *cache = self._decoder.run(self._first_outputs, feed)
        best = logits[0].argmax(-1)
        kept = min(forced, len(draft))
        found = Recognition(draft[:kept], [1.0] * kept)
        while kept < len(draft) and best[kept] == draft[kept]:
            found.append(draft[kept], _probability(logits[0, kept], draft[kept]))
            kept += 1
        for name, value in zip(self._cache, cache, strict=True):
            feed[f"past_key_values.{name}"] = value
        if kept < len(draft):
            for name in self._growing:
                whole = feed[f"past_key_values.{name}"]
                feed[f"past_key_values.{name}"] = np.ascontiguousarray(whole[:, :, : kept + 1])
        feed["use_cache_branch"] = np.array([True])
        return found, logits[0, kept]

    def _advance(self, feed: _Feed, token: int) -> _Logits:
        """The logits after `token`."""
        feed["input_ids"] = np.array([[token]], np.int64)
        logits, *cache = self._decoder.run(self._next_outputs, feed)
        for name, value in zip(self._growing, cache, strict=True):
            feed[f"past_key_values.{name}"] = value
        following: _Logits = logits[0, -1]
        return following


def _probability(logits: _Logits, token: int) -> float:
    return float(1 / np.exp(logits - logits[token]).sum())


def without_loop(found: Recognition, protected: int = 0) -> Recognition:
    """What was found, with a loop at its end cut back to one round.

    A greedy decoder can repeat itself until its limit. A loop is a run of up to 12 tokens said three times at the end
    (four times when it is one or two tokens, which people do say: "no no no"), the last round possibly unfinished. The
    first `protected` tokens stay in any case.
    """
    tokens = found.tokens
    for length in range(1, min(12, len(tokens) // 3) + 1):
        start = len(tokens) - length
        while start > 0 and tokens[start - 1] == tokens[start - 1 + length]:
            start -= 1
        if len(tokens) - start >= length * (4 if length <= 2 else 3):
            kept = max(start + length, protected)
            return Recognition(tokens[:kept], found.probabilities[:kept])
    return found
