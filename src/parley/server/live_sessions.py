"""All live sessions of this node, whichever of its hosts began them: tokens, arrivals, and their end on a drain."""

import asyncio
import logging
from collections.abc import Callable

from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.server.registry import ResumeRegistry
from parley.server.runner import SessionRunner

_log = logging.getLogger("parley.session")


class LiveSessions:
    """What the hosts of a node share, so that a session begun at one is taken up again at any, and all drain together.

    `random` gives so many random bytes, for tokens; `window_s` is how long a session that has ended is remembered.
    Arrivals are counted for all hosts: which connection of a session is the latest must not depend on where it came.
    """

    def __init__(
        self,
        *,
        random: Callable[[int], bytes],
        window_s: float,
        retry_after_s: float,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.clock = asyncio.get_running_loop().time
        self.retry_after_s = retry_after_s
        self._registry = ResumeRegistry[SessionRunner](random=random, clock=self.clock, window_s=window_s)
        self._tasks = tasks
        self._runners: dict[SessionRunner, None] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._is_draining = False
        self._arrivals = 0

    def check(self) -> None:
        """Whether sessions may begin at all.

        Raises:
            ParleyError: shutting-down.
        """
        if self._is_draining:
            raise ParleyError("shutting-down", retry_after_s=self.retry_after_s)

    def next_arrival(self) -> int:
        """See `SessionHost.next_arrival`."""
        self._arrivals += 1
        return self._arrivals

    def issue(self, runner: SessionRunner, principal: str) -> str:
        """A resume token for a session; see `ResumeRegistry.issue`."""
        return self._registry.issue(runner, principal)

    def claim(self, token: str, principal: str) -> SessionRunner:
        """The session of a token.

        Raises:
            ParleyError: unknown-session, wrong-principal or expired.
        """
        runner = self._registry.claim(token, principal)
        if runner.ended:
            raise ParleyError("expired", _cause(runner.outcome))
        return runner

    def begin(self, runner: SessionRunner, on_end: Callable[[], None]) -> None:
        """Run a session in a task of its own; `on_end` is called when it has ended."""
        self._runners[runner] = None
        self._empty.clear()
        self._tasks.create_task(self._run(runner, on_end))

    async def _run(self, runner: SessionRunner, on_end: Callable[[], None]) -> None:
        began = self.clock()
        session_id = runner.name.session_id
        _log.debug("session %s began", session_id)
        try:
            await runner.run()
        finally:
            self._registry.retire(runner, _cause(runner.outcome))
            on_end()
            self._runners.pop(runner, None)
            if not self._runners:
                self._empty.set()
            if runner.is_abandoned:
                _log.debug("session %s was not needed", session_id)
            else:
                _log.info("session %s ended: %s, %.1f s", session_id, runner.outcome, self.clock() - began)

    def refuse(self) -> None:
        """Begin no further session; those that live go on."""
        self._is_draining = True

    async def drain(self, timeout_s: float) -> None:
        """Refuse new sessions, let turns in flight finish for `timeout_s`, then end what is left, saying so."""
        self.refuse()
        deadline = self.clock() + timeout_s
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
            runner.receive(ev.DrainStarted(self.clock()))


def _cause(outcome: str) -> str:
    return "" if outcome in ("", "expired") else f"The cause was {outcome}."
