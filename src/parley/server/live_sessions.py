"""All live sessions of this node, whichever of its hosts began them: tokens, arrivals, and who may come."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from parley.access.action import Target
from parley.access.caller import NOBODY, Caller
from parley.access.gate import Gate
from parley.core.errors import ParleyError
from parley.core.retention import RetentionTerms
from parley.ingress.attachment import OnFetched, SessionName
from parley.server.quotas import MeteredSession, Quotas
from parley.server.recording import Record
from parley.server.registry import ResumeRegistry
from parley.server.runner import Forwarded, SessionRunner

if TYPE_CHECKING:
    from parley.server.handover import Handover
    from parley.server.keeper import Keeper
    from parley.server.observing import Observing

_log = logging.getLogger("parley.session")

_MOVED = "moved"
_FETCHES_MAX = 64
"""Tokens that are looked for in the store at the same time."""


class LiveSessions:
    """What the hosts of a node share, so that a session begun at one is taken up again at any, and all drain together.

    `random` gives so many random bytes, for tokens; `window_s` is how long a session that has ended is remembered.
    Arrivals are counted for all hosts: which connection of a session is the latest must not depend on where it came.
    With a `handover` other nodes' sessions may go on here, and this node's there. The `gate` says who may do what, and
    has the audit log, and the `quotas` how much of it; without them everybody may do all. The `keeper`
    keeps what was said, where anything is kept; `observing` watches all sessions, and `forwarded` hears how long
    messages take. `moved` and `ended` count
    sessions, `refused` those that were not begun, by error code.
    """

    def __init__(
        self,
        *,
        random: Callable[[int], bytes],
        window_s: float,
        retry_after_s: float,
        tasks: asyncio.TaskGroup,
        handover: "Handover | None" = None,
        gate: Gate | None = None,
        quotas: Quotas | None = None,
        keeper: "Keeper | None" = None,
        observing: "Observing | None" = None,
        forwarded: Forwarded | None = None,
    ) -> None:
        self.observing = observing
        self.forwarded = forwarded
        self.gate = gate or Gate()
        self.quotas = quotas or Quotas(())
        self.clock = asyncio.get_running_loop().time
        self.retry_after_s = retry_after_s
        self._registry = ResumeRegistry[SessionRunner](random=random, clock=self.clock, window_s=window_s)
        self._handover = handover
        self._keeper = keeper
        self._tasks = tasks
        self._runners: dict[SessionRunner, Caller] = {}
        self._fetching: dict[str, list[OnFetched]] = {}
        self._fetches: set[asyncio.Task[None]] = set()
        self._is_leaving = False
        self._is_refusing = False
        self._arrivals = 0
        self.empty = asyncio.Event()
        self.empty.set()
        self.moved = 0
        self.ended = 0
        self.refused: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._runners)

    @property
    def runners(self) -> list[SessionRunner]:
        """The sessions that live, the oldest first."""
        return list(self._runners)

    def owner(self, runner: SessionRunner) -> Caller:
        """Who began a session that lives."""
        return self._runners[runner]

    def metered(self) -> dict[MeteredSession, str]:
        """The sessions that live, each with its tenant, for their audio to be counted."""
        return {runner: owner.tenant_name for runner, owner in self._runners.items()}

    @property
    def can_move(self) -> bool:
        """Whether other nodes may go on with this one's sessions."""
        return self._handover is not None

    # ---- who may come

    def check(self) -> None:
        """Whether sessions may begin at all.

        Raises:
            ParleyError: shutting-down.
        """
        if self._is_refusing:
            raise ParleyError("shutting-down", retry_after_s=self.retry_after_s)

    def check_ready(self) -> None:
        """Whether balancers should send clients here.

        Raises:
            ParleyError: shutting-down.
        """
        if self._is_leaving:
            raise ParleyError("shutting-down", retry_after_s=self.retry_after_s)

    def stop_being_ready(self) -> None:
        """Say so; whoever comes nevertheless is still taken."""
        self._is_leaving = True

    def refuse(self) -> None:
        """Begin no further session; those that live go on."""
        self._is_leaving = self._is_refusing = True

    def welcome(self) -> None:
        """Take sessions again."""
        self._is_leaving = self._is_refusing = False

    def next_arrival(self) -> int:
        """See `SessionHost.next_arrival`."""
        self._arrivals += 1
        return self._arrivals

    # ---- what is kept

    def terms(self, caller: Caller) -> RetentionTerms:
        """What may be kept of a caller's sessions."""
        return RetentionTerms() if self._keeper is None else self._keeper.terms(caller)

    def record(self, name: SessionName, caller: Caller) -> Record | None:
        """What makes the recorder of a caller's session; None where nothing can be kept."""
        keeper = self._keeper
        return None if keeper is None else partial(keeper.recorder, name.session_id, caller)

    # ---- tokens

    def issue(self, runner: SessionRunner, principal: str) -> str:
        """A resume token for a session; see `ResumeRegistry.issue`."""
        token = self._registry.issue(runner, principal)
        if self._handover is not None:
            self._handover.note(runner, token, principal)
        return token

    def claim(self, token: str, caller: Caller) -> SessionRunner:
        """The session of a token, for its owner to take up again.

        Raises:
            ParleyError: forbidden, unknown-session, wrong-principal, expired or moved.
        """
        self._allow_resume(caller)
        try:
            self.quotas.connect(caller.tenant_name)
            runner = self._claim(token, caller.principal)
        except ParleyError as error:
            self.gate.audit.record("resume", caller, outcome=error.code)
            raise
        self.gate.audit.record("resume", caller, session_id=runner.name.session_id, tenant=caller.tenant_name)
        return runner

    def _allow_resume(self, caller: Caller) -> None:
        self.gate.allow(caller, "resume", Target(caller.tenant_name))

    def _claim(self, token: str, principal: str) -> SessionRunner:
        runner = self._registry.claim(token, principal)
        if runner.outcome == _MOVED:
            raise ParleyError("moved")
        if runner.ended:
            raise ParleyError("expired", _cause(runner.outcome))
        return runner

    # ---- other nodes

    def leave(self, runner: SessionRunner, model: str, frame_samples: int) -> None:
        """Have a session's state stored; see `Handover.leave`."""
        assert self._handover is not None, "without a store no session is told that it may move"
        self._handover.leave(runner, model, frame_samples)

    def fetch(self, token: str, caller: Caller, on_done: OnFetched) -> bool:
        """See `SessionHost.fetch`."""
        self._allow_resume(caller)
        handover = self._handover
        if handover is None or self._registry.knows(token):
            return False
        if self._is_refusing:
            # Another node may have it: here it would have to leave again.
            raise ParleyError("moved", retry_after_s=self.retry_after_s)
        waiting = self._fetching.get(token)
        if waiting is not None:
            waiting.append(on_done)
            return True
        if len(self._fetching) >= _FETCHES_MAX:
            raise ParleyError(
                "store-unavailable", "Too many look for their sessions.", retry_after_s=self.retry_after_s
            )
        self._fetching[token] = [on_done]
        task = self._tasks.create_task(self._fetch(handover, token, caller))
        self._fetches.add(task)
        task.add_done_callback(self._fetches.discard)
        return True

    async def _fetch(self, handover: "Handover", token: str, caller: Caller) -> None:
        error: ParleyError | None = ParleyError("shutting-down")
        try:
            error = await self._take_over(handover, token, caller)
        finally:
            for on_done in self._fetching.pop(token):
                on_done(error)

    async def _take_over(self, handover: "Handover", token: str, caller: Caller) -> ParleyError | None:
        try:
            fetched = await handover.fetch(token, caller)
        except ParleyError as error:
            _log.warning("a session can't go on here: %s", error)
            return error
        except Exception as error:
            _log.error("a session can't go on here: %s", type(error).__name__, exc_info=error)
            return ParleyError("internal-error")
        if fetched is not None:
            self._registry.adopt(fetched, token, caller.principal)
            _log.info("session %s goes on here", fetched.name.session_id)
            fetched.first_port().start()
        return None

    # ---- sessions

    def begin(self, runner: SessionRunner, on_end: Callable[[], None], owner: Caller = NOBODY) -> None:
        """Run a session of this owner in a task of its own; `on_end` is called when it has ended."""
        self._runners[runner] = owner
        if self.observing is not None:
            self.observing.follow(runner)
        self._note("start", runner, owner)
        self.empty.clear()
        self._tasks.create_task(self._run(runner, on_end))

    async def _run(self, runner: SessionRunner, on_end: Callable[[], None]) -> None:
        began = self.clock()
        session_id = runner.name.session_id
        _log.debug("session %s began", session_id)
        try:
            await runner.run()
        finally:
            self._forget(runner)
            on_end()
            self._note("end", runner, self._runners.pop(runner), outcome=_how(runner), seconds=self.clock() - began)
            if not self._runners:
                self.empty.set()
            if runner.is_abandoned:
                _log.debug("session %s was not needed", session_id)
            else:
                _log.info("session %s ended: %s, %.1f s", session_id, runner.outcome, self.clock() - began)

    def _note(
        self, action: str, runner: SessionRunner, owner: Caller, *, outcome: str = "ok", seconds: float | None = None
    ) -> None:
        facts = None if seconds is None else {"duration_s": round(seconds, 3)}
        session_id, tenant = runner.name.session_id, owner.tenant_name
        self.gate.audit.record(action, owner, session_id=session_id, tenant=tenant, outcome=outcome, facts=facts)

    def _forget(self, runner: SessionRunner) -> None:
        if self._handover is not None:
            self._handover.forget(runner)
        if runner.outcome == _MOVED:
            self.moved += 1
            self._registry.forget(runner)
        else:
            self.ended += not runner.is_abandoned
            self._registry.retire(runner, _cause(runner.outcome))

    async def close(self) -> None:
        """Give up what is still looked for; the sessions have ended."""
        for task in self._fetches:
            task.cancel()
        if self._handover is not None:
            await self._handover.close()


def _how(runner: SessionRunner) -> str:
    """How a session ended, for the audit log."""
    return "abandoned" if runner.is_abandoned else runner.outcome or "ok"


def _cause(outcome: str) -> str:
    return "" if outcome in ("", "expired") else f"The cause was {outcome}."
