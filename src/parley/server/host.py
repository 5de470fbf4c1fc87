"""Sessions on one upstream: who may begin one there or take one up again."""

import math
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from parley.access.action import Target
from parley.access.caller import NOBODY, Caller
from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.profile import ModelProfile
from parley.core.session import Session
from parley.core.snapshot import StateError, StoredSession
from parley.ingress.attachment import Attachment, OnFetched, Provenance, SessionName
from parley.observe.marks import Subject
from parley.observe.session_observer import SessionObserver
from parley.server.admission_desk import AdmissionDesk, Seat, StreamPool
from parley.server.client_port import ClientPort
from parley.server.endpoints import DEFAULT_ENDPOINT, OWN_POOL
from parley.server.live_sessions import LiveSessions
from parley.server.nobody import Nobody
from parley.server.runner import SessionRunner
from parley.server.shown_tenant import shown_tenant
from parley.upstream.health.health import Readiness


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What sessions take from outside: chance, the model's properties, and the measuring of speech.

    `jitter` gives a number in [0, 1). `profile` is that of a model's name; `context_s` the longest turn that the model
    takes, 0 when that is not known. `measure_speech` counts the samples of speech in PCM16 LE at 16 kHz.
    """

    jitter: Callable[[], float]
    profile: Callable[[str], ModelProfile]
    context_s: Callable[[], float]
    measure_speech: Callable[[bytes], int]


class Host:
    """Begins sessions on one upstream, and keeps count of them. What it shares with the node's others is in `live`."""

    def __init__(
        self,
        *,
        limits: SessionLimits,
        live: LiveSessions,
        desk: AdmissionDesk,
        upstream: StreamPool,
        health: Readiness,
        model: str,
        sources: Sources,
        gathers: bool = True,
        pool: str = OWN_POOL,
    ) -> None:
        self._pool = pool
        self._gathers = gathers
        self._limits = limits
        self._live = live
        self._desk = desk
        self._upstream = upstream
        self._health = health
        self._model = model
        self._sources = sources
        # In the order in which their legs are to be replaced: the oldest first.
        self._runners: dict[SessionRunner, Seat] = {}

    @property
    def models(self) -> tuple[str, ...]:
        """The names that a client may ask for: those that the model server lists, and the one configured."""
        listed = self._health.models
        return listed if not self._model or self._model in listed else (self._model, *listed)

    @property
    def model(self) -> str:
        """The name that legs are opened with."""
        return self._model or next(iter(self._health.models), "")

    @property
    def seats(self) -> Mapping[SessionRunner, Seat]:
        """Its sessions, with the place that each has on the node."""
        return self._runners

    @property
    def resume_window_s(self) -> float:
        """See `SessionHost.resume_window_s`."""
        return self._limits.resume_window_s

    def check(self, caller: Caller | None = None, endpoint: str = "") -> None:
        """See `SessionHost.check`."""
        if caller is not None:
            self._allow_start(caller, endpoint)
        try:
            self._check_up()
            self._desk.check(self._upstream, self.model, caller)
        except ParleyError as error:
            if caller is not None:
                self._live.refused[error.code] += 1
            raise

    def _allow_start(self, caller: Caller, endpoint: str) -> None:
        self._live.gate.allow(caller, "start", Target(caller.tenant_name, endpoint or DEFAULT_ENDPOINT, self.model))
        self._live.gate.audit.check()
        self._live.quotas.check(caller.tenant_name)

    def _check_up(self) -> None:
        self._live.check()
        if not self._health.ready:
            raise ParleyError("upstream-unavailable", retry_after_s=self._live.retry_after_s)

    def check_ready(self) -> None:
        """See `SessionHost.check_ready`."""
        self._live.check_ready()
        self.check()

    def next_arrival(self) -> int:
        """See `SessionHost.next_arrival`."""
        return self._live.next_arrival()

    def new_name(self) -> SessionName:
        """See `SessionHost.new_name`."""
        return SessionName(f"sess-{uuid.uuid4().hex}", int(time.time()))

    def open(
        self,
        attachment: Attachment,
        *,
        caller: Caller = NOBODY,
        endpoint: str = "",
        name: SessionName | None = None,
        arrival: int = 1,
        forward_empty_deltas: bool | None = None,
        provenance: Provenance | None = None,
    ) -> ClientPort:
        """See `SessionHost.open`."""
        self._allow_start(caller, endpoint)
        try:
            self._live.quotas.connect(caller.tenant_name)
            self._check_up()
            seat = self._desk.enter(self._upstream, self.model, caller)
        except ParleyError as error:
            self._live.refused[error.code] += 1
            raise
        sources, limits = self._sources, self._limits
        if forward_empty_deltas is not None:
            limits = replace(limits, forward_empty_deltas=forward_empty_deltas)
        session = Session(
            limits,
            self.models,
            sources.profile(self.model),
            jitter=sources.jitter(),
            context_s=sources.context_s(),
            generation=arrival,
            terms=self._live.terms(caller),
        )
        name = name or self.new_name()
        runner = SessionRunner(
            session,
            attachment,
            seat,
            name=name,
            clock=self._live.clock,
            issue_token=lambda runner: self._live.issue(runner, caller.principal),
            measure_speech=sources.measure_speech,
            resume_window_s=limits.resume_window_s,
            generation=arrival,
            gathers=session.frame_rest_samples if self._gathers else None,
            leave=self._leave if self._live.can_move else None,
            record=self._live.record(name, caller),
            observer=self._watch(session, name, caller, seat, endpoint, provenance),
            forwarded=self._live.forwarded,
        )
        self._begin(runner, seat, caller)
        return runner.first_port()

    def _watch(
        self,
        session: Session,
        name: SessionName,
        caller: Caller,
        seat: Seat,
        endpoint: str = "",
        provenance: Provenance | None = None,
    ) -> SessionObserver | None:
        observing = self._live.observing
        if observing is None:
            return None
        subject = Subject(
            session_id=name.session_id,
            began_s=time.time(),
            pool=self._pool,
            endpoint=endpoint,
            model=seat.place.model,
            tenant=shown_tenant(seat.place.tenant.name),
            transport="" if provenance is None else provenance.transport,
            traceparent="" if provenance is None else provenance.traceparent,
            tracestate="" if provenance is None else provenance.tracestate,
        )
        return observing.watch(session, subject, provenance, tenant=caller.tenant_name)

    def _begin(self, runner: SessionRunner, seat: Seat, caller: Caller) -> None:
        self._runners[runner] = seat
        self._live.begin(runner, lambda: self._ended(runner, seat), caller)

    def resume(
        self, attachment: Attachment, token: str, seq: int, caller: Caller, *, arrival: int | None = None
    ) -> ClientPort:
        """See `SessionHost.resume`. The session may be another host's: it goes on with the upstream it has."""
        return self._live.claim(token, caller).resume(attachment, seq, arrival)

    def fetch(self, token: str, caller: Caller, on_done: OnFetched) -> bool:
        """See `SessionHost.fetch`."""
        return self._live.fetch(token, caller, on_done)

    def _leave(self, runner: SessionRunner) -> None:
        """Have a session's state stored, for another node to go on with it."""
        model = self.model
        self._live.leave(runner, model, self._sources.profile(model).frame_samples)

    def adopt(self, stored: StoredSession, caller: Caller) -> SessionRunner:
        """Go on with a session that another node left; its runner has not been started, and nobody is attached.

        Raises:
            ParleyError: shutting-down, at-capacity or too-many-sessions; state-unreadable, when no session can go on
                from it; upstream-unavailable, when its text has another clock than the model here.
        """
        self._live.check()
        sources, state = self._sources, stored.state
        profile = sources.profile(self.model)
        if profile.frame_samples != stored.frame_samples:
            raise ParleyError("upstream-unavailable", "The model here has another clock than the session's.")
        try:
            session = Session.restored(
                state,
                self._limits,
                self.models,
                profile,
                self._live.clock(),
                jitter=sources.jitter(),
                context_s=sources.context_s(),
                terms=self._live.terms(caller),
            )
        except StateError as error:
            raise ParleyError("state-unreadable", f"No session can go on from it: {error}.") from None
        seat = self._desk.enter(self._upstream, self.model, caller, returns=True)
        name = SessionName(stored.session_id, stored.created_s)
        runner = SessionRunner(
            session,
            Nobody(),
            seat,
            name=name,
            clock=self._live.clock,
            issue_token=lambda runner: self._live.issue(runner, stored.principal),
            measure_speech=sources.measure_speech,
            resume_window_s=self._limits.resume_window_s,
            generation=0,
            gathers=session.frame_rest_samples if self._gathers else None,
            leave=self._leave,
            told=state.acknowledged + len(state.sent),
            record=self._live.record(name, caller),
            observer=self._watch(session, name, caller, seat),
            forwarded=self._live.forwarded,
        )
        self._begin(runner, seat, caller)
        return runner

    def _ended(self, runner: SessionRunner, seat: Seat) -> None:
        seat.leave()
        self._runners.pop(runner, None)

    def relieve(self) -> None:
        """Have a quarter of the sessions, the oldest, replace their legs: the model server's memory grows with them."""
        for runner in list(self._runners)[: math.ceil(len(self._runners) / 4)]:
            self._runners[runner] = self._runners.pop(runner)
            runner.receive(ev.RotationAsked())
