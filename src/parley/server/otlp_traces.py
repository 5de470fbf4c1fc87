"""OpenTelemetry's SDK, as traces go to a collector with it. Loaded only where it is asked for: it is an extra."""

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from parley.server.otlp_resource import otlp_resource

TRACES_PATH = "/v1/traces"
"""Of a collector (OTLP specification, OTLP/HTTP Request)."""
QUEUE_MAX_SPANS = 8_192
"""What waits for the collector; beyond that spans are dropped."""
BATCH_MAX_SPANS = 512
BATCH_DELAY_S = 2.0
EXPORT_TIMEOUT_S = 5.0

_EXPORTER_LOGGER = "opentelemetry.exporter"

_log = logging.getLogger("parley.server")


class TellingExporter(SpanExporter):
    """An exporter, with the log told once when nothing is taken, and once when it is again.

    On its own OpenTelemetry's says so at each try, several times, in the words of whoever answered.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False
        logging.getLogger(_EXPORTER_LOGGER).setLevel(logging.CRITICAL)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See `SpanExporter`; called in a thread of its own."""
        result = self._exporter.export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing != self._is_failing:
            self._is_failing = is_failing
            if is_failing:
                _log.warning("traces are lost: the collector at telemetry.otlp_endpoint does not take them")
            else:
                _log.info("the collector takes traces again")
        return result

    def shutdown(self) -> None:
        """See `SpanExporter`."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See `SpanExporter`."""
        return self._exporter.force_flush(timeout_millis)


def otlp_provider(endpoint: str, ratio: float) -> TracerProvider:
    """A provider that sends spans to the collector at this base URL, in a thread of its own.

    `ratio` is the share of traces that is recorded, of those that don't come with a client that has decided it.
    """
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)), resource=otlp_resource(), shutdown_on_exit=False
    )
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}{TRACES_PATH}", timeout=EXPORT_TIMEOUT_S)
    provider.add_span_processor(
        BatchSpanProcessor(
            TellingExporter(exporter),
            max_queue_size=QUEUE_MAX_SPANS,
            schedule_delay_millis=1_000 * BATCH_DELAY_S,
            max_export_batch_size=BATCH_MAX_SPANS,
            export_timeout_millis=1_000 * EXPORT_TIMEOUT_S,
        )
    )
    return provider
