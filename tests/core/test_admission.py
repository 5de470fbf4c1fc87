"""Places, streams, and the line of those who wait for them."""

from dataclasses import dataclass

import pytest

from parley.core.admission import Admission, AdmissionLimits
from parley.core.effects import LegPurpose
from parley.core.errors import ParleyError
from parley.core.tenant import Tenant
from parley.core.ticket import Place, Ticket, TicketState

from .builders import AnError

ANYBODY = Tenant("")
NEW, RETURN, SUCCESSOR, RECOVERY = LegPurpose.NEW, LegPurpose.RETURN, LegPurpose.SUCCESSOR, LegPurpose.RECOVERY


@dataclass
class Budget:
    """A pool's streams: how many there are, how many of them are spare, how many it counts as used."""

    streams: int = 1_000
    spare: int = 0
    used: int = 0
    takes_new: bool = True


class Node:
    """An admission with its pools, and a clock."""

    def __init__(
        self,
        *,
        sessions_max: int = 1_000,
        model_sessions_max: int = 0,
        queue_max: int = 0,
        opening_max: int = 1_000,
        a: Budget | None = None,
        b: Budget | None = None,
    ) -> None:
        self.pools = {"a": a or Budget(), "b": b or Budget()}
        self.now = 0.0
        limits = AdmissionLimits(
            sessions_max=sessions_max,
            model_sessions_max=model_sessions_max,
            queue_max=queue_max,
            queue_timeout_s=20.0,
            opening_max=opening_max,
            retry_after_s=2.0,
        )
        self.admission = Admission[str](limits, self._free, lambda pool: self.pools[pool].takes_new)

    def _free(self, pool: str, may_use_spare: bool) -> int:
        budget = self.pools[pool]
        return budget.streams - budget.used - (0 if may_use_spare else budget.spare)

    def new(self, tenant: Tenant = ANYBODY, *, pool: str = "a", model: str = "m") -> Ticket[str]:
        """A new session asks."""
        return self.admission.ask(Place(tenant, model), pool, NEW, self.now)

    def leg(self, place: Place, purpose: LegPurpose, *, pool: str = "a") -> Ticket[str]:
        return self.admission.ask(place, pool, purpose, self.now)

    def open(self, ticket: Ticket[str]) -> None:
        """The leg of a ticket is opened, to the end."""
        assert ticket.state is TicketState.OPENING
        self.admission.taken(ticket)
        self.pools[ticket.pool].used += 1
        self.admission.finish(ticket, self.now)

    def live(self, tenant: Tenant = ANYBODY, *, pool: str = "a", model: str = "m") -> Place:
        """A session with its leg."""
        ticket = self.new(tenant, pool=pool, model=model)
        self.open(ticket)
        self.admission.admitted.clear()
        return ticket.place

    def close_leg(self, pool: str = "a") -> None:
        self.pools[pool].used -= 1
        self.admission.room(pool, self.now)

    def end(self, place: Place, pool: str = "a") -> None:
        """A session with one leg ends."""
        self.close_leg(pool)
        self.admission.leave(place, self.now)

    def admitted(self) -> list[Ticket[str]]:
        taken, self.admission.admitted[:] = list(self.admission.admitted), []
        return taken

    def refusal(self, tenant: Tenant = ANYBODY, *, pool: str = "a", model: str = "m") -> ParleyError:
        """What a new session is told, when it is announced and when it comes."""
        with pytest.raises(ParleyError) as announced:
            self.admission.check(Place(tenant, model), pool, self.now)
        with pytest.raises(ParleyError) as caught:
            self.new(tenant, pool=pool, model=model)
        assert AnError(announced.value.code, announced.value.detail, retry_after_s=announced.value.retry_after_s) == (
            caught.value
        )
        return caught.value


# ---- room


def test_who_finds_room_may_open_its_leg_at_once() -> None:
    node = Node()
    node.admission.check(Place(ANYBODY, "m"), "a", node.now)
    ticket = node.new()
    assert ticket.state is TicketState.OPENING
    assert ticket.place.is_held
    assert (node.admission.live, node.admission.opening) == (1, 1)


def test_a_full_node_refuses_and_says_when_to_retry() -> None:
    node = Node(sessions_max=2)
    for _ in range(2):
        node.live()
    assert AnError("at-capacity", "2 sessions are live; retry after 2 s.", retry_after_s=2.0) == node.refusal()
    assert node.admission.refused == 2


