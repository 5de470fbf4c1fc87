"""A leg: one connection to a model server, as far as the session needs to know it.

```
          LegOpened        StartTurn         EndTurn         TurnTranscribed
CONNECTING ------> READY ----------> RUNNING --------> FLUSHING ----------> READY
```
Outside RUNNING no audio may be sent: vLLM throws away, without a word, what arrives between the end of a turn and its
`transcription.done`, and an end that meets no running turn poisons the next one.
"""

from collections import deque
from enum import Enum

from parley.core.content import SAMPLE_RATE, Text
from parley.core.effects import LegPurpose
from parley.core.profile import ModelProfile
from parley.core.rejoin import Rejoin
from parley.core.turns import Turn

_MARK_SAMPLES = SAMPLE_RATE // 4
"""Audio between two notes of when it was sent."""
_MARKS_MAX = 256
"""Notes kept of a leg without pacing; of a paced one there are as many as its window holds."""


class LegState(Enum):
    """Where a leg stands; the module's docstring draws the transitions."""

    CONNECTING = "connecting"
    READY = "ready"
    RUNNING = "running"
    FLUSHING = "flushing"


class Leg:
    """The state of one leg and its clock. Positions are samples since its turn began.

    It began at `base` and was fed up to `fed`, the next piece being `piece`; it has consumed the audio up to `consumed`
    and said the words up to `spoken`. `silent_frames` is the run of deltas without text that it is in. While it says
    again what was said before, `rejoin` compares, and `is_replaying` lasts until it has also caught up with the leg
    before it; `overlap_frames` counts what both have said since, while that one is still at work. `is_queued` says that
    it waits for a stream, `purpose` what it was asked for.
    """

    __slots__ = (
        "_frame_samples",
        "_has_clock",
        "_head_samples",
        "_marks",
        "base",
        "blocked",
        "consumed",
        "deltas",
        "fed",
        "id",
        "is_queued",
        "is_replaying",
        "mute_at",
        "overlap_frames",
        "piece",
        "prefix",
        "prefix_characters",
        "progress_at",
        "purpose",
        "rejoin",
        "silent_frames",
        "skip",
        "spoken",
        "state",
        "turn",
    )

    def __init__(self, leg_id: int, profile: ModelProfile, now: float, purpose: LegPurpose = LegPurpose.NEW) -> None:
        self.id = leg_id
        self.purpose = purpose
        self.state = LegState.CONNECTING
        self.turn: Turn | None = None
        self.blocked = False
        self.base = self.fed = self.consumed = self.spoken = 0
        self.piece = self.skip = 0
        self.prefix = self.prefix_characters = 0
        self.deltas = 0
        self.silent_frames = 0
        self.overlap_frames = 0
        self.mute_at = profile.mute_frames
        self.rejoin: Rejoin | None = None
        self.is_replaying = False
        self.is_queued = False
        self.progress_at = now
        # From which position on audio was sent at which time, the oldest that is not consumed first.
        self._marks: deque[tuple[int, float]] = deque(maxlen=_MARKS_MAX)
        self._frame_samples = profile.frame_samples
        self._has_clock = profile.has_clock
        self._head_samples = profile.head_frames * profile.frame_samples

    @property
    def lag_samples(self) -> int:
        """Audio sent to the model minus audio it has consumed, in samples."""
        return self.fed - self.consumed

    @property
    def is_at_work(self) -> bool:
        """Whether a turn is on it."""
        return self.state is LegState.RUNNING or self.state is LegState.FLUSHING

    @property
    def is_steady(self) -> bool:
        """Whether it is in the midst of its turn and says nothing again: one that another can succeed."""
        return self.state is LegState.RUNNING and not self.is_replaying and self.rejoin is None

    def start(self, turn: Turn, base: int, now: float) -> None:
        """A turn begins on the leg, from this position."""
        self.state = LegState.RUNNING
        self.turn = turn
        self.base = self.fed = self.consumed = self.spoken = base
        self.piece, self.skip = turn.journal.locate(base)
        self.prefix = turn.transcript.settled
        self.prefix_characters = turn.transcript.settled_characters
        self.deltas = self.silent_frames = 0
        self.progress_at = now
        self._marks.clear()

    def delay_s(self, now: float) -> float:
        """How long ago the oldest audio was sent that is not consumed, to a quarter of a second of audio; 0.0 when all
        is consumed but what the model needs before it can say anything."""
        if self.turn is None or self.fed - self.consumed <= self._head_samples:
            return 0.0
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= self.consumed:
            marks.popleft()
        return now - marks[0][1]

    def waits_s(self, now: float) -> float:
        """How long ago the audio was sent that the model consumes next, as nearly as the notes of it tell; 0.0 when it
        has consumed all, or has what it needs before it can say anything to wait for yet."""
        if self.turn is None or self.fed <= self.consumed or not self._marks:
            return 0.0
        if not self.deltas and self.fed - self.consumed <= self._head_samples:
            return 0.0
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= self.consumed:
            marks.popleft()
        begin, sent_at = marks[0]
        # Between two notes audio is taken to have been sent as it is spoken.
        return max(0.0, now - sent_at - max(0, self.consumed - begin) / SAMPLE_RATE)

    def sent(self, samples: int, lag_allowed_samples: int, now: float) -> None:
        """Audio went out. A leg that had caught up gets its watchdog's full time from here."""
        if self.fed - self.consumed <= lag_allowed_samples:
            self.progress_at = now
        marks = self._marks
        if not marks or self.fed - marks[-1][0] >= _MARK_SAMPLES:
            marks.append((self.fed, now))
        self.fed += samples
        self.piece += 1

    def finish(self) -> None:
        """The turn is over."""
        self.state = LegState.READY
        self.turn = None
        self.rejoin = None
        self.is_replaying = False

    def moved(self, text: Text, now: float) -> None:
        """A delta came: one more frame is consumed, and perhaps something was said."""
        self.deltas += 1
        if self._has_clock:
            self.spoken += self._frame_samples
            consumed = self.spoken + self._head_samples
            self.consumed = consumed if consumed < self.fed else self.fed
        else:
            # All that can be said is that its text is of audio that it was sent.
            self.spoken = self.consumed = self.fed
        self.silent_frames = 0 if len(text.literal) > 2 else self.silent_frames + 1
        self.progress_at = now
