"""A live session: what the client does and what the model server does, turned into what to do next.

Rules of this file: `handle(event, now)` is the only way in, and its effects the only way out; nothing here reads a
clock, waits, logs or fails. `now` is monotonic seconds. The session serves its turns in order, one at a time, on one
leg; the next turn's audio waits until the leg has finished the one before.
"""

from collections.abc import Callable, Collection
from typing import Any

from parley.core import events as ev
from parley.core.content import SAMPLE_RATE, Audio, Text
from parley.core.effects import (
    CloseLeg,
    Effect,
    EndSession,
    EndTurn,
    OpenLeg,
    PauseInput,
    ResumeInput,
    SendAudio,
    SendDelta,
    SendDone,
    SendError,
    StartTurn,
)
from parley.core.errors import ParleyError
from parley.core.leg import Leg, LegState
from parley.core.limits import SessionLimits
from parley.core.outbox import Outbox
from parley.core.profile import VOXTRAL, ModelProfile
from parley.core.turns import TurnQueue
from parley.core.usage import Usage

_EMPTY = Text(b'""')
_FIRST_DELTA_SAMPLES = int(0.7 * SAMPLE_RATE)
"""Audio after which a first delta is due: 562.5 ms on Voxtral (measured), and a margin."""
_STALL_LAG_SAMPLES = SAMPLE_RATE
"""Lag at which a model that sends no delta counts as stalled, not as waiting for audio."""
_RESUME_MARGIN_SAMPLES = SAMPLE_RATE


