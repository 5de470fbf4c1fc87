"""Probe turns as a pool has them: when they are wanted, the stream they take, and what they decide."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from parley.core.errors import ParleyError
from parley.core.profile import profile_of
from parley.upstream.health.health import PassiveHealth
from parley.upstream.health.probe_turn import Speech
from parley.upstream.health.prober import ProbeOptions
from parley.upstream.pool.breaker import BreakerState
from parley.upstream.pool.maker import PoolOptions, vllm_pool
from parley.upstream.pool.member import PoolMember
from parley.upstream.pool.member_probe import MemberProbe
from parley.wire.vllm import encode_audio
from tests.support.fake_vllm import FakeVllm
from tests.support.legs import Sink
from tests.support.sound import pcm
from tests.support.waiting import Changes, bounded
from tests.upstream.fleet import UNAVAILABLE, Clock, Server, spec


class Probed:
    """A member that is ready, and its probe."""

    def __init__(self, streams_max: int = 0, spare: int = 0) -> None:
        self.clock = Clock()
        self.health = PassiveHealth("a server")
        self.health.ready = True
        self.server = Server()
        self.member = PoolMember(self.server, self.health, spec(0), streams_max=streams_max, spare=spare)
        self.member.model_by_default = "m"
        self.ended = 0
        self.probe = MemberProbe(self.member, self.clock, self._ended)

    def _ended(self, member: PoolMember) -> None:
        assert member is self.member
        self.ended += 1

    @property
    def state(self) -> BreakerState:
        return self.member.breaker.state(self.clock.now)


def on_trial() -> Probed:
    """A server that has failed, and whose probe decides now."""
    one = Probed()
    one.member.failed(one.clock.now)
    one.clock.pass_s(1.0)
    assert one.probe.begin_probe()
    return one


def test_a_server_that_works_asks_for_no_probe() -> None:
    assert Probed().probe.probe_due_in_s() is None


def test_a_broken_server_asks_for_a_probe_when_its_time_has_come() -> None:
    one = Probed()
    one.member.failed(one.clock.now)
    due = [one.probe.probe_due_in_s()]
    one.clock.pass_s(0.5)
    due.append(one.probe.probe_due_in_s())
    assert due == pytest.approx([0.5, 0.0])


def test_a_broken_server_that_is_away_or_drained_or_has_a_trial_asks_for_none() -> None:
    one = Probed()
    one.member.failed(one.clock.now)
    one.clock.pass_s(1.0)
    one.health.ready = False
    due = [one.probe.probe_due_in_s()]
    one.health.ready, one.member.is_drained = True, True
    due.append(one.probe.probe_due_in_s())
    one.member.is_drained = False
    one.member.breaker.begin_trial(one.clock.now)
    due.append(one.probe.probe_due_in_s())
    assert due == [None, None, None]


def test_a_probe_takes_a_stream_and_gives_it_back() -> None:
    one = Probed(streams_max=1)
    assert one.probe.begin_probe()
    taken = one.member.legs
    assert not one.probe.begin_probe()
    one.probe.probe_ended(None)
    assert (taken, one.member.legs, one.ended) == (1, 0, 1)


def test_a_probe_of_a_server_that_works_leaves_the_spare_streams_alone() -> None:
    one = Probed(streams_max=2, spare=1)
    one.member.legs = 1
    assert not one.probe.begin_probe()


@pytest.mark.parametrize("what", ["away", "drained", "open"])
def test_a_server_that_gets_no_legs_gets_no_probe(what: str) -> None:
    one = Probed()
    if what == "away":
        one.health.ready = False
    elif what == "drained":
        one.member.is_drained = True
    else:
        one.member.failed(one.clock.now)
    assert not one.probe.begin_probe()


def test_a_probe_that_works_closes_the_breaker() -> None:
    one = on_trial()
    one.clock.pass_s(1.0)
    one.probe.probe_ended(None)
    assert one.state is BreakerState.CLOSED


def test_a_probe_that_fails_opens_the_breaker_for_longer_and_is_told() -> None:
    one = on_trial()
    one.probe.probe_ended(UNAVAILABLE)
    assert one.member.breaker.open_for_s(one.clock.now) == 1.0
    assert one.member.refusal is UNAVAILABLE


def test_a_probe_that_finds_no_room_says_nothing_of_the_servers_health() -> None:
    one = Probed()
    assert one.probe.begin_probe()
    one.probe.probe_ended(ParleyError("at-capacity"))
    assert (one.state, one.member.room(one.clock.now)) == (BreakerState.CLOSED, 0)


def test_a_probe_that_hears_nothing_of_a_server_that_is_full_by_its_own_account_says_nothing_of_its_health() -> None:
    one = Probed()
    assert one.probe.begin_probe()
    one.health.has_room = False
    one.probe.probe_ended(ParleyError("upstream-stalled"))
    assert one.state is BreakerState.CLOSED


def test_a_probe_that_is_given_up_leaves_the_question_open() -> None:
    one = on_trial()
    one.probe.probe_abandoned()
    assert (one.state, one.member.breaker.has_trial, one.member.legs) == (BreakerState.HALF_OPEN, False, 0)


async def test_a_probe_is_opened_with_the_servers_model() -> None:
    one = Probed()
    await one.probe.open_probe(Sink())
    assert (one.server.named, one.probe.model, one.probe.place) == (["m"], "m", "127.0.0.1:1")


@asynccontextmanager
async def probing(vllm: FakeVllm, changes: Changes) -> AsyncIterator[PoolMember]:
    probe = ProbeOptions(Speech([encode_audio(pcm(1.0))]), profile_of, timeout_s=5.0)
    pool = vllm_pool([vllm.url], PoolOptions(probe=probe), changes.notify)
    pool.on_room = changes.notify
    task = asyncio.create_task(pool.run())
    try:
        await changes.until("ready", lambda: pool.ready)
        leg = await bounded("a leg", pool.open_leg(1, Sink()))
        yield pool.members[0]
        leg.close()
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.usefixtures("log")
async def test_a_server_whose_leg_failed_is_probed_and_let_in_again_without_another_session() -> None:
    async with FakeVllm() as vllm:
        changes = Changes()
        async with probing(vllm, changes) as member:
            (await vllm.session(0)).abort()
            await changes.until("broken", lambda: member.breaker.failures == 1)
            await changes.until("closed", lambda: member.breaker.failures == 0)
        assert len(vllm.sessions) == 2
        await vllm.until_idle()
