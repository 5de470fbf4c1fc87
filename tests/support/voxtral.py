"""What vLLM does on one realtime connection with Voxtral, traps included: a model of the measured behaviour.

Audio goes into a queue. A start begins a generation that eats the queue, one step for each 80 ms frame; an end is a
mark in the queue. The first step needs 562.5 ms; after the mark come further steps over appended silence, then `done`,
and with it whatever is still queued is thrown away. A start while a generation runs is ignored. A mark that meets no
generation stays queued and ends the next one before its first word.
"""

import json
import math
from collections import deque
from collections.abc import Callable

FRAME_SAMPLES = 1_280
HEAD_FRAMES = 7
LOOK_AHEAD_SAMPLES = 40
TAIL_STEPS = 10
"""Steps beyond the frames of a turn: 17 of appended silence less the 7 frames that the first step needs."""

Speech = Callable[[int, int], str]
"""What is said, by turn and by step, both counted from 0."""


def words(turn: int, step: int) -> str:
    """A word every 400 ms, nothing between them, as most of Voxtral's steps say nothing."""
    return f" t{turn}w{step}" if step % 5 == 0 else ""


def steps_of(samples: int) -> int:
    """How many steps a whole turn of so many samples takes."""
    return math.ceil(samples / FRAME_SAMPLES) + TAIL_STEPS if samples else 0


def transcript(samples: int, turn: int = 0, speech: Speech = words) -> str:
    """The text of a whole turn."""
    return "".join(speech(turn, step) for step in range(steps_of(samples)))


class Generation:
    """One turn as the model saw it."""

    def __init__(self) -> None:
        self.pcm = bytearray()
        self.steps = 0
        self.text = ""
        self.has_end = False
        self.is_done = False

    @property
    def samples(self) -> int:
        return len(self.pcm) // 2

    @property
    def consumed_samples(self) -> int:
        """What a client may conclude from the deltas sent so far."""
        return min((self.steps + HEAD_FRAMES) * FRAME_SAMPLES, self.samples) if self.steps else 0

    @property
    def has_due_step(self) -> bool:
        """Whether there is audio enough for the next step."""
        return self.samples >= (self.steps + HEAD_FRAMES) * FRAME_SAMPLES + LOOK_AHEAD_SAMPLES


class Voxtral:
    """One connection's audio queue and generations. `traps` says, for people, which traps were stepped into."""

    def __init__(self, model: str, speech: Speech) -> None:
        self.generations: list[Generation] = []
        self.running: Generation | None = None
        self.model_named: str | None = None
        self.traps: list[str] = []
        self.lag_max_samples = 0
        self._model = model
        self._speech = speech
        self._queue: deque[bytes | None] = deque()

    # ---- from the client; what is returned is the answer, if there is one

    def name_model(self, name: str) -> str | None:
        if name and name != self._model:
            return _error(f"The model `{name}` does not exist.", "model_not_found")
        self.model_named = name
        return None

    def append(self, audio: bytes) -> None:
        if None in self._queue or (self.running is not None and self.running.has_end):
            self.traps.append("audio between the end of a turn and its done is thrown away")
        self._queue.append(audio)
        self._absorb()
        if self.running is not None:
            self.lag_max_samples = max(self.lag_max_samples, self.running.samples - self.running.consumed_samples)

    def start(self) -> str | None:
        if self.model_named is None:
            self.traps.append("a turn was started before the model was named")
            return _error("Model not validated.", "model_not_validated")
        if self.running is not None:
            self.traps.append("a start while a turn runs is ignored")
            return None
        self.running = Generation()
        self.generations.append(self.running)
        self._absorb()
        return None

    def end(self) -> None:
        if self.running is None or self.running.has_end or None in self._queue:
            self.traps.append("an end without a running turn poisons the next one")
        self._queue.append(None)
        self._absorb()

    # ---- the engine

    def step(self) -> str | None:
        """The next event, when there is audio for it."""
        turn = self.running
        if turn is None:
            return None
        if turn.has_due_step or (turn.has_end and turn.steps < steps_of(turn.samples)):
            return self._delta(turn)
        return self._done(turn) if turn.has_end else None

    def _absorb(self) -> None:
        """What is queued belongs to the running generation, up to the mark."""
        turn = self.running
        while turn is not None and self._queue and not turn.has_end:
            piece = self._queue.popleft()
            if piece is None:
                turn.has_end = True
            else:
                turn.pcm += piece

    def _delta(self, turn: Generation) -> str:
        text = self._speech(len(self.generations) - 1, turn.steps)
        turn.steps += 1
        turn.text += text
        return json.dumps({"type": "transcription.delta", "delta": text}, separators=(",", ":"))

    def _done(self, turn: Generation) -> str:
        if not turn.samples:
            self.traps.append("a turn without audio ended early releases of vLLM")
        turn.is_done = True
        self.running = None
        self._queue.clear()
        return self.done_event(turn)

    @staticmethod
    def done_event(turn: Generation) -> str:
        """The end of a turn, also for a test that sends one unasked."""
        prefix = 39 if turn.samples else 0
        counts = {"prompt_tokens": prefix, "total_tokens": prefix + turn.steps, "completion_tokens": turn.steps}
        return json.dumps(
            {
                "type": "transcription.done",
                "text": turn.text,
                "usage": counts | {"prompt_tokens_details": None},
            },
            separators=(",", ":"),
        )


def _error(message: str, code: str) -> str:
    return json.dumps({"type": "error", "error": message, "code": code})
