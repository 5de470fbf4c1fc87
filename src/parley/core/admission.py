"""Who gets a place on this node and a stream on its model servers, who waits for them, and who is refused.

```
ask ─► room? ─yes─► PROMISED ─ an opening is free ─► OPENING ─► taken ─► finish
         │ no         the pool does not count it yet              the pool counts it
         ├► WAITING, by rank, then by arrival ─ room, leave, finish ─► PROMISED
         │                                    └ expire ─► OVER, with a refusal
         └► refused
```
A *place* is a session's, from its first stream to its end; a *stream* is a leg's. The ranks are those of
`docs/design/many-sessions.md`. Whoever is blocked by something of its own (its tenant's bound, its model's, its pool)
holds up nobody else.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from parley.core.effects import LegPurpose
from parley.core.errors import ParleyError
from parley.core.tenant import Tenant
from parley.core.throughput import Throughput
from parley.core.ticket import RANKS, Place, Ticket, TicketState
from parley.core.waiting_line import WaitingLine

_HINT_MIN_S = 0.5
_HINT_MAX_S = 60.0
"""A hint beyond says that it will be long, which is all that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionLimits:
    """Bounds of a node. Of the maxima 0 is any number, but for `queue_max`, whose 0 is none.

    New sessions that wait are at most `queue_max`, and of a tenant with a bound at most as many as may live; each waits
    `queue_timeout_s`, and so do legs of living sessions, of which there are no more than places. Legs that are being
    opened are at most `opening_max`. `retry_after_s` is the hint while no better is known.
    """

    sessions_max: int
    model_sessions_max: int = 0
    queue_max: int = 0
    queue_timeout_s: float = 20.0
    opening_max: int = 16
    retry_after_s: float = 2.0