class Session:
    """One live session. `models` are the names that a client may ask for; the empty name means any."""

    __slots__ = (
        "_drain_deadline",
        "_errors",
        "_input_paused",
        "_leg",
        "_leg_count",
        "_limits",
        "_model_named",
        "_models",
        "_outbox",
        "_profile",
        "_turns",
        "_window_samples",
        "ended",
    )

    def __init__(self, limits: SessionLimits, models: Collection[str] = (), profile: ModelProfile = VOXTRAL) -> None:
        self._limits = limits
        self._window_samples = limits.pace_window_samples
        self._models = models
        self._profile = profile
        self._turns = TurnQueue()
        self._outbox = Outbox(limits.output_max_bytes)
        self._leg: Leg | None = None
        self._leg_count = 0
        self._model_named = False
        self._input_paused = False
        self._errors = 0
        self._drain_deadline: float | None = None
        self.ended = False

    def open(self, now: float) -> list[Effect]:
        """Begin: ask for the leg at once, so that it is there when the first audio is."""
        return self._open_leg(now)

    def handle(self, event: ev.Event, now: float) -> list[Effect]:
        """Take one event and say what to do. An ended session wants nothing more."""
        if self.ended:
            return []
        return _HANDLERS[type(event)](self, event, now)

    # ---- the common path

    def take_audio(self, audio: Audio, now: float) -> bool:
        """The common case of `AudioReceived`, for callers that do without event and effect.

        True: the audio is accounted for and goes to the leg now. False: nothing has changed; handle the event.
        """
        leg = self._leg
        if leg is None or leg.state is not LegState.RUNNING:
            return False
        turn = leg.turn
        assert turn is not None
        # The turn's input is open, nothing waits before this piece, and the model keeps up.
        if turn.closed or turn.held or not self._may_send(leg):
            return False
        turn.received_samples += audio.samples
        leg.sent(audio.samples, _STALL_LAG_SAMPLES, now)
        return True

    def take_delta(self, leg_id: int, text: Text, now: float) -> bool | None:
        """The common case of `DeltaReceived`, likewise: whether to send the text on, or None to handle the event."""
        leg = self._leg
        if leg is None or leg.id != leg_id or self._turns.held_samples or self._outbox.blocked:
            return None
        if leg.state is not LegState.RUNNING and leg.state is not LegState.FLUSHING:
            return None
        leg.moved(now)
        return self._forwards(text)

    # ---- the client

    def _audio_received(self, event: ev.AudioReceived, now: float) -> list[Effect]:
        audio = event.audio
        if self.take_audio(audio, now):
            assert self._leg is not None
            return [SendAudio(self._leg.id, audio)]
        turn = self._turns.open
        if turn is None:
            if len(self._turns) >= self._limits.held_turns_max:
                return self._end(ParleyError("too-many-turns", f"{len(self._turns)} turns are waiting."))
            turn = self._turns.add(started=False)
        turn.received_samples += audio.samples
        self._turns.hold(turn, audio)
        return self._pump(now)

    def _turn_started(self, _event: ev.TurnStarted, now: float) -> list[Effect]:
        if not self._model_named:
            return self._reject(ParleyError("model-not-set"))
        # With a started turn still open this is a second start: vLLM ignores it, and so do we.
        if not self._turns.start() and self._turns.open is None:
            if len(self._turns) >= self._limits.held_turns_max:
                return self._end(ParleyError("too-many-turns", f"{len(self._turns)} turns are waiting."))
            self._turns.add(started=True)
        return self._pump(now)

    def _turn_ended(self, _event: ev.TurnEnded, now: float) -> list[Effect]:
        turn = self._turns.open
        if turn is None:
            # vLLM would let this end the next turn before its first word.
            return []
        turn.closed = True
        return self._pump(now)

    def _model_named_by_client(self, event: ev.ModelNamed, _now: float) -> list[Effect]:
        if event.name and event.name not in self._models:
            return self._reject(ParleyError("model-not-found"))
        self._model_named = True
        return []

    def _input_rejected(self, event: ev.InputRejected, _now: float) -> list[Effect]:
        return self._reject(event.error)

    def _client_blocked(self, _event: ev.ClientBlocked, _now: float) -> list[Effect]:
        self._outbox.block()
        return []

    def _client_unblocked(self, _event: ev.ClientUnblocked, _now: float) -> list[Effect]:
        return self._outbox.unblock()

    def _client_closed(self, _event: ev.ClientClosed, _now: float) -> list[Effect]:
        return self._end(None)

    # ---- the leg

    def _leg_opened(self, event: ev.LegOpened, now: float) -> list[Effect]:
        leg = self._live(event.leg)
        if leg is None or leg.state is not LegState.CONNECTING:
            return []
        leg.state = LegState.READY
        return self._pump(now)

    def _leg_failed(self, event: ev.LegFailed, _now: float) -> list[Effect]:
        leg = self._live(event.leg)
        if leg is None:
            return []
        if leg.state is LegState.READY:
            # Between turns nothing is lost with it: the next turn opens another.
            self._leg = None
            return [CloseLeg(leg.id)]
        return self._end(event.error)

    def _leg_blocked(self, event: ev.LegBlocked, now: float) -> list[Effect]:
        leg = self._live(event.leg)
        if leg is not None:
            leg.blocked = True
            leg.progress_at = now
        return []

    def _leg_unblocked(self, event: ev.LegUnblocked, now: float) -> list[Effect]:
        leg = self._live(event.leg)
        if leg is None:
            return []
        leg.blocked = False
        return self._pump(now)

    def _delta_received(self, event: ev.DeltaReceived, now: float) -> list[Effect]:
        text = event.text
        is_wanted = self.take_delta(event.leg, text, now)
        if is_wanted is not None:
            return [SendDelta(text)] if is_wanted else []
        leg = self._live(event.leg)
        if leg is None:
            return []
        if leg.state is not LegState.RUNNING and leg.state is not LegState.FLUSHING:
            return self._end(ParleyError("upstream-protocol", "It sent text while no turn was running."))
        leg.moved(now)
        effects: list[Effect] = []
        if self._forwards(text):
            if not self._outbox.blocked:
                effects.append(SendDelta(text))
            else:
                self._outbox.hold(text)
                if self._outbox.is_full:
                    return self._end(ParleyError("slow-client"))
        return effects + self._pump(now)

    def _forwards(self, text: Text) -> bool:
        return len(text.literal) > 2 or self._limits.forward_empty_deltas

    def _turn_transcribed(self, event: ev.TurnTranscribed, now: float) -> list[Effect]:
        leg = self._live(event.leg)
        if leg is None:
            return []
        if leg.state is LegState.CONNECTING or leg.state is LegState.READY:
            return self._end(ParleyError("upstream-protocol", "It ended a turn while none was running."))
        if leg.state is not LegState.FLUSHING:
            return self._end(ParleyError("upstream-truncated"))
        leg.finish()
        self._turns.finish()
        effects = self._outbox.done(SendDone(event.text, event.usage))
        if self._outbox.is_full:
            return self._end(ParleyError("slow-client"))
        return effects + self._pump(now)

    # ---- time and the server

    def _drain_started(self, event: ev.DrainStarted, now: float) -> list[Effect]:
        self._drain_deadline = event.deadline
        return self._pump(now)

    def next_deadline(self) -> float | None:
        """When to fire the timer next, on the clock of `now`; None when there is nothing to wait for."""
        deadlines = [at for at in (self._leg_deadline(), self._drain_deadline) if at is not None]
        return min(deadlines) if deadlines and not self.ended else None

    def _leg_deadline(self) -> float | None:
        leg, limits = self._leg, self._limits
        if leg is None or leg.state is LegState.READY:
            return None
        if leg.state is LegState.CONNECTING:
            return leg.progress_at + limits.connect_timeout_s
        if leg.state is LegState.FLUSHING:
            return leg.progress_at + limits.flush_timeout_s
        if not limits.pace_window_s and not leg.blocked:
            # Deltas that are no clock can't tell a stall; a connection that takes nothing more can.
            return None
        return leg.progress_at + (limits.stall_timeout_s if leg.deltas else limits.first_delta_timeout_s)

    def _timer_fired(self, _event: ev.TimerFired, now: float) -> list[Effect]:
        if self._drain_deadline is not None and now >= self._drain_deadline:
            return self._end(ParleyError("shutting-down", "The turn in flight did not finish in time."))
        leg, deadline = self._leg, self._leg_deadline()
        if leg is None or deadline is None or now < deadline:
            return []
        if leg.state is LegState.CONNECTING:
            return self._end(ParleyError("upstream-unavailable", "It did not accept the connection in time."))
        if leg.state is LegState.RUNNING:
            due = _STALL_LAG_SAMPLES if leg.deltas else _FIRST_DELTA_SAMPLES
            assert leg.turn is not None
            if leg.lag_samples < due and not leg.turn.held:
                # It is the client that is silent: the model has had all there is.
                leg.progress_at = now
                return []
        waited_s = now - leg.progress_at
        return self._end(ParleyError("upstream-stalled", f"It was silent for {waited_s:.0f} s."))

    # ---- what moves the session on

    def _pump(self, now: float) -> list[Effect]:
        """Move held input to the model as far as the leg's state and the pace allow."""
        effects: list[Effect] = []
        while (turn := self._turns.head) is not None and turn.started:
            if not turn.received_samples:
                if not turn.closed:
                    break
                # A turn without audio: answered here. vLLM answers alike, but releases before 0.17 died of it.
                self._turns.finish()
                effects += self._outbox.done(SendDone(_EMPTY, Usage()))
                if self._outbox.is_full:
                    return self._end(ParleyError("slow-client"))
                continue
            leg = self._leg
            if leg is None:
                effects += self._open_leg(now)
                break
            if leg.state is LegState.READY:
                leg.start(turn, now)
                effects.append(StartTurn(leg.id))
            if leg.state is not LegState.RUNNING:
                break
            while turn.held and self._may_send(leg):
                audio = self._turns.release(turn)
                leg.sent(audio.samples, _STALL_LAG_SAMPLES, now)
                effects.append(SendAudio(leg.id, audio))
            if turn.closed and not turn.held:
                leg.state = LegState.FLUSHING
                leg.progress_at = now
                effects.append(EndTurn(leg.id))
            break
        return effects + self._bound_input() + self._end_drained()

    def _may_send(self, leg: Leg) -> bool:
        return not leg.blocked and leg.sent_samples - leg.consumed_samples < self._window_samples

    def _bound_input(self) -> list[Effect]:
        """Stop or resume reading from the client, by what is held."""
        held, limits = self._turns.held_samples, self._limits
        full = held > limits.held_samples_max or self._turns.held_bytes > limits.held_bytes_max
        head = self._turns.head
        needs_start = head is not None and not head.started
        if full:
            if needs_start:
                # Nothing would ever free it: the start that it waits for could not be read.
                return self._end(ParleyError("input-overflow", f"It may hold {limits.held_audio_max_s:g} s."))
            if not self._input_paused:
                self._input_paused = True
                return [PauseInput()]
        elif self._input_paused and (
            # Nor would a start that is not read ever come: then there is no margin to wait for.
            needs_start or held <= max(0, limits.held_samples_max - _RESUME_MARGIN_SAMPLES)
        ):
            self._input_paused = False
            return [ResumeInput()]
        return []

    def _end_drained(self) -> list[Effect]:
        if self._drain_deadline is None or self.ended:
            return []
        head = self._turns.head
        if head is None or (len(self._turns) == 1 and not head.received_samples):
            return self._end(ParleyError("shutting-down"))
        return []

    def _open_leg(self, now: float) -> list[Effect]:
        self._leg_count += 1
        self._leg = Leg(self._leg_count, self._profile, now)
        return [OpenLeg(self._leg.id)]

    def _live(self, leg_id: int) -> Leg | None:
        return self._leg if self._leg is not None and self._leg.id == leg_id else None

    def _reject(self, error: ParleyError) -> list[Effect]:
        self._errors += 1
        if self._errors > self._limits.client_errors_max:
            return self._end(ParleyError("too-many-errors", f"The last was {error.code}."))
        return [SendError(error)]

    def _end(self, error: ParleyError | None) -> list[Effect]:
        """The end, explicit: the leg goes, and the client is told why."""
        self.ended = True
        effects: list[Effect] = [] if self._leg is None else [CloseLeg(self._leg.id)]
        self._leg = None
        self._turns.clear()
        return [*effects, *self._outbox.unblock(), EndSession(error)]

    def check(self) -> None:
        """Assert the invariants; for tests and simulation."""
        self._turns.check()
        leg, head = self._leg, self._turns.head
        if leg is not None and leg.state in (LegState.RUNNING, LegState.FLUSHING):
            assert head is not None, "a leg at work has a turn"
            assert head.started, "a leg works on a started turn"
            assert leg.lag_samples >= 0, "the model consumes no more than it was sent"
        if leg is not None and leg.state is LegState.FLUSHING:
            assert head is not None
            assert head.closed, "only a complete turn is flushed"
            assert not head.held, "a flushed turn has been sent"
        if self.ended:
            assert leg is None, "an ended session has no leg"
            assert not len(self._turns), "an ended session holds nothing"


_HANDLERS: dict[type, Callable[[Session, Any, float], list[Effect]]] = {
    ev.AudioReceived: Session._audio_received,
    ev.DeltaReceived: Session._delta_received,
    ev.TurnStarted: Session._turn_started,
    ev.TurnEnded: Session._turn_ended,
    ev.TurnTranscribed: Session._turn_transcribed,
    ev.ModelNamed: Session._model_named_by_client,
    ev.InputRejected: Session._input_rejected,
    ev.ClientBlocked: Session._client_blocked,
    ev.ClientUnblocked: Session._client_unblocked,
    ev.ClientClosed: Session._client_closed,
    ev.LegOpened: Session._leg_opened,
    ev.LegFailed: Session._leg_failed,
    ev.LegBlocked: Session._leg_blocked,
    ev.LegUnblocked: Session._leg_unblocked,
    ev.DrainStarted: Session._drain_started,
    ev.TimerFired: Session._timer_fired,
}
