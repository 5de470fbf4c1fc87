"""A live session: what the client does and what the model server does, turned into what to do next.

Rules of this file: `handle` and `handle_client` are the only ways in, and their effects the only way out; nothing here
reads a clock, waits, logs or fails. `now` is monotonic seconds. `attachments` are the client's connections, `intake`
takes its input into turns, `supply` sees to the legs that serve them in order, one at a time, and `outlet` to what the
client gets.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

from parley.core import events as ev
from parley.core.attachments import Attachments
from parley.core.content import SAMPLE_RATE, Text
from parley.core.departure import Departure
from parley.core.effects import Effect, EndSession, LeaveSession
from parley.core.errors import ParleyError
from parley.core.intake import Intake, TakeAudio
from parley.core.invariants import Invariant, check, first_broken
from parley.core.keeping import Keeping
from parley.core.lifetime import Lifetime
from parley.core.limits import SessionLimits
from parley.core.outlet import Outlet
from parley.core.profile import VOXTRAL, ModelProfile
from parley.core.relocation import Relocation
from parley.core.retention import RetentionTerms
from parley.core.snapshot import SessionState, StateError
from parley.core.standing import Standing
from parley.core.supply import Supply
from parley.core.survey import Survey, TurnView
from parley.core.tally import Tally
from parley.core.turns import TurnQueue


class Session:
    """One live session. `models` are the names that a client may ask for, any if there are none; the empty name
    means any.

    `jitter` in [0, 1) spreads the retries of many sessions; `context_s` is the longest turn that the model takes, 0 if
    that is not known. `generation` is the number of the client's first connection, `terms` what may be kept of it.
    """

    __slots__ = (
        "_attachments",
        "_departure",
        "_intake",
        "_keeping",
        "_lifetime",
        "_limits",
        "_out",
        "_outlet",
        "_profile",
        "_relocation",
        "_standing",
        "_supply",
        "_turns",
        "ended",
        "take_audio",
        "take_delta",
        "tally",
    )

    take_audio: TakeAudio
    """The common case of `AudioReceived`, for callers that do without event and effect.

    True: the audio is accounted for and goes to the leg now. False: nothing has changed; handle the event."""

    take_delta: Callable[[int, Text, float], bool | None]
    """The common case of `DeltaReceived`, likewise: leg, text, now. Whether to send the text on, or None to handle the
    event."""

    def __init__(
        self,
        limits: SessionLimits,
        models: Collection[str] = (),
        profile: ModelProfile = VOXTRAL,
        *,
        jitter: float = 0.5,
        context_s: float = 0.0,
        generation: int = 1,
        terms: RetentionTerms | None = None,
    ) -> None:
        self._limits = limits
        self._profile = profile
        out: list[Effect] = []
        self._out = out
        tally = self.tally = Tally()
        turns = self._turns = TurnQueue(limits.turn_text_max_bytes)
        outlet = self._outlet = Outlet(limits, out, tally)
        keeping = self._keeping = Keeping(terms or RetentionTerms(), out)
        supply = self._supply = Supply(
            limits, profile, turns, outlet, out, jitter=jitter, context_s=context_s, keeping=keeping
        )
        intake = self._intake = Intake(limits, models, turns, supply, outlet, out, tally, keeping)
        self.take_audio = intake.take_audio
        self.take_delta = supply.take_delta
        standing = self._standing = Standing(outlet)
        lifetime = self._lifetime = Lifetime(limits, profile, turns, supply, intake, outlet, standing)
        departure = self._departure = Departure()
        self._relocation = Relocation(departure, turns, supply, intake, outlet, standing, lifetime, out, keeping)
        self._attachments = Attachments(
            limits, supply, intake, outlet, standing, lifetime, departure, self._relocation, out
        )
        self._attachments.attach(generation)
        self.ended = False

    @property
    def generation(self) -> int:
        """The number of its client's newest connection."""
        return self._attachments.generation

    @property
    def is_attached(self) -> bool:
        """Whether a client is there."""
        return self._intake.generation != 0

    @property
    def cursor(self) -> int:
        """The audio that was taken, in samples."""
        return self._intake.cursor

    @property
    def recovering(self) -> str:
        """Why another leg is on its way, as an error code; empty when none has to be."""
        recovery = self._supply.losses.recovery
        return "" if recovery is None else recovery.error.code

    @property
    def is_parked(self) -> bool:
        """Whether it has given its stream back because it needs none for now."""
        return not self.ended and self._supply.is_parked

    @property
    def legs_count(self) -> int:
        """How many legs it has, or has asked for."""
        return len(self._supply.legs)

    @property
    def held_bytes(self) -> int:
        """The memory that audio, text and outputs take."""
        turns = self._turns
        return turns.held_bytes + turns.kept_bytes + turns.text_bytes + self._outlet.held_bytes

    def frame_rest_samples(self) -> int:
        """How many samples the open turn lacks until the model has the next frame whole, and can say something new."""
        turn, profile = self._turns.open, self._profile
        received = 0 if turn is None else turn.received_samples
        return (profile.look_ahead_samples - received) % profile.frame_samples or profile.frame_samples

    def delay_s(self, leg_id: int, now: float) -> float:
        """How long ago the oldest audio was sent to a leg that it has not consumed, in seconds."""
        leg = self._supply.legs.find(leg_id)
        return 0.0 if leg is None else leg.delay_s(now)

    def waits_s(self, leg_id: int, now: float) -> float:
        """How long ago the audio was sent that the model consumes next on a leg."""
        leg = self._supply.legs.find(leg_id)
        return 0.0 if leg is None else leg.waits_s(now)

    def lag_s(self, now: float) -> float:
        """See `Lifetime.lag_s`."""
        return self._lifetime.lag_s(now)

    def survey(self, now: float) -> Survey:
        """How it stands, for an operator."""
        return Survey(
            is_attached=self.is_attached,
            is_queued=self._supply.legs.is_queued,
            is_parked=self.is_parked,
            is_leaving=self._departure.deadline is not None or self._departure.is_under_way,
            recovering=self.recovering,
            generation=self.generation,
            lag_s=self.lag_s(now),
            received_s=self._intake.cursor / SAMPLE_RATE,
            held_s=self._turns.held_samples / SAMPLE_RATE,
            held_bytes=self.held_bytes,
            dropped_s=self.tally.dropped_samples / SAMPLE_RATE,
            turns=len(self._turns),
            legs=len(self._supply.legs),
            replayed_s=self._supply.losses.restored_samples / SAMPLE_RATE,
            lost_s=self._supply.losses.missed_samples / SAMPLE_RATE,
            unsent_bytes=self._outlet.unsent_bytes,
            uncommitted_s=(self._intake.cursor - self._turns.settled(self._intake.cursor)) / SAMPLE_RATE,
        )

    def turn_views(self) -> tuple[TurnView, ...]:
        """The turns that are not over, the oldest first."""
        return tuple(turn.view() for turn in self._turns)

    def open(self, now: float) -> list[Effect]:
        """Begin: ask for the leg at once, so that it is there when the first audio is. A session that comes from
        another server asks for one if there is something to do."""
        if self._relocation.is_new:
            self._supply.stay(now)
        else:
            self._supply.legs.open(now)
        self._lifetime.begin(now, self._relocation.age_s)
        self._keeping.begin()
        return self._taken()

    def handle(self, event: ev.Event, now: float) -> list[Effect]:
        """Take an event of a leg or of the server and say what to do. An ended session wants nothing more."""
        if self.ended:
            return []
        try:
            handle_leg = _LEG_HANDLERS.get(type(event))
            if handle_leg is None:
                _HANDLERS[type(event)](self, event, now)
            else:
                handle_leg(self._supply, event, now)
            self._settle(now)
            if not self.ended:
                self._relocation.look(now)
        except ParleyError as error:
            self._end(error)
        return self._taken()

    def handle_client(self, event: ev.ClientEvent, generation: int, now: float) -> list[Effect]:
        """Take an event of a client's connection. A connection that was superseded has no say."""
        if self.ended or generation != self._intake.generation:
            return []
        try:
            handle_input = _INPUT_HANDLERS.get(type(event))
            if handle_input is None:
                _CONNECTION_HANDLERS[type(event)](self._attachments, event, now)
            elif self._departure.is_under_way:
                # It is not counted, so the client sends it again.
                return []
            else:
                handle_input(self._intake, event, now)
                self._lifetime.heard_at = now
            self._settle(now)
            if type(event) is not ev.AudioReceived and not self.ended:
                # Never within a message: a part of it would be heard here, and all of it elsewhere.
                self._relocation.look(now)
        except ParleyError as error:
            self._end(error)
        return self._taken()

    def _taken(self) -> list[Effect]:
        effects = self._out[:]
        self._out.clear()
        return effects

    def _settle(self, now: float) -> None:
        """What follows from any move: how much is held decides whether the client is read, and a drain may be over."""
        if self.ended:
            return
        if self._attachments.is_over:
            self._end(None)
            return
        self._intake.bound(now)
        if self._intake.generation:
            self._supply.losses.forget()
        if self._standing.is_queued and not self._supply.legs.is_queued:
            self._standing.admitted()
        head = self._turns.head
        is_idle = head is None or (len(self._turns) == 1 and not head.has_work)
        if self._intake.is_finished and head is None:
            self._end(None)
        elif self._departure.deadline is not None and is_idle and not self._departure.may_move:
            raise ParleyError("shutting-down")

    def _resume_requested(self, event: ev.ResumeRequested, now: float) -> None:
        self._attachments.resume_requested(event, now)

    def _leg_queued(self, event: ev.LegQueued, now: float) -> None:
        if self._supply.legs.queued(event.leg):
            self._standing.queued(event.position, event.eta_s, now)

    def _leg_admitted(self, event: ev.LegAdmitted, now: float) -> None:
        self._supply.legs.admitted(event.leg, now)

    # ---- another server

    def _drain_started(self, event: ev.DrainStarted, now: float) -> None:
        self._relocation.drain_started(event, now)

    def _drain_cancelled(self, _event: ev.DrainCancelled, _now: float) -> None:
        self._relocation.drain_cancelled()

    def _state_stored(self, _event: ev.StateStored, _now: float) -> None:
        if self._departure.is_under_way:
            self._close()
            self._out.append(LeaveSession())

    def _state_refused(self, _event: ev.StateRefused, now: float) -> None:
        self._relocation.stay(now)

    def state(self, now: float) -> SessionState:
        """The session as data, for another server: what StoreState asks for."""
        return self._relocation.state(now, forward_empty_deltas=self._limits.forward_empty_deltas)

    def window_s(self, now: float) -> float:
        """How long the client has, from now on, to come back for the session."""
        return self._attachments.window_s(now)

    @classmethod
    def restored(
        cls,
        state: SessionState,
        limits: SessionLimits,
        models: Collection[str],
        profile: ModelProfile,
        now: float,
        *,
        jitter: float = 0.5,
        context_s: float = 0.0,
        terms: RetentionTerms | None = None,
    ) -> "Session":
        """The session that another server had: nobody is attached, and it waits for `open`.

        Raises:
            StateError: no session can go on from it, or not in this release.
        """
        limits = replace(limits, forward_empty_deltas=state.forward_empty_deltas)
        session = cls(limits, models, profile, jitter=jitter, context_s=context_s, generation=0, terms=terms)
        session._relocation.restore(state)
        session._attachments.detach(now)
        broken = first_broken(session.invariants())
        if broken:
            raise StateError(f"it does not hold that {broken}")
        return session

    # ---- time, and the end

    def _end_asked(self, event: ev.EndAsked, _now: float) -> None:
        raise ParleyError(event.code, retry_after_s=event.retry_after_s)

    def next_deadline(self) -> float | None:
        """When to fire the timer next, on the clock of `now`; None when there is nothing to wait for."""
        if self.ended:
            return None
        if self._departure.is_under_way:
            return self._departure.next_deadline()
        times = (
            self._supply.deadline(),
            self._departure.next_deadline(),
            self._attachments.deadline,
            self._lifetime.deadline(),
        )
        return min((at for at in times if at is not None), default=None)

    def _timer_fired(self, _event: ev.TimerFired, now: float) -> None:
        if self._departure.is_over(now):
            raise ParleyError("shutting-down", "The turn in flight did not finish in time.")
        if self._departure.is_under_way:
            return
        self._attachments.look(now)
        self._lifetime.look(now)
        self._supply.timer_fired(now)

    def _end(self, error: ParleyError | None) -> None:
        """The end, explicit: the legs go, and the client is told why."""
        self._supply.close()
        seq = 0
        if self.is_attached:
            self._outlet.open()
            seq = self._outlet.last_number()
        self._close()
        self._out.append(EndSession(error, seq))

    def _close(self) -> None:
        self.ended = True
        self._supply.close()
        self._turns.clear()
        self._outlet.clear()

    def invariants(self) -> Iterator[Invariant]:
        """What holds of it between two events."""
        yield from self._turns.invariants()
        yield from self._outlet.invariants()
        yield from self._supply.invariants()
        if not self.ended:
            yield from self._intake.invariants()
        else:
            yield self._supply.legs.at_work is None, "an ended session has no leg"
            yield not len(self._turns) and not self.held_bytes, "an ended session holds nothing"
        yield self.is_attached or not self._outlet.is_open, "nothing goes out while nobody is attached"

    def check(self) -> None:
        """See that its invariants hold; for tests and simulation.

        Raises:
            AssertionError: one does not.
        """
        check(self.invariants())


