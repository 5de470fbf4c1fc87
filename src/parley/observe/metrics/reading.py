"""A registry read once: plain numbers for those forms that prometheus_client does not write."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

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
class Example:
    """One value that was counted, when (Unix time), and in which trace."""

    value: float
    at_s: float
    trace: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric with one set of labels, counters and distributions since the start; examples of what was counted."""

    metric: Metric
    labels: Labels
    value: float | Distribution
    examples: tuple[Example, ...] = ()


async def read(registry: CollectorRegistry) -> list[Reading]:
    """Every metric of the catalogue that has been counted. It takes some milliseconds in all: other work has a turn
    after each."""
    readings: list[Reading] = []
    for family in registry.collect():
        metric = BY_NAME.get(family.name)
        if metric is not None:
            readings += _distributions(metric, family) if metric.kind == "histogram" else _numbers(metric, family)
        await asyncio.sleep(0)
    return readings


def _numbers(metric: Metric, family: Family) -> list[Reading]:
    return [
        Reading(metric, _labels(sample.labels), float(sample.value), _examples(sample))
        for sample in family.samples
        if sample.name == metric.exposed
    ]


def _distributions(metric: Metric, family: Family) -> list[Reading]:
    buckets: dict[Labels, list[int]] = {}
    examples: dict[Labels, list[Example]] = {}
    totals: dict[Labels, tuple[float, float]] = {}
    for sample in family.samples:
        labels = _labels({name: value for name, value in sample.labels.items() if name != "le"})
        count, total = totals.get(labels, (0.0, 0.0))
        if sample.name.endswith("_bucket"):
            # In the order of their bounds, each with those below it.
            buckets.setdefault(labels, []).append(int(sample.value))
            examples.setdefault(labels, []).extend(_examples(sample))
        elif sample.name.endswith("_count"):
            totals[labels] = (float(sample.value), total)
        elif sample.name.endswith("_sum"):
            totals[labels] = (count, float(sample.value))
    return [
        Reading(
            metric,
            labels,
            Distribution(_apart(counts), int(totals[labels][0]), totals[labels][1]),
            tuple(examples[labels]),
        )
        for labels, counts in buckets.items()
    ]


def _examples(sample: Sample) -> tuple[Example, ...]:
    found = sample.exemplar
    return () if found is None else (Example(float(found.value), float(found.timestamp or 0.0), found.labels),)


def _apart(cumulative: list[int]) -> tuple[int, ...]:
    return tuple(count - before for before, count in zip([0, *cumulative], cumulative, strict=False))


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))
