"""What the events and effects of a session mean to whoever watches it: marks on its audio clock.

The runner hands over each event that the core handled, with what the core wanted done. Most are audio and text of a
turn that runs, which are no marks: those are passed over in one look.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from parley.core import effects as ef
from parley.core import events as ev
from parley.core import notices as no
from parley.core.content import SAMPLE_RATE
from parley.core.errors import ParleyError
from parley.core.survey import Survey, TurnView
from parley.core.tally import Tally
from parley.observe.durations import Durations
from parley.observe.marks import Fact, Mark, MarkKind, MarkSink, Subject
from parley.observe.turn_log import TurnLog

_LAG_STEP_S = 1.0
_HIGH_WATER_STEP_S = 1.0
"""Held audio is noted at a second, and then whenever the most of it has doubled."""


TraceHeaders = Callable[[str, int], Mapping[str, str]]
"""Of a session's leg: W3C Trace Context as HTTP headers."""


class Observed(Protocol):
    """A session, as far as it is looked at: `core.session.Session`."""

    tally: Tally

    @property
    def cursor(self) -> int:
        """The audio that was taken, in samples."""

    @property
    def recovering(self) -> str:
        """Why another leg is on its way."""

    def survey(self, now: float) -> Survey:
        """How it stands."""

    def turn_views(self) -> tuple[TurnView, ...]:
        """Its turns that are not over."""


