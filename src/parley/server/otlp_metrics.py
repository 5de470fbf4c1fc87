"""Metrics to an OpenTelemetry collector. Loaded only where it is asked for: the SDK is an extra."""

import asyncio
import logging
import time
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult

from parley import __version__
from parley.observe.metrics.otlp import metrics_data
from parley.observe.metrics.reading import Reading
from parley.server.otlp_resource import otlp_resource

METRICS_PATH = "/v1/metrics"
"""Of a collector (OTLP specification, OTLP/HTTP Request)."""
EXPORT_TIMEOUT_S = 5.0

_log = logging.getLogger("parley.server")


class OtlpMetrics:
    """Sends readings to the collector at this base URL, in a thread; the log is told once when it takes none."""

    def __init__(
        self, endpoint: str, exporter: MetricExporter | None = None, *, timeout_s: float = EXPORT_TIMEOUT_S
    ) -> None:
        self._exporter = exporter or OTLPMetricExporter(f"{endpoint.rstrip('/')}{METRICS_PATH}", timeout=timeout_s)
        self._timeout_s = timeout_s
        self._resource = otlp_resource()
        self._began_ns = time.time_ns()
        self._is_failing = False

    async def send(self, readings: Sequence[Reading]) -> None:
        """Send them; it takes as long as the collector does, and `timeout_s` at the most."""
        is_failing = not await asyncio.to_thread(self._export, readings, time.time_ns())
        if is_failing != self._is_failing:
            self._is_failing = is_failing
            if is_failing:
                _log.warning("metrics are not taken by the collector at telemetry.otlp_endpoint")
            else:
                _log.info("the collector takes metrics again")

    def _export(self, readings: Sequence[Reading], now_ns: int) -> bool:
        try:
            data = metrics_data(
                readings, resource=self._resource, version=__version__, began_ns=self._began_ns, now_ns=now_ns
            )
            result = self._exporter.export(data, timeout_millis=1_000 * self._timeout_s)
        except Exception as error:
            # Whatever it is, it is not to end the loop that sends.
            _log.debug("a collector could not be reached: %s", type(error).__name__)
            return False
        return result is MetricExportResult.SUCCESS

    def close(self) -> None:
        """Take no more."""
        self._exporter.shutdown()
