"""A live session: what the client does and what the model server does, turned into what to do next.

Rules of this file: `handle` and `handle_client` are the only ways in, and their effects the only way out; nothing here
reads a clock, waits, logs or fails. `now` is monotonic seconds. `intake` takes the client's input into turns, `supply`
sees to the legs that serve them in order, one at a time, and `outlet` to what the client gets.
"""

from collections.abc import Callable, Collection
from typing import Any

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.effects import Attach, CloseAttachment, Effect, EndSession, IssueToken, SendDelta
from parley.core.errors import ParleyError
from parley.core.intake import Intake
from parley.core.limits import SessionLimits
from parley.core.notices import Outcome, Resumed
from parley.core.outlet import Outlet
from parley.core.profile import VOXTRAL, ModelProfile
from parley.core.supply import Supply
from parley.core.turns import TurnQueue


class Session:
    """One live session. `models` are the names that a client may ask for, any if there are none; the empty name
    means any.

    `jitter` in [0, 1) spreads the retries of many sessions; `context_s` is the longest turn that the model takes, 0 if
    that is not known. `generation` numbers the client's connections in the order in which they were made; `is_attached`
    says whether there is one.
    """

    __slots__ = (
        "_detach_deadline",
        "_drain_deadline",
        "_intake",
        "_limits",
        "_out",
        "_outlet",
        "_supply",
        "_turns",
        "ended",
        "generation",
        "take_audio",
        "take_delta",
    )

    take_audio: Callable[[Audio, int, float], bool]
    """The common case of `AudioReceived`, for callers that do without event and effect: audio, generation, now.

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
    ) -> None:
        self._limits = limits
        out: list[Effect] = []
        self._out = out
        self._turns = TurnQueue(limits.turn_text_max_bytes)
        self._outlet = Outlet(limits, out)
        self._supply = Supply(limits, profile, self._turns, self._outlet, out, jitter=jitter, context_s=context_s)
        self._intake = Intake(limits, models, self._turns, self._supply, self._outlet, out)
        self._intake.listen(generation)
        self.take_audio = self._intake.take_audio
        self.take_delta = self._supply.take_delta
        self._drain_deadline: float | None = None
        self._detach_deadline: float | None = None
        self.generation = generation
        self.ended = False

    @property
    def is_attached(self) -> bool:
        """Whether a client is there."""
        return self._intake.generation != 0

    @property
    def recovering(self) -> str:
        """Why another leg is on its way, as an error code; empty when none has to be."""
        recovery = self._supply.recovery
        return "" if recovery is None else recovery.error.code

    @property
    def held_bytes(self) -> int:
        """The memory that audio, text and outputs take."""
        turns = self._turns
        return turns.held_bytes + turns.kept_bytes + turns.text_bytes + self._outlet.held_bytes

    def delay_s(self, leg_id: int, now: float) -> float:
        """How long ago the oldest audio was sent to a leg that it has not consumed, in seconds."""
        leg = self._supply.legs.find(leg_id)
        return 0.0 if leg is None else leg.delay_s(now)

    def open(self, now: float) -> list[Effect]:
        """Begin: ask for the leg at once, so that it is there when the first audio is."""
        self._supply.legs.open(now)
        return self._taken()

    def handle(self, event: ev.Event, now: float) -> list[Effect]:
        """Take an event of a leg or of the server and say what to do. An ended session wants nothing more."""
        if self.ended:
            return []
        try:
            _HANDLERS[type(event)](self, event, now)
            self._settle()
        except ParleyError as error:
            self._end(error)
        return self._taken()

    def handle_client(self, event: ev.ClientEvent, generation: int, now: float) -> list[Effect]:
        """Take an event of a client's connection. A connection that was superseded has no say."""
        if self.ended or generation != self._intake.generation:
            return []
        try:
            handle_input = _INPUT_HANDLERS.get(type(event))
            if handle_input is not None:
                handle_input(self._intake, event, now)
            else:
                _CONNECTION_HANDLERS[type(event)](self, event, now)
            self._settle()
        except ParleyError as error:
            self._end(error)
        return self._taken()

    def _taken(self) -> list[Effect]:
        effects = self._out[:]
        self._out.clear()
        return effects

    def _settle(self) -> None:
        """What follows from any move: how much is held decides whether the client is read, and a drain may be over."""
        if self.ended:
            return
        self._intake.bound()
        if self._intake.generation:
            self._supply.forget()
        head = self._turns.head
        is_idle = head is None or (len(self._turns) == 1 and not head.has_work)
        if self._intake.is_finished and head is None:
            self._end(None)
        elif self._drain_deadline is not None and is_idle:
            raise ParleyError("shutting-down")

    # ---- the client's connections

    def _client_blocked(self, _event: ev.ClientBlocked, _now: float) -> None:
        self._outlet.shut()

    def _client_unblocked(self, _event: ev.ClientUnblocked, _now: float) -> None:
        self._outlet.open()
        self._intake.reads_again()

    def _client_closed(self, _event: ev.ClientClosed, now: float) -> None:
        if not self._outlet.is_numbered:
            self._end(None)
            return
        self._intake.listen(0)
        self._outlet.shut()
        self._detach_deadline = now + self._limits.resume_window_s

    def _resume_enabled(self, _event: ev.ResumeEnabled, _now: float) -> None:
        if self._outlet.is_numbered or not self._limits.resume_window_s:
            return
        self._outlet.begin_numbers()
        self._intake.begin_count()
        self._out.append(IssueToken())

    def _session_closed(self, _event: ev.SessionClosed, _now: float) -> None:
        self._end(None)

    def _resume_requested(self, event: ev.ResumeRequested, now: float) -> None:
        outlet, intake, supply, out = self._outlet, self._intake, self._supply, self._out
        if event.generation < self.generation:
            # It was on its way for longer than the one that is attached.
            out.append(CloseAttachment(event.generation, ParleyError("superseded")))
            return
        if not outlet.can_repeat(event.seq):
            out.append(CloseAttachment(event.generation, ParleyError("gap")))
            return
        if self.is_attached:
            out.append(CloseAttachment(self.generation, ParleyError("superseded")))
        self.generation = event.generation
        intake.listen(event.generation)
        self._detach_deadline = None
        out.append(Attach(event.generation))
        replayed, lost = tuple(supply.restored), tuple(supply.missed)
        outcome = Outcome.RESTARTED if lost else Outcome.REHYDRATED if replayed else Outcome.RESUMED
        outlet.resume(Resumed(outcome, intake.inputs, intake.cursor, replayed, lost), event.seq)
        supply.pump(now)

    # ---- the leg

    def _leg_opened(self, event: ev.LegOpened, now: float) -> None:
        self._supply.leg_opened(event.leg, now)

    def _leg_failed(self, event: ev.LegFailed, now: float) -> None:
        self._supply.leg_failed(event.leg, event.error, now)

    def _leg_blocked(self, event: ev.LegBlocked, now: float) -> None:
        self._supply.leg_blocked(event.leg, now)

    def _leg_unblocked(self, event: ev.LegUnblocked, now: float) -> None:
        self._supply.leg_unblocked(event.leg, now)

    def _delta_received(self, event: ev.DeltaReceived, now: float) -> None:
        is_wanted = self.take_delta(event.leg, event.text, now)
        if is_wanted is None:
            self._supply.delta_received(event.leg, event.text, now)
        elif is_wanted:
            self._out.append(SendDelta(event.text))

    def _turn_transcribed(self, event: ev.TurnTranscribed, now: float) -> None:
        self._supply.turn_transcribed(event.leg, event.text, event.usage, now)

    def _speech_measured(self, event: ev.SpeechMeasured, now: float) -> None:
        self._supply.speech_measured(event.leg, event.speech_samples, now)

    # ---- time and the server

    def _drain_started(self, event: ev.DrainStarted, now: float) -> None:
        self._drain_deadline = event.deadline
        self._supply.pump(now)

    def _rotation_asked(self, _event: ev.RotationAsked, _now: float) -> None:
        self._supply.rotation.ask()

    def next_deadline(self) -> float | None:
        """When to fire the timer next, on the clock of `now`; None when there is nothing to wait for."""
        times = (self._supply.deadline(), self._drain_deadline, self._detach_deadline)
        return None if self.ended else min((at for at in times if at is not None), default=None)

    def _timer_fired(self, _event: ev.TimerFired, now: float) -> None:
        if self._drain_deadline is not None and now >= self._drain_deadline:
            raise ParleyError("shutting-down", "The turn in flight did not finish in time.")
        if self._detach_deadline is not None and now >= self._detach_deadline:
            raise ParleyError("expired")
        self._supply.timer_fired(now)

    def _end(self, error: ParleyError | None) -> None:
        """The end, explicit: the legs go, and the client is told why."""
        self.ended = True
        self._supply.close()
        self._turns.clear()
        seq = 0
        if self.is_attached:
            self._outlet.open()
            seq = self._outlet.last_number()
        self._outlet.clear()
        self._out.append(EndSession(error, seq))

    def check(self) -> None:
        """Assert the invariants; for tests and simulation."""
        self._turns.check()
        self._outlet.check()
        self._supply.check()
        if self.ended:
            assert self._supply.legs.at_work is None, "an ended session has no leg"
            assert not len(self._turns), "an ended session holds nothing"
            assert not self.held_bytes, "an ended session holds nothing"
        assert self.is_attached or not self._outlet.is_open, "nothing goes out while nobody is attached"


