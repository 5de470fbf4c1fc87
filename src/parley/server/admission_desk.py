"""Where sessions of this node get their places, and their legs their streams: `core/admission` on the event loop.

```
Host ─ enter ─► AdmissionDesk ─► Seat ─► SessionRunner        a place, or one in the queue
SessionRunner ─ open_leg ─► Seat ─ ask ─► Admission            waits here: LegQueued ... LegAdmitted
                             └─ admitted ─► pool.open_leg      which picks a model server before it first awaits
```
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from parley.access.caller import Caller
from parley.core import events as ev
from parley.core.admission import Admission, AdmissionLimits
from parley.core.effects import LegPurpose
from parley.core.tenant import Tenant
from parley.core.ticket import Place, Ticket, TicketState
from parley.upstream.leg import LegConnection, LegSink, Upstream

_UNKNOWN_STREAMS = 1_000_000
"""What a pool is taken to have free while it is not ready: it says best itself what is wrong with it."""

_NOBODY = Tenant("")
"""Whom a check is for that is for nobody in particular."""

_TICK_S = 1.0
"""Who waits is told no more often where it stands."""

_TOLD_PER_TURN_MAX = 50
"""Of the event loop, in which sessions that live are to be served too."""

_EXACT_UP_TO = 10
_CHANGE_MIN = 0.1
_ETA_CHANGE_MIN = 0.25
_ETA_CHANGE_MIN_S = 2.0


class Capacity(Protocol):
    """What sessions are admitted to: model servers, or containers, as one."""

    def __hash__(self) -> int: ...

    @property
    def ready(self) -> bool:
        """Whether any of them answers."""

    @property
    def takes_new(self) -> bool:
        """Whether they are in time with the sessions that they have."""

    def free_streams(self, *, may_use_spare: bool) -> int:
        """How many more legs they take together now; a large number where that is not bounded."""


class StreamPool(Capacity, Upstream, Protocol):
    """Model servers as one upstream, which says how many more legs they take.

    `on_room` is called whenever there may be more room, or the pool is ready again.
    """

    on_room: Callable[[], None] | None


@dataclass(frozen=True, slots=True)
class AdmissionView:
    """What an operator sees: places in use and sessions that wait for one, their bounds, legs that are being opened,
    and how many sessions were refused at once or had waited in vain, since the start."""

    live: int
    live_max: int
    queued: int
    queue_max: int
    opening: int
    refused: int
    expired: int


@dataclass(eq=False, slots=True)
class _Waiter:
    """A leg that waits: what it was told last, and when."""

    leg_id: int
    sink: LegSink
    is_told: bool
    admitted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    told: ev.LegQueued | None = None
    told_at: float = 0.0


class AdmissionDesk:
    """One node's admission; `clock` is the event loop's. Who is which tenant is told by `tenant_of`."""

    def __init__(
        self, limits: AdmissionLimits, tenant_of: Callable[[Caller], Tenant], clock: Callable[[], float]
    ) -> None:
        self._tenant_of = tenant_of
        self._clock = clock
        self._admission = Admission[Capacity](limits, _free_streams, _takes_new)
        self._waiters: dict[Ticket[Capacity], _Waiter] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ticked_at = 0.0
        self._to_tell: deque[Ticket[Capacity]] = deque()

    @property
    def view(self) -> AdmissionView:
        """How things stand."""
        admission = self._admission
        return AdmissionView(
            live=admission.live,
            live_max=admission.limits.sessions_max,
            queued=admission.queued,
            queue_max=admission.limits.queue_max,
            opening=admission.opening,
            refused=admission.refused,
            expired=admission.expired,
        )

    def serve(self, pool: StreamPool) -> None:
        """Hear of a pool's room; once, before anybody asks for its streams."""
        pool.on_room = partial(self._room, pool)

    def check(self, pool: StreamPool, model: str, caller: Caller | None = None) -> None:
        """Whether a new session of this client could begin, or wait, now; None is for nobody in particular.

        Raises:
            ParleyError: at-capacity or too-many-sessions.
        """
        tenant = _NOBODY if caller is None else self._tenant_of(caller)
        self._admission.check(Place(tenant, model), pool, self._clock())

    def enter(self, pool: StreamPool, model: str, caller: Caller, *, returns: bool = False) -> "Seat":
        """A new session, which gets its place with its first stream, now or when it is its turn.

        One that `returns`, from another node, gets its place now and asks for a stream when it needs one.

        Raises:
            ParleyError: at-capacity or too-many-sessions.
        """
        place = Place(self._tenant_of(caller), model)
        now = self._clock()
        if returns:
            self._admission.seat(place, pool, now)
            return Seat(self, place, pool, None)
        try:
            first = self._admission.ask(place, pool, LegPurpose.NEW, now)
        finally:
            self._settle()
        return Seat(self, place, pool, first)

    def hold(self, capacity: Capacity, model: str, caller: Caller) -> Callable[[], None]:
        """A place, at once, for a stream that is no session of this node; what is returned gives it back.

        Raises:
            ParleyError: at-capacity or too-many-sessions.
        """
        place = Place(self._tenant_of(caller), model)
        self._admission.seat(place, capacity, self._clock())
        return partial(self.leave, place)

    # ---- what seats do

    def ask(self, place: Place, pool: StreamPool, purpose: LegPurpose) -> Ticket[Capacity]:
        """See `Admission.ask`."""
        try:
            return self._admission.ask(place, pool, purpose, self._clock())
        finally:
            self._settle()

    async def until_admitted(
        self, ticket: Ticket[Capacity], leg_id: int, sink: LegSink, *, is_told: bool = True
    ) -> None:
        """Wait until the leg may be opened; its session is told so if it is told that it waits.

        Raises:
            ParleyError: at-capacity, when it has waited long enough.
        """
        if ticket.state in (TicketState.WAITING, TicketState.PROMISED):
            waiter = self._waiters[ticket] = _Waiter(leg_id, sink, is_told)
            try:
                if ticket.state is TicketState.WAITING:
                    self._tell(ticket, waiter, self._clock())
                await waiter.admitted
            finally:
                self._waiters.pop(ticket, None)
            if waiter.told is not None and ticket.refusal is None:
                sink.receive(ev.LegAdmitted(leg_id))
        if ticket.refusal is not None:
            raise ticket.refusal

    def taken(self, ticket: Ticket[Capacity]) -> None:
        """See `Admission.taken`."""
        self._admission.taken(ticket)

    def finish(self, ticket: Ticket[Capacity]) -> None:
        """See `Admission.finish`."""
        self._admission.finish(ticket, self._clock())
        self._settle()

    def leave(self, place: Place) -> None:
        """See `Admission.leave`."""
        self._admission.leave(place, self._clock())
        self._settle()

    # ---- what happens

    def _room(self, pool: StreamPool) -> None:
        self._admission.room(pool, self._clock())
        self._settle()

    def _settle(self) -> None:
        """Wake those who were admitted, and see to it that the others are looked after."""
        admitted = self._admission.admitted
        for ticket in admitted:
            self._wake(ticket)
        admitted.clear()
        expiry = self._admission.next_expiry
        if expiry is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None:
            # Later arrivals expire later: what is set is early enough.
            at = min(expiry, self._clock() + _TICK_S)
            self._timer = asyncio.get_running_loop().call_at(at, self._timer_fired)

    def _wake(self, ticket: Ticket[Capacity]) -> None:
        waiter = self._waiters.get(ticket)
        if waiter is not None and not waiter.admitted.done():
            waiter.admitted.set_result(None)

    def _timer_fired(self) -> None:
        self._timer = None
        now = self._clock()
        for ticket in self._admission.expire(now):
            self._wake(ticket)
        if now - self._ticked_at >= _TICK_S:
            self._ticked_at = now
            self._admission.serve()
            self._admission.count_positions()
            self._to_tell = deque(self._waiters)
            self._tell_some()
        self._settle()

    def _tell_some(self) -> None:
        """Tell some of those who wait where they stand, and the others in the next turns of the loop."""
        now = self._clock()
        for _ in range(min(_TOLD_PER_TURN_MAX, len(self._to_tell))):
            ticket = self._to_tell.popleft()
            waiter = self._waiters.get(ticket)
            if waiter is not None and not waiter.admitted.done():
                self._tell(ticket, waiter, now)
        if self._to_tell:
            asyncio.get_running_loop().call_soon(self._tell_some)

    def _tell(self, ticket: Ticket[Capacity], waiter: _Waiter, now: float) -> None:
        if not waiter.is_told:
            return
        eta_s = self._admission.eta_s(ticket, now)
        event = ev.LegQueued(waiter.leg_id, ticket.position, None if eta_s is None else round(eta_s, 1))
        if waiter.told is None or _is_news(event, waiter.told, now - waiter.told_at):
            waiter.told, waiter.told_at = event, now
            waiter.sink.receive(event)


