"""Feeding legs from a turn's journal: from where, how far ahead, and how much of it is kept."""

from parley.core.content import SAMPLE_RATE
from parley.core.effects import Effect, SendAudio, StartTurn
from parley.core.leg import Leg
from parley.core.limits import SessionLimits
from parley.core.profile import ModelProfile
from parley.core.rejoin import Rejoin
from parley.core.turns import Turn, TurnQueue

STALL_LAG_SAMPLES = SAMPLE_RATE
"""Lag at which a model that sends no delta counts as stalled, not as waiting for audio."""
_SLACK_SAMPLES = 2 * SAMPLE_RATE
"""What is let go at once when the journal is full."""
_CONTEXT_SHARE = 0.4
"""Share of the model's context that a replay may fill."""
_UNPACED_SAMPLES = 2**62


class Feed:
    """What legs are sent, and what is kept of it. Effects are appended to `out`.

    `is_paced` says whether the audio sent is kept within `window_samples` of what the model has consumed. What was sent
    is kept for a replay up to `kept_samples_max` and `kept_bytes_max`.
    """

    __slots__ = (
        "_frame_samples",
        "_has_clock",
        "_out",
        "_patience_samples",
        "_turns",
        "_window_samples",
        "is_paced",
        "kept_bytes_max",
        "kept_samples_max",
        "window_samples",
    )

    def __init__(
        self, limits: SessionLimits, profile: ModelProfile, turns: TurnQueue, out: list[Effect], *, context_s: float
    ) -> None:
        self._turns = turns
        self._out = out
        self._has_clock = profile.has_clock
        self._frame_samples = profile.frame_samples
        self._patience_samples = profile.settle_frames * profile.frame_samples
        self.is_paced = profile.has_clock and limits.pace_window_s > 0
        self._window_samples = limits.pace_window_samples if self.is_paced else _UNPACED_SAMPLES
        self.window_samples = self._window_samples
        self.kept_samples_max = limits.journal_samples_max
        if context_s:
            # Or a leg that hears all of it again would be due for replacement itself.
            self.kept_samples_max = min(self.kept_samples_max, int(context_s * _CONTEXT_SHARE * SAMPLE_RATE))
        self.kept_bytes_max = limits.journal_bytes_max

    def stop(self) -> None:
        """Send nothing more, for now."""
        self.window_samples = 0

    def go_on(self) -> None:
        """Send again."""
        self.window_samples = self._window_samples

    def begin(self, leg: Leg, turn: Turn, now: float) -> int:
        """A turn begins on a leg, at its replay point or where its journal begins.

        Returns the position up to which its words have been said; they may be missing from there to the leg's base.
        """
        journal, transcript = turn.journal, turn.transcript
        said = max(turn.replay_point, transcript.last_position)
        if journal.start > turn.replay_point:
            # The journal was at its bound: what was said of the audio that is gone stands.
            turn.replay_point = self._on_grid(journal.start, turn.fed)
            transcript.settle(turn.replay_point)
        leg.start(turn, turn.replay_point, now)
        self._out.append(StartTurn(leg.id))
        if turn.fed > leg.base:
            leg.is_replaying = True
            late, patience = self._frame_samples, self._patience_samples
            leg.rejoin = Rejoin(
                late_samples=late,
                patience_samples=patience,
                has_clock=self._has_clock,
                ends_otherwise=transcript.ends_otherwise,
            )
            for position, text in transcript.recent:
                leg.rejoin.expect(position, text)
        return said

    def base_of(self, turn: Turn) -> int:
        """Where the next leg begins a turn."""
        start = turn.journal.start
        return turn.replay_point if start <= turn.replay_point else self._on_grid(start, turn.fed)

    def _on_grid(self, position: int, end: int) -> int:
        """The next position on the frame grid of the turn, so that a deterministic model sees the same frames."""
        aligned = -(-position // self._frame_samples) * self._frame_samples
        return aligned if aligned <= end else position

    def advance(self, leg: Leg, turn: Turn, now: float) -> None:
        """Send what the leg takes."""
        journal = turn.journal
        while leg.piece < journal.next and not leg.blocked and leg.lag_samples < self.window_samples:
            audio = journal.piece(leg.piece)
            if leg.fed >= turn.fed:
                self._turns.feed(turn, audio)
            if leg.skip:
                audio, leg.skip = audio.after(leg.skip), 0
            leg.sent(audio.samples, STALL_LAG_SAMPLES, now)
            self._out.append(SendAudio(leg.id, audio))

    def is_full(self, turn: Turn) -> bool:
        """Whether the audio kept for a replay has reached its bound."""
        return turn.fed - turn.journal.start > self.kept_samples_max or self._turns.kept_bytes > self.kept_bytes_max

    def make_room(self, turn: Turn, *, next_piece: int) -> None:
        """Let the oldest audio of a full journal go, but none that is still to be sent, and never all of it."""
        turns, journal = self._turns, turn.journal
        samples_max = max(0, self.kept_samples_max - _SLACK_SAMPLES)
        bytes_max = self.kept_bytes_max - self.kept_bytes_max // 16
        while turn.fed - journal.start > samples_max or turns.kept_bytes > bytes_max:
            if journal.first >= next_piece or journal.start + journal.oldest.samples >= turn.fed:
                break
            turns.drop(turn)
