"""The instruments of the catalogue's metrics, in a registry of their own: prometheus_client counts."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram

from parley.observe.metrics.catalogue import BY_NAME
from parley.observe.metrics.metric import LABEL_VALUES_MAX, OTHER

Exemplar = Mapping[str, str]


class Instruments:
    """Counters and histograms by the catalogue's names. A label that takes too many values counts the rest as `other`,
    so that nothing from outside can make them many."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._seen: dict[tuple[str, str], set[str]] = {}
        for metric in BY_NAME.values():
            labels = tuple(metric.labels)
            if metric.kind == "counter" and metric.name not in COLLECTED:
                self._counters[metric.name] = Counter(metric.name, metric.help, labels, registry=registry)
                for given in metric.beginnings:
                    self._counters[metric.name].labels(**self._bounded(metric.name, given))
            elif metric.kind == "histogram":
                self._histograms[metric.name] = Histogram(
                    metric.name, metric.help, labels, registry=registry, buckets=metric.bounds
                )
                for given in metric.beginnings:
                    self._histograms[metric.name].labels(**self._bounded(metric.name, given))

    def count(self, name: str, amount: float = 1.0, exemplar: Exemplar | None = None, **labels: str) -> None:
        """So much more of this counter; what is below 0 is nothing, as no clock that is off may end a session."""
        counter = self._counters[name]
        given = dict(exemplar) if exemplar else None
        (counter.labels(**self._bounded(name, labels)) if labels else counter).inc(max(0.0, amount), given)

    def observe(self, name: str, value: float, exemplar: Exemplar | None = None, **labels: str) -> None:
        """One more of this histogram."""
        histogram = self._histograms[name]
        given = dict(exemplar) if exemplar else None
        (histogram.labels(**self._bounded(name, labels)) if labels else histogram).observe(value, given)

    def _bounded(self, name: str, labels: Mapping[str, str]) -> dict[str, str]:
        return {label: self._known(name, label, value) for label, value in labels.items()}

    def _known(self, name: str, label: str, value: str) -> str:
        seen = self._seen.setdefault((name, label), set())
        if value not in seen:
            if len(seen) >= LABEL_VALUES_MAX:
                return OTHER
            seen.add(value)
        return value


COLLECTED = frozenset({"parley_model_server_starts", "parley_sessions_refused"})
"""Counters that the node has anyway, and that are read when somebody asks."""
