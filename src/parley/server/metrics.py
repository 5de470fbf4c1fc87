"""A node's metrics, put together from the settings: what is counted, and to where it goes by itself.

```
marks, samples ─► SessionMetrics ─┐
inventory ──────► NodeMetrics ────┴─► registry ─► GET /metrics
                                          └─ every so often ─► lines on stdout (EMF), a collector (OTLP)
```
"""

import asyncio
import logging
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from parley.observe.metrics.emf import EmbeddedMetrics
from parley.observe.metrics.exposition import expose
from parley.observe.metrics.instruments import Instruments
from parley.observe.metrics.reading import read
from parley.observe.metrics.session_metrics import SessionMetrics, TraceOf
from parley.server.settings.telemetry import TelemetrySettings
from parley.server.start import StartError

if TYPE_CHECKING:
    from parley.server.otlp_metrics import OtlpMetrics

_log = logging.getLogger("parley.server")

EXPORT_TIMEOUT_S = 5.0


class Metrics:
    """What is counted on a node. `sessions` listens to its sessions; `expose` answers who asks.

    `run` sends metrics where the settings say, if they do, until it is cancelled; `stdout` takes EMF's lines.
    """

    def __init__(
        self,
        settings: TelemetrySettings,
        trace_of: TraceOf | None = None,
        *,
        collector: "OtlpMetrics | None" = None,
        stdout: TextIO | None = None,
    ) -> None:
        self._settings = settings
        self._registry = CollectorRegistry()
        self.sessions = SessionMetrics(Instruments(self._registry), trace_of)
        self._embedded = EmbeddedMetrics() if settings.emf else None
        self._stdout = stdout
        self._collector = collector
        self._is_failing = self._is_shut = False

    def watch(self, node: Collector) -> None:
        """Read these as well from here on."""
        self._registry.register(node)

    async def expose(self, accept: str) -> tuple[bytes, str]:
        """All of it for an Accept header, and its Content-Type. Sessions have their turns meanwhile."""
        return await expose(self._registry, accept)

    async def run(self) -> None:
        """Send it where it is wanted, again and again."""
        if self._embedded is None and self._collector is None:
            return
        while True:
            await asyncio.sleep(self._settings.metrics_interval_s)
            await self.send()

    async def send(self) -> None:
        """Send what there is now. What can't be sent is left out: the next time has it all, but for EMF's."""
        try:
            await self._send()
        except Exception as error:
            # Whatever it is, a node does not end for its metrics.
            self._tell(error)
        else:
            self._is_failing = False

    def _tell(self, error: Exception) -> None:
        if not self._is_failing:
            self._is_failing = True
            _log.error("metrics were not sent: %s", type(error).__name__, exc_info=error)

    async def _send(self) -> None:
        readings = await read(self._registry)
        if self._embedded is not None:
            self._print(self._embedded.lines(readings, time.time_ns() // 1_000_000))
        if self._collector is not None:
            await self._collector.send(readings)

    async def close(self) -> None:
        """Send what came last, within bounds, and take no more."""
        if self._embedded is None and self._collector is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(EXPORT_TIMEOUT_S):
                await self.send()
        if self._collector is not None:
            self._collector.close()

    def _print(self, lines: Iterable[str]) -> None:
        out = self._stdout or sys.stdout
        written = "".join(f"{line}\n" for line in lines)
        try:
            # In one piece: a line of something else may not get between.
            out.write(written)
            out.flush()
        except (OSError, ValueError) as error:
            # Nobody reads it any more, or it is closed.
            is_new, self._is_shut = not self._is_shut, True
            if is_new:
                _log.warning("metrics were not written to stdout: %s", type(error).__name__)
        else:
            self._is_shut = False


def make_metrics(settings: TelemetrySettings, trace_of: TraceOf | None = None) -> Metrics | None:
    """The metrics of the settings; None without any.

    Raises:
        StartError: they are to go to a collector, and OpenTelemetry's SDK is not installed.
    """
    if not settings.metrics:
        return None
    collector = None
    if settings.otlp_endpoint:
        try:
            from parley.server.otlp_metrics import OtlpMetrics
        except ModuleNotFoundError as error:
            raise StartError(
                f"metrics-unusable: telemetry.otlp_endpoint needs OpenTelemetry's SDK, and {error.name} is not "
                "installed; run: pip install 'parley[otlp]'"
            ) from None
        collector = OtlpMetrics(settings.otlp_endpoint)
    return Metrics(settings, trace_of, collector=collector)
