"""The session's supply of text: its legs, and what becomes of the session when one is lost.

`docs/design/session-layer.md` describes replay, rotation and the replay point; this is where they happen.
"""

from collections.abc import Iterator

from parley.core import events as ev
from parley.core.content import Text
from parley.core.coverage import Coverage
from parley.core.delivery import Delivery
from parley.core.effects import Effect, SendDelta
from parley.core.errors import ParleyError
from parley.core.feed import Feed
from parley.core.invariants import Invariant
from parley.core.keeping import Keeping
from parley.core.leg import Leg, LegState
from parley.core.legs import Legs
from parley.core.limits import SessionLimits
from parley.core.losses import Losses
from parley.core.narration import Narration
from parley.core.outlet import Outlet
from parley.core.parking import Parking
from parley.core.pauses import Pauses
from parley.core.profile import ModelProfile
from parley.core.recovery import Recovery
from parley.core.relief import Relief
from parley.core.rotation import Rotation
from parley.core.snapshot import RecoveryState
from parley.core.succession import Succession
from parley.core.turns import Turn, TurnQueue
from parley.core.watchdog import Watchdog

_FAILURES_MAX = 4
"""Legs that may fail on a turn without getting further before the turn is given up."""


class Supply:
    """Legs and the turn that they serve. Effects are appended to `out`; a ParleyError that is raised ends the session.

    `legs` serve the head of `turns`, `losses` has the one that is being repaired.
    """

    __slots__ = (
        "_coverage",
        "_delivery",
        "_limits",
        "_narration",
        "_out",
        "_outlet",
        "_parking",
        "_pauses",
        "_profile",
        "_succession",
        "_turns",
        "_was_ready",
        "_watchdog",
        "feed",
        "legs",
        "losses",
        "relief",
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
        keeping: Keeping | None = None,
    ) -> None:
        self._limits = limits
        self._profile = profile
        self._turns = turns
        self._outlet = outlet
        self._out = out
        self._was_ready = False
        self._coverage = Coverage(profile)
        pauses = self._pauses = Pauses(profile, turns, out)
        narration = self._narration = Narration(
            outlet, profile, forwards_empty=limits.forward_empty_deltas, keeping=keeping
        )
        feed = self.feed = Feed(limits, profile, turns, out, context_s=context_s)
        rotation = self.rotation = Rotation(limits, profile, context_s=context_s)
        legs = self.legs = Legs(profile, out)
        losses = self.losses = Losses(limits, legs, outlet, jitter=jitter)
        succession = self._succession = Succession(profile, legs, rotation, narration)
        parking = self._parking = Parking(limits, profile, turns, narration, out)
        self.relief = Relief(profile, legs, rotation, losses, succession)
        self._watchdog = Watchdog(limits, is_paced=feed.is_paced)
        self._delivery = Delivery(
            profile, turns, feed, legs, losses, rotation, succession, parking, pauses, narration, out
        )

    @property
    def is_parked(self) -> bool:
        """Whether there is no leg because none is needed."""
        return self.legs.at_work is None and self.losses.recovery is None

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

    def pump(self, now: float) -> None:
        """See `Delivery.pump`."""
        self._delivery.pump(now)

    # ---- what the legs did

    def leg_opened(self, event: ev.LegOpened, now: float) -> None:
        """A leg is connected."""
        leg = self.legs.find(event.leg)
        if leg is None or leg.state is not LegState.CONNECTING:
            return
        leg.state = LegState.READY
        leg.is_queued = False
        leg.progress_at = now
        self._was_ready = True
        if leg is self.legs.successor:
            turn = self._turns.head
            assert turn is not None, "it is dropped when the turn ends"
            if self._succession.can_begin(turn):
                self._delivery.begin(leg, turn, now)
            else:
                # Nobody would say the words between.
                self.legs.drop_successor()
        self._delivery.pump(now)

    def leg_blocked(self, event: ev.LegBlocked, now: float) -> None:
        """A model server does not read."""
        leg = self.legs.find(event.leg)
        if leg is not None:
            leg.blocked = True
            leg.progress_at = now

    def leg_unblocked(self, event: ev.LegUnblocked, now: float) -> None:
        """A model server reads again."""
        leg = self.legs.find(event.leg)
        if leg is not None:
            leg.blocked = False
            self._delivery.pump(now)

    def delta_received(self, event: ev.DeltaReceived, now: float) -> None:
        """A leg consumed a frame, and perhaps said something."""
        text = event.text
        is_wanted = self.take_delta(event.leg, text, now)
        if is_wanted is not None:
            if is_wanted:
                self._out.append(SendDelta(text))
            return
        leg = self.legs.find(event.leg)
        if leg is None:
            return
        turn = leg.turn
        if turn is None:
            self.lose(leg, ParleyError("upstream-protocol", "It sent text while no turn was running."), now)
            return
        leg.moved(text, now)
        if leg is self.legs.successor:
            self._succession.moved(leg, turn, text)
        else:
            self._leg_moved(leg, turn, text)
            self.relief.look(leg, now)
        self._delivery.pump(now)

    def _leg_moved(self, leg: Leg, turn: Turn, text: Text) -> None:
        if not text.is_empty:
            self._pauses.spoke()
            if self.legs.successor is not None and self.legs.successor.rejoin is not None:
                self.legs.successor.rejoin.expect_more(leg.spoken, text)
        self._narration.hear(leg, turn, text)
        if leg.is_replaying:
            self.losses.look(leg)
        if not leg.is_replaying and self.legs.successor is None:
            self._pauses.look(leg, turn)
            self._parking.look(leg, turn)

    def speech_measured(self, event: ev.SpeechMeasured, now: float) -> None:
        """Whether a long run of empty deltas was a pause, or a model that went mute."""
        leg, speech_samples = self.legs.at_work, event.speech_samples
        if not event.leg:
            if self.legs.successor is None and self._parking.measured(leg, speech_samples):
                self.relief.drop()
            self._delivery.pump(now)
            return
        if leg is None or leg.id != event.leg or leg.turn is None or self.legs.successor is not None:
            return
        if self._pauses.is_mute(leg, leg.turn, speech_samples):
            self.lose(leg, ParleyError("upstream-mute"), now)

    def turn_transcribed(self, event: ev.TurnTranscribed, now: float) -> None:
        """A leg ended its turn."""
        leg = self.legs.find(event.leg)
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
        self.losses.repaired()
        self._turns.remove(turn)
        self._narration.end(leg, turn, event.text, event.usage)
        leg.finish()
        leg.progress_at = now
        if self.rotation.is_asked:
            self.relief.drop()
        self._delivery.pump(now)

    # ---- losing legs

    def leg_failed(self, event: ev.LegFailed, now: float) -> None:
        """A leg could not be opened, was closed, or reported an error."""
        leg = self.legs.find(event.leg)
        if leg is not None:
            self.lose(leg, event.error, now)

    def lose(self, leg: Leg, error: ParleyError, now: float) -> None:
        """Give a leg up, and see to another if its work is not done."""
        if leg is self.legs.successor:
            self.legs.drop_successor()
            if error.code == "at-capacity":
                self.relief.no_room(error, now)
            # The leg at work may have waited for it.
            self._delivery.pump(now)
            return
        self.relief.drop()
        if leg.state is LegState.CONNECTING and not self._was_ready:
            # Nothing has been begun that would be worth waiting for.
            raise error
        turn = self._turns.head
        if leg.state is LegState.READY or turn is None or not turn.started or not turn.has_work:
            # Between turns nothing is lost with it: the next turn opens another.
            self.losses.recovery = None
            self._delivery.pump(now)
            return
        recovery = self.losses.begin(leg, turn, error, now)
        if leg.deltas:
            # A leg that never answered says nothing about the turn: its server may be on its way down.
            turn.failed_at(leg.consumed)
        if turn.failures >= _FAILURES_MAX:
            self._give_up(turn, error, now)
        elif self.legs.successor is not None:
            self._promote(self.legs.successor, recovery, now)
        else:
            recovery.schedule(now)
            self.losses.retry(now)

    def _promote(self, successor: Leg, recovery: Recovery, now: float) -> None:
        """The successor is at it already."""
        self.legs.succeed()
        self.rotation.replaced((recovery.turn.fed - successor.base) // self._profile.frame_samples)
        if successor.is_at_work:
            successor.is_replaying = True
            recovery.began(successor.base, successor.base)
        self._delivery.pump(now)

    def _give_up(self, turn: Turn, error: ParleyError, now: float) -> None:
        """A turn fails alone."""
        self.release(turn)
        self._turns.give_up(turn)
        self._narration.fail(turn, error)
        self._delivery.pump(now)

    def release(self, turn: Turn) -> None:
        """Nothing more is wanted of this turn: what works on it is closed."""
        if turn is not self._turns.head:
            return
        self.legs.drop_successor()
        self.losses.recovery = None
        if self.legs.at_work is not None and self.legs.at_work.is_at_work:
            self.relief.drop()

    # ---- legs that come and go on purpose

    def rotation_asked(self, event: ev.RotationAsked, now: float) -> None:
        """See `Relief.ask`."""
        self.relief.ask(event.leg, event.at_once_at, now)
        self._delivery.pump(now)

    def _look_for_parking(self, now: float) -> None:
        leg = self.legs.at_work
        if leg is not None and self.legs.successor is None and self._parking.is_due(leg, now):
            self._parking.begin(leg)
            self.relief.drop()

    # ---- time

    @property
    def _awaits_leg(self) -> bool:
        return self.legs.at_work is None or self.legs.at_work.state is LegState.CONNECTING

    def deadline(self) -> float | None:
        """When the timer has something to do, if ever."""
        leg, successor = self.legs.at_work, self.legs.successor
        times = [self._watchdog.deadline(each) for each in (leg, successor) if each is not None]
        times.append(self.rotation.at_once_at)
        if leg is not None and successor is None:
            times.append(self._parking.due_at(leg))
        recovery = self.losses.recovery
        if recovery is not None and self._awaits_leg:
            times += [recovery.deadline, recovery.retry_at]
        return min((at for at in times if at is not None), default=None)

    def timer_fired(self, now: float) -> None:
        """Look at everything that has a deadline."""
        recovery = self.losses.recovery
        if recovery is not None and self._awaits_leg and now >= recovery.deadline:
            if not recovery.had_leg:
                raise recovery.error
            self._give_up(recovery.turn, recovery.error, now)
            return
        for leg in (self.legs.successor, self.legs.at_work):
            error = self._watchdog.bite(leg, now) if leg is not None else None
            if leg is not None and error is not None:
                self.lose(leg, error, now)
        self.losses.retry(now)
        if self.legs.at_work is not None and self.rotation.is_asked:
            self.relief.look(self.legs.at_work, now)
        self._look_for_parking(now)

    # ---- the end

    def close(self) -> None:
        """Close all legs."""
        self.legs.close()
        self.rotation.withdraw()
        self.losses.recovery = None

    def invariants(self) -> Iterator[Invariant]:
        """What holds of the legs, and of the loss that is being repaired."""
        head, recovery = self._turns.head, self.losses.recovery
        yield from self.legs.invariants(head)
        yield self._pauses.mutes >= 0, "mutes are counted"
        if recovery is not None:
            turn = recovery.turn
            yield turn is head and turn.started and turn.has_work, "what is recovered is the turn at work"
            yield 0 <= recovery.position <= turn.fed, "what is recovered was sent"
            yield self.legs.at_work is not None or recovery.retry_at is not None, "another leg is on its way"

    # ---- another server

    def leave(self) -> None:
        """The session is about to go on elsewhere: its legs go as if they were lost, and none is asked for."""
        leg = self.legs.at_work
        self.legs.close()
        self.rotation.withdraw()
        self.losses.leave(leg)

    def stay(self, now: float) -> None:
        """The session goes on here: it takes up what it left, or what another server left."""
        self._was_ready = True
        self.losses.stay(now)
        self._delivery.pump(now)

    def learnt(self) -> tuple[bool | None, int]:
        """What is known of the model server: see `Coverage` and `Pauses`."""
        return self._coverage.counts_otherwise, self._pauses.mutes

    def restore(self, recovery: RecoveryState | None, *, counts_otherwise: bool | None, mutes: int) -> None:
        """Go on with what another server's legs have left behind, and what was learnt there.

        Raises:
            ValueError: there is no turn to be recovered, or its loss has a cause that this release does not know.
        """
        self._coverage.counts_otherwise, self._pauses.mutes = counts_otherwise, mutes
        if recovery is not None:
            turn = self._turns.head
            if turn is None:
                raise ValueError("there is no turn to be recovered")
            self.losses.restore(recovery, turn, self.feed.base_of(turn))
        else:
            self._parking.turn = self._turns.head
