"""What an engine is to the server in front of it: turns of audio in, one delta for each 80 ms frame out.

Nothing here knows the event loop, the wire, or the time of day. A `Transcriber` belongs to one caller at a time; its
`step` is the only call that computes, and takes no longer than one or two decodes, so that a server can run it in a
worker thread and let many streams take turns.
"""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EngineDescription:
    """Which engine is running. `sha256` has the first 8 hex digits of each model file's hash, by file name.

    `packaged` tells whether every file is the one this release was measured with.
    """

    name: str
    sample_rate_hz: int
    packaged: bool = True
    sha256: dict[str, str] = field(default_factory=dict)


class Transcriber(Protocol):
    """One turn: its audio in, its deltas out. The deltas, joined, are the transcript; none is ever revised.

    What comes out, and in which delta, depends on the samples alone: not on how they were cut into `feed` calls,
    nor on when `step` was called, as long as `behind_s` stays 0.
    """

    @property
    def pending_samples(self) -> int:
        """Audio fed and not yet consumed. The caller bounds it by not feeding more."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the turn was ended and all its deltas are out."""
        ...

    def feed(self, pcm16: bytes | bytearray | memoryview) -> None:
        """Take audio: PCM16 little-endian, 16 kHz, mono, whole samples. Cheap; computes nothing."""
        ...

    def end(self) -> None:
        """Declare that no more audio follows."""
        ...

    def step(self, behind_s: float = 0.0) -> list[str]:
        """Consume fed audio up to the next decode, or about a second of it, and return its deltas.

        An empty list means that nothing can be done before more audio is fed, or that the turn is finished.

        `behind_s` is the declared overload policy: by how many seconds this stream's consumed audio trails what a
        microphone would have delivered by now. Above 0 the decodes are spaced further apart, so that text comes later
        and in larger pieces, and no audio is dropped. Audio that was uploaded faster than it was spoken is not behind.
        """
        ...


BYTES_PER_SAMPLE = 2
"""Of PCM16."""


class TurnBuffer:
    """What every transcriber keeps of its turn: audio fed and not yet consumed, and how far the deltas have come."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._fed_samples = 0
        self._emitted = 0
        self._ended = False
        self._finished = False

    @property
    def pending_samples(self) -> int:
        """Audio fed and not yet consumed."""
        return len(self._pending) // BYTES_PER_SAMPLE

    @property
    def finished(self) -> bool:
        """Whether the turn was ended and all its deltas are out."""
        return self._finished

    def feed(self, pcm16: bytes | bytearray | memoryview) -> None:
        """Take PCM16 LE audio, 16 kHz, mono, whole samples."""
        self._pending += pcm16
        self._fed_samples += len(pcm16) // BYTES_PER_SAMPLE

    def end(self) -> None:
        """Declare that no more audio follows."""
        self._ended = True

    def _take(self, samples: int) -> bytes:
        """Consume the oldest pending samples."""
        size = samples * BYTES_PER_SAMPLE
        taken = bytes(self._pending[:size])
        del self._pending[:size]
        return taken


class Engine(Protocol):
    """A recogniser that many turns share."""

    def open(self) -> Transcriber:
        """Start a turn."""
        ...

    def describe(self) -> EngineDescription:
        """Say which engine this is."""
        ...


def transcribe(transcriber: Transcriber, pcm16: bytes | bytearray | memoryview) -> list[str]:
    """All deltas of one turn with this audio, computed in the calling thread."""
    transcriber.feed(pcm16)
    transcriber.end()
    deltas: list[str] = []
    while step := transcriber.step():
        deltas += step
    return deltas
