"""Makes a Voxtral Realtime checkpoint of a few megabytes, in Mistral's format, that the real vLLM loads and runs.

The weights are computed, not trained. Attention and feed-forward blocks have random weights and an output projection of
zero, so that their kernels run and change nothing. What is left is a loudness meter in the encoder's convolutions, a
gate that lets loudness through to the decoder, and output rows that turn last token and loudness into the next token as
`script` says. Run by vLLM's own Python, which has safetensors: `python -m tests.realvllm.tiny_model FOLDER`.
"""

import json
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .script import DELAY_FRAMES, FRAME_S, SCRIPT, SPECIAL_TOKENS, STREAMING_PAD, STREAMING_WORD, VOCABULARY

# Plain aliases and no newer syntax here and in `script`: vLLM's Python may be 3.11.
Weight = NDArray[np.float32]
Weights = dict[str, Weight]

_VOCABULARY_SIZE = 320
_DIM, _LAYERS, _HEADS, _HIDDEN = 128, 2, 4, 256
_EAR_DIM, _EAR_LAYERS, _EAR_HEADS, _EAR_HIDDEN = 64, 2, 2, 128
_HEAD_DIM = 32
_DELAY_DIM = 32
_MELS = 128
_DOWNSAMPLING = 4
_MAX_POSITIONS = 131_072

_AUDIO = {
    "sampling_rate": 16_000,
    "frame_rate": 1 / FRAME_S,
    "num_mel_bins": _MELS,
    "hop_length": 160,
    "window_size": 400,
}
# The names that vLLM and mistral_common look up, numbered as in Voxtral.
_SPECIAL_NAMES = {
    0: "<unk>",
    1: "<s>",
    2: "</s>",
    3: "[INST]",
    4: "[/INST]",
    5: "[AVAILABLE_TOOLS]",
    6: "[/AVAILABLE_TOOLS]",
    7: "[TOOL_RESULTS]",
    8: "[/TOOL_RESULTS]",
    9: "[TOOL_CALLS]",
    11: "<pad>",
    14: "[PREFIX]",
    16: "[SUFFIX]",
    17: "[SYSTEM_PROMPT]",
    18: "[/SYSTEM_PROMPT]",
    19: "[TOOL_CONTENT]",
    24: "[AUDIO]",
    25: "[BEGIN_AUDIO]",
    30: "[ARGS]",
    31: "[CALL_ID]",
    STREAMING_PAD: "[STREAMING_PAD]",
    STREAMING_WORD: "[STREAMING_WORD]",
}


def tokenizer() -> dict[str, Any]:
    """`tekken.json`: the special tokens, the script's vocabulary, and filler up to a round number."""
    filler = [f"~{index}".encode() for index in range(len(VOCABULARY), _VOCABULARY_SIZE)]
    entries = [*VOCABULARY, *filler]
    return {
        "type": "Tekken",
        "version": 1,
        "config": {
            "pattern": r"\s?\p{L}+|\p{N}|[^\s\p{L}\p{N}]+|\s+",
            "num_vocab_tokens": len(entries),
            "default_vocab_size": SPECIAL_TOKENS + len(entries),
            "default_num_special_tokens": SPECIAL_TOKENS,
            "version": "v13",
        },
        "special_tokens": [
            {"rank": rank, "token_str": _SPECIAL_NAMES.get(rank, f"<SPECIAL_{rank}>"), "is_control": True}
            for rank in range(SPECIAL_TOKENS)
        ],
        "vocab": [
            {"rank": rank, "token_bytes": b64encode(entry).decode(), "token_str": _text_or_none(entry)}
            for rank, entry in enumerate(entries)
        ],
        "audio": {
            "sampling_rate": _AUDIO["sampling_rate"],
            "frame_rate": _AUDIO["frame_rate"],
            "audio_encoding_config": {key: _AUDIO[key] for key in ("num_mel_bins", "hop_length", "window_size")},
            "chunk_length_s": None,
            "transcription_format": "streaming",
            "transcription_delay_ms": round(DELAY_FRAMES * FRAME_S * 1000),
            "streaming_look_ahead_ms": 2.5,
            "streaming_look_back_ms": 52.5,
            "streaming_n_left_pad_tokens": 32,
        },
    }


