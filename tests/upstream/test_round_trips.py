"""How long a model server takes to answer a ping, by a clock that a test moves."""

import pytest

from parley.upstream import vllm as module
from parley.upstream.sagemaker import SageMakerLeg
from parley.wire.round_trip import INTERVAL_S
from tests.support.clock import Clock
from tests.support.fake_vllm import FakeVllm
from tests.support.legs import OpenLeg, Sink, opened
from tests.upstream.fleet import Fleet


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


async def test_a_legs_round_trip_is_from_the_ping_to_its_pong(open_leg: OpenLeg, vllm: FakeVllm, clock: Clock) -> None:
    leg, connection, _ = await opened(open_leg, vllm)
    assert leg.round_trip_s() is None
    clock.now += 0.25
    await connection.until_read()
    assert connection.pings == 1
    assert leg.round_trip_s() == 0.25


async def test_a_model_server_is_asked_once_in_a_while(open_leg: OpenLeg, vllm: FakeVllm, clock: Clock) -> None:
    leg, connection, _ = await opened(open_leg, vllm)
    for _ in range(3):
        leg.round_trip_s()
        await connection.until_read()
    assert connection.pings == 1
    clock.now += INTERVAL_S
    leg.round_trip_s()
    await connection.until_read()
    assert connection.pings == 2


async def test_a_model_server_that_reads_nothing_is_as_slow_as_that(
    open_leg: OpenLeg, vllm: FakeVllm, clock: Clock
) -> None:
    leg, connection, _ = await opened(open_leg, vllm)
    connection.stop_reading()
    leg.round_trip_s()
    clock.now += 7.0
    assert leg.round_trip_s() == 7.0
    connection.read_again()


async def test_a_leg_that_is_closed_asks_nothing(open_leg: OpenLeg, vllm: FakeVllm, clock: Clock) -> None:
    leg, connection, _ = await opened(open_leg, vllm)
    leg.close()
    assert leg.round_trip_s() is None
    await connection.until_lost()
    assert connection.pings == 0


async def test_a_pools_leg_is_as_far_away_as_its_own_connection() -> None:
    fleet = Fleet(1)
    _, leg = await fleet.open()
    fleet.servers[0].legs[0].answers_in_s = 0.125
    assert leg.round_trip_s() == 0.125


async def test_a_stream_through_sagemaker_can_not_be_asked() -> None:
    assert SageMakerLeg(1, Sink(), 480.0).round_trip_s() is None
