"""Budgets: how many legs each server of a pool has, what is kept for whom, and who hears of room."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.core.errors import ParleyError
from parley.upstream.health.health import UpstreamHealth
from parley.upstream.leg import LegConnection
from parley.upstream.pool.breaker import BreakerState
from parley.upstream.pool.choice import UNBOUNDED
from tests.support.legs import Sink
from tests.support.waiting import bounded
from tests.upstream.fleet import UNAVAILABLE, Fleet

FULL = ParleyError("at-capacity", retry_after_s=7.0)


async def refusal(fleet: Fleet) -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        await fleet.open()
    return caught.value


def free(fleet: Fleet) -> tuple[int, int]:
    """Streams left for everybody else, and for new sessions."""
    return fleet.pool.free_streams(may_use_spare=True), fleet.pool.free_streams(may_use_spare=False)


async def test_a_pool_whose_budgets_are_used_up_says_when_to_come_again_and_asks_no_server() -> None:
    fleet = Fleet(2, streams_max=2)
    await fleet.places(4)
    error = await refusal(fleet)
    assert (error.code, error.retry_after_s) == ("at-capacity", 2.0)
    assert [server.tries for server in fleet.servers] == [2, 2]


async def test_a_budget_holds_for_legs_that_are_being_opened_at_the_same_time() -> None:
    fleet = Fleet(2, streams_max=3)
    for server in fleet.servers:
        server.hangs = True
    opening = [asyncio.create_task(fleet.pool.open_leg(number, Sink())) for number in range(20)]
    await asyncio.wait(opening, timeout=0)
    refused = [task for task in opening if task.done()]
    for task in opening:
        task.cancel()
    await asyncio.wait(opening)
    assert len(refused) == 14
    assert [server.tries for server in fleet.servers] == [3, 3]
    assert fleet.legs == [0, 0]


async def test_spare_streams_are_not_for_new_sessions() -> None:
    fleet = Fleet(2, streams_max=4, spare=1)
    seen = [free(fleet)]
    await fleet.places(6)
    seen.append(free(fleet))
    await fleet.places(2)
    seen.append(free(fleet))
    assert seen == [(8, 6), (2, 0), (0, 0)]


async def test_of_a_budget_that_is_no_larger_than_the_spare_streams_one_is_for_new_sessions() -> None:
    assert free(Fleet(1, streams_max=2, spare=5)) == (2, 1)


async def test_servers_without_a_budget_take_any_number() -> None:
    assert free(Fleet(2)) == (UNBOUNDED, UNBOUNDED)


async def test_servers_that_are_not_ready_have_no_streams() -> None:
    fleet = Fleet(2, streams_max=4)
    fleet.healths[0].lost()
    assert free(fleet) == (4, 4)


async def test_a_server_that_may_only_be_tried_has_one_stream() -> None:
    fleet = Fleet(2, streams_max=4)
    await fleet.open()
    fleet.servers[0].legs[0].fail()
    seen = [free(fleet)]
    fleet.clock.pass_s(1.0)
    seen.append(free(fleet))
    assert seen == [(4, 4), (5, 5)]


async def test_whoever_waits_hears_of_a_leg_that_has_ended() -> None:
    fleet = Fleet(1, streams_max=1)
    _, leg = await fleet.open()
    fleet.rooms = 0
    leg.close()
    assert (fleet.rooms, free(fleet)) == (1, (1, 1))


async def test_whoever_waits_hears_of_a_server_that_is_ready() -> None:
    fleet = Fleet(1, streams_max=1)
    fleet.healths[0].lost()
    fleet.rooms = 0
    fleet.healths[0].seen()
    assert fleet.rooms == 1


async def test_a_server_that_says_that_it_is_full_is_left_alone_for_a_second_and_is_not_broken() -> None:
    fleet = Fleet(1)
    fleet.servers[0].refuses_with = FULL
    codes = [(await refusal(fleet)).retry_after_s for _ in range(2)]
    fleet.pool.tick()
    fleet.rooms = 0
    fleet.servers[0].refuses_with = None
    fleet.clock.pass_s(1.0)
    fleet.pool.tick()
    assert (codes, fleet.servers[0].tries, fleet.rooms) == ([7.0, 2.0], 1, 1)
    assert fleet.pool.members[0].breaker.state(fleet.clock.now) is BreakerState.CLOSED
    assert await fleet.places(1) == [0]


async def test_a_server_that_said_it_is_full_has_room_when_one_of_its_legs_is_closed() -> None:
    fleet = Fleet(1)
    _, leg = await fleet.open()
    fleet.servers[0].refuses_with = FULL
    await refusal(fleet)
    fleet.servers[0].refuses_with = None
    leg.close()
    assert await fleet.places(1) == [0]


async def test_a_broken_server_is_tried_by_one_leg_while_the_others_go_elsewhere() -> None:
    fleet = Fleet(2)
    await fleet.open()
    fleet.servers[0].legs[0].fail()
    fleet.clock.pass_s(0.6)
    assert await fleet.places(4) == [0, 1, 1, 1]


async def test_whoever_waits_hears_that_a_broken_server_may_be_tried() -> None:
    fleet = Fleet(1)
    await fleet.open()
    fleet.servers[0].legs[0].fail()
    fleet.pool.tick()
    fleet.rooms = 0
    fleet.clock.pass_s(0.6)
    fleet.pool.tick()
    fleet.pool.tick()
    assert fleet.rooms == 1, "the breaker is half-open by time alone, and said so once"


async def test_a_trial_whose_turn_is_transcribed_lets_the_others_in() -> None:
    fleet = Fleet(2)
    await fleet.open()
    fleet.servers[0].legs[0].fail()
    fleet.clock.pass_s(0.6)
    _, leg = await fleet.open()
    leg.start_turn()
    fleet.servers[0].legs[-1].transcribe()
    assert await fleet.places(3) == [1, 0, 1]


async def test_a_trial_that_does_not_fail_for_a_while_lets_the_others_in() -> None:
    fleet = Fleet(2)
    await fleet.open()
    fleet.servers[0].legs[0].fail()
    fleet.clock.pass_s(0.6)
    await fleet.open()
    fleet.clock.pass_s(5.0)
    fleet.rooms = 0
    fleet.pool.tick()
    assert (fleet.rooms, fleet.pool.members[0].breaker.state(fleet.clock.now)) == (1, BreakerState.CLOSED)


async def test_a_trial_that_is_closed_is_followed_by_another() -> None:
    fleet = Fleet(2)
    await fleet.open()
    fleet.servers[0].legs[0].fail()
    fleet.clock.pass_s(0.6)
    _, leg = await fleet.open()
    leg.close()
    assert await fleet.places(2) == [0, 1]


async def test_a_leg_between_turns_weighs_a_quarter_of_one_at_work() -> None:
    fleet = Fleet(1)
    _, leg = await fleet.open()
    await fleet.open()
    member = fleet.pool.members[0]
    loads = [member.load]
    leg.start_turn()
    loads.append(member.load)
    leg.end_turn()
    loads.append(member.load)
    fleet.servers[0].legs[0].transcribe()
    loads.append(member.load)
    leg.start_turn()
    leg.close()
    loads.append(member.load)
    assert loads == [0.5, 1.25, 1.25, 0.5, 0.25]


async def test_legs_go_where_fewer_are_at_work() -> None:
    fleet = Fleet(2)
    legs = [await fleet.open() for _ in range(4)]
    for place, leg in legs:
        if place == 0:
            leg.start_turn()
    assert await fleet.places(5) == [1] * 5


async def test_legs_are_shared_by_weight() -> None:
    fleet = Fleet(2, weights=(3.0, 1.0))
    await fleet.places(40)
    first, second = fleet.legs
    assert first > 2 * second > 0


async def waits_in_vain(fleet: Fleet) -> Sink:
    """A session that has closed its leg within a turn, far behind."""
    session = Sink()
    session.delay_s = lambda leg_id: 15.0  # type: ignore[method-assign]
    _, leg = await fleet.open(session)
    leg.start_turn()
    await fleet.pool.sample()
    leg.close()
    return session


async def test_a_session_that_waited_on_a_server_in_vain_is_held_against_it() -> None:
    fleet = Fleet(2)
    session = await waits_in_vain(fleet)
    await fleet.open(session)
    assert [member.breaker.failures for member in fleet.pool.members] == [1, 0]


async def test_a_server_within_which_streams_wait_is_full_and_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(2)
    session = await waits_in_vain(fleet)
    monkeypatch.setattr(UpstreamHealth, "has_room", property(lambda health: health is not fleet.healths[0]))
    await fleet.open(session)
    assert [member.view(fleet.clock.now).state for member in fleet.pool.members] == ["full", "ready"]
    assert [member.breaker.failures for member in fleet.pool.members] == [0, 0]


async def test_a_client_that_leaves_in_the_middle_of_a_turn_is_held_against_nobody() -> None:
    fleet = Fleet(2)
    session = await waits_in_vain(fleet)
    await fleet.open()
    fleet.clock.pass_s(3.0)
    await fleet.open(session)
    assert [member.breaker.failures for member in fleet.pool.members] == [0, 0]


async def test_a_server_that_fails_more_often_than_the_others_is_left_alone() -> None:
    fleet = Fleet(3)
    for _ in range(30):
        place, leg = await fleet.open()
        leg.start_turn()
        last = fleet.servers[place].legs[-1]
        if place == 0:
            last.fail()
        else:
            last.transcribe()
            leg.close()
        fleet.clock.pass_s(1.1)
    await fleet.pool.sample()
    ejected = [member.view(fleet.clock.now).reason for member in fleet.pool.members]
    assert "fail more often than the others" in ejected[0]
    assert fleet.pool.members[0].breaker.open_for_s(fleet.clock.now) == 30.0
    assert 0 not in await fleet.places(6)
    assert fleet.pool.members[0].tally(fleet.clock.now).bad == 0, "it is judged anew after that"


Step = tuple[str, int, float]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(
        st.tuples(
            st.sampled_from(["open", "close", "fail", "refuse", "accept", "full", "lose", "see", "drain", "undrain"]),
            st.integers(0, 3),
            st.floats(0.0, 2.0),
        ),
        max_size=60,
    ),
)
async def test_whatever_happens_no_budget_is_exceeded_and_nothing_is_opened_where_none_may_be(
    count: int, streams_max: int, steps: list[Step]
) -> None:
    fleet = Fleet(count, streams_max=streams_max)
    legs: list[tuple[int, LegConnection]] = []
    for what, number, wait_s in steps:
        at = number % count
        fleet.clock.pass_s(wait_s)
        fleet.pool.tick()
        if what == "open":
            free_before = fleet.pool.free_streams(may_use_spare=True)
            could = [one.health.ready and not one.is_draining for one in fleet.pool.members]
            try:
                legs.append(await bounded("a leg", fleet.open()))
            except ParleyError:
                assert not free_before or any(server.refuses_with for server in fleet.servers)
            else:
                assert could[legs[-1][0]]
                assert free_before > 0
        elif what == "close" and legs:
            legs.pop(number % len(legs))[1].close()
        elif what == "fail" and fleet.servers[at].legs:
            fleet.servers[at].legs[-1].fail()
        elif what in ("refuse", "full", "accept"):
            fleet.servers[at].refuses_with = {"refuse": UNAVAILABLE, "full": FULL, "accept": None}[what]
        elif what == "lose":
            fleet.healths[at].lost()
        elif what == "see":
            fleet.healths[at].seen()
        elif what == "drain":
            fleet.pool.drain(fleet.pool.members[at].name, 10.0)
        elif what == "undrain":
            fleet.pool.undrain(fleet.pool.members[at].name)
        assert all(0 <= one <= streams_max for one in fleet.legs)
        assert all(member.legs == len(member.watches) for member in fleet.pool.members)
        assert all(0 <= member.working <= member.legs for member in fleet.pool.members)