_HANDLERS: dict[type, Callable[[Session, Any, float], None]] = {
    ev.ResumeRequested: Session._resume_requested,
    ev.DeltaReceived: Session._delta_received,
    ev.TurnTranscribed: Session._turn_transcribed,
    ev.SpeechMeasured: Session._speech_measured,
    ev.LegOpened: Session._leg_opened,
    ev.LegFailed: Session._leg_failed,
    ev.LegBlocked: Session._leg_blocked,
    ev.LegUnblocked: Session._leg_unblocked,
    ev.DrainStarted: Session._drain_started,
    ev.RotationAsked: Session._rotation_asked,
    ev.TimerFired: Session._timer_fired,
}
_CONNECTION_HANDLERS: dict[type, Callable[[Session, Any, float], None]] = {
    ev.ClientBlocked: Session._client_blocked,
    ev.ClientUnblocked: Session._client_unblocked,
    ev.ClientClosed: Session._client_closed,
    ev.ResumeEnabled: Session._resume_enabled,
    ev.SessionClosed: Session._session_closed,
}
_INPUT_HANDLERS: dict[type, Callable[[Intake, Any, float], None]] = {
    ev.AudioReceived: Intake.audio_received,
    ev.TurnStarted: Intake.turn_started,
    ev.TurnEnded: Intake.turn_ended,
    ev.InputCleared: Intake.cleared,
    ev.InputFinished: Intake.finished,
    ev.TurnCancelled: Intake.cancelled,
    ev.ModelNamed: Intake.model_named,
    ev.InputRejected: Intake.rejected,
    ev.OutputAcked: Intake.output_acked,
}
