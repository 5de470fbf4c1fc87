"""What is live on a node, told as it changes: server-sent events (WHATWG HTML, "Server-sent events").

```
Inventory, Timelines ─► snapshot, shared by watches of one caller ─► what changed since this watch's last ─► its reader
```
A watch keeps of what it told a number for each session, and waits for its reader before it looks again: one that reads
slowly misses what was between, and nothing piles up for it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from itertools import batched
from typing import Annotated, Literal
from weakref import WeakSet

import msgspec

from parley.access.action import NODE_TARGET, Target
from parley.access.caller import Caller
from parley.core.errors import ParleyError
from parley.server.admin.asking import Asker, Raw
from parley.server.admin.inventory import Inventory, SessionView
from parley.server.admin.timelines import EndedSession, Timelines

EVENT_STREAM = "text/event-stream"
WATCHERS_MAX = 16
SESSIONS_MAX = 1_000
ENDED_MAX = 100
WATCH_MAX_S = 300.0
"""Then whoever watches has to show their credential again: it may have been withdrawn."""

_SHARED_S = 0.4
"""A snapshot is as good for another watch of the same caller for so long."""
_SESSIONS_PER_EVENT = 100
_SESSIONS_PER_TURN = 25
"""Are looked at in one turn of the event loop."""
_LOOP_WINDOW_S = 10.0
_RETRY_MS = 2_000
_RETRY_AFTER_S = 5.0

Interval = Annotated[float, msgspec.Meta(ge=0.5, le=30.0, description="Seconds between looks, at the least.")]


class WatchQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How often to look."""

    interval_s: Interval = 1.0


class SessionsEvent(msgspec.Struct):
    """What changed of the sessions that live. With `full` nothing that was told before counts any more. `total` are all
    that may be seen; more than `shown`, the oldest, are not told."""

    full: bool
    sessions: list[msgspec.Raw]
    removed: list[str]
    total: int
    shown: int


class EndedEvent(msgspec.Struct):
    """Sessions that have ended since, the last first."""

    sessions: list[EndedSession]


class EndEvent(msgspec.Struct):
    """Nothing follows: the node stops, or the credential is to be shown again."""

    reason: Literal["stopping", "renew"]


@dataclass(frozen=True, slots=True)
class _Told:
    """A session: `digest` is of all of it that does not change by itself."""

    digest: int
    encoded: msgspec.Raw


@dataclass(slots=True)
class _Snapshot:
    """What somebody may see of a node at a moment, `at` by the loop's clock; `node` and `upstreams` are empty for those
    who may not see these."""

    at: float
    node: bytes
    upstreams: bytes
    ended: list[EndedSession]
    total: int = 0
    sessions: dict[str, _Told] = field(default_factory=dict)


