"""Where a node's traces go."""

import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from parley.observe.marks import Mark, MarkKind
from parley.server.settings.telemetry import TelemetrySettings
from parley.server.start import StartError
from parley.server.tracing import make_tracing

from .collector import collecting
from .spans import SUBJECT

TRACES = TelemetrySettings(traces=True)


def test_without_a_collector_and_with_nobody_else_the_start_fails_and_says_what_to_do() -> None:
    with pytest.raises(StartError, match=r"telemetry\.otlp_endpoint") as caught:
        make_tracing(TRACES)
    assert "opentelemetry-instrument" in str(caught.value)


def test_without_the_sdk_the_start_fails_and_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "parley.server.otlp_traces", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(StartError, match=r"pip install 'parley\[otlp\]'"):
        make_tracing(TelemetrySettings(traces=True, otlp_endpoint="http://127.0.0.1:4318"))


async def test_without_a_collector_spans_go_to_what_the_process_was_started_with_and_that_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Provider(TracerProvider):
        was_shut_down = False

        def shutdown(self) -> None:
            self.was_shut_down = True

    provider = Provider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    tracing = make_tracing(TRACES)
    tracing.sink.note(SUBJECT, Mark(MarkKind.BEGAN, 0.0, 0.0))
    assert tracing.sink.headers("sess-1", 1)["traceparent"]
    await tracing.close()
    assert not provider.was_shut_down


async def test_the_service_is_named_as_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "captions")
    async with collecting() as collector:
        tracing = make_tracing(TelemetrySettings(traces=True, otlp_endpoint=f"{collector.url}/"))
        tracing.sink.note(SUBJECT, Mark(MarkKind.BEGAN, 0.0, 0.0))
        tracing.sink.note(SUBJECT, Mark(MarkKind.ENDED, 1.0, 1.0, {"outcome": "client-closed"}))
        await tracing.close()
        assert [resource["service.name"] for resource in collector.resources] == ["captions"]


async def test_closing_twice_is_closing_once() -> None:
    async with collecting() as collector:
        tracing = make_tracing(TelemetrySettings(traces=True, otlp_endpoint=collector.url))
        await tracing.close()
        await tracing.close()
        assert collector.bodies == []
