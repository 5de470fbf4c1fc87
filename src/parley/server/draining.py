"""The node's way out, step by step: not ready, settle, refuse, let sessions finish or move, end what is left.

```
SERVING ─ ask ─► SETTLING ─ settle_s ─► DRAINING ─ all gone, or timeout_s ─► OVER
   ▲                │                      │                                  ▲ signal
   │                │                      └─ likewise, after `hold` ─► DRAINED
   └──── undo ──────┴──────────────────────┴───────────────────────────────┘
```
hurry: what is left ends at once.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from parley.core import events as ev
from parley.server.live_sessions import LiveSessions

_log = logging.getLogger("parley.server")

_MOVES_SHARE = 0.5
"""Of the time, over which the sessions' first moments to move are spread."""
_MOVE_MARGIN_SHARE = 0.1
_MOVE_MARGIN_S = 1.0
"""How long before the deadline the last session moves, at least: in seconds, and as a share of the time."""
_LAST_WRITES_S = 1.0
"""What sessions that end at the deadline have for it."""


class DrainState(StrEnum):
    """Where a drain stands; the module's docstring draws the transitions."""

    SERVING = "serving"
    SETTLING = "settling"
    DRAINING = "draining"
    DRAINED = "drained"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class DrainView:
    """A drain as an operator sees it. `deadline_s` is how long it may still last, None while there is none; `live` is
    how many sessions there are, `moved` and `ended` how many went since it began; `is_final`: it can't be undone."""

    state: DrainState
    deadline_s: float | None
    live: int
    moved: int
    ended: int
    is_final: bool


class Streams(Protocol):
    """A listener that drains along."""

    def turn_away(self) -> None:
        """Tell those that are connected to open nothing more here."""

    def stop_accepting(self) -> None:
        """The same, and take no further connection."""

    def accept(self) -> None:
        """Take back what `turn_away` did."""

    async def drain(self, timeout_s: float) -> None:
        """Let what is no session of this node finish for so long, then end it; cancelling takes it back."""

    async def hurry(self) -> None:
        """End it now."""


