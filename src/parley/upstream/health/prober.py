"""When a model server is probed with a turn: at an interval, where one is set, and whenever its breaker asks for it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from parley.core.errors import ParleyError
from parley.core.profile import ModelProfile
from parley.upstream.health.probe_turn import ProbeTurns, Speech
from parley.upstream.leg import LegConnection, LegSink

_log = logging.getLogger("parley.upstream")

_AGAIN_S = 1.0
"""Time until a probe that found no room tries again."""


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """What is said in probe turns, how long a turn may take, and the time between two of them; 0.0: only when a member
    asks. `profile` says what the deltas of a model of this name mean."""

    speech: Speech
    profile: Callable[[str], ModelProfile]
    timeout_s: float = 10.0
    interval_s: float = 0.0


class Probed(Protocol):
    """A member of a pool, as its prober needs to know it."""

    @property
    def place(self) -> str:
        """Where it is, for the log."""

    @property
    def model(self) -> str:
        """The name that a leg on it is opened with."""

    def probe_due_in_s(self) -> float | None:
        """How long until it wants to be probed, 0.0 for now; None where it does not."""

    def begin_probe(self) -> bool:
        """Give the probe a stream; False where there is none, or the server is not there. One of the two calls below
        follows if there is."""

    def probe_ended(self, error: ParleyError | None) -> None:
        """The probe showed that the server works, or what is the matter with it. Its stream is free."""

    def probe_abandoned(self) -> None:
        """The probe was given up and showed nothing. Its stream is free."""

    async def open_probe(self, sink: LegSink) -> LegConnection:
        """Open the probe's leg; see `Upstream.open_leg`."""


class Prober:
    """Probes one member. `wake` when the member's wish may have changed."""

    def __init__(self, member: Probed, options: ProbeOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._member = member
        self._options = options
        self._clock = clock
        self._turns = ProbeTurns(options.speech, timeout_s=options.timeout_s)
        self._wake = asyncio.Event()
        self._has_failed = False
        self._next_at = 0.0

    def wake(self) -> None:
        """Ask the member anew how long it is until a probe is due."""
        self._wake.set()

    async def run(self) -> None:
        """Probe until cancelled."""
        self._next_at = self._clock() + self._options.interval_s
        while True:
            await self._until_due()
            if self._member.begin_probe():
                await self._probe()
                self._next_at = self._clock() + self._options.interval_s
            else:
                self._next_at = max(self._next_at, self._clock() + _AGAIN_S)
                await self._pause(_AGAIN_S)

    async def _until_due(self) -> None:
        while (due_in_s := self._due_in_s()) is None or due_in_s > 0:
            await self._pause(due_in_s)

    def _due_in_s(self) -> float | None:
        asked_s = self._member.probe_due_in_s()
        routine_s = self._next_at - self._clock() if self._options.interval_s else None
        known = [due_s for due_s in (asked_s, routine_s) if due_s is not None]
        return min(known, default=None)

    async def _pause(self, timeout_s: float | None) -> None:
        self._wake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()

    async def _probe(self) -> None:
        member = self._member
        try:
            await self._turns.take(member.open_probe, self._options.profile(member.model))
        except ParleyError as error:
            self._report(error)
            member.probe_ended(error)
        except BaseException:
            member.probe_abandoned()
            raise
        else:
            self._report(None)
            member.probe_ended(None)

    def _report(self, error: ParleyError | None) -> None:
        """Tell the log where it changes."""
        has_failed = error is not None
        if has_failed == self._has_failed:
            return
        self._has_failed = has_failed
        if error is not None:
            _log.warning("a probe turn failed: %s: %s At %s", error.code, error.detail, self._member.place)
        else:
            _log.info("a probe turn succeeded: %s", self._member.place)
