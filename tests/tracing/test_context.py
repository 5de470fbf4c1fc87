import pytest
from opentelemetry import trace

from parley.observe.tracing.context import context_of, headers_of
from tests.support.logs import LogWatch

from .spans import PARENT, TRACE, TRACEPARENT


def parent_of(traceparent: str, tracestate: str = "") -> trace.SpanContext:
    return trace.get_current_span(context_of(traceparent, tracestate)).get_span_context()


def test_a_traceparent_names_a_remote_parent() -> None:
    parent = parent_of(TRACEPARENT)
    assert parent.is_remote
    assert (trace.format_trace_id(parent.trace_id), trace.format_span_id(parent.span_id)) == (TRACE, PARENT)
    assert parent.trace_flags.sampled


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        TRACEPARENT.upper(),
        f"{TRACEPARENT}-",
        f" {TRACEPARENT}",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-1",
    ],
)
def test_a_traceparent_that_is_none_names_no_parent(traceparent: str) -> None:
    assert not parent_of(traceparent).is_valid


def test_of_the_flags_only_those_that_are_known_are_passed_on() -> None:
    span = trace.get_current_span(context_of(f"00-{TRACE}-{PARENT}-ff", ""))
    assert headers_of(span) == {"traceparent": f"00-{TRACE}-{PARENT}-03"}


@pytest.mark.parametrize("tracestate", ["a=1", "a=1,b=2", "t@v=x", " a=1 ,\tb=2", "a=1,,b=2", "a=x y"])
def test_a_tracestate_is_carried(tracestate: str) -> None:
    expected = ",".join(part.strip() for part in tracestate.split(",") if part)
    assert parent_of(TRACEPARENT, tracestate).trace_state.to_header() == expected


@pytest.mark.parametrize(
    "tracestate", ["", "a", "A=1", "a=1,a=2", "a=1=2", "a=", "a=\x7f", ",".join(f"k{number}=1" for number in range(33))]
)
def test_a_tracestate_that_is_not_as_it_should_be_is_dropped_as_a_whole_and_without_a_word(
    tracestate: str, log: LogWatch
) -> None:
    parent = parent_of(TRACEPARENT, tracestate)
    assert parent.is_valid
    assert not parent.trace_state
    assert log.records == []
