"""What an operator sees of a node: sessions in pages, model servers by pool, and the node itself."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from parley.access.caller import NOBODY
from parley.cli.sessions import STATES
from parley.core import events as ev
from parley.observe.loop_lag import LoopLag
from parley.server.admin.inventory import PAGE_MAX, Inventory, Pool
from parley.server.draining import Draining
from parley.server.endpoints import OWN_POOL
from parley.server.session_state import SESSION_STATES
from parley.upstream.health.engine_metrics import EngineLoad
from parley.upstream.health.health import PassiveHealth
from parley.upstream.pool.member import PoolMember
from parley.upstream.pool.pool import UpstreamPool
from tests.server.test_host import ONE, Node, node
from tests.support.waiting import bounded
from tests.upstream.fleet import Server, spec

pytestmark = pytest.mark.usefixtures("log")


@dataclass
class Scene:
    """An inventory of a node between doubles, with a model server of its own pool that is there."""

    node: Node
    health: PassiveHealth = field(default_factory=lambda: PassiveHealth("a server"))
    is_ready: bool = True
    was_ready: bool = True

    def __post_init__(self) -> None:
        self.health.ready = True
        self.member = PoolMember(Server(), self.health, spec(0, name="first"), streams_max=4)
        pool = UpstreamPool([self.member], connect_timeout_s=5.0)
        self.draining = Draining(self.node.live, self.node.live.clock, settle_s=0.0, timeout_s=600.0)
        self.inventory = Inventory(
            live=self.node.live,
            pools=[Pool(OWN_POOL, pool, self.node.host)],
            desk=self.node.desk,
            draining=self.draining,
            loop_lag=LoopLag(asyncio.get_running_loop().time),
            is_ready=lambda: self.is_ready,
            was_ready=lambda: self.was_ready,
        )

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.inventory.sessions().sessions]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with node(queue_max=2) as one:
        yield Scene(one)


# ---- sessions


async def test_a_node_without_sessions_shows_an_empty_last_page(scene: Scene) -> None:
    page = scene.inventory.sessions()
    assert (page.sessions, page.next, page.total) == ([], "", 0)


async def test_a_session_is_found_by_its_whole_id_alone(scene: Scene) -> None:
    scene.node.open().start()
    (id_,) = scene.ids
    found = scene.inventory.session(id_)
    assert found is not None
    assert found.id == id_
    assert scene.inventory.session(id_[:-1]) is None
    assert scene.inventory.find("") is None


async def test_pages_follow_each_other_while_sessions_end(scene: Scene) -> None:
    for _ in range(4):
        scene.node.open().start()
    everybody = scene.ids
    first = scene.inventory.sessions(limit=2)
    assert ([one.id for one in first.sessions], first.total) == (everybody[:2], 4)
    found = scene.inventory.find(everybody[1])
    assert found is not None
    found[0].receive(ev.EndAsked())
    rest = scene.inventory.sessions(limit=2, after=first.next)
    assert ([one.id for one in rest.sessions], rest.next) == (everybody[2:], "")


async def test_sessions_are_found_by_what_their_ids_begin_with(scene: Scene) -> None:
    for _ in range(4):
        scene.node.open().start()
    everybody = scene.ids
    assert scene.inventory.sessions(prefix=everybody[2]).sessions[0].id == everybody[2]
    first = scene.inventory.sessions(prefix="sess-", limit=3)
    assert [one.id for one in first.sessions] == everybody[:3]
    assert [one.id for one in scene.inventory.sessions(prefix="sess-", after=first.next).sessions] == everybody[3:]
    none = scene.inventory.sessions(prefix=everybody[2][1:])
    assert (none.sessions, none.next, none.total) == ([], "", 4)


async def test_a_page_is_bounded_whatever_is_asked_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley.server.admin.inventory.PAGE_MAX", 1)
    for _ in range(2):
        scene.node.open().start()
    page = scene.inventory.sessions(limit=PAGE_MAX)
    assert (len(page.sessions), bool(page.next)) == (1, True)


async def test_a_session_whose_client_is_gone_is_detached(scene: Scene) -> None:
    scene.node.detached()
    (one,) = scene.inventory.sessions(state="detached").sessions
    assert (one.state, one.attached, one.transport) == ("detached", False, "")
    assert scene.inventory.sessions(state="live").sessions == []


async def test_a_session_of_credentials_is_shown_by_a_hash_of_them_or_by_its_tenants_name(scene: Scene) -> None:
    for principal in ("2" * 64, ONE, ""):
        scene.node.open(principal=principal).start()
    tenants = {one.tenant for one in scene.inventory.sessions().sessions}
    assert {"one", ""} < tenants
    (hashed,) = tenants - {"one", ""}
    assert hashed.startswith("~")
    assert "2222" not in hashed


async def test_nothing_that_lets_anybody_in_is_shown(scene: Scene) -> None:
    token = scene.node.detached()
    assert token not in repr(scene.inventory.sessions())


def test_the_command_line_knows_every_state() -> None:
    assert STATES == SESSION_STATES


# ---- model servers and the node


async def test_a_model_server_is_shown_with_its_pool_and_what_it_says_of_its_load(scene: Scene) -> None:
    scene.health.load = EngineLoad(running=2, waiting=1, kv_cache_usage=0.25)
    listed = scene.inventory.upstreams()
    (one,) = listed.upstreams
    assert (one.pool, one.name, one.state, one.streams_max) == (OWN_POOL, "first", "ready", 4)
    assert one.engine == scene.health.load
    (pool,) = listed.pools
    assert (pool.ready, pool.takes_new, pool.streams) == (True, True, 0)


@pytest.mark.parametrize(
    ("is_ready", "was_ready", "state"),
    [(True, True, "ready"), (False, True, "unready"), (False, False, "starting")],
)
async def test_a_node_is_as_ready_as_its_model_servers(
    scene: Scene, is_ready: bool, was_ready: bool, state: str
) -> None:
    scene.is_ready, scene.was_ready = is_ready, was_ready
    assert scene.inventory.node(5.0).state == state


async def test_a_place_that_is_no_sessions_counts_as_one_in_use(scene: Scene) -> None:
    give_back = scene.node.desk.hold(scene.node.upstream, "echo/blue", NOBODY)
    node = scene.inventory.node(5.0)
    assert (node.live, node.places, node.live_max) == (0, 1, 8)
    give_back()
    give_back()
    assert scene.inventory.node(5.0).places == 0


async def test_a_node_that_drains_says_so_whatever_its_model_servers_do(scene: Scene) -> None:
    await scene.node.at_work()
    draining = asyncio.create_task(scene.draining.run())
    await asyncio.sleep(0)
    state = scene.inventory.node(5.0).state
    scene.node.end_all()
    await bounded("the drain", draining)
    assert (state, scene.inventory.node(5.0).state) == ("draining", "drained")