class SessionObserver:
    """Watches one session. Marks go to the `sinks`, in order.

    `began_at` is when the session began, on the clock of all other times here. `awaits_text` says that a turn has not
    said anything yet: then `said` wants to know of the first text. `trace_headers` gives what a leg tells of the trace
    that it is part of.
    """

    __slots__ = (
        "_began_at",
        "_dropped",
        "_durations",
        "_had_audio",
        "_high_water_s",
        "_is_lagging",
        "_is_over",
        "_is_release",
        "_lost_s",
        "_recovering",
        "_replayed_s",
        "_sent_audio",
        "_seq",
        "_server",
        "_session",
        "_sinks",
        "_trace_headers",
        "_turns",
        "awaits_text",
        "subject",
    )

    def __init__(
        self,
        subject: Subject,
        session: Observed,
        sinks: Sequence[MarkSink],
        *,
        began_at: float,
        trace_headers: TraceHeaders | None = None,
    ) -> None:
        self.subject = subject
        self._trace_headers = trace_headers
        self._session = session
        self._sinks = sinks
        self._began_at = began_at
        self._durations = Durations()
        self._turns = TurnLog()
        self._had_audio = session.cursor > 0
        self._sent_audio = False
        self._recovering = session.recovering
        self._replayed_s = self._lost_s = 0.0
        self._dropped = 0
        self._high_water_s = _HIGH_WATER_STEP_S
        self._is_lagging = False
        self._is_over = False
        self._is_release = False
        self._seq = 0
        self._server = ""
        self.awaits_text = False

    # ---- how it began

    def began(self, *, connected_at: float | None, authenticated_at: float | None, method: str, now: float) -> None:
        """The session begins, for a connection that came then and was let in then; None: it came with no connection."""
        if connected_at is not None:
            self._mark(MarkKind.CONNECTED, connected_at, transport=self.subject.transport)
        if authenticated_at is not None:
            self._mark(MarkKind.AUTHENTICATED, authenticated_at, method=method)
        self._mark(MarkKind.BEGAN, now, taken_over=connected_at is None)

    def opened(self, effects: Sequence[ef.Effect], now: float) -> None:
        """Its work begins with these."""
        self._done(effects, now)

    # ---- what happened

    def handled(self, event: ev.Event, effects: Sequence[ef.Effect], now: float) -> None:
        """An event was handled, and these effects are done next."""
        if self._is_over:
            return
        note = _EVENTS.get(type(event))
        if note is not None:
            note(self, event, now)
        self._is_release = type(event) in _RELEASES
        self._done(effects, now)
        session = self._session
        if session.recovering != self._recovering:
            self._recovery(session.recovering, now)
        if session.tally.dropped_samples != self._dropped:
            self._drop(now)

    def _done(self, effects: Sequence[ef.Effect], now: float) -> None:
        for effect in effects:
            note = _EFFECTS.get(type(effect))
            if note is not None:
                note(self, effect, now)
            elif self.awaits_text and type(effect) is ef.SendDelta and not effect.text.is_empty:
                self.said(now)

    def said(self, now: float) -> None:
        """The client was sent text of the turn at work, the first since it was asked for."""
        self.awaits_text = False
        turn = self._turns.head
        if turn is not None and turn.text_at is None:
            turn.text_at = now
            self._mark(MarkKind.TURN_FIRST_TEXT, now, turn=turn.item, after_s=_s(now - turn.began_at))

    def leg_is_on(self, server: str) -> None:
        """The leg that is reported as opened next is on this model server."""
        self._server = server

    def trace_headers(self, leg: int) -> Mapping[str, str]:
        """What a leg tells its model server of the trace that it is part of; nothing without one."""
        return {} if self._trace_headers is None else self._trace_headers(self.subject.session_id, leg)

    def age_s(self, now: float) -> float:
        """How long ago it began."""
        return now - self._began_at

    def input_late_s(self, now: float) -> float | None:
        """How far the audio of the open turn is behind the time since its first piece came, as if it were live; None
        without an open turn."""
        turn = self._turns.last
        if turn is None or turn.closed_at is not None:
            return None
        views = self._session.turn_views()
        if not views or views[-1].item != turn.item:
            return None
        return max(0.0, now - turn.began_at - (views[-1].end_s - views[-1].begin_s))

    def looked(self, survey: Survey, now: float) -> None:
        """The sampler looked at it."""
        held_s = survey.held_s
        if held_s >= self._high_water_s:
            self._high_water_s = 2 * held_s
            self._mark(MarkKind.HIGH_WATER, now, held_s=_s(held_s), held_bytes=survey.held_bytes)
        if (survey.lag_s > _LAG_STEP_S) != self._is_lagging:
            self._is_lagging = not self._is_lagging
            self._mark(MarkKind.LAGGING, now, lag_s=_s(survey.lag_s))

    def ended(self, outcome: str, fault: str, now: float) -> None:
        """It is over here. Nothing follows."""
        if self._is_over:
            return
        self._is_over = True
        tally, survey = self._session.tally, self._session.survey(now)
        for what, number in self._durations.going_on():
            if what in _UNBLOCKED:
                self._unblocked(what, number, now)
        facts: dict[str, Fact] = {
            "outcome": outcome,
            "fault": fault,
            "age_s": _s(now - self._began_at),
            "received_s": _s(survey.received_s),
            "dropped_s": _s(survey.dropped_s),
            "replayed_s": _s(survey.replayed_s),
            "lost_s": _s(survey.lost_s),
            "held_s_most": _s(tally.held_samples_most / SAMPLE_RATE),
            "held_bytes_most": tally.held_bytes_most,
            "output_bytes_most": tally.output_bytes_most,
            "dropped_deltas": tally.dropped_deltas,
        }
        self._mark(MarkKind.MOVED if outcome == "moved" else MarkKind.ENDED, now, **facts)

    # ---- events

    def _audio_received(self, _event: ev.AudioReceived, now: float) -> None:
        if not self._had_audio:
            self._had_audio = True
            self._mark(MarkKind.FIRST_AUDIO_IN, now)
        views = self._session.turn_views() if self._turns.may_begin else ()
        for turn in self._turns.began(views, now):
            self._mark(MarkKind.TURN_BEGAN, now, turn=turn.item)

    def _turn_ended(self, _event: ev.TurnEnded, now: float) -> None:
        self._look_at_turns(now)
        for turn, view in self._turns.closed(self._session.turn_views(), now):
            self._mark(MarkKind.TURN_SPEECH_ENDED, now, turn=turn.item, audio_s=_s(view.end_s - view.begin_s))

    def _leg_queued(self, event: ev.LegQueued, now: float) -> None:
        if self._durations.begin(("queue", event.leg), now):
            self._mark(MarkKind.QUEUED, now, leg=event.leg, position=event.position)

    def _leg_admitted(self, event: ev.LegAdmitted, now: float) -> None:
        waited_s = self._durations.end(("queue", event.leg), now)
        if waited_s is not None:
            self._mark(MarkKind.ADMITTED, now, leg=event.leg, waited_s=_s(waited_s))

    def _leg_opened(self, event: ev.LegOpened, now: float) -> None:
        took_s = self._durations.end(("open", event.leg), now)
        if took_s is not None:
            server: dict[str, Fact] = {"server": self._server} if self._server else {}
            self._mark(MarkKind.LEG_OPENED, now, leg=event.leg, took_s=_s(took_s), **server)
        self._server = ""

    def _leg_failed(self, event: ev.LegFailed, now: float) -> None:
        self._durations.end(("queue", event.leg), now)
        self._unblocked("leg", event.leg, now)
        was_opening = self._durations.end(("open", event.leg), now) is not None
        self._mark(MarkKind.LEG_FAILED, now, leg=event.leg, code=event.error.code, opening=was_opening)

    def _blocked(self, what: str, number: int, now: float) -> None:
        if self._durations.begin((what, number), now):
            self._mark(_BLOCKED[what], now, **({"leg": number} if number else {}))

    def _unblocked(self, what: str, number: int, now: float) -> None:
        blocked_s = self._durations.end((what, number), now)
        if blocked_s is not None:
            self._mark(_UNBLOCKED[what], now, **({"leg": number} if number else {}), blocked_s=_s(blocked_s))

    def _client_blocked(self, _event: ev.ClientBlocked, now: float) -> None:
        self._blocked("output", 0, now)

    def _client_unblocked(self, _event: ev.ClientUnblocked, now: float) -> None:
        self._unblocked("output", 0, now)

    def _leg_blocked(self, event: ev.LegBlocked, now: float) -> None:
        self._blocked("leg", event.leg, now)

    def _leg_unblocked(self, event: ev.LegUnblocked, now: float) -> None:
        self._unblocked("leg", event.leg, now)

    def _client_closed(self, _event: ev.ClientClosed, now: float) -> None:
        self._unblocked("output", 0, now)
        self._unblocked("input", 0, now)
        if not self._is_over and self._durations.begin(("away", 0), now):
            self._mark(MarkKind.DETACHED, now)

    def _drain_started(self, event: ev.DrainStarted, now: float) -> None:
        self._mark(MarkKind.DRAIN_STARTED, now, within_s=_s(event.deadline - now), moves=event.move_at is not None)

    def _drain_cancelled(self, _event: ev.DrainCancelled, now: float) -> None:
        self._mark(MarkKind.DRAIN_CANCELLED, now)

    # ---- effects

    def _open_leg(self, effect: ef.OpenLeg, now: float) -> None:
        self._durations.begin(("open", effect.leg), now)
        self._mark(MarkKind.LEG_ASKED, now, leg=effect.leg, purpose=effect.purpose.name.lower())

    def _close_leg(self, effect: ef.CloseLeg, now: float) -> None:
        self._unblocked("leg", effect.leg, now)
        for what in ("queue", "open"):
            self._durations.end((what, effect.leg), now)
        self._mark(MarkKind.LEG_CLOSED, now, leg=effect.leg)

    def _start_turn(self, _effect: ef.StartTurn, now: float) -> None:
        self._look_at_turns(now)
        head = self._turns.head
        self.awaits_text = head is not None and head.text_at is None

    def _send_audio(self, effect: ef.SendAudio, now: float) -> None:
        if not self._sent_audio:
            self._sent_audio = True
            self._mark(MarkKind.FIRST_AUDIO_OUT, now, leg=effect.leg)

    def _send_done(self, effect: ef.SendDone, now: float) -> None:
        if self._is_said_again(effect.seq):
            return
        if self.awaits_text and not effect.text.is_empty:
            # Said at once, as by a model without a clock.
            self.said(now)
        turn = self._turns.take()
        if turn is None:
            return
        facts: dict[str, Fact] = {"turn": turn.item}
        if turn.closed_at is not None:
            facts["after_s"] = _s(now - turn.closed_at)
        if self._is_release:
            # Its client was away, or did not read: the time is not the model's.
            facts["held"] = True
        self._mark(MarkKind.TURN_FINAL, now, **facts)

    def _send_error(self, effect: ef.SendError, now: float) -> None:
        if effect.error.code == "turn-failed" and not self._is_said_again(effect.seq):
            self._turn_failed(effect.error, now)

    def _turn_failed(self, error: ParleyError, now: float) -> None:
        turn = self._turns.take()
        if turn is not None:
            self._mark(MarkKind.TURN_FAILED, now, turn=turn.item, code=error.code)

    def _send_notice(self, effect: ef.SendNotice, now: float) -> None:
        notice = effect.notice
        if self._is_said_again(effect.seq):
            return
        match notice:
            case no.Resumed(outcome=outcome):
                away_s = self._durations.end(("away", 0), now)
                facts: dict[str, Fact] = {"outcome": outcome.value, "away_s": _s(away_s or 0.0)}
                facts["replayed_s"], facts["lost_s"] = _length_s(notice.replayed), _length_s(notice.lost)
                self._mark(MarkKind.ATTACHED, now, **facts)
            case no.TurnFailed(error=error):
                self._turn_failed(error, now)
            case no.TurnCancelled(item=item) | no.InputCleared(item=item):
                turn = self._turns.take(item)
                if turn is not None:
                    self._mark(MarkKind.TURN_DROPPED, now, turn=turn.item)

    def _input_paused(self, _effect: ef.PauseInput, now: float) -> None:
        self._blocked("input", 0, now)

    def _input_resumed(self, _effect: ef.ResumeInput, now: float) -> None:
        self._unblocked("input", 0, now)

    def _is_said_again(self, seq: int) -> bool:
        """Whether a client that came back gets what it had been sent before."""
        if not seq:
            return False
        is_old = seq <= self._seq
        self._seq = max(self._seq, seq)
        return is_old

    # ---- what is seen by looking

    def _look_at_turns(self, now: float) -> None:
        for turn in self._turns.began(self._session.turn_views(), now):
            self._mark(MarkKind.TURN_BEGAN, now, turn=turn.item)

    def _recovery(self, reason: str, now: float) -> None:
        was, self._recovering = self._recovering, reason
        if not was:
            self._durations.begin(("recovery", 0), now)
            self._mark(MarkKind.RECOVERING, now, reason=reason)
        elif not reason:
            survey = self._session.survey(now)
            replayed_s, lost_s = survey.replayed_s - self._replayed_s, survey.lost_s - self._lost_s
            self._replayed_s, self._lost_s = survey.replayed_s, survey.lost_s
            outcome = no.Outcome.RESTARTED if lost_s else no.Outcome.REHYDRATED if replayed_s else no.Outcome.RESUMED
            took_s = self._durations.end(("recovery", 0), now) or 0.0
            self._mark(
                MarkKind.RECOVERED,
                now,
                outcome=outcome.value,
                replayed_s=_s(replayed_s),
                lost_s=_s(lost_s),
                took_s=_s(took_s),
            )

    def _drop(self, now: float) -> None:
        dropped = self._session.tally.dropped_samples
        audio_s, self._dropped = (dropped - self._dropped) / SAMPLE_RATE, dropped
        self._mark(MarkKind.DROPPED, now, reason=no.DropReason.INPUT_OVERRUN.value, audio_s=_s(audio_s))

    def _mark(self, kind: MarkKind, now: float, **facts: Fact) -> None:
        mark = Mark(kind, _s(now - self._began_at), _s(self._session.cursor / SAMPLE_RATE), facts)
        for sink in self._sinks:
            sink.note(self.subject, mark)


