"""The line: who is tried, in which order, and who holds up whom."""

import pytest

from parley.core.tenant import Tenant
from parley.core.ticket import Place, Ticket
from parley.core.waiting_line import WaitingLine


class Bench:
    """A line, and who was tried and served."""

    def __init__(self, *, tells_models_apart: bool = False) -> None:
        self.line = WaitingLine[str](tells_models_apart=tells_models_apart)
        self.tickets: list[Ticket[str]] = []
        self.tried: list[int] = []
        self.open = {("a", True), ("a", False), ("b", True), ("b", False)}

    def add(self, rank: int = 7, *, pool: str = "a", tenant: str = "", bound: int = 0, model: str = "m") -> int:
        """A ticket; its arrival."""
        arrival = len(self.tickets)
        place = Place(Tenant(tenant, bound), model)
        ticket = Ticket(place, pool, rank=rank, expires_at=0.0, is_new=rank > 2, arrival=arrival)
        self.tickets.append(ticket)
        self.line.add(ticket)
        return arrival

    def serve(self, *, refuse: frozenset[int] = frozenset()) -> list[int]:
        """Serve all but these; who was served."""
        served: list[int] = []

        def try_to_serve(ticket: Ticket[str]) -> bool:
            self.tried.append(ticket.arrival)
            if ticket.arrival in refuse:
                return False
            served.append(ticket.arrival)
            return True

        self.line.serve(lambda pool, is_new: (pool, is_new) in self.open, try_to_serve)
        return served


def test_an_empty_line_serves_nobody() -> None:
    assert Bench().serve() == []


def test_they_are_served_by_rank_and_then_by_arrival() -> None:
    bench = Bench()
    for rank in (7, 3, 0, 7, 2, 0):
        bench.add(rank)
    assert bench.serve() == [2, 5, 4, 1, 0, 3]


def test_whoever_was_served_is_not_served_again() -> None:
    bench = Bench()
    bench.add()
    assert (bench.serve(), bench.serve()) == ([0], [])


def test_the_order_holds_across_lanes() -> None:
    bench = Bench()
    for tenant in ("x", "y", "x", "y"):
        bench.add(tenant=tenant, bound=9)
    assert bench.serve() == [0, 1, 2, 3]


def test_who_cannot_be_served_holds_up_only_those_who_need_the_same() -> None:
    bench = Bench()
    for tenant in ("x", "x", "y"):
        bench.add(tenant=tenant, bound=9)
    assert bench.serve(refuse=frozenset({0})) == [2]
    assert bench.tried == [0, 2]


def test_tenants_without_a_bound_need_the_same() -> None:
    bench = Bench()
    bench.add(tenant="x")
    bench.add(tenant="y")
    assert bench.serve(refuse=frozenset({0})) == []


@pytest.mark.parametrize(("apart", "served"), [(True, [1]), (False, [])])
def test_models_are_told_apart_where_they_have_bounds(apart: bool, served: list[int]) -> None:
    bench = Bench(tells_models_apart=apart)
    bench.add(model="x")
    bench.add(model="y")
    assert bench.serve(refuse=frozenset({0})) == served


def test_a_pool_that_is_closed_to_new_sessions_is_open_to_those_that_live() -> None:
    bench = Bench()
    bench.open.discard(("a", True))
    for rank in (7, 2):
        bench.add(rank)
    bench.add(7, pool="b")
    assert bench.serve() == [1, 2]
    assert bench.tried == [1, 2]


def test_who_leaves_is_not_served() -> None:
    bench = Bench()
    for _ in range(3):
        bench.add()
    bench.line.remove(bench.tickets[0])
    bench.line.remove(bench.tickets[2])
    assert bench.serve() == [1]


def test_new_sessions_are_counted_altogether_and_by_tenant() -> None:
    bench = Bench()
    for tenant in ("x", "x", "y"):
        bench.add(tenant=tenant)
    bench.add(0, tenant="x")
    assert (bench.line.new, bench.line.new_of("x"), bench.line.new_of("z")) == (3, 2, 0)
    for ticket in bench.tickets[1:]:
        bench.line.remove(ticket)
    assert (bench.line.new, bench.line.new_of("x"), bench.line.new_of("y")) == (1, 1, 0)


def test_those_ahead_are_those_of_the_pool_with_a_rank_that_is_no_worse() -> None:
    bench = Bench()
    for rank in (0, 2, 3, 7, 7, 9):
        bench.add(rank)
    bench.add(0, pool="b")
    assert [bench.line.ahead("a", rank) for rank in (0, 2, 7, 12)] == [1, 2, 5, 6]
    assert bench.line.ahead("never", 12) == 0
