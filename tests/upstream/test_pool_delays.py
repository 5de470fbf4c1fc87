"""How far behind the servers of a pool are, and what follows from it."""

import pytest

from parley.upstream.pool.delays import p95
from tests.support.legs import Sink
from tests.upstream.fleet import Fleet


class Behind(Sink):
    """A session whose audio is this far behind."""

    def __init__(self, delay_s: float) -> None:
        super().__init__()
        self.behind_s = delay_s
        self.asked = 0

    def delay_s(self, leg_id: int) -> float:
        self.asked += 1
        return self.behind_s


async def at_work(fleet: Fleet, *delays_s: float) -> list[Behind]:
    """Sessions in the middle of a turn, this far behind."""
    sinks = [Behind(delay_s) for delay_s in delays_s]
    for sink in sinks:
        _, leg = await fleet.open(sink)
        leg.start_turn()
    return sinks


@pytest.mark.parametrize(
    ("values", "expected"),
    [([], 0.0), ([3.0], 3.0), ([1.0, 2.0], 2.0), ([9.0, *[1.0] * 19], 1.0), ([9.0, 9.0, *[1.0] * 18], 9.0)],
)
def test_one_value_in_twenty_may_be_over_the_95th_percentile(values: list[float], expected: float) -> None:
    assert p95(values) == expected


async def test_each_server_has_the_delay_of_its_own_legs_and_the_pool_that_of_all() -> None:
    fleet = Fleet(2)
    await at_work(fleet, 1.0, 4.0)
    await fleet.pool.sample()
    assert [member.delay_p95_s for member in fleet.pool.members] == [1.0, 4.0]
    assert fleet.pool.lag_p95_s == 4.0


async def test_legs_without_a_turn_are_not_asked() -> None:
    fleet = Fleet(1)
    sink = Behind(9.0)
    await fleet.open(sink)
    await fleet.pool.sample()
    assert (sink.asked, fleet.pool.lag_p95_s) == (0, 0.0)


async def test_a_slow_server_is_chosen_later() -> None:
    fleet = Fleet(2)
    await at_work(fleet, 5.0)
    await fleet.pool.sample()
    assert await fleet.places(4) == [1, 1, 1, 1]


async def test_a_delay_is_forgotten_with_its_leg() -> None:
    fleet = Fleet(1)
    await at_work(fleet, 5.0)
    await fleet.pool.sample()
    fleet.servers[0].legs[0].fail()
    await fleet.pool.sample()
    assert (fleet.pool.lag_p95_s, fleet.pool.members[0].delay_p95_s) == (0.0, 0.0)


async def test_a_pool_that_is_too_far_behind_takes_no_new_sessions_until_it_is_well_within_its_budget() -> None:
    fleet = Fleet(1, lag_budget_s=2.0)
    (sink,) = await at_work(fleet, 0.0)
    seen = []
    for delay_s in (2.0, 2.1, 1.9, 1.6, 1.9):
        sink.behind_s = delay_s
        await fleet.pool.sample()
        seen.append(fleet.pool.takes_new)
    assert seen == [True, False, False, True, True]


async def test_whoever_waits_hears_that_new_sessions_are_taken_again() -> None:
    fleet = Fleet(1, lag_budget_s=2.0)
    (sink,) = await at_work(fleet, 3.0)
    await fleet.pool.sample()
    fleet.rooms, sink.behind_s = 0, 0.0
    await fleet.pool.sample()
    await fleet.pool.sample()
    assert fleet.rooms == 1


async def test_without_a_budget_any_delay_will_do() -> None:
    fleet = Fleet(1)
    await at_work(fleet, 60.0)
    await fleet.pool.sample()
    assert fleet.pool.takes_new


async def test_many_legs_are_asked_some_at_a_time() -> None:
    fleet = Fleet(1)
    sinks = await at_work(fleet, *[1.0] * 200)
    sampling = fleet.pool.sample()
    sampling.send(None)
    asked_at_once = sum(sink.asked for sink in sinks)
    await fleet.pool.sample()
    sampling.close()
    assert 0 < asked_at_once < 100
    assert fleet.pool.lag_p95_s == 1.0