def _text_or_none(entry: bytes) -> str | None:
    try:
        return entry.decode()
    except UnicodeDecodeError:
        return None


def _size() -> int:
    return SPECIAL_TOKENS + _VOCABULARY_SIZE


def configuration() -> dict[str, Any]:
    """`params.json`: Voxtral's architecture at toy size."""
    encoder = {
        "audio_encoding_args": _AUDIO
        | {"chunk_length_s": None, "global_log_mel_max": 1.5, "transcription_format": "streaming"},
        "dim": _EAR_DIM,
        "n_layers": _EAR_LAYERS,
        "head_dim": _HEAD_DIM,
        "hidden_dim": _EAR_HIDDEN,
        "n_heads": _EAR_HEADS,
        "n_kv_heads": _EAR_HEADS,
        "vocab_size": _size(),
        "use_biases": True,
        "use_cache": False,
        "rope_theta": 1e6,
        "causal": True,
        "norm_eps": 1e-5,
        "pos_embed": "rope",
        "max_source_positions": None,
        "ffn_type": "swiglu",
        "norm_type": "rms_norm",
        "sliding_window": 750,
    }
    return {
        "dim": _DIM,
        "n_layers": _LAYERS,
        "head_dim": _HEAD_DIM,
        "hidden_dim": _HIDDEN,
        "n_heads": _HEADS,
        "n_kv_heads": _HEADS,
        "use_biases": False,
        "causal": True,
        "rope_theta": 1e6,
        "norm_eps": 1e-5,
        "vocab_size": _size(),
        "model_parallel": 1,
        "tied_embeddings": False,
        "sliding_window": 8192,
        "model_max_length": _MAX_POSITIONS,
        "max_position_embeddings": _MAX_POSITIONS,
        "dtype": "float32",
        "multimodal": {
            "whisper_model_args": {
                "encoder_args": encoder,
                "downsample_args": {"downsample_factor": _DOWNSAMPLING},
            }
        },
        "ada_rms_norm_t_cond": True,
        "ada_rms_norm_t_cond_dim": _DELAY_DIM,
    }


def _zeros(*shape: int) -> Weight:
    return np.zeros(shape, dtype=np.float32)


def _ones(*shape: int) -> Weight:
    return np.ones(shape, dtype=np.float32)


class _Random:
    """Small weights, the same in every run."""

    def __init__(self) -> None:
        self._generator = np.random.default_rng(1)

    def __call__(self, *shape: int) -> Weight:
        return self._generator.normal(0.0, 0.05, shape).astype(np.float32)


def _idle_block(random: _Random, dim: int, hidden: int) -> Weights:
    """A transformer block that computes everything and adds nothing."""
    return {
        "attention.wq.weight": random(dim, dim),
        "attention.wk.weight": random(dim, dim),
        "attention.wv.weight": random(dim, dim),
        "attention.wo.weight": _zeros(dim, dim),
        "attention_norm.weight": _ones(dim),
        "feed_forward.w1.weight": random(hidden, dim),
        "feed_forward.w3.weight": random(hidden, dim),
        "feed_forward.w2.weight": _zeros(dim, hidden),
        "ffn_norm.weight": _ones(dim),
    }


def _decoder_blocks(random: _Random) -> Weights:
    blocks: Weights = {"norm.weight": _ones(_DIM)}
    for layer in range(_LAYERS):
        block = _idle_block(random, _DIM, _HIDDEN)
        block["ada_rms_norm_t_cond.0.weight"] = random(_DELAY_DIM, _DIM)
        block["ada_rms_norm_t_cond.2.weight"] = random(_DIM, _DELAY_DIM)
        blocks |= {f"layers.{layer}.{name}": weight for name, weight in block.items()}
    return blocks


