"""Runs of deltas without text: pauses in speech, or a model that went mute."""

from parley.core.content import SAMPLE_RATE
from parley.core.effects import Effect, MeasureSpeech
from parley.core.leg import Leg, LegState
from parley.core.profile import ModelProfile
from parley.core.turns import Turn, TurnQueue

_MUTE_SPEECH_SAMPLES = 3 * SAMPLE_RATE
"""Speech, of 16 s answered with nothing, that makes a model mute."""
_MUTES_DOUBLED_MAX = 6


class Pauses:
    """Moves replay points to where pauses begin, and asks what is in those that last. Effects are appended to `out`.

    A model that is found mute again before it has said a word is given twice the time; `mutes` counts.
    """

    __slots__ = ("_out", "_profile", "_turns", "mutes")

    def __init__(self, profile: ModelProfile, turns: TurnQueue, out: list[Effect]) -> None:
        self._profile = profile
        self._turns = turns
        self._out = out
        self.mutes = 0

    def spoke(self) -> None:
        """A word was said."""
        self.mutes = 0

    def began(self, leg: Leg) -> None:
        """A leg begins to work."""
        leg.mute_at = self._profile.mute_frames << min(self.mutes, _MUTES_DOUBLED_MAX)

    def look(self, leg: Leg, turn: Turn) -> None:
        """Move the replay point to the beginning of the run, once it is long enough.

        Not while the leg still has to say again what was said: then the run is no sign that nothing is to come.
        """
        silent, profile = leg.silent_frames, self._profile
        if silent < profile.settle_frames or leg.state is not LegState.RUNNING or not profile.has_clock:
            return
        if leg.rejoin is None:
            self._turns.settle(turn, leg.spoken - silent * profile.frame_samples)
        if silent >= leg.mute_at:
            leg.mute_at += profile.mute_frames // 2
            # Of what is still under way to the model nothing can have been said yet.
            run_began = max(turn.replay_point, leg.spoken - silent * profile.frame_samples)
            self._out.append(MeasureSpeech(leg.id, turn.journal.between(run_began, leg.spoken)))

    def is_mute(self, leg: Leg, turn: Turn, speech_samples: int) -> bool:
        """What the audio of a run says of the leg; a pause that it is, is settled up to where a word may have begun."""
        profile = self._profile
        if leg.state is not LegState.RUNNING or leg.silent_frames < profile.mute_frames:
            return False
        if speech_samples >= _MUTE_SPEECH_SAMPLES:
            self.mutes += 1
            return True
        if leg.rejoin is None:
            self._turns.settle(turn, leg.spoken - profile.settle_frames * profile.frame_samples)
        return False
