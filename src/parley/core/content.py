"""What people said: audio and text in types that do not print.

Both are carried in the form in which they cross the wires, so that the common path neither decodes nor copies
them: audio as base64 of PCM16 little-endian, 16 kHz, mono; text as a JSON string literal.
"""

import binascii
import json
from collections.abc import Iterable

SAMPLE_RATE = 16_000
"""Samples a second of every `Audio`; other rates are converted before the core sees them."""


class Audio:
    """A piece of speech: `payload` is base64 of PCM16 LE mono at 16 kHz, `samples` its length in samples."""

    __slots__ = ("payload", "samples")

    def __init__(self, payload: bytes, samples: int) -> None:
        self.payload = payload
        self.samples = samples

    def after(self, samples: int) -> "Audio":
        """The same audio without its first samples; at least one is left."""
        assert 0 <= samples < self.samples, "there is something left"
        pcm = binascii.a2b_base64(self.payload)
        return Audio(binascii.b2a_base64(pcm[2 * samples :], newline=False), self.samples - samples)

    def __repr__(self) -> str:
        return f"Audio(samples={self.samples})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Audio) and self.payload == other.payload and self.samples == other.samples

    def __hash__(self) -> int:
        return hash((self.samples, len(self.payload)))


class Text:
    """A piece of transcript: `literal` is a JSON string literal, its quotes included."""

    __slots__ = ("literal",)

    def __init__(self, literal: bytes) -> None:
        self.literal = literal

    @classmethod
    def of(cls, value: str) -> "Text":
        """The text with this value."""
        return cls(json.dumps(value, ensure_ascii=False).encode())

    @classmethod
    def joined(cls, pieces: Iterable["Text"]) -> "Text":
        """All pieces as one text, without decoding any: literals concatenate."""
        return cls(b'"' + b"".join(piece.literal[1:-1] for piece in pieces) + b'"')

    @property
    def is_empty(self) -> bool:
        """Whether there is no character in it."""
        return len(self.literal) == 2

    def decode(self) -> str:
        """The characters. Whoever calls this answers for where they go."""
        value: str = json.loads(self.literal)
        return value

    def __repr__(self) -> str:
        return f"Text(bytes={len(self.literal) - 2})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and self.literal == other.literal

    def __hash__(self) -> int:
        return hash(len(self.literal))