class Draining:
    """One node's drains: each takes `settle_s` and `timeout_s` at most, and a second for last writes.

    `asked` is set from `ask` on until it is undone.
    """

    def __init__(
        self,
        live: LiveSessions,
        clock: Callable[[], float],
        *,
        settle_s: float,
        timeout_s: float,
        streams: Streams | None = None,
    ) -> None:
        self._live = live
        self._clock = clock
        self._settle_s = settle_s
        self._timeout_s = timeout_s
        self._streams = streams
        self._state = DrainState.SERVING
        self._deadline = 0.0
        self._before = (0, 0)
        self._is_final = False
        self._holds = False
        self._times_s = settle_s, timeout_s
        self._finalized = asyncio.Event()
        self._hurried = asyncio.Event()
        self._undone = asyncio.Event()
        self.asked = asyncio.Event()

    # ---- who says so

    def signalled(self) -> None:
        """SIGTERM or SIGINT: the first one asks, or makes what an operator asked for final; one more hurries."""
        if self._is_final:
            self.hurry()
        else:
            self.ask(is_final=True)

    def ask(self, *, is_final: bool = False) -> None:
        """Drain the node, or go on with it; `is_final`: the process is to end, whatever an operator says."""
        self._is_final = self._is_final or is_final
        if self._is_final:
            self._finalized.set()
        if self._is_final and self._state in (DrainState.DRAINING, DrainState.DRAINED) and self._streams is not None:
            self._streams.stop_accepting()
        self.asked.set()

    def hold(self, *, timeout_s: float | None = None, settle_s: float | None = None) -> None:
        """Drain the node for an operator, in times of their own or in those of the settings: the process stays when it
        is done, until the drain is undone or a signal ends it. Does nothing when there is a drain."""
        if self.asked.is_set():
            return
        self._holds = True
        usual_settle_s, usual_timeout_s = self._times_s
        self._settle_s = usual_settle_s if settle_s is None else settle_s
        self._timeout_s = usual_timeout_s if timeout_s is None else timeout_s
        self.ask()

    def undo(self) -> bool:
        """Take the drain back; False when there is none, when it is final or over."""
        if not self.asked.is_set() or self._is_final or self._state is DrainState.OVER:
            return False
        self._undone.set()
        return True

    def hurry(self) -> None:
        """End what is left at once."""
        self._hurried.set()

    def view(self) -> DrainView:
        """Where it stands."""
        moved, ended = self._before
        has_deadline = self._state in (DrainState.SETTLING, DrainState.DRAINING)
        return DrainView(
            self._state,
            max(0.0, self._deadline - self._clock()) if has_deadline else None,
            len(self._live),
            self._live.moved - moved,
            self._live.ended - ended,
            self._is_final,
        )

    # ---- what is done

    async def run(self) -> bool:
        """Drain; False when it was undone, and the node serves as before."""
        self.ask()
        self._before = self._live.moved, self._live.ended
        self._deadline = self._clock() + self._settle_s + self._timeout_s
        self._state = DrainState.SETTLING
        self._live.stop_being_ready()
        if self._settle_s:
            _log.info("not ready any more; going on for %g s", self._settle_s)
        await self._first(self._settle_s)
        if not self._undone.is_set():
            await self._drain()
        if self._undone.is_set():
            self._serve_again()
            return False
        if self._holds and not self._is_final:
            self._state = DrainState.DRAINED
            await self._first(None)
            if self._undone.is_set():
                self._serve_again()
                return False
        self._state = DrainState.OVER
        return True

    async def _drain(self) -> None:
        live, now = self._live, self._clock()
        self._state = DrainState.DRAINING
        self._deadline = now + self._timeout_s
        # In this order: who asks is told not to come, then who is here that nothing new begins, then all may finish.
        live.refuse()
        self._turn_away()
        if len(live):
            _log.info("draining %d sessions, at most %g s", len(live), self._timeout_s)
        self._announce(now)
        gone = asyncio.create_task(self._until_gone())
        try:
            await self._first(self._timeout_s + _LAST_WRITES_S, gone)
            if self._hurried.is_set() and not self._undone.is_set():
                await self._hurry(gone)
        finally:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        if len(live) and not self._undone.is_set():
            _log.warning("%d sessions did not end in time", len(live))

    def _announce(self, now: float) -> None:
        """Tell the sessions; where others may go on with them, the first moments to move are spread."""
        runners = self._live.runners
        move_by = self._deadline - max(_MOVE_MARGIN_S, self._timeout_s * _MOVE_MARGIN_SHARE)
        for number, runner in enumerate(runners):
            if self._live.can_move:
                move_at = now + self._timeout_s * _MOVES_SHARE * number / len(runners)
                runner.receive(ev.DrainStarted(self._deadline, min(move_at, max(now, move_by)), max(now, move_by)))
            else:
                runner.receive(ev.DrainStarted(self._deadline))

    def _turn_away(self) -> None:
        if self._streams is None:
            return
        if self._is_final:
            self._streams.stop_accepting()
        else:
            self._streams.turn_away()

    async def _until_gone(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            if self._streams is not None:
                tasks.create_task(self._streams.drain(self._timeout_s))
            await self._live.empty.wait()

    async def _hurry(self, gone: asyncio.Task[None]) -> None:
        now = self._clock()
        for runner in self._live.runners:
            runner.receive(ev.DrainStarted(now))
        if self._streams is not None:
            await self._streams.hurry()
        await asyncio.wait({gone}, timeout=_LAST_WRITES_S)

    def _serve_again(self) -> None:
        _log.info("the drain is taken back")
        self._undone.clear()
        self._hurried.clear()
        self._holds = False
        if not self._is_final:
            # A signal may have come since it was taken back: then the next drain begins at once.
            self.asked.clear()
        self._settle_s, self._timeout_s = self._times_s
        self._state = DrainState.SERVING
        self._live.welcome()
        if self._streams is not None:
            self._streams.accept()
        for runner in self._live.runners:
            runner.receive(ev.DrainCancelled())

    async def _first(self, timeout_s: float | None, *others: asyncio.Task[None]) -> None:
        """Wait for the first of these, a hurry and an undoing, so long at most; None: or for a signal, however long."""
        events = (self._hurried, self._undone) if timeout_s is not None else (self._finalized, self._undone)
        signs = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait([*signs, *others], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for sign in signs:
                sign.cancel()
            await asyncio.gather(*signs, return_exceptions=True)
