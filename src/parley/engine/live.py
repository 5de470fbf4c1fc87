"""The live layer: a turn's audio in pieces of any size, its deltas on the delta clock.

Delta `k` (from 0) claims the first `k + 1` frames, and comes when 6 more have been heard. What becomes certain while
the speaker goes on is told at once. What becomes certain in a pause waits for the delta that claims the speech before
the pause, four frames at most: so a turn that begins anew after the last text before a pause does not repeat its end.
"""

from collections import deque

import numpy as np

from parley.engine.clock import FRAME_SAMPLES, delta_covering, deltas_of_turn, samples_for_delta
from parley.engine.detector import HOP_SAMPLES
from parley.engine.listener import Listener
from parley.engine.transcriber import BYTES_PER_SAMPLE, TurnBuffer

FRAMES_PER_STEP_MAX = 12
"""Most frames that one step consumes when no decode comes: about a second."""


class LiveTranscriber(TurnBuffer):
    """A `Transcriber` over a `Listener`: delta `k` has the text that became certain in the audio before it is due."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener
        self._consumed_samples = 0
        self._certain: deque[tuple[int, str]] = deque()
        """Text not told yet, each with the audio in samples that its delta has to claim."""

    def step(self, behind_s: float = 0.0) -> list[str]:
        """Consume fed audio up to the next decode and return its deltas; see `Transcriber.step`."""
        deltas: list[str] = []
        decodes = self._listener.decodes
        while len(deltas) < FRAMES_PER_STEP_MAX and self._listener.decodes == decodes and not self._finished:
            due_at = samples_for_delta(self._emitted)
            if self._fed_samples >= due_at:
                self._consume(due_at, behind_s)
                self._emitted += 1
                deltas.append(self._claimed(self._emitted * FRAME_SAMPLES))
            elif self._ended:
                deltas += self._tail()
            else:
                break
        return deltas

    def _consume(self, until_samples: int, behind_s: float = 0.0) -> None:
        """Hear all whole hops before `until_samples`."""
        count = (until_samples - self._consumed_samples) // HOP_SAMPLES
        audio = np.frombuffer(self._take(count * HOP_SAMPLES), "<i2").astype(np.float32) / np.float32(32768)
        self._consumed_samples += count * HOP_SAMPLES
        for hop in audio.reshape(count, HOP_SAMPLES):
            if text := self._listener.hear(hop, behind_s):
                self._certain.append((self._listener.pause_hop * HOP_SAMPLES, text))

    def _claimed(self, samples: int) -> str:
        """The text that a delta which claims so much audio may tell, in order."""
        texts = []
        while self._certain and self._certain[0][0] <= samples:
            texts.append(self._certain.popleft()[1])
        return "".join(texts)

    def _tail(self) -> list[str]:
        """The deltas of the turn's end. Text goes to the first delta that claims all of the audio."""
        missing = -(self._fed_samples - self._consumed_samples) % HOP_SAMPLES
        self._pending += bytes(missing * BYTES_PER_SAMPLE)
        self._consume(self._fed_samples + missing)
        text = self._claimed(self._fed_samples + missing) + self._listener.end()
        deltas = [""] * (deltas_of_turn(self._fed_samples) - self._emitted)
        if deltas:
            deltas[max(0, delta_covering(self._fed_samples) - self._emitted)] = text
        self._emitted += len(deltas)
        self._finished = True
        return deltas
