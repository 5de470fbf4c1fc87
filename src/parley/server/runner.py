"""The runner of one session: hands it events, does what it says, and keeps its one timer.

Only this file mutates a `Session`. On the common path, audio in and text out, everything happens inside the read
callback of the connection that brought the event: no queue, no task switch.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from parley.core import effects as ef
from parley.core import events as ev
from parley.core import notices as no
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.session import Session
from parley.core.snapshot import SessionState
from parley.core.survey import Survey
from parley.ingress.attachment import Attachment, SessionName
from parley.observe.session_observer import SessionObserver
from parley.server.client_port import ClientPort
from parley.server.keeping import Keeping
from parley.server.nobody import Nobody
from parley.server.recording import Record
from parley.server.speech_measuring import SpeechMeasuring
from parley.upstream.leg import LegConnection, LegSource

_log = logging.getLogger("parley.session")

_FORWARDINGS_PER_LOOK = 32
"""Messages of which one is timed on its way through."""

Forwarded = Callable[[str, float], None]
"""Told now and then how long a message took through this server: its direction, up or down, and seconds."""


class SessionRunner:
    """One live session: the core's state machine between its client's attachments and its legs.

    `issue_token` makes a resume token for this session, and `resume_window_s` is what the client is told of its worth.
    `measure_speech` counts the samples of speech in PCM16 LE at 16 kHz; it runs in a thread. With `gathers`, which says
    how many samples the model lacks for its next frame, small pieces of audio are joined: see `Gathering`. `leave` has
    the session's state stored, and answers StateStored or StateRefused. A session that comes from another server has
    the numbers up to `told` behind it. `record` makes what keeps it, where anything can be kept. The `observer` watches
    it, and `forwarded` hears how long messages take. `resumptions` counts how its client came back, by outcome.
    """

    # So many attributes take a kilobyte and a half in a dictionary.
    __slots__ = (
        "__weakref__",
        "_arriving",
        "_attachment",
        "_awaits_delta",
        "_awaits_text",
        "_busy",
        "_clock",
        "_closing",
        "_down",
        "_ended",
        "_first_generation",
        "_forwarded",
        "_generation",
        "_hear",
        "_is_numbered",
        "_issue_token",
        "_keeping",
        "_leave",
        "_leg",
        "_legs",
        "_measuring",
        "_opening",
        "_pending",
        "_recovering",
        "_resume_window_s",
        "_seq",
        "_session",
        "_source",
        "_timer",
        "_timer_at",
        "_up",
        "gathers",
        "is_abandoned",
        "name",
        "observer",
        "outcome",
        "resumptions",
    )

    def __init__(
        self,
        session: Session,
        attachment: Attachment,
        legs: LegSource,
        *,
        name: SessionName,
        clock: Callable[[], float],
        issue_token: Callable[["SessionRunner"], str],
        measure_speech: Callable[[bytes], int],
        resume_window_s: float = 0.0,
        generation: int = 1,
        gathers: Callable[[], int] | None = None,
        leave: Callable[["SessionRunner"], None] | None = None,
        told: int | None = None,
        record: Record | None = None,
        observer: SessionObserver | None = None,
        forwarded: Forwarded | None = None,
    ) -> None:
        self.name = name
        self.observer = observer
        self.gathers = gathers
        self._session = session
        self._attachment: Attachment = attachment
        self._source = legs
        self._clock = clock
        self._issue_token = issue_token
        self._resume_window_s = resume_window_s
        # Connections by generation: the last one numbered, and those that asked for the session and have no answer.
        self._generation = self._first_generation = generation
        self._arriving: dict[int, Attachment] = {}
        self._legs: dict[int, LegConnection] = {}
        # The leg that a fast path may use: the only one.
        self._leg: LegConnection | None = None
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._measuring = SpeechMeasuring(measure_speech, self.receive, self._broke)
        self._closing: set[asyncio.Task[None]] = set()
        # uvloop's handles don't say when they are due.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._pending: deque[tuple[int, ev.Event]] = deque()
        self._busy = False
        self._awaits_delta = False
        self._recovering = ""
        self._leave = leave
        self._is_numbered = told is not None
        self._seq = told or 0
        self._ended = asyncio.Event()
        self._keeping = Keeping(name.session_id, record)
        # What keeps the audio as well, so that the common path has one look to take.
        self._hear: Callable[[Audio, int], None] | None = None
        # Likewise: whether the observer wants to know of the first text.
        self._awaits_text = False
        self._forwarded = forwarded
        self._up = self._down = 0
        self.resumptions: Counter[str] = Counter()
        self.is_abandoned = False
        self.outcome = ""

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to come back for."""
        return self._session.ended

    @property
    def attachment(self) -> Attachment:
        """Its client's connection."""
        return self._attachment

    @property
    def seq(self) -> int:
        """The number of the last event that its client was sent, 0 for one that did not opt in to numbers."""
        return self._seq

    @property
    def cursor(self) -> int:
        """The audio that its client has sent, in samples."""
        return self._session.cursor

    def client_rtt_s(self) -> float | None:
        """See `Attachment.round_trip_s`."""
        return self._attachment.round_trip_s()

    @property
    def legs(self) -> Mapping[int, LegConnection]:
        """Its connections to model servers, by number."""
        return self._legs

    def survey(self) -> Survey:
        """How it stands, for an operator."""
        return self._session.survey(self._clock())

    async def run(self) -> None:
        """The session's one task: from its start to its end, however it ends. Nothing is left behind."""
        try:
            await self._ended.wait()
        except asyncio.CancelledError:
            self._fail(ParleyError("shutting-down"))
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in self._opening.values():
                task.cancel()
            await asyncio.gather(*self._opening.values(), *self._closing, return_exceptions=True)
            await self._measuring.finish()

    # ---- who is the client

    def first_port(self) -> ClientPort:
        """The port of the connection that the session began with."""
        return ClientPort(self, self._first_generation, self._start)

    def resume(self, attachment: Attachment, seq: int, generation: int | None = None) -> ClientPort:
        """The port of a connection that showed the session's token; its client has every event up to `seq`.

        `generation` is later for connections that were made later; without it, this is the latest.
        """
        generation = self._generation + 1 if generation is None else generation
        self._generation = max(self._generation, generation)
        self._arriving[generation] = attachment
        return ClientPort(self, generation, partial(self.receive, ev.ResumeRequested(generation, seq)))

    def abandon(self) -> None:
        """Drop the session, in which nothing has happened; its connection goes on without it."""
        self.is_abandoned = True
        self._attachment = Nobody()
        self.receive_client(self._first_generation, ev.ClientClosed())

    def _start(self) -> None:
        now = self._clock()
        effects = self._session.open(now)
        if self.observer is not None:
            self.observer.opened(effects, now)
        self._perform(effects)
        self._set_timer()

    # ---- what comes in

    def receive_audio(self, generation: int, audio: Audio, messages: int = 1) -> None:
        """Hand a client's audio over: the common path does without event and effect."""
        leg, session = self._leg, self._session
        try:
            if leg is not None and not self._busy and session.take_audio(audio, generation, self._clock(), messages):
                leg.send_audio(audio)
                if self._hear is not None:
                    self._hear(audio, session.cursor)
                self._went_up()
                return
        except Exception as error:
            self._broke(error)
        self.receive_client(generation, ev.AudioReceived(audio, messages))
        self._went_up()

    def receive_delta(self, leg_id: int, text: Text) -> None:
        """Hand a delta over, likewise."""
        is_wanted = None
        try:
            if not self._busy:
                is_wanted = self._session.take_delta(leg_id, text, self._clock())
            if is_wanted:
                self._attachment.send_delta(text)
                if self._awaits_text:
                    self._said(text)
            if self._awaits_delta:
                # The common path only moves deadlines later, and a timer that fires early is set anew. But from a
                # turn's first delta on another watchdog watches.
                self._awaits_delta = False
                self._set_timer()
        except Exception as error:
            self._broke(error)
        if is_wanted is None:
            self.receive(ev.DeltaReceived(leg_id, text))
        self._down += 1
        if self._down >= _FORWARDINGS_PER_LOOK:
            self._down = 0
            self._forward("down")

    def _said(self, text: Text) -> None:
        assert self.observer is not None, "it wants to know"
        if not text.is_empty:
            self._awaits_text = False
            self.observer.said(self._clock())

    def _went_up(self) -> None:
        self._up += 1
        if self._up >= _FORWARDINGS_PER_LOOK:
            self._up = 0
            self._forward("up")

    def _forward(self, direction: str) -> None:
        if self._forwarded is not None:
            # The loop's time is that of the turn in which the message came.
            self._forwarded(direction, time.monotonic() - self._clock())

    def delay_s(self, leg_id: int) -> float:
        """See `LegSink.delay_s`."""
        return self._session.delay_s(leg_id, self._clock())

    def waits_s(self, leg_id: int) -> float:
        """How long ago the audio was sent that a leg's model consumes next, in seconds."""
        return self._session.waits_s(leg_id, self._clock())

    def trace_headers(self, leg_id: int) -> Mapping[str, str]:
        """See `LegSink.trace_headers`."""
        return {} if self.observer is None else self.observer.trace_headers(leg_id)

    def receive(self, event: ev.Event) -> None:
        """Hand an event of a leg or of the server to the session and do what it says."""
        if type(event) is ev.LegFailed and event.leg in self._legs:
            self._lost(event)
        if self._busy:
            self._pending.append((0, event))
        else:
            self._hand_over(0, event)

    def receive_client(self, generation: int, event: ev.ClientEvent) -> None:
        """Hand over what the client of this generation did."""
        if self._busy:
            self._pending.append((generation, event))
        else:
            self._hand_over(generation, event)

    def _hand_over(self, generation: int, event: Any) -> None:
        """Have the event handled; what happens meanwhile is handed over right after. Generation 0 is no client."""
        session, pending = self._session, self._pending
        self._busy = True
        try:
            while True:
                now = self._clock()
                effects = session.handle_client(event, generation, now) if generation else session.handle(event, now)
                if self._hear is not None and type(event) is ev.AudioReceived:
                    self._hear(event.audio, session.cursor)
                if self.observer is not None:
                    # Before they are done: the session may end in them.
                    self.observer.handled(event, effects, now)
                    self._awaits_text = self.observer.awaits_text
                self._perform(effects)
                if type(event) is ev.ClientClosed:
                    self._client_closed()
                if session.recovering != self._recovering:
                    self._tell_recovery(session.recovering)
                if not pending:
                    break
                generation, event = pending.popleft()
        except Exception as error:
            self._broke(error)
        finally:
            self._busy = False
        self._set_timer()

    def _perform(self, effects: list[ef.Effect]) -> None:
        for effect in effects:
            _PERFORM[type(effect)](self, effect)

    def _tell_recovery(self, reason: str) -> None:
        if not self._recovering:
            _log.info("session %s is recovering: %s", self.name.session_id, reason)
        elif not reason and not self._session.ended:
            _log.info("session %s has recovered", self.name.session_id)
        self._recovering = reason

    def _client_closed(self) -> None:
        if not self._session.ended and not self._session.is_attached and not isinstance(self._attachment, Nobody):
            self._attachment = Nobody()
            _log.info("session %s is detached, for %g s at most", self.name.session_id, self._resume_window_s)

    # ---- time

    def _set_timer(self) -> None:
        deadline = self._session.next_deadline()
        timer = self._timer
        if timer is not None:
            if deadline is not None and self._timer_at <= deadline:
                return
            timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer_at = deadline
            self._timer = asyncio.get_running_loop().call_at(deadline, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self.receive(ev.TimerFired())

    # ---- what goes out to the legs

    def _send_audio(self, effect: ef.SendAudio) -> None:
        leg = self._legs.get(effect.leg)
        if leg is not None:
            leg.send_audio(effect.audio)

    def _start_turn(self, effect: ef.StartTurn) -> None:
        self._awaits_delta = True
        leg = self._legs.get(effect.leg)
        if leg is not None:
            leg.start_turn()

    def _end_turn(self, effect: ef.EndTurn) -> None:
        leg = self._legs.get(effect.leg)
        if leg is not None:
            leg.end_turn()

    def _open_leg(self, effect: ef.OpenLeg) -> None:
        self._opening[effect.leg] = asyncio.create_task(self._connect(effect))

    async def _connect(self, effect: ef.OpenLeg) -> None:
        leg_id = effect.leg
        try:
            leg = await self._source.open_leg(leg_id, self, effect.purpose)
        except ParleyError as error:
            self._opening.pop(leg_id, None)
            self.receive(ev.LegFailed(leg_id, _without_frames(error)))
            return
        except Exception as error:
            self._opening.pop(leg_id, None)
            self._broke(error)
            return
        if self._opening.pop(leg_id, None) is None or self._session.ended:
            leg.close()
            return
        self._legs[leg_id] = leg
        self._choose_leg()
        if self.observer is not None:
            self.observer.leg_is_on(leg.server_name)
        self.receive(ev.LegOpened(leg_id))

    def _close_leg(self, effect: ef.CloseLeg) -> None:
        task = self._opening.pop(effect.leg, None)
        if task is not None:
            task.cancel()
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        leg = self._legs.pop(effect.leg, None)
        if leg is not None:
            self._choose_leg()
            leg.close()

    def _choose_leg(self) -> None:
        self._leg = next(iter(self._legs.values())) if len(self._legs) == 1 else None

    def _lost(self, event: ev.LegFailed) -> None:
        _log.info("session %s lost leg %d: %s", self.name.session_id, event.leg, event.error.code)

    def _measure(self, effect: ef.MeasureSpeech) -> None:
        self._measuring.begin(effect)

    # ---- what goes out to the client

    def _send_delta(self, effect: ef.SendDelta) -> None:
        self._numbered(effect.seq)
        self._attachment.send_delta(effect.text, effect.seq, effect.item)

    def _send_done(self, effect: ef.SendDone) -> None:
        self._numbered(effect.seq)
        self._attachment.send_done(effect.text, effect.usage, effect.seq, effect.item, effect.text_from)

    def _send_error(self, effect: ef.SendError) -> None:
        self._numbered(effect.seq)
        self._attachment.send_error(effect.error, effect.seq)

    def _send_notice(self, effect: ef.SendNotice) -> None:
        self._numbered(effect.seq)
        self._attachment.send_notice(effect.notice, effect.seq)
        if isinstance(effect.notice, no.Resumed):
            self.resumptions[effect.notice.outcome] += 1
            _log.info("session %s is attached again: %s", self.name.session_id, effect.notice.outcome)

    def _numbered(self, seq: int) -> None:
        # What is sent again is older.
        self._seq = max(self._seq, seq)

    def _issue(self, _effect: ef.IssueToken) -> None:
        self._is_numbered = True
        self._attachment.send_token(self._issue_token(self), self._resume_window_s, self._keeping.retention)

    def _attach(self, effect: ef.Attach) -> None:
        self._attachment = self._arriving.pop(effect.generation)

    def _close_attachment(self, effect: ef.CloseAttachment) -> None:
        attachment = self._arriving.pop(effect.generation, None)
        if attachment is None:
            attachment, self._attachment = self._attachment, Nobody()
        else:
            _log.info("session %s is not resumed: %s", self.name.session_id, effect.error.code)
        attachment.end(effect.error)

    def _pause_input(self, _effect: ef.PauseInput) -> None:
        self._attachment.pause_input()

    def _resume_input(self, _effect: ef.ResumeInput) -> None:
        self._attachment.resume_input()

    # ---- another server

    def state(self) -> tuple[SessionState, float]:
        """The session as data, and for how many seconds its client may come back for it."""
        now = self._clock()
        return self._session.state(now), self._session.window_s(now)

    def _store_state(self, _effect: ef.StoreState) -> None:
        if self._leave is None:
            self.receive(ev.StateRefused(ParleyError("store-unavailable", "There is none.")))
        else:
            self._leave(self)

    def _leave_session(self, _effect: ef.LeaveSession) -> None:
        self._finish(ParleyError("moved"), 0)

    # ---- what is kept

    def _retain(self, effect: ef.Retain) -> None:
        self._keeping.retain(effect, self._session.cursor)
        self._hear = self._keeping.hear

    def _keep_turn(self, effect: ef.KeepTurn) -> None:
        self._keeping.keep(effect)

    # ---- the end

    def _end_session(self, effect: ef.EndSession) -> None:
        self._finish(effect.error, effect.seq)

    def _broke(self, error: Exception) -> None:
        """A bug of ours: this session ends and says so, the others go on."""
        _log.error("session %s failed: %s", self.name.session_id, type(error).__name__, exc_info=error)
        self._fail(ParleyError("internal-error"))

    def _fail(self, error: ParleyError) -> None:
        if self._ended.is_set():
            return
        self._session.ended = True
        legs, self._legs, self._leg = self._legs, {}, None
        for leg in legs.values():
            # The session may have failed just there; it ends nevertheless.
            with contextlib.suppress(Exception):
                leg.close()
        self._finish(error, self._seq + 1 if self._is_numbered else 0)

    def _finish(self, error: ParleyError | None, seq: int) -> None:
        self.outcome = error.code if error is not None else "client-ended" if seq else "client-closed"
        if error is not None:
            _without_frames(error)
        attachment, self._attachment = self._attachment, Nobody()
        arriving, self._arriving = self._arriving, {}
        self._hear = None
        self._keeping.finish(self.outcome)
        if self.observer is not None:
            fault = error.spec.fault if error is not None else ""
            self.observer.ended("abandoned" if self.is_abandoned else self.outcome, fault, self._clock())
        try:
            attachment.end(error, seq)
            for late in arriving.values():
                late.end(ParleyError("moved" if self.outcome == "moved" else "expired"))
        finally:
            self._ended.set()


def _without_frames(error: ParleyError) -> ParleyError:
    """The error without what it was raised in: frames hold the session and what was said in it, and the session keeps
    the error, so that none of them would be let go before the garbage collector comes by."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


_PERFORM: dict[type, Callable[[SessionRunner, Any], None]] = {
    ef.SendAudio: SessionRunner._send_audio,
    ef.SendDelta: SessionRunner._send_delta,
    ef.SendDone: SessionRunner._send_done,
    ef.SendError: SessionRunner._send_error,
    ef.SendNotice: SessionRunner._send_notice,
    ef.IssueToken: SessionRunner._issue,
    ef.Attach: SessionRunner._attach,
    ef.CloseAttachment: SessionRunner._close_attachment,
    ef.PauseInput: SessionRunner._pause_input,
    ef.ResumeInput: SessionRunner._resume_input,
    ef.StartTurn: SessionRunner._start_turn,
    ef.EndTurn: SessionRunner._end_turn,
    ef.OpenLeg: SessionRunner._open_leg,
    ef.CloseLeg: SessionRunner._close_leg,
    ef.MeasureSpeech: SessionRunner._measure,
    ef.StoreState: SessionRunner._store_state,
    ef.LeaveSession: SessionRunner._leave_session,
    ef.Retain: SessionRunner._retain,
    ef.KeepTurn: SessionRunner._keep_turn,
    ef.EndSession: SessionRunner._end_session,
}