class Seat:
    """One session's place, or its place in the queue, and the `LegSource` of its legs."""

    def __init__(self, desk: AdmissionDesk, place: Place, pool: StreamPool, first: Ticket[Capacity] | None) -> None:
        self._desk = desk
        self._place = place
        self._pool = pool
        self._first = first

    @property
    def place(self) -> Place:
        """Whose it is, and on which model."""
        return self._place

    async def open_leg(self, leg_id: int, sink: LegSink, purpose: LegPurpose) -> LegConnection:
        """See `LegSource.open_leg`. Cancelled, it gives back what it has."""
        desk = self._desk
        ticket, self._first = self._first, None
        if ticket is None:
            ticket = desk.ask(self._place, self._pool, purpose)
        try:
            await desk.until_admitted(ticket, leg_id, sink, is_told=purpose is not LegPurpose.SUCCESSOR)
            # The pool counts the leg before it first awaits, and so before anything else is admitted.
            desk.taken(ticket)
            return await self._pool.open_leg(leg_id, sink)
        finally:
            desk.finish(ticket)

    def leave(self) -> None:
        """The session has ended, and opens no leg any more."""
        first, self._first = self._first, None
        if first is not None:
            self._desk.finish(first)
        self._desk.leave(self._place)


def _free_streams(pool: Capacity, may_use_spare: bool) -> int:
    if not pool.ready:
        # Sessions that live hear from the pool at once that it is away, and look after themselves; new ones wait.
        return _UNKNOWN_STREAMS if may_use_spare else 0
    return pool.free_streams(may_use_spare=may_use_spare)


def _takes_new(pool: Capacity) -> bool:
    return pool.takes_new


def _is_news(event: ev.LegQueued, told: ev.LegQueued, elapsed_s: float) -> bool:
    """Whether a client would want to know: the last places one by one, and by tenths before; times by a quarter."""
    change = abs(event.position - told.position)
    if change and (event.position <= _EXACT_UP_TO or change >= told.position * _CHANGE_MIN):
        return True
    if event.eta_s is None or told.eta_s is None:
        return event.eta_s is not told.eta_s
    expected_s = max(0.0, told.eta_s - elapsed_s)
    return abs(event.eta_s - expected_s) > max(_ETA_CHANGE_MIN_S, _ETA_CHANGE_MIN * expected_s)
