"""The runner of one session: hands it events, does what it says, and keeps its one timer.

Only this file mutates a `Session`. On the common path, audio in and text out, everything happens inside the read
callback of the connection that brought the event: no queue, no task switch.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from parley.core import effects as ef
from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.session import Session
from parley.ingress.attachment import Attachment
from parley.upstream.leg import LegConnection, Upstream

_log = logging.getLogger("parley.session")


class SessionRunner:
    """One live session: the core's state machine between a client's attachment and a leg."""

    def __init__(
        self,
        session: Session,
        attachment: Attachment,
        upstream: Upstream,
        *,
        session_id: str,
        created_s: int,
        clock: Callable[[], float],
    ) -> None:
        self.session_id = session_id
        self.created_s = created_s
        self._session = session
        self._attachment = attachment
        self._upstream = upstream
        self._clock = clock
        self._leg: LegConnection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pending: deque[ev.Event] = deque()
        self._busy = False
        self._awaits_delta = False
        self._ended = asyncio.Event()
        self.outcome = ""

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
            if self._opening is not None:
                self._opening.cancel()
                await asyncio.gather(self._opening, return_exceptions=True)

    # ---- what comes in

    def start(self) -> None:
        """Begin the session's work."""
        self._perform(self._session.open(self._clock()))
        self._set_timer()

    def receive_audio(self, audio: Audio) -> None:
        """Hand audio over: the common path does without event and effect."""
        leg = self._leg
        try:
            if leg is not None and not self._busy and self._session.take_audio(audio, self._clock()):
                leg.send_audio(audio)
                return
        except Exception as error:
            self._broke(error)
        self.receive(ev.AudioReceived(audio))

    def receive_delta(self, leg_id: int, text: Text) -> None:
        """Hand a delta over, likewise."""
        is_wanted = None
        try:
            if not self._busy:
                is_wanted = self._session.take_delta(leg_id, text, self._clock())
            if is_wanted:
                self._attachment.send_delta(text)
            if self._awaits_delta:
                # The common path only moves deadlines later, and a timer that fires early is set anew. But from a
                # turn's first delta on another watchdog watches.
                self._awaits_delta = False
                self._set_timer()
        except Exception as error:
            self._broke(error)
        if is_wanted is None:
            self.receive(ev.DeltaReceived(leg_id, text))

    def receive(self, event: ev.Event) -> None:
        """Hand an event to the session and do what it says. What happens meanwhile is handed over right after."""
        if self._busy:
            self._pending.append(event)
            return
        self._busy = True
        try:
            self._perform(self._session.handle(event, self._clock()))
            while self._pending:
                self._perform(self._session.handle(self._pending.popleft(), self._clock()))
        except Exception as error:
            self._broke(error)
        finally:
            self._busy = False
        self._set_timer()

    def _perform(self, effects: list[ef.Effect]) -> None:
        for effect in effects:
            _PERFORM[type(effect)](self, effect)

    # ---- time

    def _set_timer(self) -> None:
        deadline = self._session.next_deadline()
        timer = self._timer
        if timer is not None:
            if deadline is not None and timer.when() <= deadline:
                return
            timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self.receive(ev.TimerFired())

    # ---- what goes out

    def _send_audio(self, effect: ef.SendAudio) -> None:
        if self._leg is not None:
            self._leg.send_audio(effect.audio)

    def _send_delta(self, effect: ef.SendDelta) -> None:
        self._attachment.send_delta(effect.text)

    def _start_turn(self, _effect: ef.StartTurn) -> None:
        self._awaits_delta = True
        if self._leg is not None:
            self._leg.start_turn()

    def _end_turn(self, _effect: ef.EndTurn) -> None:
        if self._leg is not None:
            self._leg.end_turn()

    def _open_leg(self, effect: ef.OpenLeg) -> None:
        self._opening = asyncio.create_task(self._connect(effect.leg))

    async def _connect(self, leg_id: int) -> None:
        try:
            leg = await self._upstream.open_leg(leg_id, self)
        except ParleyError as error:
            self.receive(ev.LegFailed(leg_id, error))
            return
        except Exception as error:
            self._broke(error)
            return
        if self._session.ended:
            leg.close()
            return
        self._leg = leg
        self.receive(ev.LegOpened(leg_id))

    def _close_leg(self, _effect: ef.CloseLeg) -> None:
        if self._leg is not None:
            self._leg.close()
            self._leg = None

    def _end_session(self, effect: ef.EndSession) -> None:
        self._finish(effect.error)

    def _broke(self, error: Exception) -> None:
        """A bug of ours: this session ends and says so, the others go on."""
        _log.error("session %s failed: %s", self.session_id, type(error).__name__, exc_info=error)
        self._fail(ParleyError("internal-error"))

    def _fail(self, error: ParleyError) -> None:
        if self._ended.is_set():
            return
        self._session.ended = True
        leg, self._leg = self._leg, None
        # The session may have failed just there; it ends nevertheless.
        with contextlib.suppress(Exception):
            if leg is not None:
                leg.close()
        self._finish(error)

    def _finish(self, error: ParleyError | None) -> None:
        self.outcome = error.code if error is not None else "client-closed"
        try:
            self._attachment.end(error)
        finally:
            self._ended.set()

    def _send_done(self, effect: ef.SendDone) -> None:
        self._attachment.send_done(effect.text, effect.usage)

    def _send_error(self, effect: ef.SendError) -> None:
        self._attachment.send_error(effect.error)

    def _pause_input(self, _effect: ef.PauseInput) -> None:
        self._attachment.pause_input()

    def _resume_input(self, _effect: ef.ResumeInput) -> None:
        self._attachment.resume_input()


_PERFORM: dict[type, Callable[[SessionRunner, Any], None]] = {
    ef.SendAudio: SessionRunner._send_audio,
    ef.SendDelta: SessionRunner._send_delta,
    ef.SendDone: SessionRunner._send_done,
    ef.SendError: SessionRunner._send_error,
    ef.PauseInput: SessionRunner._pause_input,
    ef.ResumeInput: SessionRunner._resume_input,
    ef.StartTurn: SessionRunner._start_turn,
    ef.EndTurn: SessionRunner._end_turn,
    ef.OpenLeg: SessionRunner._open_leg,
    ef.CloseLeg: SessionRunner._close_leg,
    ef.EndSession: SessionRunner._end_session,
}
