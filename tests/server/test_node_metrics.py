"""What is read of a node when somebody asks for its metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from parley.observe.loop_lag import LagView
from parley.server.admin.inventory import NodeView, PoolView, UpstreamList, UpstreamView
from parley.server.draining import DrainState, DrainView
from parley.server.node_metrics import NodeMetrics
from parley.upstream.pool.member import State

NODE = NodeView(
    version="1.2.3",
    state="ready",
    uptime_s=60,
    live=3,
    places=2,
    live_max=10,
    queued=1,
    queue_max=5,
    opening=1,
    refused={"forbidden": 4},
    expired=0,
    ended=0,
    moved=0,
    rss_bytes=1_000,
    loop_lag=LagView(60.0, 1.0, 20.0, 40.0),
    drain=DrainView(DrainState.SERVING, None, 3, 0, 0, is_final=False),
)


@dataclass
class Seen:
    """A node, its model servers, and the states of its sessions."""

    view: NodeView = NODE
    servers: tuple[tuple[str, State], ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def node(self, window_s: float) -> NodeView:
        return self.view

    def upstreams(self) -> UpstreamList:
        pools = sorted({pool for pool, _ in self.servers})
        return UpstreamList(
            upstreams=[server(pool, state) for pool, state in self.servers],
            pools=[PoolView(name=name, ready=True, takes_new=True, streams=7, lag_p95_s=0.25) for name in pools],
        )

    def states(self) -> Mapping[str, int]:
        return self.counts


@dataclass
class Child:
    starts: int


def server(pool: str, state: State) -> UpstreamView:
    return UpstreamView(
        pool=pool,
        name="gpu-1:8000",
        url="ws://gpu-1:8000",
        kind="vllm",
        state=state,
        reason="",
        weight=1.0,
        labels={},
        models=(),
        version="",
        streams=0,
        streams_max=0,
        load=0.0,
        delay_p95_s=0.0,
        failures=0,
        engine=None,
    )


def value(seen: Seen, name: str, child: Child | None = None, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(NodeMetrics(seen, seen, child))
    return registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    ("state", "flags"),
    [
        ("ready", (1.0, 0.0, 0.0)),
        ("starting", (0.0, 1.0, 0.0)),
        ("unready", (0.0, 0.0, 0.0)),
        ("draining", (0.0, 0.0, 1.0)),
        ("drained", (0.0, 0.0, 1.0)),
    ],
)
def test_the_nodes_state_is_told(state: Any, flags: tuple[float, ...]) -> None:
    seen = Seen(replace(NODE, state=state))
    assert tuple(value(seen, f"parley_{name}") for name in ("ready", "starting", "draining")) == flags


def test_numbers_of_the_node_are_in_seconds_and_bytes() -> None:
    seen = Seen()
    found = {
        name: value(seen, f"parley_{name}")
        for name in ("places", "places_limit", "queue_length", "streams_opening", "resident_memory_bytes")
    }
    assert found == {
        "places": 2.0,
        "places_limit": 10.0,
        "queue_length": 1.0,
        "streams_opening": 1.0,
        "resident_memory_bytes": 1_000.0,
    }
    assert [value(seen, "parley_loop_lag_seconds", quantile=one) for one in ("0.5", "0.99", "1")] == [0.001, 0.02, 0.04]


def test_memory_that_the_system_does_not_tell_is_left_out() -> None:
    assert value(Seen(replace(NODE, rss_bytes=None)), "parley_resident_memory_bytes") is None


def test_sessions_are_counted_in_every_state_there_is() -> None:
    seen = Seen(counts={"live": 2, "detached": 1})
    states = ("live", "detached", "queued")
    assert [value(seen, "parley_sessions", state=state) for state in states] == [2.0, 1.0, 0.0]


def test_refusals_that_alerts_wait_for_are_counted_from_0_on() -> None:
    codes = ("forbidden", "at-capacity", "too-many-sessions")
    assert [value(Seen(), "parley_sessions_refused_total", code=code) for code in codes] == [4.0, 0.0, 0.0]


def test_model_servers_are_counted_by_pool_and_state() -> None:
    seen = Seen(servers=(("own", "ready"), ("own", "ready"), ("own", "broken"), ("x/main", "draining")))
    assert value(seen, "parley_upstreams", pool="own", state="ready") == 2.0
    assert value(seen, "parley_upstreams", pool="own", state="broken") == 1.0
    assert value(seen, "parley_upstreams", pool="x/main", state="draining") == 1.0
    assert value(seen, "parley_upstream_streams", pool="own") == 7.0
    assert value(seen, "parley_upstream_delay_seconds", pool="own") == 0.25


def test_starts_are_told_of_a_model_server_of_ones_own() -> None:
    assert value(Seen(), "parley_model_server_starts_total", Child(starts=3)) == 3.0
    assert value(Seen(), "parley_model_server_starts_total") is None
