"""Sessions to and from the store, by which servers leave them to each other.

```
StoreState ─► leave: encode, seal, put ─► StateStored | StateRefused           the runner then lets its client go
session.resume with a token that is not known ─► fetch: take, unseal, decode ─► adopt: a session, and its runner
```
Nothing waits for the store longer than a few seconds, and what comes of a wait that was given up is undone.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from parley.access.caller import Caller
from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.outlet import output_limit_bytes
from parley.core.snapshot import StoredSession
from parley.server.registry import PREFIX
from parley.server.runner import SessionRunner
from parley.store.sealing import NONCE_BYTES, StateKeys, seal, state_keys, unseal
from parley.store.session_store import SessionStore, Taken
from parley.wire.snapshot import decode, encode

_log = logging.getLogger("parley.session")

_PUTS_MAX = 16
"""States that are written at the same time: each is there twice for a moment, and has megabytes."""
_MARGIN_BYTES = 262_144
"""Of a state, what is no audio, text or output."""


def state_max_bytes(limits: SessionLimits) -> int:
    """The largest state that a session within these bounds can have."""
    audio = limits.held_bytes_max + limits.journal_bytes_max
    outputs = limits.ledger_max_bytes + output_limit_bytes(limits)
    return audio + outputs + limits.held_turns_max * limits.turn_text_max_bytes + _MARGIN_BYTES


class Adopter(Protocol):
    """Who can go on with a session."""

    @property
    def model(self) -> str:
        """The name that legs are opened with; empty while it is not known."""

    def adopt(self, stored: StoredSession, caller: Caller) -> SessionRunner:
        """Go on with a session of this caller; nobody is attached to it yet.

        Raises:
            ParleyError: why not; nothing has happened then.
        """


class Handover:
    """The way of sessions between this server and the store.

    `hosts` are who may go on with a session that others left, to be set before there are any. `random` gives so many
    random bytes, and no state is larger than `bytes_max`.
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        random: Callable[[int], bytes],
        bytes_max: int,
        put_timeout_s: float = 5.0,
        take_timeout_s: float = 2.0,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._random = random
        self._bytes_max = bytes_max
        self._put_timeout_s = put_timeout_s
        self._take_timeout_s = take_timeout_s
        self._unix_time = unix_time
        self._keys: dict[SessionRunner, tuple[StateKeys, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Task[Any]] = set()
        self._may_put = asyncio.Semaphore(_PUTS_MAX)
        self.hosts: Sequence[Adopter] = ()

    # ---- tokens

    def note(self, runner: SessionRunner, token: str, principal: str) -> None:
        """A session has this token: what its state would be kept and sealed with follows from it."""
        self._keys[runner] = state_keys(token), principal

    def forget(self, runner: SessionRunner) -> None:
        """A session is over here."""
        self._keys.pop(runner, None)

    # ---- to the store

    def leave(self, runner: SessionRunner, model: str, frame_samples: int) -> None:
        """Store the session's state and tell its runner what came of it; `model` and `frame_samples` are as in
        `StoredSession`."""
        self._spawn(self._leave(runner, model, frame_samples))

    async def _leave(self, runner: SessionRunner, model: str, frame_samples: int) -> None:
        try:
            async with self._may_put:
                keys = await self._put(runner, model, frame_samples)
        except ParleyError as error:
            _log.warning("session %s can't be moved: %s", runner.name.session_id, error)
            runner.receive(ev.StateRefused(error))
            return
        except Exception as error:
            _log.error("session %s can't be moved: %s", runner.name.session_id, type(error).__name__, exc_info=error)
            runner.receive(ev.StateRefused(ParleyError("internal-error")))
            return
        runner.receive(ev.StateStored())
        if runner.outcome != "moved":
            # It ended meanwhile.
            await self._withdraw(keys)

    async def _put(self, runner: SessionRunner, model: str, frame_samples: int) -> StateKeys:
        keys, principal = self._keys[runner]
        state, window_s = runner.state()
        stored = StoredSession(
            session_id=runner.name.session_id,
            created_s=runner.name.created_s,
            principal=principal,
            model=model,
            frame_samples=frame_samples,
            expires_s=self._unix_time() + window_s,
            state=state,
        )
        nonce = self._random(NONCE_BYTES)
        # Megabytes, perhaps, and many sessions at a time.
        sealed = await asyncio.to_thread(lambda: seal(encode(stored, self._bytes_max), keys, nonce))
        putting = self._store.put(keys.store_key, sealed, window_s)
        await self._within(self._put_timeout_s, putting, lambda task: self._undo_put(task, keys))
        return keys

    async def _undo_put(self, putting: asyncio.Task[None], keys: StateKeys) -> None:
        try:
            await putting
        except ParleyError:
            return
        await self._withdraw(keys)

    async def _withdraw(self, keys: StateKeys) -> None:
        try:
            await self._store.take(keys.store_key)
        except ParleyError as error:
            _log.warning("a state was left in the store: %s", error)

    # ---- from the store

    async def fetch(self, token: str, caller: Caller) -> SessionRunner | None:
        """Go on with the session of a token, if another server has left it; its runner, which has not been started.
        None if there is none.

        Raises:
            ParleyError: state-unsupported, state-unreadable, wrong-principal, store-unavailable, or why nobody here can
                go on with it. But for a state that can't be read, it stays in the store.
        """
        if not token.startswith(PREFIX):
            raise ParleyError("state-unsupported", "Its token is not of this release's kind.")
        keys = state_keys(token)
        taken = await self._take(keys)
        if taken is None:
            return None
        try:
            stored = decode(unseal(taken.sealed, keys), self._bytes_max)
            if stored.principal != caller.principal:
                raise ParleyError("wrong-principal")
            if stored.expires_s <= self._unix_time():
                return None
            runner = self._host_of(stored).adopt(stored, caller)
        except ParleyError as error:
            if error.code != "state-unreadable":
                await self._put_back(keys, taken)
            raise
        self._keys[runner] = keys, caller.principal
        return runner

    async def _take(self, keys: StateKeys) -> Taken | None:
        taking = self._store.take(keys.store_key)
        return await self._within(self._take_timeout_s, taking, lambda task: self._undo_take(task, keys))

    async def _undo_take(self, taking: asyncio.Task[Taken | None], keys: StateKeys) -> None:
        try:
            taken = await taking
        except ParleyError:
            return
        if taken is not None:
            await self._put_back(keys, taken)

    async def _put_back(self, keys: StateKeys, taken: Taken) -> None:
        try:
            await self._store.put_back(keys.store_key, taken)
        except ParleyError as error:
            _log.warning("a session is lost with its store: %s", error)

    def _host_of(self, stored: StoredSession) -> Adopter:
        for host in self.hosts:
            if host.model in (stored.model, ""):
                return host
        raise ParleyError("upstream-unavailable", "No model server here has the model of this session.")

    # ---- waits

    async def _within[T](
        self,
        timeout_s: float,
        work: Coroutine[object, object, T],
        undo: Callable[[asyncio.Task[T]], Coroutine[object, object, None]],
    ) -> T:
        """What the store answers. Whoever gives up waiting leaves the call to `undo`: it may still succeed."""
        task = asyncio.create_task(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
        except asyncio.CancelledError:
            self._spawn(undo(task))
            raise
        if not done:
            self._spawn(undo(task))
            raise ParleyError("store-unavailable", f"It did not answer within {timeout_s:g} s.")
        return task.result()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is still waited for, and what that leaves to be undone."""
        while tasks := [task for task in (*self._tasks, *self._calls) if not task.done()]:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
