"""The spans of one session.

```
parley.session                 from the connection to the end, under the client's own span
├ parley.attachment            a connection of its client
├ parley.leg                   a stream on a model server, from when it was wanted
│ └ parley.queue               while it waited for its turn
├ parley.turn                  an utterance, from its first audio to its final text
└ parley.replay                from the loss of a leg until another has caught up
```
A mark that begins or ends no span is an event: of the leg or the turn that it names, else of the session.
"""

from collections.abc import Callable, Mapping

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from parley.observe.marks import Fact, Mark, MarkKind, Subject
from parley.observe.tracing.context import context_of, context_with, headers_of

OPEN_SPANS_MAX = 64
"""Of a session at a time, itself apart. What is begun beyond is counted."""
EVENTS_MAX = 128
"""Of a span."""

_OPERATION = "transcription"
_FAULTS_OF_OURS = ("server", "upstream")

type _Key = tuple[str, int]

_ATTACHMENT: _Key = ("attachment", 0)
_REPLAY: _Key = ("replay", 0)


class _OpenSpan:
    __slots__ = ("events", "span")

    def __init__(self, span: trace.Span) -> None:
        self.span = span
        self.events = 0


class SessionTrace:
    """Opens and ends the spans of one session as its marks come; `first` is the first of them."""

    __slots__ = (
        "_began_s",
        "_common",
        "_events_left_out",
        "_open",
        "_root",
        "_spans_left_out",
        "_tracer",
        "is_recorded",
    )

    def __init__(self, tracer: trace.Tracer, subject: Subject, first: Mark) -> None:
        self._tracer = tracer
        self._began_s = subject.began_s
        self._open: dict[_Key, _OpenSpan] = {}
        self._spans_left_out = self._events_left_out = 0
        self._common: dict[str, Fact] = {"session.id": subject.session_id, "gen_ai.operation.name": _OPERATION}
        if subject.model:
            self._common["gen_ai.request.model"] = subject.model
        about = {
            "parley.pool": subject.pool,
            "parley.endpoint": subject.endpoint,
            "parley.tenant": subject.tenant,
            "parley.transport": subject.transport,
        }
        self._root = _OpenSpan(
            tracer.start_span(
                "parley.session",
                context_of(subject.traceparent, subject.tracestate),
                SpanKind.SERVER,
                {**self._common, **{name: value for name, value in about.items() if value}},
                start_time=self._time_ns(first),
            )
        )
        self.is_recorded = self._root.span.is_recording()
        """Whether anybody wants its spans."""

    @property
    def trace_id(self) -> str:
        """In hexadecimal, as W3C Trace Context has it."""
        return trace.format_trace_id(self._root.span.get_span_context().trace_id)

    @property
    def span_id(self) -> str:
        """The id of the session's own span, in hexadecimal."""
        return trace.format_span_id(self._root.span.get_span_context().span_id)

    def headers(self, leg: int) -> Mapping[str, str]:
        """What names the span of a leg to its model server; that of the session where the leg has none."""
        opened = self._open.get(("leg", leg), self._root)
        return headers_of(opened.span)

    def note(self, mark: Mark) -> None:
        """Something happened."""
        act = _ACTS.get(mark.kind)
        if act is None:
            self._event(mark)
        else:
            act(self, mark)

    # ---- what marks do

    def _connected(self, mark: Mark) -> None:
        self._attach(mark)

    def _began(self, mark: Mark) -> None:
        if not mark.facts.get("taken_over"):
            if _ATTACHMENT not in self._open:
                self._attach(mark)
        else:
            self._root.span.set_attribute("parley.taken_over", True)
        self._event(mark)

    def _attach(self, mark: Mark) -> None:
        # The latest connection wins: the one before it may not have been told off yet.
        self._end(_ATTACHMENT, mark)
        self._begin(_ATTACHMENT, "parley.attachment", mark)

    def _detached(self, mark: Mark) -> None:
        self._end(_ATTACHMENT, mark)

    def _leg_asked(self, mark: Mark) -> None:
        self._begin(_key("leg", mark), "parley.leg", mark, SpanKind.CLIENT)

    def _queued(self, mark: Mark) -> None:
        self._begin(_key("queue", mark), "parley.queue", mark, under=_key("leg", mark))

    def _admitted(self, mark: Mark) -> None:
        self._end(_key("queue", mark), mark)

    def _leg_failed(self, mark: Mark) -> None:
        self._end(_key("queue", mark), mark, failed=True)
        self._end(_key("leg", mark), mark, failed=True)

    def _leg_closed(self, mark: Mark) -> None:
        self._end(_key("queue", mark), mark)
        self._end(_key("leg", mark), mark)

    def _turn_began(self, mark: Mark) -> None:
        self._begin(_key("turn", mark), "parley.turn", mark)

    def _turn_final(self, mark: Mark) -> None:
        self._end(_key("turn", mark), mark, outcome="final")

    def _turn_failed(self, mark: Mark) -> None:
        self._end(_key("turn", mark), mark, outcome="failed", failed=True)

    def _turn_dropped(self, mark: Mark) -> None:
        self._end(_key("turn", mark), mark, outcome="dropped")

    def _recovering(self, mark: Mark) -> None:
        self._begin(_REPLAY, "parley.replay", mark)

    def _recovered(self, mark: Mark) -> None:
        self._end(_REPLAY, mark)

    def _ended(self, mark: Mark) -> None:
        for key in reversed(list(self._open)):
            self._end(key, mark, outcome="unfinished" if key[0] in ("turn", "replay") else "", told=False)
        span = self._root.span
        span.set_attributes(_attributes(mark.facts))
        for name, count in (("spans", self._spans_left_out), ("events", self._events_left_out)):
            if count:
                span.set_attribute(f"parley.{name}_left_out", count)
        fault, outcome = mark.facts.get("fault"), str(mark.facts.get("outcome", ""))
        if fault:
            span.set_attribute("error.type", outcome)
        if fault in _FAULTS_OF_OURS:
            # A client's mistake is no failure of who serves it.
            span.set_status(Status(StatusCode.ERROR, outcome))
        span.end(self._time_ns(mark))

    # ---- spans

    def _begin(
        self, key: _Key, name: str, mark: Mark, kind: SpanKind = SpanKind.INTERNAL, under: _Key | None = None
    ) -> None:
        if key in self._open:
            return
        if len(self._open) >= OPEN_SPANS_MAX:
            self._spans_left_out += 1
            return
        parent = self._root if under is None else self._open.get(under, self._root)
        attributes = {**self._common, **_attributes(mark.facts), "parley.cursor_s": mark.cursor_s}
        span = self._tracer.start_span(
            name, context_with(parent.span), kind, attributes, start_time=self._time_ns(mark)
        )
        self._open[key] = _OpenSpan(span)

    def _end(self, key: _Key, mark: Mark, *, outcome: str = "", failed: bool = False, told: bool = True) -> None:
        opened = self._open.pop(key, None)
        if opened is None:
            return
        span = opened.span
        if told:
            span.set_attributes(_attributes(mark.facts))
        if outcome:
            span.set_attribute("parley.outcome", outcome)
        if failed:
            code = str(mark.facts.get("code", ""))
            span.set_attribute("error.type", code)
            span.set_status(Status(StatusCode.ERROR, code))
        span.end(self._time_ns(mark))

    def _event(self, mark: Mark) -> None:
        opened = self._root
        for of in ("turn", "leg"):
            if of in mark.facts:
                opened = self._open.get(_key(of, mark), self._root)
                break
        if opened.events >= EVENTS_MAX:
            self._events_left_out += 1
            return
        opened.events += 1
        attributes = {**_attributes(mark.facts), "parley.cursor_s": mark.cursor_s}
        opened.span.add_event(mark.kind.value, attributes, self._time_ns(mark))

    def _time_ns(self, mark: Mark) -> int:
        return int((self._began_s + mark.at_s) * 1e9)


