"""The session's supply of text: its legs, and what becomes of the session when one is lost.

`docs/design/session-layer.md` describes replay, rotation and the replay point; this is where they happen.
"""

from parley.core.content import SAMPLE_RATE, Text
from parley.core.coverage import Coverage
from parley.core.effects import Effect, EndTurn
from parley.core.errors import ParleyError
from parley.core.feed import Feed
from parley.core.leg import Leg, LegState
from parley.core.legs import Legs
from parley.core.limits import SessionLimits
from parley.core.narration import Narration
from parley.core.notices import Outcome, Recovered, Recovering
from parley.core.outlet import Outlet
from parley.core.pauses import Pauses
from parley.core.profile import ModelProfile
from parley.core.recovery import Recovery
from parley.core.rejoin import Joint
from parley.core.rotation import Rotation
from parley.core.turns import Turn, TurnQueue
from parley.core.usage import Usage
from parley.core.watchdog import Watchdog

_FAILURES_MAX = 4
"""Legs that may fail on a turn without getting further before the turn is given up."""

_BACKLOG_SAMPLES = SAMPLE_RATE
"""Audio that waits beyond which a leg is held back until its successor has caught up."""


class Supply:
    """Legs and the turn that they serve. Effects are appended to `out`; a ParleyError that is raised ends the session.

    `legs` serve the head of `turns`. `restored` and `missed` collect the intervals that were decoded again and lost;
    the session empties them.
    """

    __slots__ = (
        "_coverage",
        "_jitter",
        "_limits",
        "_narration",
        "_out",
        "_outlet",
        "_pauses",
        "_profile",
        "_turns",
        "_was_ready",
        "_watchdog",
        "feed",
        "legs",
        "missed",
        "recovery",
        "restored",
        "rotation",
    )

    def __init__(
        self,
        limits: SessionLimits,
        profile: ModelProfile,
        turns: TurnQueue,
        outlet: Outlet,
        out: list[Effect],
        *,
        jitter: float,
        context_s: float,
    ) -> None:
        self._limits = limits
        self._profile = profile
        self._turns = turns
        self._outlet = outlet
        self._out = out
        self._jitter = jitter
        self._was_ready = False
        self._coverage = Coverage(profile)
        self._pauses = Pauses(profile, turns, out)
        self._narration = Narration(outlet, profile, forwards_empty=limits.forward_empty_deltas)
        self.feed = Feed(limits, profile, turns, out, context_s=context_s)
        self._watchdog = Watchdog(limits, is_paced=self.feed.is_paced)
        self.rotation = Rotation(limits, profile, context_s=context_s)
        self.legs = Legs(profile, out)
        self.recovery: Recovery | None = None
        self.restored: list[tuple[int, int]] = []
        self.missed: list[tuple[int, int]] = []

    # ---- the common path

    def take_delta(self, leg_id: int, text: Text, now: float) -> bool | None:
        """See `Session.take_delta`."""
        leg, outlet = self.legs.at_work, self._outlet
        if leg is None or leg.id != leg_id or leg.is_replaying or leg.rejoin is not None:
            return None
        if self.legs.successor is not None or self._turns.held_samples or not outlet.is_open or outlet.is_numbered:
            return None
        turn = leg.turn
        if turn is None or leg.deltas >= self.rotation.due_frames or leg.spoken < turn.top:
            return None
        is_empty = len(text.literal) == 2
        if is_empty and leg.silent_frames >= self._profile.settle_frames - 1:
            return None
        leg.moved(text, now)
        turn.top = leg.spoken
        if is_empty:
            return self._limits.forward_empty_deltas
        self._pauses.spoke()
        turn.transcript.add(leg.spoken, text)
        return True

    # ---- what moves the session on

    def pump(self, now: float) -> None:
        """Move held input to the model as far as the legs' state and the pace allow."""
        while (turn := self._turns.head) is not None and (turn.started or turn.given_up):
            if turn.has_work:
                self._work(turn, now)
                break
            if not turn.closed:
                break
            self._turns.remove(turn)
            if not turn.given_up:
                # Answered here: vLLM answers alike, but releases before 0.17 died of it.
                self._narration.end_empty(turn)

    def _work(self, turn: Turn, now: float) -> None:
        leg = self.legs.at_work
        if leg is None:
            if self.recovery is None:
                self.legs.open(now)
            return
        if leg.state is LegState.READY:
            if self.feed.is_full(turn):
                self.feed.make_room(turn, next_piece=turn.journal.next)
            self._begin(leg, turn, now)
        if leg.state is LegState.RUNNING:
            if not self._waits_for_successor(leg, turn):
                self.feed.advance(leg, turn, now)
            if turn.closed and leg.piece == turn.journal.next:
                leg.state = LegState.FLUSHING
                leg.progress_at = now
                self._out.append(EndTurn(leg.id))
                self.legs.drop_successor()
        successor = self.legs.successor
        if successor is not None and successor.state is LegState.RUNNING:
            self.feed.advance(successor, turn, now)
        if leg.is_at_work and self.feed.is_full(turn):
            self._make_room(leg, turn, now)

    def _waits_for_successor(self, leg: Leg, turn: Turn) -> bool:
        """Whether a leg is not fed, because with a backlog its successor would never catch up with it."""
        successor = self.legs.successor
        if successor is None or successor.state is not LegState.RUNNING:
            return False
        return turn.held_samples > _BACKLOG_SAMPLES and successor.consumed < leg.consumed

    def _begin(self, leg: Leg, turn: Turn, now: float) -> None:
        said = self.feed.begin(leg, turn, now)
        if leg is self.legs.at_work:
            self.rotation.began((turn.fed - leg.base) // self._profile.frame_samples)
        self._pauses.began(leg)
        if self.recovery is not None and leg is self.legs.at_work:
            leg.is_replaying = True
            self.recovery.began(leg.base, said)

    def _make_room(self, leg: Leg, turn: Turn, now: float) -> None:
        self.feed.make_room(turn, next_piece=leg.piece)
        successor = self.legs.successor
        if successor is not None and successor.is_at_work:
            if successor.piece < turn.journal.first:
                self.legs.drop_successor()
                self.pump(now)
        elif leg.rejoin is None:
            # What was said of audio that is gone stands as it is: nobody can say it again.
            turn.transcript.settle(turn.journal.start)

    # ---- what the legs did

    def leg_opened(self, leg_id: int, now: float) -> None:
        """A leg is connected."""
        leg = self.legs.find(leg_id)
        if leg is None or leg.state is not LegState.CONNECTING:
            return
        leg.state = LegState.READY
        self._was_ready = True
        if leg is self.legs.successor:
            old = self.legs.at_work
            assert old is not None, "a successor succeeds somebody"
            turn = old.turn
            assert turn is not None, "it is dropped when the turn ends"
            if max(turn.replay_point, turn.journal.start) > old.spoken:
                # Nobody would say the words between.
                self.legs.drop_successor()
            else:
                self._begin(leg, turn, now)
        self.pump(now)

    def leg_blocked(self, leg_id: int, now: float) -> None:
        """A model server does not read."""
        leg = self.legs.find(leg_id)
        if leg is not None:
            leg.blocked = True
            leg.progress_at = now

    def leg_unblocked(self, leg_id: int, now: float) -> None:
        """A model server reads again."""
        leg = self.legs.find(leg_id)
        if leg is not None:
            leg.blocked = False
            self.pump(now)

    def delta_received(self, leg_id: int, text: Text, now: float) -> None:
        """A leg consumed a frame, and perhaps said something."""
        leg = self.legs.find(leg_id)
        if leg is None:
            return
        turn = leg.turn
        if turn is None:
            self.lose(leg, ParleyError("upstream-protocol", "It sent text while no turn was running."), now)
            return
        leg.moved(text, now)
        if leg is self.legs.successor:
            self._successor_moved(leg, turn, text)
        else:
            self._leg_moved(leg, turn, text)
            self._look_for_rotation(leg, now)
        self.pump(now)

    def _leg_moved(self, leg: Leg, turn: Turn, text: Text) -> None:
        if not text.is_empty:
            self._pauses.spoke()
            if self.legs.successor is not None and self.legs.successor.rejoin is not None:
                self.legs.successor.rejoin.expect_more(leg.spoken, text)
        self._narration.hear(leg, turn, text)
        if leg.is_replaying:
            self._look_for_recovery(leg)
        if not leg.is_replaying and self.legs.successor is None:
            self._pauses.look(leg, turn)

    def speech_measured(self, leg_id: int, speech_samples: int, now: float) -> None:
        """Whether a long run of empty deltas was a pause, or a model that went mute."""
        leg = self.legs.at_work
        if leg is None or leg.id != leg_id or leg.turn is None or self.legs.successor is not None:
            return
        if self._pauses.is_mute(leg, leg.turn, speech_samples):
            self.lose(leg, ParleyError("upstream-mute"), now)

    def turn_transcribed(self, leg_id: int, text: Text, usage: Usage, now: float) -> None:
        """A leg ended its turn."""
        leg = self.legs.find(leg_id)
        if leg is None:
            return
        turn = leg.turn
        if turn is None:
            self.lose(leg, ParleyError("upstream-protocol", "It ended a turn while none was running."), now)
            return
        is_asked = leg.state is LegState.FLUSHING
        if not is_asked or (self.feed.is_paced and not self._coverage.is_whole(leg, turn)):
            self.lose(leg, ParleyError("upstream-truncated"), now)
            return
        self._recovered()
        self._turns.remove(turn)
        self._narration.end(leg, turn, text, usage)
        leg.finish()
        self.pump(now)

    # ---- losing legs

    def leg_failed(self, leg_id: int, error: ParleyError, now: float) -> None:
        """A leg could not be opened, was closed, or reported an error."""
        leg = self.legs.find(leg_id)
        if leg is not None:
            self.lose(leg, error, now)

    def lose(self, leg: Leg, error: ParleyError, now: float) -> None:
        """Give a leg up, and see to another if its work is not done."""
        if leg is self.legs.successor:
            self.legs.drop_successor()
            # The leg at work may have waited for it.
            self.pump(now)
            return
        self.legs.drop()
        if leg.state is LegState.CONNECTING and not self._was_ready:
            # Nothing has been begun that would be worth waiting for.
            raise error
        turn = self._turns.head
        if leg.state is LegState.READY or turn is None or not turn.started or not turn.has_work:
            # Between turns nothing is lost with it: the next turn opens another.
            self.recovery = None
            self.pump(now)
            return
        if self.recovery is None:
            deadline = now + self._limits.recovery_timeout_s
            self.recovery = Recovery(turn, leg.consumed, error, deadline=deadline, jitter=self._jitter)
            self._outlet.notice(Recovering(error.code))
        else:
            self.recovery.failed(error, leg.consumed)
        if leg.deltas:
            # A leg that never answered says nothing about the turn: its server may be on its way down.
            turn.failed_at(leg.consumed)
        if turn.failures >= _FAILURES_MAX:
            self._give_up(turn, error, now)
        elif self.legs.successor is not None:
            self._promote(self.legs.successor, self.recovery, now)
        else:
            self.recovery.schedule(now)
            self._retry(now)

    def _promote(self, successor: Leg, recovery: Recovery, now: float) -> None:
        """The successor is at it already."""
        self.legs.succeed()
        self.rotation.replaced((recovery.turn.fed - successor.base) // self._profile.frame_samples)
        if successor.is_at_work:
            successor.is_replaying = True
            recovery.began(successor.base, successor.base)
        self.pump(now)

    def _retry(self, now: float) -> None:
        recovery = self.recovery
        if recovery is not None and recovery.retry_at is not None and now >= recovery.retry_at:
            recovery.retry_at = None
            self.legs.open(now)

    def _look_for_recovery(self, leg: Leg) -> None:
        is_joined = leg.rejoin is None or leg.rejoin.is_overdue(leg.spoken)
        if is_joined and (self.recovery is None or leg.consumed >= self.recovery.position):
            leg.is_replaying = False
            self._recovered()

    def _recovered(self) -> None:
        recovery, self.recovery = self.recovery, None
        if recovery is None:
            return
        outcome = Outcome.RESTARTED if recovery.lost else Outcome.REHYDRATED if recovery.replayed else Outcome.RESUMED
        self.restored += recovery.replayed
        self.missed += recovery.lost
        self._outlet.notice(Recovered(outcome, recovery.replayed, recovery.lost))

    def _give_up(self, turn: Turn, error: ParleyError, now: float) -> None:
        """A turn fails alone."""
        self.release(turn)
        self._turns.give_up(turn)
        self._narration.fail(turn, error)
        self.pump(now)

    def release(self, turn: Turn) -> None:
        """Nothing more is wanted of this turn: what works on it is closed."""
        if turn is not self._turns.head:
            return
        self.legs.drop_successor()
        self.recovery = None
        if self.legs.at_work is not None and self.legs.at_work.is_at_work:
            self.legs.drop()

    def forget(self) -> None:
        """The client knows what was decoded again and lost until now."""
        self.restored.clear()
        self.missed.clear()

    # ---- rotation

    def _look_for_rotation(self, leg: Leg, now: float) -> None:
        if self.legs.successor is not None or not self._is_steady(leg):
            return
        if self.rotation.is_due(leg.deltas, leg.silent_frames):
            self.rotation.tried(leg.deltas)
            self.legs.open_successor(now)

    @staticmethod
    def _is_steady(leg: Leg) -> bool:
        """Whether a leg is in the midst of its turn and says nothing again: one that another can succeed."""
        return leg.state is LegState.RUNNING and not leg.is_replaying and leg.rejoin is None

    def _successor_moved(self, leg: Leg, turn: Turn, text: Text) -> None:
        old, rejoin = self.legs.at_work, leg.rejoin
        assert old is not None, "a successor succeeds somebody"
        joint = rejoin.hear(leg.spoken, text) if rejoin is not None else Joint("")
        if leg.consumed < old.consumed:
            return
        leg.overlap_frames += 1
        if joint is None:
            if leg.overlap_frames > self._profile.settle_frames:
                # It says less than the one that it is to succeed.
                self.legs.drop_successor()
            return
        self.legs.succeed()
        self.rotation.replaced(leg.deltas)
        leg.is_replaying = False
        self._narration.hand_over(leg, turn, joint)

    # ---- time

    @property
    def _awaits_leg(self) -> bool:
        return self.legs.at_work is None or self.legs.at_work.state is LegState.CONNECTING

    def deadline(self) -> float | None:
        """When the timer has something to do, if ever."""
        times = [self._watchdog.deadline(leg) for leg in (self.legs.at_work, self.legs.successor) if leg is not None]
        if self.recovery is not None and self._awaits_leg:
            times += [self.recovery.deadline, self.recovery.retry_at]
        return min((at for at in times if at is not None), default=None)

    def timer_fired(self, now: float) -> None:
        """Look at everything that has a deadline."""
        recovery = self.recovery
        if recovery is not None and self._awaits_leg and now >= recovery.deadline:
            if not recovery.had_leg:
                raise recovery.error
            self._give_up(recovery.turn, recovery.error, now)
            return
        for leg in (self.legs.successor, self.legs.at_work):
            error = self._watchdog.bite(leg, now) if leg is not None else None
            if leg is not None and error is not None:
                self.lose(leg, error, now)
        self._retry(now)

    # ---- the end

    def close(self) -> None:
        """Close all legs."""
        self.legs.close()
        self.recovery = None

    def check(self) -> None:
        """Assert the invariants."""
        head, leg = self._turns.head, self.legs.at_work
        self.legs.check(head)
        if self.recovery is not None:
            assert self.recovery.turn is head, "what is recovered is the turn at work"
            assert leg is not None or self.recovery.retry_at is not None, "another leg is on its way"