def test_a_place_is_held_from_the_first_stream_to_the_sessions_end() -> None:
    node = Node(sessions_max=1)
    place = node.live()
    node.close_leg()
    node.refusal()
    node.admission.leave(place, node.now)
    assert node.new().state is TicketState.OPENING


def test_a_place_is_given_back_once() -> None:
    node = Node()
    first, _ = node.live(), node.live()
    for _ in range(3):
        node.admission.leave(first, node.now)
    assert node.admission.live == 1


def test_a_pool_without_a_free_stream_refuses_although_there_are_places() -> None:
    node = Node(a=Budget(streams=1))
    node.live()
    assert node.refusal().detail == "The model servers have no stream free; retry after 2 s."
    assert node.new(pool="b").state is TicketState.OPENING


def test_streams_that_are_promised_are_not_promised_again() -> None:
    node = Node(a=Budget(streams=2))
    first, second = node.new(), node.new()
    node.refusal()
    node.admission.taken(first)
    node.admission.taken(first)
    node.pools["a"].used += 1
    node.refusal()
    node.admission.finish(second, node.now)
    assert node.new().state is TicketState.OPENING


def test_spare_streams_are_not_for_new_sessions() -> None:
    node = Node(a=Budget(streams=2, spare=1))
    place = node.live()
    node.refusal()
    assert node.leg(place, RECOVERY).state is TicketState.OPENING


def test_a_pool_that_is_behind_takes_no_new_session_and_still_gives_streams_to_those_it_has() -> None:
    node = Node()
    place = node.live()
    node.pools["a"].takes_new = False
    expected = "The model servers are behind with the sessions that they have; retry after 2 s."
    assert node.refusal().detail == expected
    assert node.leg(place, RETURN).state is TicketState.OPENING


def test_a_tenants_own_limit_is_told_as_its_own() -> None:
    node = Node()
    small = Tenant("small", 1)
    node.live(small)
    refusal = node.refusal(small)
    assert (refusal.code, refusal.detail) == ("too-many-sessions", "1 of them are live; retry after 2 s.")
    assert node.new(Tenant("other", 1)).state is TicketState.OPENING


def test_a_models_limit_is_its_own_too() -> None:
    node = Node(model_sessions_max=1)
    node.live(model="x")
    assert node.refusal(model="x").code == "at-capacity"
    assert node.new(model="y").state is TicketState.OPENING


def test_a_session_from_another_node_takes_a_place_at_once_or_is_refused() -> None:
    node = Node(sessions_max=1, queue_max=9, a=Budget(streams=0))
    place = Place(ANYBODY, "m")
    node.admission.seat(place, "a", node.now)
    assert (place.is_held, node.admission.live) == (True, 1)
    with pytest.raises(ParleyError, match="1 sessions are live"):
        node.admission.seat(Place(ANYBODY, "m"), "a", node.now)


# ---- the line


def test_a_new_session_may_wait_for_a_place() -> None:
    node = Node(sessions_max=1, queue_max=1)
    place = node.live()
    node.admission.check(Place(ANYBODY, "m"), "a", node.now)
    waiting = node.new()
    assert (waiting.state, waiting.position, waiting.place.is_held) == (TicketState.WAITING, 1, False)
    node.end(place)
    assert node.admitted() == [waiting]
    assert (waiting.state, node.admission.live, node.admission.queued) == (TicketState.OPENING, 1, 0)


def test_a_new_session_may_wait_for_a_stream_alike() -> None:
    node = Node(a=Budget(streams=1), queue_max=1)
    node.live()
    waiting = node.new()
    node.close_leg()
    assert node.admitted() == [waiting]


def test_a_queue_that_is_full_refuses() -> None:
    node = Node(sessions_max=1, queue_max=2)
    node.live()
    for _ in range(2):
        node.new()
    assert node.refusal().code == "at-capacity"
    assert node.admission.queued == 2


def test_a_tenant_may_have_as_many_waiting_as_it_may_have_live() -> None:
    node = Node(queue_max=9)
    small = Tenant("small", 1)
    node.live(small)
    node.new(small)
    assert node.refusal(small).code == "too-many-sessions"


def test_one_that_waits_for_its_tenants_limit_holds_up_nobody() -> None:
    node = Node(sessions_max=2, queue_max=9)
    small = Tenant("small", 1)
    own, other = node.live(small), node.live()
    held_up, behind = node.new(small), node.new()
    node.end(other)
    assert node.admitted() == [behind]
    node.end(own)
    assert node.admitted() == [held_up]