def _key(of: str, mark: Mark) -> _Key:
    """A leg has its queue, so both go by the leg's number."""
    return of, int(mark.facts["turn" if of == "turn" else "leg"])


def _attributes(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    return {f"parley.{name}": value for name, value in facts.items() if value != ""}


_ACTS: Mapping[MarkKind, Callable[[SessionTrace, Mark], None]] = {
    MarkKind.CONNECTED: SessionTrace._connected,
    MarkKind.BEGAN: SessionTrace._began,
    MarkKind.QUEUED: SessionTrace._queued,
    MarkKind.ADMITTED: SessionTrace._admitted,
    MarkKind.LEG_ASKED: SessionTrace._leg_asked,
    MarkKind.LEG_FAILED: SessionTrace._leg_failed,
    MarkKind.LEG_CLOSED: SessionTrace._leg_closed,
    MarkKind.TURN_BEGAN: SessionTrace._turn_began,
    MarkKind.TURN_FINAL: SessionTrace._turn_final,
    MarkKind.TURN_FAILED: SessionTrace._turn_failed,
    MarkKind.TURN_DROPPED: SessionTrace._turn_dropped,
    MarkKind.DETACHED: SessionTrace._detached,
    MarkKind.ATTACHED: SessionTrace._attach,
    MarkKind.RECOVERING: SessionTrace._recovering,
    MarkKind.RECOVERED: SessionTrace._recovered,
    MarkKind.MOVED: SessionTrace._ended,
    MarkKind.ENDED: SessionTrace._ended,
}
