"""When a session is idle and gives its stream back, and when it needs one again.

```
between turns, or within one without audio:  parked until there is audio, or the turn's end
within a turn of silence:                    parked, and listening: silence is let go but for the last of it, until
                                             there is speech, the turn's end, or more than can be listened to
```
A turn that ends while its session listens is ended by a model all the same: it has the last word on its text.
"""

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

from parley.core.content import SAMPLE_RATE
from parley.core.effects import Effect, MeasureSpeech
from parley.core.leg import Leg, LegState
from parley.core.limits import SessionLimits
from parley.core.narration import Narration
from parley.core.profile import ModelProfile
from parley.core.turns import Turn, TurnQueue

_LISTEN_SAMPLES = SAMPLE_RATE // 2
"""Audio that is measured at a time, together with what is kept: speech stands out from what was before it, and a word
may have begun there."""
_SPEECH_SAMPLES = SAMPLE_RATE // 10
"""Speech from which on a model is to hear it: the shortest that is told from a click. A word that is missed is worse
than a stream that is asked for in vain. (Measured on 12 recordings of speech, alone and with white noise down to 5 dB
under it: found 0.7 s after it began at the latest; none in 108 half seconds without speech.)"""
_HELD_SAMPLES_MAX = 4 * SAMPLE_RATE
"""Audio that waits to be measured beyond which it is left to a model."""
_AGAIN_SHARE = 4
"""A run in which there was something is looked at again after this part of the time."""


@dataclass(slots=True)
class _Question:
    """A measurement under way: of a turn's audio up to a position. `leg` is the one whose silence is looked into, None
    for a session that listens. Once nothing depends on it any more, `turn` is None."""

    turn: Turn | None
    leg: Leg | None
    end: int


class Parking:
    """A session is parked when it owes nothing and nothing has come for `idle_release_s`: no turn, no audio, or audio
    that is silence. `turn` is the one within which it is parked. Effects are appended to `out`.
    """

    __slots__ = (
        "_again_frames",
        "_frame_samples",
        "_has_clock",
        "_head_samples",
        "_held_samples_max",
        "_idle_frames",
        "_kept_samples",
        "_listens",
        "_narration",
        "_out",
        "_question",
        "_release_s",
        "_turns",
        "turn",
    )

    def __init__(
        self, limits: SessionLimits, profile: ModelProfile, turns: TurnQueue, narration: Narration, out: list[Effect]
    ) -> None:
        self._turns = turns
        self._narration = narration
        self._out = out
        self._release_s = limits.idle_release_s
        self._has_clock = profile.has_clock
        self._frame_samples = profile.frame_samples
        self._head_samples = profile.head_frames * profile.frame_samples
        self._idle_frames = max(profile.settle_frames, int(self._release_s * SAMPLE_RATE / profile.frame_samples))
        self._again_frames = max(1, self._idle_frames // _AGAIN_SHARE)
        # What is kept covers the frames that a model needs before it says anything: the client's clock has no gap.
        self._kept_samples = max(int(limits.preroll_s * SAMPLE_RATE), self._head_samples + profile.frame_samples)
        self._held_samples_max = min(_HELD_SAMPLES_MAX, limits.held_samples_max // 2)
        self._listens = False
        self._question: _Question | None = None
        self.turn: Turn | None = None

    # ---- no audio

    def due_at(self, leg: Leg) -> float | None:
        """When the leg at work is given back if nothing happens until then; None when it has something to do."""
        if not self._release_s or not self._is_idle(leg):
            return None
        return leg.progress_at + self._release_s

    def is_due(self, leg: Leg, now: float) -> bool:
        """Whether the leg at work is given back now."""
        at = self.due_at(leg)
        return at is not None and now >= at

    def _is_idle(self, leg: Leg) -> bool:
        if leg.state is LegState.READY:
            return True
        turn = leg.turn
        if turn is None or not self._may_leave(leg, turn):
            return False
        # What was said is settled, so another leg says none of it again; what was not said yet is kept.
        is_caught_up = leg.fed == turn.journal.end and leg.lag_samples < self._frame_samples
        return is_caught_up and turn.transcript.last_position <= turn.replay_point

    def _may_leave(self, leg: Leg, turn: Turn) -> bool:
        return self._has_clock and leg.is_steady and not turn.closed

    def begin(self, leg: Leg) -> None:
        """The leg is given back."""
        self.turn = leg.turn

    def end(self) -> None:
        """A leg is on its way."""
        self.turn = None
        self._listens = False
        if self._question is not None:
            self._question.turn = None

    # ---- silence

    def look(self, leg: Leg, turn: Turn) -> None:
        """Ask what is in the audio that the leg at work has answered with nothing for so long."""
        over = leg.silent_frames - self._idle_frames
        if not self._release_s or over < 0 or over % self._again_frames or not self._may_leave(leg, turn):
            return
        if turn.journal.end - leg.consumed > _LISTEN_SAMPLES:
            # It may well have something to say of what it has not heard.
            return
        run_began = leg.spoken - leg.silent_frames * self._frame_samples
        self._ask(turn, leg, max(run_began, turn.replay_point, turn.journal.start), turn.journal.end)

    def _ask(self, turn: Turn, leg: Leg | None, begin: int, until: int) -> None:
        """Measure the pieces from a position on, up to the one that reaches another."""
        if self._question is not None:
            return
        pieces = turn.journal.between(begin, turn.journal.end)
        ends = list(accumulate((piece.samples for piece in pieces), initial=begin))
        count = bisect_left(ends, until)
        self._question = _Question(turn, leg, ends[count])
        self._out.append(MeasureSpeech(0, pieces[:count]))

    def measured(self, leg: Leg | None, speech_samples: int) -> bool:
        """The answer, `leg` being the one at work now. Whether that is to be given back."""
        question, self._question = self._question, None
        turn = None if question is None else question.turn
        if question is None or turn is None or question.leg is not leg:
            return False
        if leg is None:
            if speech_samples < _SPEECH_SAMPLES:
                self._let_go(turn, question.end)
            else:
                self.end()
            return False
        if speech_samples >= _SPEECH_SAMPLES or leg.turn is not turn or not self._may_leave(leg, turn):
            return False
        if leg.silent_frames < self._idle_frames or turn.transcript.last_position > turn.replay_point:
            return False
        self.turn, self._listens = turn, True
        self._let_go(turn, question.end)
        return True

    def _let_go(self, turn: Turn, end: int) -> None:
        """Silence up to a position counts as consumed."""
        while turn.fed < end:
            self._turns.feed(turn, turn.journal.piece(turn.journal.locate(turn.fed)[0]))
        self._narration.pass_silence(turn, self._on_grid(end - self._head_samples))
        self._turns.settle(turn, self._on_grid(end - self._kept_samples))

    def _on_grid(self, position: int) -> int:
        return position // self._frame_samples * self._frame_samples

    # ---- parked

    def holds(self, turn: Turn) -> bool:
        """Whether nothing has come of a turn that a leg is needed for; listens to what has."""
        if self.turn is not turn or turn.closed:
            return False
        if not self._listens or turn.held_samples > self._held_samples_max:
            return not turn.held_samples
        if turn.held_samples >= _LISTEN_SAMPLES:
            self._ask(turn, None, turn.replay_point, turn.fed + _LISTEN_SAMPLES)
        return True
