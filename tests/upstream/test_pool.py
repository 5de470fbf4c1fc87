"""Several model servers as one: where legs go, what is counted, and how soon a server that is back is used."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.errors import ParleyError
from parley.upstream.pool.maker import PoolOptions, vllm_pool
from parley.wire.vllm import encode_audio
from tests.support.fake_vllm import FakeVllm
from tests.support.legs import Sink
from tests.support.logs import LogWatch
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import Changes, bounded
from tests.upstream.fleet import CONNECT_TIMEOUT_S, UNAVAILABLE, Fleet

pytestmark = pytest.mark.usefixtures("log")

# ---- where a leg goes


async def test_legs_go_to_the_server_with_the_fewest() -> None:
    fleet = Fleet(3)
    assert await fleet.places(7) == [0, 1, 2, 0, 1, 2, 0]
    assert fleet.legs == [3, 2, 2]


async def test_a_place_that_is_given_back_is_taken_first() -> None:
    fleet = Fleet(2)
    legs = [await fleet.open() for _ in range(4)]
    for place, connection in legs:
        if place == 1:
            connection.close()
    assert fleet.legs == [2, 0]
    assert await fleet.places(2) == [1, 1]


async def test_a_server_that_is_not_ready_gets_no_leg() -> None:
    fleet = Fleet(2)
    fleet.healths[0].lost()
    assert await fleet.places(3) == [1, 1, 1]


async def test_without_a_server_that_is_ready_there_is_no_waiting() -> None:
    fleet = Fleet(2)
    fleet.pool.lost()
    with pytest.raises(ParleyError) as caught:
        await fleet.open()
    assert (caught.value.code, fleet.legs) == ("upstream-unavailable", [0, 0])
    assert [server.tries for server in fleet.servers] == [0, 0]


async def test_a_refused_leg_goes_to_the_next_server_in_the_same_call() -> None:
    fleet = Fleet(3)
    fleet.servers[0].refuses_with = fleet.servers[1].refuses_with = UNAVAILABLE
    place, _ = await fleet.open()
    assert (place, fleet.legs, fleet.ready) == (2, [0, 0, 1], [False, False, True])


async def test_a_server_that_hangs_does_not_use_up_the_time_of_the_next() -> None:
    fleet = Fleet(2, connect_timeout_s=0.02)
    fleet.servers[0].hangs = True
    place, _ = await bounded("a leg opens", fleet.open())
    assert (place, fleet.legs, fleet.ready) == (1, [0, 1], [False, True])
    refusal = fleet.pool.members[0].refusal
    assert refusal is not None
    assert refusal.detail == "It did not answer within 0.01 s."


async def test_time_that_is_over_is_not_spent_on_further_servers() -> None:
    fleet = Fleet(2, connect_timeout_s=5.0)
    fleet.servers[0].refuses_with = UNAVAILABLE
    fleet.servers[0].on_try = lambda: fleet.clock.pass_s(5.0)
    with pytest.raises(ParleyError):
        await fleet.open()
    assert fleet.servers[1].tries == 0


async def test_when_every_server_refuses_the_last_refusal_is_told() -> None:
    fleet = Fleet(2)
    fleet.servers[0].refuses_with = UNAVAILABLE
    fleet.servers[1].refuses_with = ParleyError("at-capacity", retry_after_s=2.0)
    with pytest.raises(ParleyError) as caught:
        await fleet.open()
    assert (caught.value.code, caught.value.retry_after_s) == ("at-capacity", 2.0)
    assert fleet.legs == [0, 0]


async def test_the_reason_of_a_refusal_is_told_as_long_as_nothing_is_ready() -> None:
    fleet = Fleet(1)
    fleet.servers[0].refuses_with = UNAVAILABLE
    details = []
    for _ in range(2):
        with pytest.raises(ParleyError) as caught:
            await fleet.open()
        details.append(caught.value.detail)
    assert (details, fleet.servers[0].tries) == (["Connection refused."] * 2, 1)


async def test_a_server_without_room_stays_ready_and_is_avoided() -> None:
    fleet = Fleet(2)
    fleet.servers[0].refuses_with = ParleyError("at-capacity")
    assert await fleet.places(2) == [1, 1]
    assert fleet.ready == [True, True]
    assert fleet.servers[0].tries == 1


async def test_a_server_whose_leg_failed_is_avoided_for_a_moment_and_then_tried() -> None:
    fleet = Fleet(2)
    await fleet.open()
    fleet.servers[0].legs[0].fail()
    assert await fleet.places(3) == [1, 1, 1]
    fleet.clock.now += 0.6
    assert await fleet.places(1) == [0]


async def test_legs_that_fail_together_count_as_one_failure() -> None:
    fleet = Fleet(1)
    for _ in range(50):
        await fleet.open()
    for leg in fleet.servers[0].legs:
        leg.fail()
    assert (fleet.pool.members[0].breaker.failures, fleet.legs) == (1, [0])


async def test_a_server_that_is_avoided_is_taken_where_it_is_the_only_one() -> None:
    fleet = Fleet(1)
    await fleet.open()
    fleet.servers[0].legs[0].fail()
    assert await fleet.places(1) == [0]


async def test_a_session_that_gave_up_a_leg_comes_to_another_server() -> None:
    fleet = Fleet(2)
    session = Sink()
    await fleet.places(1)
    first, leg = await fleet.open(session)
    leg.close()
    second, _ = await fleet.open(session)
    assert (first, second) == (1, 0)


async def test_a_server_left_long_ago_is_as_good_as_any() -> None:
    fleet = Fleet(2)
    session = Sink()
    await fleet.places(1)
    _, leg = await fleet.open(session)
    leg.close()
    fleet.clock.now += 60.0
    assert (await fleet.open(session))[0] == 1


async def test_other_sessions_go_where_one_has_left() -> None:
    fleet = Fleet(2)
    await fleet.places(1)
    _, leg = await fleet.open()
    leg.close()
    assert await fleet.places(1) == [1]


# ---- what is counted


async def test_a_leg_is_counted_until_it_fails_and_only_once() -> None:
    fleet = Fleet(1)
    sink = Sink()
    _, connection = await fleet.open(sink, leg_id=5)
    assert fleet.legs == [1]
    fleet.servers[0].legs[0].fail()
    connection.close()
    connection.close()
    assert fleet.legs == [0]
    assert [type(event) for event in sink.events] == [ev.LegFailed]


async def test_a_leg_is_counted_while_it_is_being_opened_and_not_when_that_is_given_up() -> None:
    fleet = Fleet(2)
    fleet.servers[0].hangs = True
    opening = asyncio.create_task(fleet.pool.open_leg(1, Sink()))
    await fleet.servers[0].changes.until("a try", lambda: fleet.servers[0].tries == 1)
    assert fleet.legs == [1, 0]
    opening.cancel()
    await asyncio.wait([opening])
    assert (fleet.legs, fleet.ready) == ([0, 0], [True, True])


async def test_a_leg_does_what_it_is_told_and_tells_what_it_hears() -> None:
    fleet = Fleet(1)
    sink = Sink()
    _, connection = await fleet.open(sink)
    connection.start_turn()
    connection.send_audio(encode_audio(pcm(0.1)))
    connection.end_turn()
    leg = fleet.servers[0].legs[0]
    leg.sink.receive_delta(1, Text.of("so"))
    leg.sink.receive(ev.LegBlocked(1))
    connection.close()
    assert leg.told == ["start", "audio", "end", "close"]
    assert (sink.text, [type(event) for event in sink.events]) == ("so", [ev.DeltaReceived, ev.LegBlocked])
    assert fleet.legs == [0]


# ---- what is known of them all


async def test_a_pool_is_ready_as_long_as_one_of_its_servers_is() -> None:
    fleet = Fleet(2)
    seen = [fleet.pool.ready]
    for health in fleet.healths:
        health.lost()
        seen.append(fleet.pool.ready)
    assert (seen, fleet.changes) == ([True, True, False], 2)


async def test_the_models_are_those_of_all_servers_each_once() -> None:
    fleet = Fleet(2)
    fleet.healths[0].models, fleet.healths[1].models = ("b", "a"), ("a", "c")
    assert fleet.pool.models == ("b", "a", "c")


@pytest.mark.parametrize(("model", "named"), [("", ["first", "second"]), ("mine", ["mine", "mine"])])
async def test_a_leg_is_opened_with_its_own_servers_model_unless_one_is_set(model: str, named: list[str]) -> None:
    fleet = Fleet(2, model=model)
    fleet.healths[0].models, fleet.healths[1].models = ("first", "x"), ("second",)
    await fleet.places(2)
    assert [server.named[0] for server in fleet.servers] == named


@pytest.mark.parametrize(
    ("limits", "context_s"),
    [((0, 0), 0.0), ((1_039, 0), 80.0), ((1_039, 539), 40.0), ((39, 0), 0.0), ((7, 0), 0.0)],
)
async def test_the_context_is_that_of_the_server_with_the_least(limits: tuple[int, int], context_s: float) -> None:
    fleet = Fleet(2)
    for health, limit in zip(fleet.healths, limits, strict=True):
        health.max_model_len = limit
    assert fleet.pool.context_s == pytest.approx(context_s)


def test_a_key_is_in_no_repr() -> None:
    assert "hunter2" not in repr(PoolOptions(api_key="hunter2"))


# ---- with servers on sockets


@pytest.fixture
async def pair(log: LogWatch) -> AsyncIterator[tuple[FakeVllm, FakeVllm]]:
    async with FakeVllm() as first, FakeVllm() as second:
        yield first, second
    assert first.traps + second.traps == []


class Watched:
    """A pool with probes at work."""

    def __init__(self, pair: tuple[FakeVllm, FakeVllm], probe_interval_s: float) -> None:
        self.changes = Changes()
        options = PoolOptions(
            connect_timeout_s=CONNECT_TIMEOUT_S, probe_interval_s=probe_interval_s, probe_timeout_s=CONNECT_TIMEOUT_S
        )
        self.pool = vllm_pool([vllm.url for vllm in pair], options, self.changes.notify)

    async def until_ready(self, *ready: bool) -> None:
        await self.changes.until(f"{ready}", lambda: tuple(one.health.ready for one in self.pool.members) == ready)


@asynccontextmanager
async def probed(pair: tuple[FakeVllm, FakeVllm], probe_interval_s: float = 600.0) -> AsyncIterator[Watched]:
    watched = Watched(pair, probe_interval_s)
    task = asyncio.create_task(watched.pool.run())
    try:
        await watched.until_ready(True, True)
        yield watched
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_turn_on_a_pools_leg_is_transcribed(pair: tuple[FakeVllm, FakeVllm]) -> None:
    sink = Sink()
    async with probed(pair) as watched:
        leg = await bounded("a leg opens", watched.pool.open_leg(7, sink))
        leg.start_turn()
        leg.send_audio(encode_audio(pcm(1.0)))
        leg.end_turn()
        assert (await sink.until(ev.TurnTranscribed)).text.decode() == transcript(16_000)
        leg.close()
        await pair[0].until_idle()
    assert sink.text == transcript(16_000)


async def test_when_a_server_dies_its_legs_fail_and_the_next_ones_are_on_another(
    pair: tuple[FakeVllm, FakeVllm],
) -> None:
    sink = Sink()
    async with probed(pair) as watched:
        await bounded("a leg opens", watched.pool.open_leg(1, sink))
        assert len(pair[0].live) == 1
        await pair[0].stop()
        await sink.until(ev.LegFailed)
        leg = await bounded("a leg opens", watched.pool.open_leg(2, sink))
        assert (len(pair[0].live), len(pair[1].live)) == (0, 1)
        leg.close()
        await pair[1].until_idle()
        await pair[0].start(pair[0].port)


async def test_a_server_that_died_and_is_back_is_used_long_before_the_probes_interval_is_over(
    pair: tuple[FakeVllm, FakeVllm],
) -> None:
    async with probed(pair, probe_interval_s=600.0) as watched:
        sink = Sink()
        await bounded("a leg opens", watched.pool.open_leg(1, sink))
        await pair[0].stop()
        await sink.until(ev.LegFailed)
        await watched.until_ready(False, True)
        await pair[0].start(pair[0].port)
        await watched.until_ready(True, True)


async def test_a_server_that_cannot_be_connected_to_is_back_as_soon_as_it_answers(
    pair: tuple[FakeVllm, FakeVllm],
) -> None:
    async with probed(pair, probe_interval_s=600.0) as watched:
        await pair[0].stop()
        leg = await bounded("a leg opens", watched.pool.open_leg(1, Sink()))
        assert (len(pair[0].live), len(pair[1].live)) == (0, 1)
        leg.close()
        await pair[0].start(pair[0].port)
        await watched.until_ready(True, True)
