"""A leg: one connection to a model server, as far as the session needs to know it.

```
          LegOpened        StartTurn         EndTurn         TurnTranscribed
CONNECTING ------> READY ----------> RUNNING --------> FLUSHING ----------> READY
```
Outside RUNNING no audio may be sent: vLLM throws away, without a word, what arrives between the end of a turn and its
`transcription.done`, and an end that meets no running turn poisons the next one.
"""

from enum import Enum

from parley.core.profile import ModelProfile
from parley.core.turns import Turn


class LegState(Enum):
    """Where a leg stands; the module's docstring draws the transitions."""

    CONNECTING = "connecting"
    READY = "ready"
    RUNNING = "running"
    FLUSHING = "flushing"


class Leg:
    """The state of one leg and its clock: the turn at work, samples sent, deltas received, when it last moved."""

    __slots__ = (
        "_frame_samples",
        "_head_frames",
        "blocked",
        "consumed_samples",
        "deltas",
        "id",
        "progress_at",
        "sent_samples",
        "state",
        "turn",
    )

    def __init__(self, leg_id: int, profile: ModelProfile, now: float) -> None:
        self.id = leg_id
        self.state = LegState.CONNECTING
        self.turn: Turn | None = None
        self.blocked = False
        self.sent_samples = 0
        self.consumed_samples = 0
        self.deltas = 0
        self.progress_at = now
        self._frame_samples = profile.frame_samples
        self._head_frames = profile.head_frames

    @property
    def lag_samples(self) -> int:
        """Audio sent to the model minus audio it has consumed, in samples."""
        return self.sent_samples - self.consumed_samples

    def start(self, turn: Turn, now: float) -> None:
        """A turn begins on the leg."""
        self.state = LegState.RUNNING
        self.turn = turn
        self.sent_samples = self.consumed_samples = self.deltas = 0
        self.progress_at = now

    def sent(self, samples: int, lag_allowed_samples: int, now: float) -> None:
        """Audio went out. A leg that had caught up gets its watchdog's full time from here."""
        if self.sent_samples - self.consumed_samples <= lag_allowed_samples:
            self.progress_at = now
        self.sent_samples += samples

    def finish(self) -> None:
        """The turn is transcribed."""
        self.state = LegState.READY
        self.turn = None

    def moved(self, now: float) -> None:
        """A delta came: one more frame is consumed."""
        self.deltas += 1
        consumed = (self.deltas + self._head_frames) * self._frame_samples
        self.consumed_samples = consumed if consumed < self.sent_samples else self.sent_samples
        self.progress_at = now