def test_tenants_of_a_higher_priority_are_served_first() -> None:
    node = Node(sessions_max=1, queue_max=9)
    place = node.live()
    tickets = {priority: node.new(Tenant(f"p{priority}", priority=priority)) for priority in (1, 9, 5)}
    served = []
    for _ in range(3):
        node.end(place)
        (ticket,) = node.admitted()
        node.open(ticket)
        node.admitted()
        place = ticket.place
        served.append(ticket)
    assert served == [tickets[9], tickets[5], tickets[1]]


def test_a_leg_of_a_living_session_comes_before_new_ones_whatever_the_queue() -> None:
    node = Node(a=Budget(streams=2), queue_max=1)
    place, _ = node.live(), node.live()
    node.new()
    returning = node.leg(place, RETURN)
    replacing = node.leg(place, RECOVERY)
    assert [ticket.state for ticket in (returning, replacing)] == [TicketState.WAITING] * 2
    node.close_leg()
    assert node.admitted() == [replacing]
    node.open(replacing)
    node.close_leg()
    assert node.admitted() == [returning]


def test_a_successor_never_waits() -> None:
    node = Node(a=Budget(streams=1), queue_max=9)
    place = node.live()
    with pytest.raises(ParleyError) as caught:
        node.leg(place, SUCCESSOR)
    assert (caught.value.code, node.admission.refused) == ("at-capacity", 0)
    assert caught.value.detail == "The model servers have no stream free; retry after 2 s."
    node.pools["a"].streams = 2
    assert node.leg(place, SUCCESSOR).state is TicketState.OPENING


def test_a_successor_of_a_tenant_at_its_limit_is_refused_for_want_of_a_stream() -> None:
    node = Node(a=Budget(streams=1))
    place = node.live(Tenant("small", 1))
    with pytest.raises(ParleyError, match="at-capacity"):
        node.leg(place, SUCCESSOR)


def test_who_is_not_wanted_any_more_waits_no_longer() -> None:
    node = Node(sessions_max=1, queue_max=2)
    place = node.live()
    gone, next_one = node.new(), node.new()
    node.admission.finish(gone, node.now)
    node.admission.finish(gone, node.now)
    node.end(place)
    assert node.admitted() == [next_one]
    assert gone.state is TicketState.OVER


def test_room_that_nobody_announced_goes_to_who_waits_and_not_to_who_comes() -> None:
    node = Node(a=Budget(streams=1), queue_max=1)
    node.live()
    waiting = node.new()
    node.pools["a"].used = 0
    behind = node.new()
    assert node.admitted() == [waiting]
    assert behind.state is TicketState.WAITING


def test_others_that_come_first_are_told_as_the_reason() -> None:
    # The pool finds its room only while the one who asks is refused.
    node = Node(a=Budget(streams=0))
    looks = iter([0, 1, 1, 1, 1])
    node.admission._free_streams = lambda _pool, _may_use_spare: next(looks)
    with pytest.raises(ParleyError, match="Others come first"):
        node.new()


# ---- openings


def test_only_so_many_legs_are_opened_at_the_same_time() -> None:
    node = Node(opening_max=2)
    first, second, third = node.new(), node.new(), node.new()
    assert [ticket.state for ticket in (first, second, third)] == [
        TicketState.OPENING,
        TicketState.OPENING,
        TicketState.PROMISED,
    ]
    # It waits for no room: it has its place and its stream.
    assert (node.admission.queued, third.place.is_held) == (0, True)
    node.admitted()
    node.open(first)
    assert node.admitted() == [third]


def test_openings_go_by_rank_too() -> None:
    node = Node(opening_max=1)
    place = node.live()
    opening, new, replacing = node.new(), node.new(), node.leg(place, RECOVERY)
    node.admitted()
    node.open(opening)
    assert node.admitted() == [replacing]
    node.open(replacing)
    assert node.admitted() == [new]


def test_a_successor_with_room_waits_to_be_opened() -> None:
    node = Node(opening_max=1)
    place = node.live()
    opening = node.new()
    successor = node.leg(place, SUCCESSOR)
    assert successor.state is TicketState.PROMISED
    node.admitted()
    node.open(opening)
    assert node.admitted() == [successor]


def test_a_promise_that_is_not_wanted_is_given_back() -> None:
    node = Node(opening_max=1, a=Budget(streams=2))
    opening, promised = node.new(), node.new()
    node.refusal()
    node.admission.finish(promised, node.now)
    assert node.new().state is TicketState.PROMISED
    assert opening.state is TicketState.OPENING


# ---- time


