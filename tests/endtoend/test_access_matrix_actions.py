"""Every action is asked for by a route: what the routes ask the policy is watched while they are asked."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from parley.access.action import ACTIONS, NODE, Action, Target
from parley.access.caller import Caller
from parley.access.policy import Decision, Rules
from parley.server.admin.routes import ROUTES
from tests.endtoend.test_access_matrix import TABLE
from tests.endtoend.test_access_matrix_tenants import claimed, resumable
from tests.support.access_stage import OK, REALTIME, Key, Stage, staged
from tests.support.credentials import TENANT, Credential
from tests.support.fake_vllm import FakeVllm
from tests.support.http2_routes import OPERATION

RESUMING = Key("websocket", "GET", f"{REALTIME}?resume=1")
BY_ACTION: Mapping[str, tuple[Key, ...]] = {
    "start": (Key("websocket", "GET", REALTIME), Key("http", "POST", "/invocations"), Key("http2", "POST", OPERATION)),
    "resume": (RESUMING,),
    "observe": (Key("admin", "GET", "/admin/v1/sessions/{id}"), Key("admin", "GET", "/admin/v1/node")),
    "read": (Key("admin", "GET", "/admin/v1/sessions/{id}/transcript"),),
    "end": (Key("admin", "POST", "/admin/v1/sessions/{id}/end"),),
    "move": (Key("admin", "POST", "/admin/v1/sessions/{id}/move"),),
    "drain": (Key("admin", "POST", "/admin/v1/drain"),),
}
UNUSED = {"admin"}
"""No route asks for it: it is kept for rules of what is still to come, and docs/access.md says so."""
PAGE = Path(__file__).parents[2] / "docs" / "access.md"


class Watching:
    """A policy that notes what it is asked."""

    def __init__(self, policy: Rules) -> None:
        self._policy = policy
        self.asked: set[tuple[Action, str]] = set()

    def decide(self, caller: Caller, action: Action, target: Target) -> Decision:
        self.asked.add((action, target.tenant))
        return self._policy.decide(caller, action, target)

    def taken(self) -> set[tuple[Action, str]]:
        asked, self.asked = self.asked, set()
        return asked


@pytest.fixture
async def stage(vllm: FakeVllm, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(vllm.url, tmp_path) as stage:
        yield stage


@pytest.fixture
def policy(stage: Stage) -> Watching:
    gateway = stage.gateway._gateway
    assert gateway is not None
    trust = gateway._trust
    watching = Watching(trust.gate._policy)
    for gate in (trust.gate, trust.admin_gate):
        gate._policy = watching
    return watching


def right(stage: Stage) -> Credential:
    (found,) = [one for one in stage.issuer.credentials if (one.kind, one.state) == ("api-key", "right")]
    return found


async def test_each_action_is_asked_for_where_it_should_be(stage: Stage, policy: Watching) -> None:
    wrong = []
    for action, keys in BY_ACTION.items():
        for key in keys:
            assert key in TABLE
            token = await resumable(stage) if key == RESUMING else ""
            policy.taken()
            if key == RESUMING:
                assert await claimed(stage, right(stage), token) == "session.resumed"
            else:
                await stage.ask(key, right(stage))
            is_nodes = key.path.endswith(("/node", "/v1/drain"))
            if (action, NODE if is_nodes else TENANT) not in policy.asked:
                wrong.append((action, key, policy.asked))
    assert wrong == []


async def test_no_action_is_left_over_and_the_page_says_which_no_route_asks_for(stage: Stage, policy: Watching) -> None:
    for key in TABLE:
        await stage.ask(key, right(stage))
    await claimed(stage, right(stage), await resumable(stage))
    asked = {action for action, _ in policy.asked}
    assert asked | {route.action for route in ROUTES} == asked
    assert set(ACTIONS) - asked == UNUSED == set(ACTIONS) - set(BY_ACTION)
    (line,) = [line for line in PAGE.read_text().splitlines() if line.startswith("- `admin` ")]
    assert "no route" in line


async def test_who_may_but_administer_may_do_nothing(stage: Stage, policy: Watching) -> None:
    class Administering:
        def decide(self, _caller: Caller, action: Action, _target: Target) -> Decision:
            return Decision(action in UNUSED, None)

    policy._policy = Administering()
    opened = set()
    for key in (key for key in TABLE if key.listener == "admin"):
        if (await stage.ask(key, right(stage))).code == OK:
            opened.add(key)
    # As somebody who is known and may do nothing: lists of which nothing is seen, and what the routes are.
    assert opened == {key for key, row in TABLE.items() if key.listener == "admin" and row["powerless"] == OK}
