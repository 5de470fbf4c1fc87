"""A registry read once: plain numbers for those forms that prometheus_client does not write."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family

from parley.observe.metrics.catalogue import BY_NAME
from parley.observe.metrics.metric import Metric

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram's state: how many were at most each of the bounds and above the one before it, with one more for
    those above all; their number and their sum."""

    counts: tuple[int, ...]
    count: int
    sum: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric with one set of labels, counters and distributions since the start."""

    metric: Metric
    labels: Labels
    value: float | Distribution


def read(registry: CollectorRegistry) -> list[Reading]:
    """Every metric of the catalogue that has been counted."""
    readings: list[Reading] = []
    for family in registry.collect():
        metric = BY_NAME.get(family.name)
        if metric is None:
            continue
        if metric.kind == "histogram":
            readings += _distributions(metric, family)
        else:
            wanted = metric.exposed
            for sample in family.samples:
                if sample.name == wanted:
                    readings.append(Reading(metric, _labels(sample.labels), float(sample.value)))
    return readings


def _distributions(metric: Metric, family: Family) -> list[Reading]:
    buckets: dict[Labels, list[int]] = {}
    totals: dict[Labels, tuple[float, float]] = {}
    for sample in family.samples:
        labels = _labels({name: value for name, value in sample.labels.items() if name != "le"})
        count, total = totals.get(labels, (0.0, 0.0))
        if sample.name.endswith("_bucket"):
            # In the order of their bounds, each with those below it.
            buckets.setdefault(labels, []).append(int(sample.value))
        elif sample.name.endswith("_count"):
            totals[labels] = (float(sample.value), total)
        elif sample.name.endswith("_sum"):
            totals[labels] = (count, float(sample.value))
    return [
        Reading(metric, labels, Distribution(_apart(counts), int(totals[labels][0]), totals[labels][1]))
        for labels, counts in buckets.items()
    ]


def _apart(cumulative: list[int]) -> tuple[int, ...]:
    return tuple(count - before for before, count in zip([0, *cumulative], cumulative, strict=False))


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))
