"""What holds of admission whatever happens: bounds, order, and one answer for each."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from parley.core.admission import Admission, AdmissionLimits
from parley.core.effects import LegPurpose
from parley.core.errors import ParleyError
from parley.core.tenant import Tenant
from parley.core.ticket import Place, Ticket, TicketState

POOLS = ("a", "b")
TENANTS = (Tenant(""), Tenant("small", 2, 5), Tenant("urgent", 3, 9), Tenant("late", 0, 1))
MODELS = ("m", "n")

LIMITS = st.builds(
    AdmissionLimits,
    sessions_max=st.integers(1, 6),
    model_sessions_max=st.sampled_from([0, 3]),
    queue_max=st.integers(0, 6),
    queue_timeout_s=st.just(10.0),
    opening_max=st.integers(1, 4),
)
STEP = st.tuples(
    st.sampled_from(
        ["new", "new", "leg", "open", "open", "fail", "withdraw", "close", "leave", "wait", "budget", "lag"]
    ),
    st.integers(0, 10_000),
)


class World:
    """A node as it may be: pools that count their legs, sessions that come and go, and everything checked after each
    step."""

    def __init__(self, limits: AdmissionLimits, budgets: tuple[int, int], spare: int) -> None:
        self.limits = limits
        self.now = 0.0
        self.budget = dict(zip(POOLS, budgets, strict=True))
        self.spare = spare
        self.used: Counter[str] = Counter()
        self.behind: set[str] = set()
        self.admission = Admission[str](limits, self.free, lambda pool: pool not in self.behind)
        self.unanswered: list[Ticket[str]] = []
        self.opening: list[Ticket[str]] = []
        self.legs: list[tuple[Place, str]] = []
        self.answers: Counter[Ticket[str]] = Counter()
        # A session whose first leg is not there yet has one ticket.
        self.places: list[Place] = []

    def free(self, pool: str, may_use_spare: bool) -> int:
        return self.budget[pool] - self.used[pool] - (0 if may_use_spare else self.spare)

    # ---- steps

    def step(self, what: str, number: int) -> None:
        getattr(self, f"_{what}")(number)
        self.collect()
        self.hold()

    def _new(self, number: int) -> None:
        place = Place(TENANTS[number % 4], MODELS[number // 4 % 2])
        self._ask(place, POOLS[number // 8 % 2], LegPurpose.NEW)

    def _leg(self, number: int) -> None:
        if self.places:
            purpose = (LegPurpose.RECOVERY, LegPurpose.SUCCESSOR, LegPurpose.RETURN)[number % 3]
            self._ask(self.places[number % len(self.places)], POOLS[number // 3 % 2], purpose)

    def _ask(self, place: Place, pool: str, purpose: LegPurpose) -> None:
        is_new = not place.is_held
        free = self.free(pool, not is_new)
        try:
            ticket = self.admission.ask(place, pool, purpose, self.now)
        except ParleyError:
            if not is_new and purpose is not LegPurpose.SUCCESSOR:
                raise
            return
        assert ticket.state is not TicketState.WAITING or purpose is not LegPurpose.SUCCESSOR, "successors never wait"
        assert ticket.state is TicketState.WAITING or free > 0, "no stream comes of nothing"
        self.unanswered.append(ticket)

    def _open(self, number: int) -> None:
        if self.opening:
            ticket = self.opening.pop(number % len(self.opening))
            self.admission.taken(ticket)
            self.used[ticket.pool] += 1
            self.admission.finish(ticket, self.now)
            self.legs.append((ticket.place, ticket.pool))

    def _fail(self, number: int) -> None:
        if self.opening:
            ticket = self.opening.pop(number % len(self.opening))
            self.admission.taken(ticket)
            self.used[ticket.pool] += 1
            self.used[ticket.pool] -= 1
            self.admission.finish(ticket, self.now)

    def _withdraw(self, number: int) -> None:
        tickets = self.unanswered + self.opening
        if tickets:
            ticket = tickets[number % len(tickets)]
            self.answers[ticket] += ticket in self.unanswered
            for of in (self.unanswered, self.opening):
                if ticket in of:
                    of.remove(ticket)
            self.admission.finish(ticket, self.now)

    def _close(self, number: int) -> None:
        if self.legs:
            _, pool = self.legs.pop(number % len(self.legs))
            self.used[pool] -= 1
            self.admission.room(pool, self.now)

    def _leave(self, number: int) -> None:
        if not self.places:
            return
        place = self.places.pop(number % len(self.places))
        for ticket in [one for one in self.unanswered + self.opening if one.place is place]:
            self.answers[ticket] += ticket in self.unanswered
            for of in (self.unanswered, self.opening):
                if ticket in of:
                    of.remove(ticket)
            self.admission.finish(ticket, self.now)
        for leg in [leg for leg in self.legs if leg[0] is place]:
            self.legs.remove(leg)
            self.used[leg[1]] -= 1
            self.admission.room(leg[1], self.now)
        for _ in range(2):
            self.admission.leave(place, self.now)

    def _wait(self, number: int) -> None:
        self.now += number % 60 / 10
        for ticket in self.admission.expire(self.now):
            assert ticket.refusal is not None
            self.answers[ticket] += 1
            self.unanswered.remove(ticket)

    def _budget(self, number: int) -> None:
        self.budget[POOLS[number % 2]] = number // 2 % 6
        self.admission.room(POOLS[number % 2], self.now)

    def _lag(self, number: int) -> None:
        self.behind ^= {POOLS[number % 2]}
        self.admission.room(POOLS[number % 2], self.now)

    # ---- what holds

    def collect(self) -> None:
        """Take those who were admitted, and check that nobody was passed over who could have been in their place."""
        for ticket in self.admission.admitted:
            assert ticket.state is TicketState.OPENING or ticket not in self.unanswered
        for ticket in self.admission.admitted:
            if ticket in self.unanswered:
                self.unanswered.remove(ticket)
                self.opening.append(ticket)
                self.answers[ticket] += 1
        self.admission.admitted.clear()
        self.places = list(
            {
                id(place): place
                for place in [*self.places, *(one.place for one in self.unanswered + self.opening)]
                if place.is_held
            }.values()
        )

    def hold(self) -> None:
        admission, limits = self.admission, self.limits
        assert all(count == 1 for ticket, count in self.answers.items() if ticket.state is TicketState.OVER)
        assert admission.live == len(self.places) <= limits.sessions_max
        assert admission.opening == len(self.opening) <= limits.opening_max
        for tenant in TENANTS:
            live = sum(place.tenant is tenant for place in self.places)
            assert not tenant.sessions_max or live <= tenant.sessions_max
        for model in MODELS:
            live = sum(place.model == model for place in self.places)
            assert not limits.model_sessions_max or live <= limits.model_sessions_max
        waiting = [ticket for ticket in self.unanswered if ticket.state is TicketState.WAITING]
        promised = [ticket for ticket in self.unanswered if ticket.state is TicketState.PROMISED]
        assert admission.queued == sum(ticket.is_new for ticket in waiting) <= limits.queue_max
        assert admission.opening == limits.opening_max or not promised
        assert (admission.next_expiry is None) == (not self.unanswered)
        self.nobody_waits_for_nothing(waiting, Counter(one.pool for one in promised + self.opening))
        admission.count_positions()
        for pool in POOLS:
            positions = sorted(ticket.position for ticket in waiting if ticket.pool == pool)
            assert positions == list(range(1, len(positions) + 1))

    def nobody_waits_for_nothing(self, waiting: list[Ticket[str]], promises: Counter[str]) -> None:
        for ticket in waiting:
            lacks_stream = self.free(ticket.pool, not ticket.is_new) - promises[ticket.pool] <= 0
            lacks_place = ticket.is_new and not self.admission._has_place_for(ticket.place)
            assert lacks_stream or lacks_place or (ticket.is_new and ticket.pool in self.behind)


@settings(max_examples=300, deadline=None)
@given(
    limits=LIMITS,
    budgets=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    spare=st.integers(0, 2),
    steps=st.lists(STEP, max_size=80),
)
def test_bounds_hold_each_is_answered_once_and_nobody_waits_for_what_is_there(
    limits: AdmissionLimits, budgets: tuple[int, int], spare: int, steps: list[tuple[str, int]]
) -> None:
    world = World(limits, budgets, spare)
    for what, number in steps:
        world.step(what, number)
    # When all is over, everything has been given back.
    for _ in range(len(world.unanswered) + len(world.opening)):
        world.step("withdraw", 0)
    for _ in range(len(world.places)):
        world.step("leave", 0)
    assert (world.admission.live, world.admission.opening, world.admission.queued) == (0, 0, 0)
    assert not world.admission._promises
    assert not world.admission._live_of_tenant


@given(
    priorities=st.lists(st.integers(0, 9), min_size=1, max_size=40),
    purposes=st.lists(st.sampled_from([LegPurpose.RECOVERY, LegPurpose.RETURN]), max_size=10),
)
def test_who_waits_for_the_same_is_served_by_rank_and_then_by_arrival(
    priorities: list[int], purposes: list[LegPurpose]
) -> None:
    free = [0]
    limits = AdmissionLimits(sessions_max=1_000, queue_max=1_000, opening_max=1_000)
    admission = Admission[str](limits, lambda _pool, _may_use_spare: free[0], lambda _pool: True)
    living = Place(Tenant("x"), "m")
    admission.seat(living, "a", 0.0)
    asked = [
        admission.ask(Place(Tenant(str(priority), priority=priority), "m"), "a", LegPurpose.NEW, 0.0)
        for priority in priorities
    ]
    asked += [admission.ask(living, "a", purpose, 0.0) for purpose in purposes]
    for number in range(1, len(asked) + 1):
        # Those who were promised one before have not taken it.
        free[0] = number
        admission.room("a", 0.0)
        assert len(admission.admitted) == number
    assert admission.admitted == sorted(asked, key=lambda ticket: (ticket.rank, ticket.arrival))
