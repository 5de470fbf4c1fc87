"""The forms that metrics are sent in: read once, as EMF's lines, and as OpenTelemetry has them."""

import json

import pytest
from opentelemetry.sdk.metrics.export import Histogram, HistogramDataPoint, MetricsData, NumberDataPoint, Sum
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry

from parley.observe.metrics.emf import METRICS_MAX, EmbeddedMetrics
from parley.observe.metrics.instruments import Instruments
from parley.observe.metrics.otlp import metrics_data
from parley.observe.metrics.reading import Distribution, Reading, read


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def instruments(registry: CollectorRegistry) -> Instruments:
    return Instruments(registry)


def reading(registry: CollectorRegistry, name: str) -> Reading:
    (one,) = [each for each in read(registry) if each.metric.name == name]
    return one


def test_a_counter_is_read_with_its_labels(registry: CollectorRegistry, instruments: Instruments) -> None:
    instruments.count("parley_turns", 3, outcome="final")
    one = reading(registry, "parley_turns")
    assert (one.labels, one.value) == ((("outcome", "final"),), 3.0)


def test_a_histogram_is_read_bucket_by_bucket(registry: CollectorRegistry, instruments: Instruments) -> None:
    for value in (0.01, 0.15, 0.15, 99.0):
        instruments.observe("parley_turn_final_seconds", value)
    found = reading(registry, "parley_turn_final_seconds")
    assert isinstance(found.value, Distribution)
    assert found.value.counts == (1, 0, 2, *[0] * 10, 1)
    assert (found.value.count, found.value.sum) == (4, 99.31)
    assert len(found.value.counts) == len(found.metric.bounds) + 1


def test_a_line_of_emf_is_as_cloudwatch_wants_it(registry: CollectorRegistry, instruments: Instruments) -> None:
    instruments.count("parley_turns", 3, outcome="final")
    (line,) = EmbeddedMetrics().lines(read(registry), 1_795_360_740_000)
    found = json.loads(line)
    assert found["_aws"] == {
        "Timestamp": 1_795_360_740_000,
        "CloudWatchMetrics": [
            {
                "Namespace": "Parley",
                "Dimensions": [["outcome"]],
                "Metrics": [{"Name": "parley_turns_total", "Unit": "Count"}],
            }
        ],
    }
    assert (found["outcome"], found["parley_turns_total"]) == ("final", 3.0)


def test_emf_tells_what_came_since_the_lines_before(registry: CollectorRegistry, instruments: Instruments) -> None:
    embedded = EmbeddedMetrics()
    instruments.count("parley_turns", 3, outcome="final")
    list(embedded.lines(read(registry), 0))
    nothing = list(embedded.lines(read(registry), 1))
    instruments.count("parley_turns", 2, outcome="final")
    (line,) = embedded.lines(read(registry), 2)
    assert nothing == []
    assert json.loads(line)["parley_turns_total"] == 2.0


def test_emf_tells_a_histogram_as_values_with_counts(registry: CollectorRegistry, instruments: Instruments) -> None:
    embedded = EmbeddedMetrics()
    instruments.observe("parley_turn_final_seconds", 0.15)
    list(embedded.lines(read(registry), 0))
    for value in (0.15, 0.15, 99.0):
        instruments.observe("parley_turn_final_seconds", value)
    (line,) = embedded.lines(read(registry), 1)
    found = json.loads(line)
    assert found["parley_turn_final_seconds"] == {"Values": [0.2, 30.0], "Counts": [2.0, 1.0]}
    assert found["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [
        {"Name": "parley_turn_final_seconds", "Unit": "Seconds"}
    ]


def test_a_dimension_without_a_value_has_one_nevertheless(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    instruments.count("parley_sessions_ended", outcome="client-ended", fault="")
    (line,) = EmbeddedMetrics().lines(read(registry), 0)
    assert json.loads(line)["fault"] == "none"


def test_a_line_has_no_more_metrics_than_cloudwatch_takes() -> None:
    assert METRICS_MAX == 100


def metric(data: MetricsData, name: str) -> Sum | Histogram:
    (found,) = [one for one in data.resource_metrics[0].scope_metrics[0].metrics if one.name == name]
    assert isinstance(found.data, Sum | Histogram)
    return found.data


def sent(registry: CollectorRegistry) -> MetricsData:
    return metrics_data(read(registry), resource=Resource({}), version="1", began_ns=1, now_ns=2)


def test_a_counter_is_a_monotonic_sum_since_the_start(registry: CollectorRegistry, instruments: Instruments) -> None:
    instruments.count("parley_turns", 3, outcome="final")
    found = metric(sent(registry), "parley.turns")
    assert isinstance(found, Sum)
    (point,) = found.data_points
    assert isinstance(point, NumberDataPoint)
    assert (found.is_monotonic, point.value, dict(point.attributes or {})) == (True, 3.0, {"outcome": "final"})
    assert (point.start_time_unix_nano, point.time_unix_nano) == (1, 2)


def test_a_turns_first_text_has_the_name_of_the_conventions(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    instruments.observe("parley_turn_first_text_seconds", 0.4)
    found = metric(sent(registry), "gen_ai.server.time_to_first_token")
    assert isinstance(found, Histogram)
    (point,) = found.data_points
    assert isinstance(point, HistogramDataPoint)
    assert (point.count, point.sum, len(point.bucket_counts)) == (1, 0.4, len(point.explicit_bounds) + 1)
