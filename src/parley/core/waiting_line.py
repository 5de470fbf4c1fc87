"""The line of those who wait for room, in lanes of tickets that need the same."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from parley.core.ticket import Ticket


@dataclass(slots=True)
class _Lane[P: Hashable]:
    """Tickets that need the same, in the order of their arrival."""

    rank: int
    tickets: dict[Ticket[P], None] = field(default_factory=dict)

    @property
    def head(self) -> Ticket[P]:
        return next(iter(self.tickets))


class WaitingLine[P: Hashable]:
    """Tickets by rank, then by arrival, where one that can't be served holds up only those that need the same.

    `tells_models_apart` is whether models have a bound of their own.
    """

    def __init__(self, *, tells_models_apart: bool) -> None:
        self._tells_models_apart = tells_models_apart
        # By pool, and whether they are of new sessions; then by what else they need.
        self._lanes: dict[tuple[P, bool], dict[tuple[int, str, str], _Lane[P]]] = defaultdict(dict)
        self._new_of_tenant: Counter[str] = Counter()
        self.new = 0

    def new_of(self, tenant: str) -> int:
        """How many new sessions of the tenant are in it."""
        return self._new_of_tenant[tenant]

    def ahead(self, pool: P, rank: int) -> int:
        """How many wait for the pool with this rank or a better one."""
        lines = (self._lanes.get((pool, is_new), {}) for is_new in (False, True))
        return sum(len(lane.tickets) for line in lines for lane in line.values() if lane.rank <= rank)

    def add(self, ticket: Ticket[P]) -> None:
        """The last of its rank."""
        key = self._key(ticket)
        lanes = self._lanes[ticket.pool, ticket.is_new]
        if key not in lanes:
            lanes[key] = _Lane(ticket.rank)
        lanes[key].tickets[ticket] = None
        if ticket.is_new:
            self.new += 1
            self._new_of_tenant[ticket.place.tenant.name] += 1

    def remove(self, ticket: Ticket[P]) -> None:
        """It waits no longer."""
        key = self._key(ticket)
        lanes = self._lanes[ticket.pool, ticket.is_new]
        del lanes[key].tickets[ticket]
        if not lanes[key].tickets:
            del lanes[key]
        if ticket.is_new:
            tenant = ticket.place.tenant.name
            self.new -= 1
            self._new_of_tenant[tenant] -= 1
            if not self._new_of_tenant[tenant]:
                del self._new_of_tenant[tenant]

    def serve(self, is_open: Callable[[P, bool], bool], try_to_serve: Callable[[Ticket[P]], bool]) -> None:
        """Try to serve them, each once at most, in their order, and remove those that could be.

        `is_open` is asked once for each pool and kind (`is_new`) whether anybody could be served. Once a ticket could
        not be served, those behind it that need the same are not tried: nothing comes free meanwhile.
        """
        heads: list[tuple[int, int, _Lane[P]]] = []
        for line, lanes in self._lanes.items():
            if lanes and is_open(*line):
                heads += ((lane.rank, lane.head.arrival, lane) for lane in lanes.values())
        heapify(heads)
        while heads:
            rank, _, lane = heappop(heads)
            ticket = lane.head
            if try_to_serve(ticket):
                self.remove(ticket)
                if lane.tickets:
                    heappush(heads, (rank, lane.head.arrival, lane))

    def _key(self, ticket: Ticket[P]) -> tuple[int, str, str]:
        if not ticket.is_new:
            return ticket.rank, "", ""
        place = ticket.place
        # Those whose tenant has no bound need the same as each other.
        tenant = place.tenant.name if place.tenant.sessions_max else ""
        return ticket.rank, tenant, place.model if self._tells_models_apart else ""
