"""W3C Trace Context on its way in and out, in OpenTelemetry's terms.

The API has a reader of its own, which logs what it can't read: text of a client's choice.
"""

import re
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_MEMBER = re.compile(
    r"([a-z0-9][a-z0-9_\-*/@]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
"""Section 3.3.1.3: a key, and a value without comma and equals sign that does not end in a space."""
_MEMBERS_MAX = 32
_FLAGS_KNOWN = 0x03
"""Sampled, and random; the others have no meaning yet and go on as zero (section 3.2.2.5)."""
_NO_CONTEXT = Context()


def context_of(traceparent: str, tracestate: str) -> Context:
    """The context whose span these headers name as the parent; an empty one for headers that name none."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or not int(match[1], 16) or not int(match[2], 16):
        return _NO_CONTEXT
    parent = trace.SpanContext(
        trace_id=int(match[1], 16),
        span_id=int(match[2], 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(int(match[3], 16) & _FLAGS_KNOWN),
        trace_state=_state_of(tracestate),
    )
    return context_with(trace.NonRecordingSpan(parent))


def context_with(span: trace.Span) -> Context:
    """The context in which this span is the parent."""
    return trace.set_span_in_context(span, _NO_CONTEXT)


def headers_of(span: trace.Span) -> Mapping[str, str]:
    """The headers that name this span as the parent; none for a span that is none."""
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    trace_id, span_id = trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)
    headers = {"traceparent": f"00-{trace_id}-{span_id}-{context.trace_flags:02x}"}
    if context.trace_state:
        headers["tracestate"] = context.trace_state.to_header()
    return headers


def _state_of(tracestate: str) -> trace.TraceState:
    """All of it, or nothing where anything in it is not as it should be."""
    found: dict[str, str] = {}
    members = [member.strip(" \t") for member in tracestate.split(",")]
    for member in filter(None, members):
        match = _MEMBER.fullmatch(member)
        if match is None or match[1] in found:
            return trace.TraceState()
        found[match[1]] = match[2]
    return trace.TraceState(list(found.items()) if len(found) <= _MEMBERS_MAX else None)