def _s(seconds: float) -> float:
    """To a tenth of a millisecond."""
    return round(seconds, 4)


def _length_s(intervals: no.Intervals) -> float:
    return _s(sum(end - begin for begin, end in intervals) / SAMPLE_RATE)


_BLOCKED = {"input": MarkKind.INPUT_PAUSED, "output": MarkKind.OUTPUT_BLOCKED, "leg": MarkKind.LEG_BLOCKED}
_UNBLOCKED = {"input": MarkKind.INPUT_RESUMED, "output": MarkKind.OUTPUT_UNBLOCKED, "leg": MarkKind.LEG_UNBLOCKED}
_RELEASES = (ev.ResumeRequested, ev.ClientUnblocked)
"""After these a client is sent what had waited for it."""

_Note = Callable[[SessionObserver, Any, float], None]

_EVENTS: dict[type, _Note] = {
    ev.AudioReceived: SessionObserver._audio_received,
    ev.TurnEnded: SessionObserver._turn_ended,
    ev.LegQueued: SessionObserver._leg_queued,
    ev.LegAdmitted: SessionObserver._leg_admitted,
    ev.LegOpened: SessionObserver._leg_opened,
    ev.LegFailed: SessionObserver._leg_failed,
    ev.ClientBlocked: SessionObserver._client_blocked,
    ev.ClientUnblocked: SessionObserver._client_unblocked,
    ev.LegBlocked: SessionObserver._leg_blocked,
    ev.LegUnblocked: SessionObserver._leg_unblocked,
    ev.ClientClosed: SessionObserver._client_closed,
    ev.DrainStarted: SessionObserver._drain_started,
    ev.DrainCancelled: SessionObserver._drain_cancelled,
}

_EFFECTS: dict[type, _Note] = {
    ef.OpenLeg: SessionObserver._open_leg,
    ef.CloseLeg: SessionObserver._close_leg,
    ef.StartTurn: SessionObserver._start_turn,
    ef.SendAudio: SessionObserver._send_audio,
    ef.SendDone: SessionObserver._send_done,
    ef.SendError: SessionObserver._send_error,
    ef.SendNotice: SessionObserver._send_notice,
    ef.PauseInput: SessionObserver._input_paused,
    ef.ResumeInput: SessionObserver._input_resumed,
}
