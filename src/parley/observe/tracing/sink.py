"""Marks as spans: who listens to a node's sessions for OpenTelemetry."""

from collections.abc import Mapping

from opentelemetry import trace

from parley.observe.marks import Mark, MarkKind, Sample, Subject
from parley.observe.tracing.session_trace import SessionTrace

_LAST = (MarkKind.ENDED, MarkKind.MOVED)
_FIRST = (MarkKind.CONNECTED, MarkKind.AUTHENTICATED, MarkKind.BEGAN)
_NONE: Mapping[str, str] = {}


class TraceSink:
    """A `MarkSink` whose spans go to a tracer provider: OpenTelemetry's SDK, or any other.

    A session that the provider does not record has one span object and nothing else; its context goes on to its model
    server all the same, so that this leaves it out too.
    """

    def __init__(self, provider: trace.TracerProvider, version: str = "") -> None:
        self._tracer = provider.get_tracer("parley", version or None)
        self._sessions: dict[str, SessionTrace] = {}

    @property
    def open_sessions(self) -> int:
        """Sessions that are traced now."""
        return len(self._sessions)

    def note(self, subject: Subject, mark: Mark) -> None:
        """See `MarkSink`."""
        name, kind = subject.session_id, mark.kind
        session = self._sessions.get(name)
        if session is None:
            if kind not in _FIRST:
                return
            session = self._sessions[name] = SessionTrace(self._tracer, subject, mark)
        if session.is_recorded:
            session.note(mark)
        if kind in _LAST:
            del self._sessions[name]

    def sample(self, subject: Subject, sample: Sample) -> None:
        """See `MarkSink`: what changes all the time is for metrics."""

    def trace_id(self, session_id: str) -> str:
        """The id of the trace that a session is recorded in, in hexadecimal; empty for one that is not."""
        session = self._sessions.get(session_id)
        return session.trace_id if session is not None and session.is_recorded else ""

    def exemplar(self, session_id: str) -> Mapping[str, str]:
        """`trace_id` and `span_id` of a session that is recorded, in hexadecimal; empty for one that is not."""
        session = self._sessions.get(session_id)
        if session is None or not session.is_recorded:
            return _NONE
        return {"trace_id": session.trace_id, "span_id": session.span_id}

    def headers(self, session_id: str, leg: int) -> Mapping[str, str]:
        """W3C Trace Context for the handshake of a leg, as HTTP headers; none for a session without a trace."""
        session = self._sessions.get(session_id)
        return _NONE if session is None else session.headers(leg)
