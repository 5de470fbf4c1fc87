"""Sessions on one upstream: who may begin one there or take one up again."""

import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from parley.core import events as ev
from parley.core.effects import LegPurpose
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.profile import ModelProfile
from parley.core.session import Session
from parley.ingress.attachment import Attachment, SessionName
from parley.server.live_sessions import LiveSessions
from parley.server.places import Places
from parley.server.runner import ClientPort, SessionRunner
from parley.upstream.health import Readiness
from parley.upstream.leg import LegConnection, LegSink, Upstream


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


class PoolLegs:
    """A pool as the source of a session's legs: nobody waits."""

    def __init__(self, pool: Upstream) -> None:
        self._pool = pool

    async def open_leg(self, leg_id: int, sink: LegSink, _purpose: LegPurpose) -> LegConnection:
        """See `LegSource.open_leg`."""
        return await self._pool.open_leg(leg_id, sink)


class Host:
    """Begins sessions on one upstream, and keeps count of them. What it shares with the node's others is in `live`."""

    def __init__(
        self,
        *,
        limits: SessionLimits,
        live: LiveSessions,
        places: Places,
        upstream: Upstream,
        health: Readiness,
        model: str,
        sources: Sources,
    ) -> None:
        self._limits = limits
        self._live = live
        self._places = places
        self._upstream = upstream
        self._health = health
        self._model = model
        self._sources = sources
        # In the order in which their legs are to be replaced: the oldest first.
        self._runners: dict[SessionRunner, None] = {}

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
        self._live.check()
        if not self._health.ready:
            raise ParleyError("upstream-unavailable", retry_after_s=self._live.retry_after_s)
        self._places.check()

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
        principal: str = "",
        name: SessionName | None = None,
        arrival: int = 1,
        forward_empty_deltas: bool | None = None,
    ) -> ClientPort:
        """See `SessionHost.open`."""
        self.check()
        self._places.admit()
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
            PoolLegs(self._upstream),
            name=name or self.new_name(),
            clock=self._live.clock,
            issue_token=lambda runner: self._live.issue(runner, principal),
            measure_speech=sources.measure_speech,
            resume_window_s=limits.resume_window_s,
            generation=arrival,
        )
        self._runners[runner] = None
        self._live.begin(runner, lambda: self._ended(runner))
        return runner.first_port()

    def resume(
        self, attachment: Attachment, token: str, seq: int, principal: str, *, arrival: int | None = None
    ) -> ClientPort:
        """See `SessionHost.resume`. The session may be another host's: it goes on with the upstream it has."""
        return self._live.claim(token, principal).resume(attachment, seq, arrival)

    def _ended(self, runner: SessionRunner) -> None:
        self._places.release()
        self._runners.pop(runner, None)

    def relieve(self) -> None:
        """Have a quarter of the sessions, the oldest, replace their legs: the model server's memory grows with them."""
        for runner in list(self._runners)[: math.ceil(len(self._runners) / 4)]:
            self._runners[runner] = self._runners.pop(runner)
            runner.receive(ev.RotationAsked())
