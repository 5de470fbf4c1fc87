"""All that watches a node, put together from the settings: timelines, metrics, traces."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from parley.observe.loop_lag import LoopLag
from parley.observe.marks import MarkSink
from parley.server.admin.inventory import Inventory
from parley.server.metrics import Metrics, make_metrics
from parley.server.node_metrics import NodeMetrics, Started
from parley.server.observing import Observing
from parley.server.settings.telemetry import TelemetrySettings

if TYPE_CHECKING:
    from parley.server.runner import Forwarded
    from parley.server.tracing import Tracing


class Telemetry:
    """A node's telemetry. `observing` watches its sessions, `loop_lag` its event loop; `metrics` is None without any.

    `run` are those works that go on until they are cancelled; `close` sends what is left.

    Raises:
        StartError: something is to go to a collector, and the SDK for it is not installed.
    """

    def __init__(self, settings: TelemetrySettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self.loop_lag = LoopLag(clock)
        self._tracing = _tracing(settings)
        sink = None if self._tracing is None else self._tracing.sink
        self.metrics: Metrics | None = None
        if settings.enabled:
            self.metrics = make_metrics(settings, None if sink is None else sink.exemplar)
        listeners: list[MarkSink] = [] if self.metrics is None else [self.metrics.sessions]
        if sink is not None:
            # Behind the metrics: at a session's end their exemplars still name its trace.
            listeners.append(sink)
        self.observing = Observing(clock, self.loop_lag, listeners, None if sink is None else sink.headers)

    @property
    def watches(self) -> Observing | None:
        """What sessions are shown to; None when they are not."""
        return self.observing if self._settings.enabled else None

    @property
    def forwarded(self) -> "Forwarded | None":
        """Who is told how long messages take through this server."""
        return None if self.metrics is None else self.metrics.sessions.forwarded

    def watch(self, inventory: Inventory, child: Started | None = None) -> None:
        """The node is there, for metrics that are read from it, and the model server that it starts, if any."""
        if self.metrics is not None:
            self.metrics.watch(NodeMetrics(inventory, self.observing, child))

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """What goes on until it is cancelled."""
        works = [self.loop_lag.run()]
        if self._settings.enabled:
            works.append(self.observing.run())
        if self.metrics is not None:
            works.append(self.metrics.run())
        return works

    async def close(self) -> None:
        """Send what came last; each in its own bounds."""
        if self.metrics is not None:
            await self.metrics.close()
        if self._tracing is not None:
            await self._tracing.close()


def _tracing(settings: TelemetrySettings) -> "Tracing | None":
    if not settings.traces or not settings.enabled:
        return None
    from parley.server.tracing import make_tracing

    return make_tracing(settings)