def test_who_has_waited_in_vain_is_refused() -> None:
    node = Node(sessions_max=1, queue_max=2)
    node.live()
    first = node.new()
    node.now = 5.0
    second = node.new()
    assert node.admission.next_expiry == 20.0
    assert node.admission.expire(19.9) == []
    assert node.admission.expire(20.0) == [first]
    refusal = AnError("at-capacity", "It has waited 20 s for a stream; retry after 2 s.", retry_after_s=2.0)
    assert refusal == first.refusal
    assert (first.state, second.state, node.admission.expired) == (TicketState.OVER, TicketState.WAITING, 1)
    assert node.admission.next_expiry == 25.0


def test_who_waits_to_be_opened_does_not_wait_for_ever_either() -> None:
    node = Node(opening_max=1)
    node.new()
    promised = node.new()
    assert node.admission.expire(20.0) == [promised]
    assert node.admission.next_expiry is None


def test_positions_count_those_of_the_same_pool_who_come_first() -> None:
    node = Node(queue_max=9, a=Budget(streams=1), b=Budget(streams=0))
    place = node.live()
    low, high = Tenant("low", priority=1), Tenant("high", priority=8)
    tickets = [node.new(low), node.new(high), node.new(pool="b"), node.leg(place, RETURN), node.new(low)]
    assert [ticket.position for ticket in tickets] == [1, 1, 1, 1, 4]
    node.admission.count_positions()
    assert [ticket.position for ticket in tickets] == [3, 2, 1, 1, 4]


def test_those_who_wait_to_be_opened_have_positions_of_their_own() -> None:
    node = Node(opening_max=1, queue_max=9, b=Budget(streams=0))
    node.new()
    tickets = [node.new(), node.new(), node.new(pool="b")]
    node.admission.count_positions()
    assert [ticket.position for ticket in tickets] == [1, 2, 1]


# ---- hints


def test_a_hint_is_the_time_in_which_places_have_been_coming_free() -> None:
    node = Node(sessions_max=3, queue_max=9)
    for end in (0.0, 4.0, 8.0):
        place = node.live()
        node.now = end
        node.end(place)
    for _ in range(3):
        node.live()
    first, second = node.new(), node.new()
    assert [node.admission.eta_s(ticket, node.now) for ticket in (first, second)] == [4.0, 8.0]
    refused = Node.refusal
    node.admission.limits = AdmissionLimits(sessions_max=3, queue_max=2)
    assert refused(node).retry_after_s == 12.0


def test_a_hint_is_the_time_in_which_streams_have_been_coming_free_where_those_are_lacking() -> None:
    node = Node(a=Budget(streams=2), queue_max=9)
    places = [node.live(), node.live()]
    for second in (1.0, 3.0, 5.0):
        node.now = second
        node.close_leg()
        node.open(node.leg(places[0], RETURN))
    waiting = node.leg(places[1], RETURN)
    assert node.admission.eta_s(waiting, node.now) == 2.0


def test_of_two_things_that_are_lacking_the_slower_one_counts() -> None:
    node = Node(sessions_max=2, a=Budget(streams=2), queue_max=9)
    places = [node.live(), node.live()]
    for second in (1.0, 3.0, 5.0):
        node.now = second
        node.close_leg()
        node.open(node.leg(places[0], RETURN))
    # The rate of the places is not known.
    waiting = node.new()
    assert node.admission.eta_s(waiting, node.now) is None


def test_a_hint_for_one_that_waits_to_be_opened_is_the_pace_of_the_openings() -> None:
    node = Node(opening_max=1)
    for second in (0.0, 3.0, 6.0):
        node.now = second
        node.live()
    node.new()
    promised = node.new()
    node.admission.count_positions()
    assert node.admission.eta_s(promised, node.now) == 3.0


def test_nothing_is_said_of_how_long_a_tenants_own_limit_takes() -> None:
    node = Node(queue_max=9)
    small = Tenant("small", 1)
    for second in (0.0, 1.0, 2.0):
        node.now = second
        node.end(node.live(small))
    node.live(small)
    assert node.admission.eta_s(node.new(small), node.now) is None


@pytest.mark.parametrize(("pause_s", "hint_s"), [(0.01, 0.5), (200.0, 60.0)])
def test_hints_stay_within_reason(pause_s: float, hint_s: float) -> None:
    node = Node(sessions_max=1)
    for _ in range(20):
        node.end(node.live())
        node.now += pause_s
    node.live()
    assert node.refusal().retry_after_s == hint_s
