"""The live layer: a turn's audio in pieces of any size, its deltas on the delta clock."""

import numpy as np

from parley.engine.clock import delta_covering, deltas_of_turn, samples_for_delta
from parley.engine.detector import HOP_SAMPLES
from parley.engine.listener import Listener

FRAMES_PER_STEP_MAX = 12
"""Most frames that one step consumes when no decode comes: about a second."""

_BYTES_PER_SAMPLE = 2


class LiveTranscriber:
    """A `Transcriber` over a `Listener`: delta `k` has the text that became certain in the audio before it is due."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._pending = bytearray()
        self._fed_samples = 0
        self._consumed_samples = 0
        self._emitted = 0
        self._ended = False
        self._finished = False

    @property
    def pending_samples(self) -> int:
        """Audio fed and not yet consumed."""
        return len(self._pending) // _BYTES_PER_SAMPLE

    @property
    def finished(self) -> bool:
        """Whether the turn was ended and all its deltas are out."""
        return self._finished

    def feed(self, pcm16: bytes | bytearray | memoryview) -> None:
        """Take PCM16 LE audio, 16 kHz, mono, whole samples."""
        self._pending += pcm16
        self._fed_samples += len(pcm16) // _BYTES_PER_SAMPLE

    def end(self) -> None:
        """Declare that no more audio follows."""
        self._ended = True

    def step(self, behind_s: float = 0.0) -> list[str]:
        """Consume fed audio up to the next decode and return its deltas; see `Transcriber.step`."""
        deltas: list[str] = []
        decodes = self._listener.decodes
        while len(deltas) < FRAMES_PER_STEP_MAX and self._listener.decodes == decodes and not self._finished:
            due_at = samples_for_delta(self._emitted)
            if self._fed_samples >= due_at:
                deltas.append(self._consume(due_at, behind_s))
                self._emitted += 1
            elif self._ended:
                deltas += self._tail()
            else:
                break
        return deltas

    def _consume(self, until_samples: int, behind_s: float = 0.0) -> str:
        """Hear all whole hops before `until_samples`."""
        count = (until_samples - self._consumed_samples) // HOP_SAMPLES
        size = count * HOP_SAMPLES * _BYTES_PER_SAMPLE
        audio = np.frombuffer(bytes(self._pending[:size]), "<i2").astype(np.float32) / np.float32(32768)
        del self._pending[:size]
        self._consumed_samples += count * HOP_SAMPLES
        return "".join([self._listener.hear(hop, behind_s) for hop in audio.reshape(count, HOP_SAMPLES)])

    def _tail(self) -> list[str]:
        """The deltas of the turn's end. Text goes to the first delta that claims all of the audio."""
        missing = -(self._fed_samples - self._consumed_samples) % HOP_SAMPLES
        self._pending += bytes(missing * _BYTES_PER_SAMPLE)
        text = self._consume(self._fed_samples + missing) + self._listener.end()
        deltas = [""] * (deltas_of_turn(self._fed_samples) - self._emitted)
        if deltas:
            deltas[max(0, delta_covering(self._fed_samples) - self._emitted)] = text
        self._emitted += len(deltas)
        self._finished = True
        return deltas
