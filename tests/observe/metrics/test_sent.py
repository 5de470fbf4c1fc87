"""The forms that metrics are sent in: read once, as EMF's lines, and as OpenTelemetry has them."""

import json

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import Histogram, HistogramDataPoint, MetricsData, NumberDataPoint, Sum
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry

from parley.observe.metrics.catalogue import CATALOGUE
from parley.observe.metrics.emf import METRICS_MAX, EmbeddedMetrics
from parley.observe.metrics.instruments import COLLECTED, Instruments
from parley.observe.metrics.otlp import metrics_data
from parley.observe.metrics.reading import Distribution, Reading, read


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def instruments(registry: CollectorRegistry) -> Instruments:
    return Instruments(registry)


async def reading(registry: CollectorRegistry, name: str, **labels: str) -> Reading:
    wanted = tuple(labels.items())
    (one,) = [each for each in await read(registry) if each.metric.name == name and each.labels == wanted]
    return one


async def test_a_counter_is_read_with_its_labels(registry: CollectorRegistry, instruments: Instruments) -> None:
    instruments.count("parley_turns", 3, outcome="final")
    assert (await reading(registry, "parley_turns", outcome="final")).value == 3.0


async def test_a_histogram_is_read_bucket_by_bucket(registry: CollectorRegistry, instruments: Instruments) -> None:
    for value in (0.01, 0.15, 0.15, 99.0):
        instruments.observe("parley_turn_final_seconds", value)
    found = await reading(registry, "parley_turn_final_seconds")
    assert isinstance(found.value, Distribution)
    assert found.value.counts == (1, 0, 2, *[0] * 10, 1)
    assert (found.value.count, found.value.sum) == (4, 99.31)
    assert len(found.value.counts) == len(found.metric.bounds) + 1


async def test_a_line_of_emf_is_as_cloudwatch_wants_it(registry: CollectorRegistry, instruments: Instruments) -> None:
    instruments.count("parley_turns", 3, outcome="final")
    (line,) = EmbeddedMetrics().lines(await read(registry), 1_795_360_740_000)
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