class Admission[P: Hashable]:
    """Answers every ticket once: it may open its leg, it is refused, or it is finished before.

    `free_streams(pool, may_use_spare)` says how many streams a pool has that it has not counted as used, and
    `takes_new(pool)` whether it is in time with those it has. `now` is in seconds and never goes back. `admitted` grows
    by those that may open their legs from now on; whoever calls takes them out.
    """

    def __init__(
        self,
        limits: AdmissionLimits,
        free_streams: Callable[[P, bool], int],
        takes_new: Callable[[P], bool],
    ) -> None:
        self.limits = limits
        self.admitted: list[Ticket[P]] = []
        self.live = 0
        self.opening = 0
        self.refused = 0
        self.expired = 0
        self._free_streams = free_streams
        self._takes_new = takes_new
        self._live_of_tenant: Counter[str] = Counter()
        self._live_of_model: Counter[str] = Counter()
        self._arrivals = 0
        self._line = WaitingLine[P](tells_models_apart=limits.model_sessions_max > 0)
        self._promised: tuple[dict[Ticket[P], None], ...] = tuple({} for _ in range(RANKS))
        self._promises: Counter[P] = Counter()
        # Waiting and promised, by arrival, and so by expiry.
        self._unserved: dict[Ticket[P], None] = {}
        self._places_freed = Throughput()
        self._openings_freed = Throughput()
        self._streams_freed: dict[P, Throughput] = defaultdict(Throughput)
        self._free_last: dict[P, int] = {}

    @property
    def queued(self) -> int:
        """New sessions that wait for room."""
        return self._line.new

    # ---- those who come

    def check(self, place: Place, pool: P, now: float) -> None:
        """Whether a new session could begin, or wait, now.

        Raises:
            ParleyError: at-capacity or too-many-sessions.
        """
        if self._obstacle(place, pool) and not self._may_wait(place, more=1):
            raise self._refused(place, pool, now)

    def seat(self, place: Place, pool: P, now: float) -> None:
        """Give a session that comes from another node its place, at once; its legs ask for themselves.

        Raises:
            ParleyError: at-capacity or too-many-sessions.
        """
        if not self._has_place_for(place):
            raise self._refused(place, pool, now)
        self._hold(place)

    def ask(self, place: Place, pool: P, purpose: LegPurpose, now: float) -> Ticket[P]:
        """Apply for a stream, and for the place if it is not held yet: OPENING, PROMISED or WAITING.

        Raises:
            ParleyError: at-capacity or too-many-sessions, for a new session that may not wait, and for a successor
                without room.
        """
        is_new = not place.is_held
        self._arrivals += 1
        ticket = Ticket(
            place,
            pool,
            rank=place.rank if is_new else min(purpose, LegPurpose.RETURN),
            expires_at=now + self.limits.queue_timeout_s,
            is_new=is_new,
            arrival=self._arrivals,
        )
        self._line.add(ticket)
        self._unserved[ticket] = None
        self.serve()
        if ticket.state is TicketState.WAITING:
            may_wait = self._may_wait(place) if is_new else purpose is not LegPurpose.SUCCESSOR
            if not may_wait:
                self._remove(ticket)
                raise self._refused(place, pool, now)
            ticket.position = self._line.ahead(pool, ticket.rank)
        return ticket

    # ---- what becomes of them

    def taken(self, ticket: Ticket[P]) -> None:
        """The pool is asked for the stream now, and counts it from here on."""
        if ticket.state is TicketState.OPENING and not ticket.is_counted_by_pool:
            ticket.is_counted_by_pool = True
            self._break_promise(ticket.pool)

    def finish(self, ticket: Ticket[P], now: float) -> None:
        """The ticket is of no further use: its leg is open, could not be opened, or is not wanted any more."""
        if ticket.state is TicketState.OPENING:
            self._openings_freed.count(now)
            self._free_last[ticket.pool] = self._free_streams(ticket.pool, True)
        self._remove(ticket)
        self.serve()

    def leave(self, place: Place, now: float) -> None:
        """The session has ended; its tickets are finished."""
        if not place.is_held:
            return
        place.is_held = False
        self.live -= 1
        _discount(self._live_of_tenant, place.tenant.name)
        _discount(self._live_of_model, place.model)
        self._places_freed.count(now)
        self.serve()

    def room(self, pool: P, now: float) -> None:
        """The pool may have more room than before."""
        free = self._free_streams(pool, True)
        freed = min(free - self._free_last.get(pool, free), self.limits.opening_max)
        for _ in range(freed):
            self._streams_freed[pool].count(now)
        self._free_last[pool] = free
        self.serve()

    # ---- time

    @property
    def next_expiry(self) -> float | None:
        """When the next of those who wait has waited long enough."""
        return next(iter(self._unserved)).expires_at if self._unserved else None

    def expire(self, now: float) -> list[Ticket[P]]:
        """Those who have waited in vain; their refusals are set."""
        expired: list[Ticket[P]] = []
        while self._unserved and (ticket := next(iter(self._unserved))).expires_at <= now:
            ticket.refusal = self._at_capacity(
                f"It has waited {self.limits.queue_timeout_s:g} s for a stream", self.eta_s(ticket, now)
            )
            self._remove(ticket)
            expired.append(ticket)
        self.expired += len(expired)
        if expired:
            self.serve()
        return expired

    def count_positions(self) -> None:
        """Count everybody's position anew."""
        ahead: dict[P | None, list[int]] = defaultdict(lambda: [0] * RANKS)
        for ticket in self._unserved:
            ahead[_waits_for(ticket)][ticket.rank] += 1
        for counts in ahead.values():
            before = 0
            for rank, count in enumerate(counts):
                counts[rank] = before
                before += count
        for ticket in self._unserved:
            counts = ahead[_waits_for(ticket)]
            counts[ticket.rank] += 1
            ticket.position = counts[ticket.rank]

    def eta_s(self, ticket: Ticket[P], now: float) -> float | None:
        """How long it will still wait, as fast as what it lacks has been coming free; None when that is not known."""
        if ticket.state is TicketState.PROMISED:
            return self._openings_freed.time_for_s(ticket.position, now)
        return self._eta_s(ticket.pool, ticket.position, now, is_new=ticket.is_new)

    # ---- serving

    def _remove(self, ticket: Ticket[P]) -> None:
        """Take it from wherever it is."""
        self._unserved.pop(ticket, None)
        if ticket.state is TicketState.WAITING:
            self._line.remove(ticket)
        elif ticket.state is TicketState.PROMISED:
            del self._promised[ticket.rank][ticket]
            self._break_promise(ticket.pool)
        elif ticket.state is TicketState.OPENING:
            self.taken(ticket)
            self.opening -= 1
        ticket.state = TicketState.OVER

    def serve(self) -> None:
        """Serve those who wait, as far as there is room: room may come of time alone."""
        self._promise()
        while self.opening < self.limits.opening_max:
            ticket = next((next(iter(tickets)) for tickets in self._promised if tickets), None)
            if ticket is None:
                return
            del self._promised[ticket.rank][ticket]
            del self._unserved[ticket]
            ticket.state = TicketState.OPENING
            self.opening += 1
            self.admitted.append(ticket)

    def _promise(self) -> None:
        """Promise streams to those who wait, as far as they go."""
        free: dict[tuple[P, bool], int] = {}

        def is_open(pool: P, is_new: bool) -> bool:
            if is_new and (self.live >= self.limits.sessions_max or not self._takes_new(pool)):
                return False
            free[pool, is_new] = self._free(pool, is_new)
            return free[pool, is_new] > 0

        def try_to_serve(ticket: Ticket[P]) -> bool:
            pool = ticket.pool
            if free[pool, ticket.is_new] <= 0 or (ticket.is_new and not self._has_place_for(ticket.place)):
                return False
            for line in ((pool, False), (pool, True)):
                if line in free:
                    free[line] -= 1
            self._give(ticket)
            return True

        self._line.serve(is_open, try_to_serve)

    def _give(self, ticket: Ticket[P]) -> None:
        if not ticket.place.is_held:
            self._hold(ticket.place)
        ticket.state = TicketState.PROMISED
        self._promises[ticket.pool] += 1
        self._promised[ticket.rank][ticket] = None

    def _break_promise(self, pool: P) -> None:
        _discount(self._promises, pool)

    def _hold(self, place: Place) -> None:
        place.is_held = True
        self.live += 1
        self._live_of_tenant[place.tenant.name] += 1
        self._live_of_model[place.model] += 1

    # ---- room

    def _free(self, pool: P, is_new: bool) -> int:
        return self._free_streams(pool, not is_new) - self._promises[pool]

    def _is_at_own_limit(self, tenant: Tenant) -> bool:
        return 0 < tenant.sessions_max <= self._live_of_tenant[tenant.name]

    def _has_place_for(self, place: Place) -> bool:
        model_max = self.limits.model_sessions_max
        return (
            self.live < self.limits.sessions_max
            and not self._is_at_own_limit(place.tenant)
            and not 0 < model_max <= self._live_of_model[place.model]
        )

    def _may_wait(self, place: Place, *, more: int = 0) -> bool:
        """Whether as many new sessions may wait as do, and so many `more`."""
        own_max = place.tenant.sessions_max
        is_own_full = 0 < own_max < self._line.new_of(place.tenant.name) + more
        return self._line.new + more <= self.limits.queue_max and not is_own_full

    def _obstacle(self, place: Place, pool: P) -> str:
        """What one would have to wait for, as a sentence's beginning; empty for nothing."""
        if not place.is_held:
            if self._is_at_own_limit(place.tenant):
                return f"{place.tenant.sessions_max} of them are live"
            if not self._has_place_for(place):
                return f"{self.live} sessions are live"
            if not self._takes_new(pool):
                return "The model servers are behind with the sessions that they have"
        return "" if self._free(pool, not place.is_held) > 0 else "The model servers have no stream free"

    # ---- what they are told

    def _refused(self, place: Place, pool: P, now: float) -> ParleyError:
        self.refused += not place.is_held
        # One that lacks nothing comes behind others.
        obstacle = self._obstacle(place, pool) or "Others come first"
        if not place.is_held and self._is_at_own_limit(place.tenant):
            retry_after_s = self.limits.retry_after_s
            return ParleyError(
                "too-many-sessions", f"{obstacle}; retry after {retry_after_s:g} s.", retry_after_s=retry_after_s
            )
        position = self._line.ahead(pool, place.rank) + 1
        return self._at_capacity(obstacle, self._eta_s(pool, position, now, is_new=not place.is_held))

    def _at_capacity(self, cause: str, eta_s: float | None) -> ParleyError:
        hint_s = self.limits.retry_after_s
        if eta_s is not None:
            hint_s = min(_HINT_MAX_S, max(_HINT_MIN_S, round(eta_s, 1)))
        return ParleyError("at-capacity", f"{cause}; retry after {hint_s:g} s.", retry_after_s=hint_s)

    def _eta_s(self, pool: P, position: int, now: float, *, is_new: bool) -> float | None:
        lacking: list[float | None] = []
        if is_new and self.live >= self.limits.sessions_max:
            lacking.append(self._places_freed.time_for_s(position, now))
        if self._free(pool, is_new) <= 0:
            lacking.append(self._streams_freed[pool].time_for_s(position, now))
        known = [eta_s for eta_s in lacking if eta_s is not None]
        return max(known) if known and len(known) == len(lacking) else None


def _waits_for[P: Hashable](ticket: Ticket[P]) -> P | None:
    """What it waits for: a stream of its pool, or to be opened, which is the same for all."""
    return ticket.pool if ticket.state is TicketState.WAITING else None


def _discount[K: Hashable](counter: Counter[K], key: K) -> None:
    """One less; what has come to nothing is forgotten."""
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
