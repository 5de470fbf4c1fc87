"""Who is a member of a pool: drains, additions and removals while legs are open, and what an operator is shown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.upstream.health.engine_metrics import EngineLoad
from parley.upstream.health.health import HealthOptions, PassiveHealth, UpstreamHealth
from parley.upstream.health.versions import Judgement, Level
from parley.upstream.pool.member import MemberSpec, PoolMember, unique_name
from parley.upstream.pool.moves import Moves
from parley.upstream.pool.pool import UpstreamPool
from parley.upstream.pool.roster import MEMBERS_MAX
from tests.support.legs import Sink
from tests.support.waiting import Changes, bounded
from tests.upstream.fleet import UNAVAILABLE, Fleet, Server, spec


@asynccontextmanager
async def running(pool: UpstreamPool) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(pool.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


class Quiet(PassiveHealth):
    """Health that is as it was set, and tells how often it is looked after."""

    def __init__(self, changes: Changes) -> None:
        super().__init__("a server")
        self.ready = True
        self.running = 0
        self._changes = changes

    async def run(self) -> None:
        self.running += 1
        self._changes.notify()
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1
            self._changes.notify()


class Quietly:
    """A pool over servers whose health is as it was set, so that it can run."""

    def __init__(self, count: int) -> None:
        self.changes = Changes()
        self.servers: list[Server] = []
        self.healths: list[Quiet] = []
        self.pool = UpstreamPool(
            [self._make(spec(number)) for number in range(count)], connect_timeout_s=5.0, make_member=self._make
        )

    def _make(self, wanted: MemberSpec) -> PoolMember:
        self.servers.append(Server())
        self.healths.append(Quiet(self.changes))
        return PoolMember(self.servers[-1], self.healths[-1], wanted)

    async def until_looked_after(self, *running: int) -> None:
        await self.changes.until(f"{running}", lambda: tuple(health.running for health in self.healths) == running)


# ---- drains


async def test_a_drained_server_gets_no_leg_until_that_is_taken_back() -> None:
    fleet = Fleet(2)
    assert fleet.pool.drain("127.0.0.1:1", 10.0)
    drained = await fleet.places(3)
    fleet.rooms = 0
    assert fleet.pool.undrain("127.0.0.1:1")
    assert (drained, fleet.rooms) == ([1, 1, 1], 1)
    assert await fleet.places(3) == [0, 0, 0]


async def test_who_is_not_there_can_be_drained_no_more_than_undrained() -> None:
    fleet = Fleet(1)
    assert not fleet.pool.drain("127.0.0.1:9", 10.0)
    assert not fleet.pool.undrain("127.0.0.1:1")


async def test_a_pool_whose_servers_are_all_drained_is_not_ready_and_says_why() -> None:
    fleet = Fleet(1)
    fleet.pool.drain("127.0.0.1:1", 10.0)
    with pytest.raises(ParleyError, match="Every model server is being drained") as caught:
        await fleet.open()
    assert (fleet.pool.ready, caught.value.code, fleet.changes) == (False, "upstream-unavailable", 1)


async def test_every_session_on_a_drained_server_is_asked_to_move_by_half_of_the_time() -> None:
    quietly = Quietly(1)
    sinks = [Sink() for _ in range(100)]
    async with running(quietly.pool):
        for number, sink in enumerate(sinks):
            await quietly.pool.open_leg(number, sink)
        before = asyncio.get_running_loop().time()
        quietly.pool.drain("127.0.0.1:1", 60.0)
        asked = [await sink.until(ev.RotationAsked) for sink in sinks]
        after = asyncio.get_running_loop().time()
    assert [one.leg for one in asked] == list(range(100))
    assert all(one.at_once_at is not None and before + 30.0 <= one.at_once_at <= after + 30.0 for one in asked)


async def test_sessions_on_other_servers_stay_where_they_are() -> None:
    quietly = Quietly(2)
    here, there = Sink(), Sink()
    async with running(quietly.pool):
        await quietly.pool.open_leg(1, here)
        await quietly.pool.open_leg(2, there)
        quietly.pool.drain("127.0.0.1:1", 60.0)
        await here.until(ev.RotationAsked)
    assert there.events == []


async def test_a_leg_that_is_being_opened_when_its_server_is_drained_is_moved_as_soon_as_it_is_there() -> None:
    quietly = Quietly(1)
    (server,) = quietly.servers
    early, late = Sink(), Sink()
    async with running(quietly.pool):
        await quietly.pool.open_leg(1, early)
        server.hangs = True
        opening = asyncio.create_task(quietly.pool.open_leg(2, late))
        await server.changes.until("a second try", lambda: server.tries == 2)
        quietly.pool.drain("127.0.0.1:1", 60.0)
        await early.until(ev.RotationAsked)
        assert late.events == []
        server.lets_go.set()
        await bounded("the leg opens", opening)
        assert (await late.until(ev.RotationAsked)).leg == 2


async def test_whoever_is_to_be_asked_is_asked_at_once() -> None:
    moves = Moves(again_s=3_600.0)
    moves.begin()
    await bounded("the pause ends", moves.pause())


async def test_sessions_that_have_not_moved_are_asked_again() -> None:
    await bounded("the pause ends", Moves(again_s=0.01).pause())


# ---- additions and removals


async def test_a_session_that_is_sent_away_is_asked_for_each_of_its_legs_and_no_other_is() -> None:
    fleet = Fleet(2)
    session, other = Sink(), Sink()
    await fleet.open(session, 1)
    await fleet.open(session, 2)
    await fleet.open(other, 3)
    begun = asyncio.get_running_loop().time()
    assert fleet.pool.send_away(session, 30.0) == 2
    asked = session.of(ev.RotationAsked)
    assert [event.leg for event in asked] == [1, 2]
    assert all(event.at_once_at is not None and event.at_once_at >= begun + 30.0 for event in asked)
    assert other.events == []


async def test_a_session_without_a_leg_is_sent_nowhere() -> None:
    session = Sink()
    assert (Fleet(1).pool.send_away(session, 30.0), session.events) == (0, [])


async def test_the_successor_of_a_leg_that_is_sent_away_is_on_another_server() -> None:
    fleet = Fleet(2)
    session = Sink()
    first, _ = await fleet.open(session)
    # Without that the first server would be the better one.
    await fleet.pool.open_leg(9, Sink())
    await fleet.pool.open_leg(9, Sink())
    fleet.servers[1].legs[0].start_turn()
    fleet.pool.send_away(session, 30.0)
    fleet.clock.pass_s(30.0)
    assert first == 0
    assert (await fleet.open(session, 2))[0] == 1


async def test_a_server_that_is_added_is_looked_after_and_gets_legs() -> None:
    quietly = Quietly(1)
    async with running(quietly.pool):
        assert quietly.pool.add(spec(1, name="new"))
        await quietly.until_looked_after(1, 1)
        await quietly.pool.open_leg(1, Sink())
        await quietly.pool.open_leg(2, Sink())
    assert [member.legs for member in quietly.pool.members] == [1, 1]
    assert [view.name for view in quietly.pool.views()] == ["127.0.0.1:1", "new"]


async def test_a_server_that_is_there_already_is_not_added_again() -> None:
    fleet = Fleet(1)
    assert not fleet.pool.add(spec(0, weight=5.0))
    assert [member.spec.weight for member in fleet.pool.members] == [1.0]


async def test_no_more_servers_are_added_than_may_be() -> None:
    fleet = Fleet(MEMBERS_MAX)
    assert not fleet.pool.add(spec(MEMBERS_MAX))
    assert len(fleet.pool.members) == MEMBERS_MAX


async def test_a_removed_server_is_forgotten_with_its_last_leg_and_looked_after_until_then() -> None:
    quietly = Quietly(2)
    sink = Sink()
    async with running(quietly.pool):
        leg = await quietly.pool.open_leg(1, sink)
        assert quietly.pool.remove(spec(0))
        await sink.until(ev.RotationAsked)
        assert [view.state for view in quietly.pool.views()] == ["draining", "ready"]
        leg.close()
        await quietly.until_looked_after(0, 1)
    assert [member.name for member in quietly.pool.members] == ["127.0.0.1:2"]


async def test_a_removed_server_without_legs_is_forgotten_at_once() -> None:
    fleet = Fleet(2)
    assert fleet.pool.remove(spec(0))
    assert not fleet.pool.remove(spec(0))
    assert len(fleet.pool.members) == 1


async def test_a_server_that_is_added_again_before_its_legs_have_gone_stays_with_what_is_wanted_now() -> None:
    fleet = Fleet(1)
    _, leg = await fleet.open()
    fleet.pool.remove(spec(0))
    assert fleet.pool.add(spec(0, weight=3.0))
    leg.close()
    assert [(member.spec.weight, member.is_draining) for member in fleet.pool.members] == [(3.0, False)]
    assert await fleet.places(1) == [0]


async def test_what_a_member_is_to_do_can_be_changed_while_it_has_legs() -> None:
    fleet = Fleet(1)
    await fleet.open()
    assert fleet.pool.change(MemberSpec(url=spec(0).url, weight=2.0, max_sessions=1))
    assert not fleet.pool.change(spec(9))
    with pytest.raises(ParleyError, match="at-capacity"):
        await fleet.open()
    assert fleet.pool.members[0].spec.weight == 2.0


async def test_a_pool_can_grow_before_it_runs() -> None:
    quietly = Quietly(0)
    quietly.pool.add(spec(0))
    async with running(quietly.pool):
        await quietly.until_looked_after(1)


async def test_nothing_is_looked_after_when_a_pool_has_ended() -> None:
    quietly = Quietly(3)
    async with running(quietly.pool):
        await quietly.until_looked_after(1, 1, 1)
    await bounded("nothing runs", quietly.until_looked_after(0, 0, 0))


# ---- what is shown


def test_servers_of_the_same_name_are_told_apart() -> None:
    taken: list[str] = []
    for _ in range(3):
        taken.append(unique_name(MemberSpec(url="ws://me:hunter2@gpu:1/v1/realtime"), taken))
    assert taken == ["gpu:1", "gpu:1-2", "gpu:1-3"]
    assert unique_name(MemberSpec(url="ws://gpu:1/x", address="10.0.0.7"), []) == "gpu:1 (10.0.0.7)"


def test_what_is_shown_of_a_url_holds_no_secret() -> None:
    shown = MemberSpec(url="wss://me:hunter2@gpu:8000/v1/realtime?key=hunter2").shown_url
    assert shown == "wss://gpu:8000/v1/realtime"


def test_a_key_is_in_no_repr_of_a_member() -> None:
    assert "hunter2" not in repr(MemberSpec(url="ws://gpu/x", api_key="hunter2"))


def member(*, is_ready: bool = True, streams_max: int = 0) -> tuple[PoolMember, UpstreamHealth]:
    health = UpstreamHealth(HealthOptions(url="ws://gpu:1/v1/realtime"))
    one = PoolMember(Server(), health, MemberSpec(url="ws://gpu:1/v1/realtime", labels=(("zone", "a"),)))
    one.streams_max = streams_max
    health.on_change = lambda _ready: one.health_changed()
    if is_ready:
        health.seen()
    return one, health


def stands(one: PoolMember, now: float = 10.0) -> tuple[str, str]:
    view = one.view(now)
    return view.state, view.reason


def test_a_member_that_works_is_shown_as_it_is() -> None:
    one, health = member(streams_max=4)
    health.models, health.version = ("m",), "0.33.0"
    view = one.view(10.0)
    assert (view.state, view.reason, view.kind, view.labels) == ("ready", "", "vllm", {"zone": "a"})
    assert (view.models, view.version, view.streams, view.streams_max, view.load) == (("m",), "0.33.0", 0, 4, 0.0)


def test_a_member_that_was_never_there_is_loading_and_one_that_went_away_is_unready() -> None:
    one, health = member(is_ready=False)
    seen = [stands(one)]
    health.seen()
    health.lost()
    seen.append(stands(one))
    one.refusal = UNAVAILABLE
    seen.append(stands(one))
    assert seen == [
        ("loading", "It has not answered yet."),
        ("unready", "It does not answer."),
        ("unready", "Connection refused."),
    ]


def test_a_version_that_is_refused_is_the_reason() -> None:
    one, health = member(is_ready=False)
    health.judgement = Judgement(Level.REFUSED, ("It hangs.",))
    assert stands(one) == ("loading", "It hangs.")


def test_a_broken_member_says_for_how_long_and_why() -> None:
    one, _ = member()
    one.failed(10.0)
    seen = [stands(one), stands(one, 11.0)]
    one.failed(11.0)
    seen.append(stands(one, 11.0))
    assert seen == [
        ("broken", "It failed; it is left alone for 0.5 s more."),
        ("broken", "It failed; the next stream decides."),
        ("broken", "It failed 2 times in a row; it is left alone for 1.0 s more."),
    ]


def test_a_full_member_says_what_is_used_up() -> None:
    one, _ = member(streams_max=1)
    one.filled(10.0)
    seen = [stands(one)]
    one.legs = 1
    seen.append(stands(one))
    assert seen == [("full", "It takes no further stream."), ("full", "Its budget is in use.")]


def test_a_member_within_which_streams_wait_is_full() -> None:
    health = PassiveHealth("a server")
    health.ready, health.has_room = True, False
    assert stands(PoolMember(Server(), health, spec(0))) == ("full", "Streams wait within it.")


def test_what_the_engines_say_of_their_load_is_shown_and_none_where_they_say_nothing() -> None:
    health = PassiveHealth("a server")
    one = PoolMember(Server(), health, spec(0))
    assert one.view(10.0).engine is None
    health.load = EngineLoad(running=3, waiting=2, kv_cache_usage=0.5)
    assert one.view(10.0).engine == health.load


def test_a_draining_member_says_who_wants_it() -> None:
    one, _ = member()
    one.is_drained = True
    seen = [stands(one)]
    one.is_removed = True
    seen.append(stands(one))
    assert seen == [("draining", "An operator drains it."), ("draining", "It is no member any more.")]


def test_failures_on_a_server_that_went_away_say_nothing_of_the_next_one() -> None:
    one, health = member()
    for _ in range(9):
        one.failed(10.0)
    health.lost()
    assert one.tally(10.0).bad == 0