async def test_emf_tells_what_came_since_the_lines_before(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    embedded = EmbeddedMetrics()
    instruments.count("parley_turns", 3, outcome="final")
    list(embedded.lines(await read(registry), 0))
    nothing = list(embedded.lines(await read(registry), 1))
    instruments.count("parley_turns", 2, outcome="final")
    (line,) = embedded.lines(await read(registry), 2)
    assert nothing == []
    assert json.loads(line)["parley_turns_total"] == 2.0


async def test_emf_tells_a_histogram_as_values_with_counts(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    embedded = EmbeddedMetrics()
    instruments.observe("parley_turn_final_seconds", 0.15)
    list(embedded.lines(await read(registry), 0))
    for value in (0.15, 0.15, 99.0):
        instruments.observe("parley_turn_final_seconds", value)
    (line,) = embedded.lines(await read(registry), 1)
    found = json.loads(line)
    assert found["parley_turn_final_seconds"] == {
        "Values": [0.2, 30.0],
        "Counts": [2.0, 1.0],
        "Max": 30.0,
        "Min": 0.1,
        "Count": 3,
        "Sum": 90.0,
    }
    assert found["_aws"]["CloudWatchMetrics"][0]["Metrics"] == [
        {"Name": "parley_turn_final_seconds", "Unit": "Seconds"}
    ]


async def test_what_a_histogram_comes_to_agrees_with_itself(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    for value in (0.0, 0.001, 0.004, 0.3, 2.0):
        instruments.observe("parley_forwarding_seconds", value, direction="up")
    (line,) = EmbeddedMetrics().lines(await read(registry), 0)
    found = json.loads(line)["parley_forwarding_seconds"]
    assert found["Count"] == sum(found["Counts"]) == 5
    assert found["Sum"] == 2.305
    assert found["Min"] <= found["Sum"] / found["Count"] <= found["Max"]
    assert (found["Min"], found["Max"]) == (0.0, 2.5)


async def test_a_dimension_without_a_value_has_one_nevertheless(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    instruments.count("parley_sessions_ended", outcome="client-ended", fault="")
    (line,) = EmbeddedMetrics().lines(await read(registry), 0)
    assert json.loads(line)["fault"] == "none"


def test_a_line_has_no_more_metrics_than_cloudwatch_takes() -> None:
    assert METRICS_MAX == 100


def metric(data: MetricsData, name: str) -> Sum | Histogram:
    (found,) = [one for one in data.resource_metrics[0].scope_metrics[0].metrics if one.name == name]
    assert isinstance(found.data, Sum | Histogram)
    return found.data


async def sent(registry: CollectorRegistry) -> MetricsData:
    return metrics_data(await read(registry), resource=Resource({}), version="1", began_ns=1, now_ns=2)


async def test_a_counter_is_a_monotonic_sum_since_the_start(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    instruments.count("parley_turns", 3, outcome="final")
    found = metric(await sent(registry), "parley.turns")
    assert isinstance(found, Sum)
    (point,) = [one for one in found.data_points if dict(one.attributes or {}) == {"outcome": "final"}]
    assert isinstance(point, NumberDataPoint)
    assert (found.is_monotonic, point.value) == (True, 3.0)
    assert (point.start_time_unix_nano, point.time_unix_nano) == (1, 2)


async def test_a_turns_first_text_has_the_name_of_the_conventions(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    instruments.observe("parley_turn_first_text_seconds", 0.4)
    found = metric(await sent(registry), "gen_ai.server.time_to_first_token")
    assert isinstance(found, Histogram)
    (point,) = found.data_points
    assert isinstance(point, HistogramDataPoint)
    assert (point.count, point.sum, len(point.bucket_counts)) == (1, 0.4, len(point.explicit_bounds) + 1)
    assert dict(point.attributes or {}) == {
        "gen_ai.operation.name": "transcription",
        "gen_ai.provider.name": "parley",
    }


async def test_an_example_names_its_trace_and_its_span(registry: CollectorRegistry, instruments: Instruments) -> None:
    trace = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}
    instruments.observe("parley_turn_final_seconds", 0.4, trace)
    instruments.count("parley_turns", 1.0, trace, outcome="failed")
    data = await sent(registry)
    points = [*metric(data, "parley.turn_final").data_points, *metric(data, "parley.turns").data_points]
    found = [exemplar for point in points for exemplar in point.exemplars]
    assert [(one.value, one.trace_id, one.span_id) for one in found] == [
        (0.4, int(trace["trace_id"], 16), int(trace["span_id"], 16)),
        (1.0, int(trace["trace_id"], 16), int(trace["span_id"], 16)),
    ]
    assert all(one.time_unix_nano > 1_700_000_000_000_000_000 for one in found)


async def test_what_a_collector_gets_claims_no_least_and_no_most(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    instruments.observe("parley_turn_final_seconds", 0.4)
    metrics = encode_metrics(await sent(registry)).resource_metrics[0].scope_metrics[0].metrics
    (found,) = [one for one in metrics if one.name == "parley.turn_final"]
    (point,) = found.histogram.data_points
    assert (point.count, point.HasField("min"), point.HasField("max")) == (1, False, False)
    assert (found.unit, sum(point.bucket_counts)) == ("s", 1)


async def test_nothing_of_emf_is_more_than_cloudwatch_takes(
    registry: CollectorRegistry, instruments: Instruments
) -> None:
    for metric in CATALOGUE:
        labels = dict.fromkeys(metric.labels, "x" * 200)
        if metric.kind == "counter" and metric.name not in COLLECTED:
            instruments.count(metric.name, 1.0, None, **labels)
        elif metric.kind == "histogram":
            for bound in metric.bounds:
                instruments.observe(metric.name, bound, None, **labels)
    lines = list(EmbeddedMetrics().lines(await read(registry), 0))
    for line in lines:
        found = json.loads(line)
        (directive,) = found["_aws"]["CloudWatchMetrics"]
        assert len(directive["Metrics"]) <= 100
        assert all(len(dimensions) <= 30 for dimensions in directive["Dimensions"])
        assert all(isinstance(found[name], str) for name in directive["Dimensions"][0])
        values = [found[one["Name"]] for one in directive["Metrics"]]
        assert all(len(each["Values"]) == len(each["Counts"]) <= 100 for each in values if isinstance(each, dict))
        assert {one["Unit"] for one in directive["Metrics"]} <= {"Seconds", "Bytes", "Count"}
        assert len(line) < 256 * 1024
    assert lines
