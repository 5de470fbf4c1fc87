"""CloudWatch's Embedded Metric Format: metrics as JSON lines, which CloudWatch Logs makes metrics of.

SageMaker's containers have nothing that scrapes them, but what they print to stdout is in CloudWatch Logs. The format
is that of AWS's "CloudWatch embedded metric format specification", version 0: at most 100 metrics and 30 dimensions a
line. The specification has numbers alone; a histogram is written as AWS's exporter in OpenTelemetry's collector does
(awsemfexporter, `cWMetricHistogram`): `Values` with `Counts`, and what they come to.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import batched

from parley.observe.metrics.metric import Metric
from parley.observe.metrics.reading import Distribution, Labels, Reading

NAMESPACE = "Parley"
METRICS_MAX = 100

_UNITS = {"seconds": "Seconds", "bytes": "Bytes", "": "Count"}


class EmbeddedMetrics:
    """Makes lines of readings. Counters and distributions are those since the lines before, as CloudWatch adds up."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, Labels], float | Distribution] = {}

    def lines(self, readings: Iterable[Reading], at_ms: int) -> Iterator[str]:
        """The lines, one for each set of labels, without what did not change."""
        by_labels: dict[Labels, list[tuple[Metric, object]]] = {}
        for reading in readings:
            value = self._since(reading)
            if value is not None:
                by_labels.setdefault(reading.labels, []).append((reading.metric, value))
        for labels, metrics in by_labels.items():
            for some in batched(metrics, METRICS_MAX):
                yield _line(dict(labels), some, at_ms)

    def _since(self, reading: Reading) -> object:
        metric, key = reading.metric, (reading.metric.name, reading.labels)
        if metric.kind == "gauge":
            return reading.value
        before, self._before[key] = self._before.get(key), reading.value
        if isinstance(reading.value, Distribution):
            return _values(metric, reading.value, before if isinstance(before, Distribution) else None)
        more = reading.value - (before if isinstance(before, float) else 0.0)
        return more or None


def _values(metric: Metric, now: Distribution, before: Distribution | None) -> Mapping[str, object] | None:
    """What came since, each at the upper bound of its bucket, and at the last one what was above all."""
    counts, total = now.counts, now.sum
    if before is not None:
        counts = tuple(new - old for new, old in zip(now.counts, before.counts, strict=True))
        total -= before.sum
    bounds = (*metric.bounds, metric.bounds[-1])
    found = [(bound, number) for bound, number in zip(bounds, counts, strict=True) if number]
    if not found:
        return None
    values, count = [bound for bound, _ in found], sum(counts)
    least = bounds.index(values[0])
    return {
        "Values": values,
        "Counts": [float(number) for _, number in found],
        "Max": values[-1],
        "Min": bounds[least - 1] if least else 0.0,
        "Count": count,
        # No mean is over the most: what was above all bounds counts as the last one here too.
        "Sum": round(min(total, values[-1] * count), 6),
    }


def _line(labels: Mapping[str, str], metrics: Iterable[tuple[Metric, object]], at_ms: int) -> str:
    metrics = list(metrics)
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(labels)],
        "Metrics": [{"Name": metric.exposed, "Unit": _UNITS[metric.unit]} for metric, _ in metrics],
    }
    # CloudWatch takes no dimension without a value.
    dimensions = {name: value or "none" for name, value in labels.items()}
    values = {metric.exposed: value for metric, value in metrics}
    return json.dumps({"_aws": {"Timestamp": at_ms, "CloudWatchMetrics": [directive]}, **dimensions, **values})