_HANDLERS: dict[type, Callable[[Session, Any, float], None]] = {
    ev.ResumeRequested: Session._resume_requested,
    ev.LegQueued: Session._leg_queued,
    ev.LegAdmitted: Session._leg_admitted,
    ev.DrainStarted: Session._drain_started,
    ev.DrainCancelled: Session._drain_cancelled,
    ev.StateStored: Session._state_stored,
    ev.StateRefused: Session._state_refused,
    ev.EndAsked: Session._end_asked,
    ev.TimerFired: Session._timer_fired,
}
_LEG_HANDLERS: dict[type, Callable[[Supply, Any, float], None]] = {
    ev.DeltaReceived: Supply.delta_received,
    ev.TurnTranscribed: Supply.turn_transcribed,
    ev.SpeechMeasured: Supply.speech_measured,
    ev.LegOpened: Supply.leg_opened,
    ev.LegFailed: Supply.leg_failed,
    ev.LegBlocked: Supply.leg_blocked,
    ev.LegUnblocked: Supply.leg_unblocked,
    ev.RotationAsked: Supply.rotation_asked,
}
_CONNECTION_HANDLERS: dict[type, Callable[[Attachments, Any, float], None]] = {
    ev.ClientBlocked: Attachments.blocked,
    ev.ClientUnblocked: Attachments.unblocked,
    ev.ClientClosed: Attachments.closed,
    ev.ResumeEnabled: Attachments.resume_enabled,
    ev.SessionClosed: Attachments.session_closed,
}
_INPUT_HANDLERS: dict[type, Callable[[Intake, Any, float], None]] = {
    ev.AudioReceived: Intake.audio_received,
    ev.TurnStarted: Intake.turn_started,
    ev.TurnEnded: Intake.turn_ended,
    ev.InputCleared: Intake.cleared,
    ev.InputFinished: Intake.finished,
    ev.TurnCancelled: Intake.cancelled,
    ev.ModelNamed: Intake.model_named,
    ev.PoliciesChosen: Intake.policies_chosen,
    ev.RetentionChosen: Intake.retention_chosen,
    ev.InputRejected: Intake.rejected,
    ev.OutputAcked: Intake.output_acked,
}