class Watching:
    """Who watches the node. `clock` is the loop's, `unix_time` seconds since 1970."""

    def __init__(
        self,
        inventory: Inventory,
        timelines: Timelines,
        clock: Callable[[], float],
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        self._inventory = inventory
        self._timelines = timelines
        self._clock = clock
        self._unix_time = unix_time
        self._watches: WeakSet[_Watch] = WeakSet()
        self._snapshots: OrderedDict[Caller, _Snapshot] = OrderedDict()
        self._looking = asyncio.Lock()
        self._stopping = asyncio.Event()

    def watch(self, asker: Asker, query: WatchQuery) -> Raw:
        """What whoever asks may observe, from now on.

        Raises:
            ParleyError: at-capacity.
        """
        if len(self._watches) >= WATCHERS_MAX:
            raise ParleyError(
                "at-capacity", f"{WATCHERS_MAX} watch this node, and no more may.", retry_after_s=_RETRY_AFTER_S
            )
        watch = _Watch(self, asker, query.interval_s, self._clock() + self._life_s(asker.caller))
        self._watches.add(watch)
        return Raw(EVENT_STREAM, watch.events())

    def _life_s(self, caller: Caller) -> float:
        if caller.expires_at_s is None:
            return WATCH_MAX_S
        return min(WATCH_MAX_S, caller.expires_at_s - self._unix_time())

    def stop(self) -> None:
        """Tell those who watch that nothing follows."""
        self._stopping.set()

    # ---- for watches

    def left(self, watch: "_Watch") -> None:
        """Nobody reads this one any more."""
        self._watches.discard(watch)
        if not self._watches:
            self._snapshots.clear()

    async def pause(self, until: float) -> Literal["", "stopping"]:
        """Wait; less long when the node stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._stopping.wait()
        return "stopping" if self._stopping.is_set() else ""

    def now(self) -> float:
        """The loop's clock."""
        return self._clock()

    async def snapshot(self, asker: Asker) -> _Snapshot:
        """The node as whoever asks may see it; one is made at a time."""
        async with self._looking:
            found = self._snapshots.get(asker.caller)
            if found is None or self._clock() - found.at > _SHARED_S:
                found = await self._look(asker)
                self._snapshots[asker.caller] = found
                self._snapshots.move_to_end(asker.caller)
                while len(self._snapshots) > WATCHERS_MAX:
                    self._snapshots.popitem(last=False)
            return found

    async def _look(self, asker: Asker) -> _Snapshot:
        is_seen = _remembered(lambda of: asker.may("observe", of))
        node = upstreams = b""
        if is_seen(NODE_TARGET):
            node = _event("node", self._inventory.node(_LOOP_WINDOW_S))
            upstreams = _event("upstreams", self._inventory.upstreams())
        ended = self._timelines.ended(is_seen).sessions[:ENDED_MAX]
        snapshot = _Snapshot(self._clock(), node, upstreams, ended)
        show = self._inventory.viewer()
        for number, found in enumerate(self._inventory.by_age()):
            if number % _SESSIONS_PER_TURN == 0:
                await asyncio.sleep(0)
            runner, _, pool = found
            if runner.ended or not is_seen(self._inventory.target_of(runner, pool)):
                continue
            snapshot.total += 1
            if len(snapshot.sessions) < SESSIONS_MAX:
                view = show(found)
                snapshot.sessions[view.id] = _told(view)
        return snapshot


class _Watch:
    """What one reader is told, until `until` by the loop's clock."""

    def __init__(self, watching: Watching, asker: Asker, interval_s: float, until: float) -> None:
        self._watching = watching
        self._asker = asker
        self._interval_s = interval_s
        self._until = until
        self._upstreams = b""
        self._ended: set[str] = set()
        self._told: dict[str, int] = {}
        self._totals = (-1, -1)

    async def events(self) -> AsyncGenerator[bytes]:
        """The events, one by one; the next look waits for whoever takes them."""
        try:
            yield f"retry: {_RETRY_MS}\n\n".encode()
            over: Literal["", "stopping", "renew"] = ""
            while not over:
                began = self._watching.now()
                async with aclosing(self._changes()) as changes:
                    async for change in changes:
                        yield change
                over = await self._watching.pause(min(began + self._interval_s, self._until))
                if not over and self._watching.now() >= self._until:
                    over = "renew"
            yield _event("end", EndEvent(over))
        finally:
            self._watching.left(self)

    async def _changes(self) -> AsyncGenerator[bytes]:
        snapshot = await self._watching.snapshot(self._asker)
        # A comment, where there is nothing else: whoever reads knows that the node is there.
        yield snapshot.node or b":\n\n"
        if snapshot.upstreams != self._upstreams:
            self._upstreams = snapshot.upstreams
            if snapshot.upstreams:
                yield snapshot.upstreams
        ended = [one for one in snapshot.ended if one.id not in self._ended]
        self._ended = {one.id for one in snapshot.ended}
        if ended:
            yield _event("ended", EndedEvent(ended))
        for event in self._sessions(snapshot):
            yield event
            # What finds room at once lets nobody else have a turn.
            await asyncio.sleep(0)

    def _sessions(self, snapshot: _Snapshot) -> Iterator[bytes]:
        told, self._told = self._told, {name: one.digest for name, one in snapshot.sessions.items()}
        changed = [one.encoded for name, one in snapshot.sessions.items() if told.get(name) != one.digest]
        removed = [name for name in told if name not in self._told]
        totals, self._totals = self._totals, (snapshot.total, len(snapshot.sessions))
        is_first = totals == (-1, -1)
        if totals == self._totals and not changed and not removed:
            return
        pieces: Sequence[tuple[msgspec.Raw, ...]] = [*batched(changed, _SESSIONS_PER_EVENT)] or [()]
        for number, piece in enumerate(pieces):
            is_full = is_first and number == 0
            event = SessionsEvent(is_full, list(piece), removed if number == 0 else [], *self._totals)
            yield _event("sessions", event)


def _told(view: SessionView) -> _Told:
    # How old a session is changes by itself, and whoever reads has a clock.
    return _Told(hash(msgspec.json.encode(replace(view, age_s=0))), msgspec.Raw(msgspec.json.encode(view)))


def _remembered(is_seen: Callable[[Target], bool]) -> Callable[[Target], bool]:
    """The same, asked once for each target: many sessions have the same."""
    known: dict[Target, bool] = {}

    def remembered(of: Target) -> bool:
        found = known.get(of)
        if found is None:
            found = known[of] = is_seen(of)
        return found

    return remembered


def _event(name: str, data: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
