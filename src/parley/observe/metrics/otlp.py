"""Metrics as OpenTelemetry has them, for its SDK's exporters. Needs the extra `otlp`."""

from collections.abc import Iterable, Sequence

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from parley.observe.metrics.metric import Metric as Known
from parley.observe.metrics.reading import Distribution, Reading

_UNITS = {"seconds": "s", "bytes": "By", "": "1"}


def metrics_data(
    readings: Iterable[Reading], *, resource: Resource, version: str, began_ns: int, now_ns: int
) -> MetricsData:
    """All readings since `began_ns`, as of this resource."""
    by_metric: dict[str, list[Reading]] = {}
    for reading in readings:
        by_metric.setdefault(reading.metric.name, []).append(reading)
    metrics = [_metric(found[0].metric, found, began_ns, now_ns) for found in by_metric.values()]
    scope = ScopeMetrics(InstrumentationScope("parley", version), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metric(known: Known, readings: Sequence[Reading], began_ns: int, now_ns: int) -> Metric:
    cumulative = AggregationTemporality.CUMULATIVE
    data: Sum | Gauge | Histogram
    if known.kind == "histogram":
        points = [_distribution(known, reading, began_ns, now_ns) for reading in readings]
        data = Histogram(points, cumulative)
    else:
        numbers = [
            NumberDataPoint(_attributes(known, one), began_ns, now_ns, _number(one), _exemplars(one))
            for one in readings
        ]
        data = Gauge(numbers) if known.kind == "gauge" else Sum(numbers, cumulative, is_monotonic=True)
    return Metric(known.otlp_name, known.help, _UNITS[known.unit], data)


def _attributes(known: Known, reading: Reading) -> dict[str, str]:
    return {**known.otlp_attributes, **dict(reading.labels)}


def _exemplars(reading: Reading) -> list[Exemplar]:
    return [
        Exemplar(
            {},
            example.value,
            int(example.at_s * 1e9),
            span_id=int(example.trace["span_id"], 16),
            trace_id=int(example.trace["trace_id"], 16),
        )
        for example in reading.examples
    ]


def _number(reading: Reading) -> float:
    assert isinstance(reading.value, float), "it is no distribution"
    return reading.value


def _distribution(known: Known, reading: Reading, began_ns: int, now_ns: int) -> HistogramDataPoint:
    value = reading.value
    assert isinstance(value, Distribution), "it is no number"
    return HistogramDataPoint(
        attributes=_attributes(known, reading),
        start_time_unix_nano=began_ns,
        time_unix_nano=now_ns,
        count=value.count,
        sum=value.sum,
        bucket_counts=value.counts,
        explicit_bounds=known.bounds,
        # Not kept: what is asked of them is answered by the buckets. They may be left out, though the types say no.
        min=None,  # type: ignore[arg-type]
        max=None,  # type: ignore[arg-type]
        exemplars=_exemplars(reading),
    )
