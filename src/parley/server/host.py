"""All live sessions of this node: who may begin one or take one up again, and how they end."""

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from parley.core import events as ev
from parley.core.admission import Admission
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.profile import ModelProfile
from parley.core.session import Session
from parley.ingress.attachment import Attachment, SessionName
from parley.server.registry import ResumeRegistry
from parley.server.runner import ClientPort, SessionRunner
from parley.upstream.health import Readiness
from parley.upstream.leg import Upstream

_log = logging.getLogger("parley.session")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What sessions take from outside: randomness, the model's properties, and the measuring of speech.

    `random` gives so many random bytes, `jitter` a number in [0, 1). `profile` is that of a model's name; `context_s`
    the longest turn that the model takes, 0 when that is not known. `measure_speech` counts the samples of speech in
    PCM16 LE at 16 kHz.
    """

    random: Callable[[int], bytes]
    jitter: Callable[[], float]
    profile: Callable[[str], ModelProfile]
    context_s: Callable[[], float]
    measure_speech: Callable[[bytes], int]


class Host:
    """Begins sessions, keeps count of them, and ends them on a drain."""

    def __init__(
        self,
        *,
        limits: SessionLimits,
        admission: Admission,
        upstream: Upstream,
        health: Readiness,
        model: str,
        retry_after_s: float,
        sources: Sources,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._limits = limits
        self._admission = admission
        self._upstream = upstream
        self._health = health
        self._model = model
        self._retry_after_s = retry_after_s
        self._sources = sources
        self._tasks = tasks
        self._clock = asyncio.get_running_loop().time
        self._registry = ResumeRegistry[SessionRunner](
            random=sources.random, clock=self._clock, window_s=limits.resume_window_s
        )
        # In the order in which their legs are to be replaced: the oldest first.
        self._runners: dict[SessionRunner, None] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._draining = False
        self._arrivals = 0

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
    def resume_window_s(self) -> float:
        """See `SessionHost.resume_window_s`."""
        return self._limits.resume_window_s

    def check(self) -> None:
        """See `SessionHost.check`."""
        if self._draining:
            raise ParleyError("shutting-down", retry_after_s=self._retry_after_s)
        if not self._health.ready:
            raise ParleyError("upstream-unavailable", retry_after_s=self._retry_after_s)
        self._admission.check()

    def next_arrival(self) -> int:
        """See `SessionHost.next_arrival`."""
        self._arrivals += 1
        return self._arrivals

    def new_name(self) -> SessionName:
        """See `SessionHost.new_name`."""
        return SessionName(f"sess-{uuid.uuid4().hex}", int(time.time()))

    def open(
        self,
        attachment: Attachment,
        *,
        principal: str = "",
        name: SessionName | None = None,
        arrival: int = 1,
        forward_empty_deltas: bool | None = None,
    ) -> ClientPort:
        """See `SessionHost.open`."""
        self.check()
        self._admission.admit()
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
        )
        runner = SessionRunner(
            session,
            attachment,
            self._upstream,
            name=name or self.new_name(),
            clock=self._clock,
            issue_token=lambda runner: self._registry.issue(runner, principal),
            measure_speech=sources.measure_speech,
            resume_window_s=limits.resume_window_s,
            generation=arrival,
        )
        self._runners[runner] = None
        self._empty.clear()
        self._tasks.create_task(self._run(runner))
        return runner.first_port()

    def resume(
        self, attachment: Attachment, token: str, seq: int, principal: str, *, arrival: int | None = None
    ) -> ClientPort:
        """See `SessionHost.resume`."""
        runner = self._registry.claim(token, principal)
        if runner.ended:
            raise ParleyError("expired", _cause(runner.outcome))
        return runner.resume(attachment, seq, arrival)

    async def _run(self, runner: SessionRunner) -> None:
        began = self._clock()
        session_id = runner.name.session_id
        _log.debug("session %s began", session_id)
        try:
            await runner.run()
        finally:
            self._registry.retire(runner, _cause(runner.outcome))
            self._admission.release()
            self._runners.pop(runner, None)
            if not self._runners:
                self._empty.set()
            if runner.is_abandoned:
                _log.debug("session %s was not needed", session_id)
            else:
                _log.info("session %s ended: %s, %.1f s", session_id, runner.outcome, self._clock() - began)

    def relieve(self) -> None:
        """Have a quarter of the sessions, the oldest, replace their legs: the model server's memory grows with them."""
        for runner in list(self._runners)[: math.ceil(len(self._runners) / 4)]:
            self._runners[runner] = self._runners.pop(runner)
            runner.receive(ev.RotationAsked())

    async def drain(self, timeout_s: float) -> None:
        """Refuse new sessions, let turns in flight finish for `timeout_s`, then end what is left, saying so."""
        self._draining = True
        deadline = self._clock() + timeout_s
        if self._runners:
            _log.info("draining %d sessions, at most %.0f s", len(self._runners), timeout_s)
        for runner in list(self._runners):
            runner.receive(ev.DrainStarted(deadline))
        # The sessions end themselves at the deadline; a second more for their last writes.
        try:
            async with asyncio.timeout(timeout_s + 1.0):
                await self._empty.wait()
        except TimeoutError:
            _log.warning("%d sessions did not end in time", len(self._runners))

    def hurry(self) -> None:
        """End all sessions now."""
        for runner in list(self._runners):
            runner.receive(ev.DrainStarted(self._clock()))


def _cause(outcome: str) -> str:
    return "" if outcome in ("", "expired") else f"The cause was {outcome}."