def _encoder_blocks(random: _Random) -> Weights:
    blocks: Weights = {"norm.weight": _ones(_EAR_DIM)}
    for layer in range(_EAR_LAYERS):
        block = _idle_block(random, _EAR_DIM, _EAR_HIDDEN)
        block["attention.wq.bias"] = random(_EAR_DIM)
        block["attention.wv.bias"] = random(_EAR_DIM)
        block["attention.wo.bias"] = _zeros(_EAR_DIM)
        block["feed_forward.w2.bias"] = _zeros(_EAR_DIM)
        blocks |= {f"layers.{layer}.{name}": weight for name, weight in block.items()}
    return {f"whisper_encoder.transformer.{name}": weight for name, weight in blocks.items()}


_METER, _YARDSTICK = 0, 1
"""The encoder's channels: loudness, and a constant beside it, because the norm at its end keeps only ratios."""
_CONSTANT = 10.0
_THRESHOLD = 0.5
_GATE = _DIM - 1
"""The decoder's channel for loudness; those below it are for the states."""


def _ear() -> Weights:
    """The convolutions that measure loudness, and the projection that lets it pass only above the threshold."""
    first, first_bias = _zeros(_EAR_DIM, _MELS, 3), _zeros(_EAR_DIM)
    # Log-mel is -0.625 in every band at digital silence; the bias makes that zero. White noise then measures about 12.
    first[_METER, :, 2] = 10.0 / _MELS
    first_bias[_METER] = 6.25
    first_bias[_YARDSTICK] = _CONSTANT
    second = _zeros(_EAR_DIM, _EAR_DIM, 3)
    second[_METER, _METER, :] = second[_YARDSTICK, _YARDSTICK, :] = 1 / 3
    inward, outward = _zeros(_DIM, _DOWNSAMPLING * _EAR_DIM), _zeros(_DIM, _DIM)
    for part in range(_DOWNSAMPLING):
        inward[0, part * _EAR_DIM + _METER] = 1.0
        inward[0, part * _EAR_DIM + _YARDSTICK] = -_THRESHOLD
    outward[_GATE, 0] = 1.0
    return {
        "whisper_encoder.conv_layers.0.conv.weight": first,
        "whisper_encoder.conv_layers.0.conv.bias": first_bias,
        "whisper_encoder.conv_layers.1.conv.weight": second,
        "whisper_encoder.conv_layers.1.conv.bias": _zeros(_EAR_DIM),
        "audio_language_projection.0.weight": inward,
        "audio_language_projection.2.weight": outward,
    }


def _voice() -> tuple[Weight, Weight]:
    """Token embeddings and output rows that carry out the script."""
    states = SCRIPT.states
    assert len(states) < _GATE
    channel = {state: index for index, state in enumerate(states)}
    embeddings, output = _zeros(_size(), _DIM), _zeros(_size(), _DIM)
    for state, index in channel.items():
        embeddings[state, index] = 1.0
    for state, following in SCRIPT.follows.items():
        output[following, channel[state]] = 1000.0
    for listening, start in SCRIPT.starts.items():
        # Loudness raises every word's start alike; the half point makes it this word's, and without loudness waiting
        # on is worth more.
        output[SCRIPT.waits[listening], channel[listening]] = 1.0
        output[start, channel[listening]] = 0.5
        output[start, _GATE] = 1.0
    return embeddings, output


def weights() -> Weights:
    """All tensors, under the names of Mistral's checkpoints."""
    random = _Random()
    embeddings, output = _voice()
    listening = _encoder_blocks(random) | _ear() | {"tok_embeddings.weight": embeddings}
    prefix = "mm_streams_embeddings.embedding_module."
    return (
        {"output.weight": output}
        | _decoder_blocks(random)
        | {prefix + name: weight for name, weight in listening.items()}
    )


def write_model(folder: Path) -> None:
    """Write the checkpoint's three files; those already there are replaced."""
    from safetensors.numpy import save_file  # type: ignore[import-not-found]  # only vLLM's environment has it

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tekken.json").write_text(json.dumps(tokenizer()))
    (folder / "params.json").write_text(json.dumps(configuration(), indent=1))
    save_file(weights(), str(folder / "consolidated.safetensors"))


if __name__ == "__main__":
    write_model(Path(sys.argv[1]))
