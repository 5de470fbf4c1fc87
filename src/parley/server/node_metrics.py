"""The metrics of a node that are there anyway: read when somebody asks for them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from parley.observe.metrics.catalogue import BY_NAME
from parley.server.admin.inventory import NodeView, UpstreamList
from parley.server.session_state import SESSION_STATES

_LAG_WINDOW_S = 60.0
_FULL = ("at-capacity", "too-many-sessions")
"""What alerts wait for is counted from 0 on: they don't see the first of what begins with it."""

Row = tuple[Sequence[str], float]


class Seen(Protocol):
    """A node, as `Inventory` sees it."""

    def node(self, window_s: float) -> NodeView:
        """The node itself, and its event loop in the last so many seconds."""

    def upstreams(self) -> UpstreamList:
        """Its model servers."""


class States(Protocol):
    """Who knows in which state each session is."""

    def states(self) -> Mapping[str, int]:
        """How many sessions are in each."""


class Started(Protocol):
    """A model server of the node's own."""

    starts: int


class NodeMetrics(Collector):
    """A node, its model servers and the states of its sessions, for a registry. `child` is the one that it starts."""

    def __init__(self, inventory: Seen, states: States, child: Started | None = None) -> None:
        self._inventory = inventory
        self._states = states
        self._child = child

    def describe(self) -> Iterable[Family]:
        """Nothing is read to register it."""
        return ()

    def collect(self) -> Iterable[Family]:
        """See `Collector`."""
        node, upstreams = self._inventory.node(_LAG_WINDOW_S), self._inventory.upstreams()
        counts = self._states.states()
        yield _family("parley_sessions", *(((state,), counts.get(state, 0)) for state in SESSION_STATES))
        yield from _of_node(node)
        yield from _of_upstreams(upstreams)
        starts = [((), self._child.starts)] if self._child is not None else []
        yield _family("parley_model_server_starts", *starts)


def _of_node(node: NodeView) -> Iterable[Family]:
    lag = node.loop_lag
    yield _family("parley_places", ((), node.places))
    yield _family("parley_places_limit", ((), node.live_max))
    yield _family("parley_queue_length", ((), node.queued))
    yield _family("parley_streams_opening", ((), node.opening))
    yield _family(
        "parley_loop_lag_seconds",
        (("0.5",), lag.p50_ms / 1000),
        (("0.99",), lag.p99_ms / 1000),
        (("1",), lag.max_ms / 1000),
    )
    if node.rss_bytes is not None:
        yield _family("parley_resident_memory_bytes", ((), node.rss_bytes))
    yield _family("parley_ready", ((), node.state == "ready"))
    yield _family("parley_starting", ((), node.state == "starting"))
    yield _family("parley_draining", ((), node.state in ("draining", "drained")))
    yield _family("parley_uptime_seconds", ((), node.uptime_s))
    yield _family("parley_build_info", ((node.version,), 1))
    refused = {**dict.fromkeys(_FULL, 0), **node.refused}
    yield _family("parley_sessions_refused", *(((code,), count) for code, count in refused.items()))


def _of_upstreams(found: UpstreamList) -> Iterable[Family]:
    states = Counter((one.pool, str(one.state)) for one in found.upstreams)
    yield _family("parley_upstreams", *states.items())
    yield _family("parley_upstream_streams", *(((pool.name,), pool.streams) for pool in found.pools))
    yield _family("parley_upstream_delay_seconds", *(((pool.name,), pool.lag_p95_s) for pool in found.pools))
    yield _family("parley_pool_ready", *(((pool.name,), pool.ready) for pool in found.pools))


def _family(name: str, *rows: Row) -> Family:
    metric = BY_NAME[name]
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=tuple(metric.labels))
    for labels, value in rows:
        family.add_metric(labels, float(value))
    return family
