"""All live sessions of this node: who may begin one, and how they end."""

import asyncio
import logging
import time
import uuid
from dataclasses import replace

from parley.core import events as ev
from parley.core.admission import Admission
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.session import Session
from parley.ingress.attachment import Attachment
from parley.server.runner import SessionRunner
from parley.upstream.health import UpstreamHealth
from parley.upstream.leg import Upstream

_log = logging.getLogger("parley.session")


class Host:
    """Begins sessions, keeps count of them, and ends them on a drain."""

    def __init__(
        self,
        *,
        limits: SessionLimits,
        admission: Admission,
        upstream: Upstream,
        health: UpstreamHealth,
        model: str,
        retry_after_s: float,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._limits = limits
        self._admission = admission
        self._upstream = upstream
        self._health = health
        self._model = model
        self._retry_after_s = retry_after_s
        self._tasks = tasks
        self._clock = asyncio.get_running_loop().time
        self._runners: set[SessionRunner] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._draining = False

    @property
    def models(self) -> tuple[str, ...]:
        """The names that a client may ask for: those that the model server lists, and the one configured."""
        listed = self._health.models
        return listed if not self._model or self._model in listed else (self._model, *listed)

    @property
    def model(self) -> str:
        """The name that legs are opened with."""
        return self._model or next(iter(self._health.models), "")

    def check(self) -> None:
        """See `SessionHost.check`."""
        if self._draining:
            raise ParleyError("shutting-down", retry_after_s=self._retry_after_s)
        if not self._health.ready:
            raise ParleyError("upstream-unavailable", retry_after_s=self._retry_after_s)
        self._admission.check()

    def open(self, attachment: Attachment, *, forward_empty_deltas: bool | None = None) -> SessionRunner:
        """See `SessionHost.open`."""
        self.check()
        self._admission.admit()
        limits = self._limits
        if forward_empty_deltas is not None:
            limits = replace(limits, forward_empty_deltas=forward_empty_deltas)
        runner = SessionRunner(
            Session(limits, self.models),
            attachment,
            self._upstream,
            session_id=f"sess-{uuid.uuid4().hex}",
            created_s=int(time.time()),
            clock=self._clock,
        )
        self._runners.add(runner)
        self._empty.clear()
        self._tasks.create_task(self._run(runner))
        return runner

    async def _run(self, runner: SessionRunner) -> None:
        began = self._clock()
        _log.debug("session %s began", runner.session_id)
        try:
            await runner.run()
        finally:
            self._admission.release()
            self._runners.discard(runner)
            if not self._runners:
                self._empty.set()
            _log.info("session %s ended: %s, %.1f s", runner.session_id, runner.outcome, self._clock() - began)

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
