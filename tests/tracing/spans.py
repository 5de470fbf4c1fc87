"""Sessions told mark by mark, and the spans that come of it, as OpenTelemetry's own SDK has them."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from parley.observe.marks import Fact, Mark, MarkKind, Subject
from parley.observe.tracing.sink import TraceSink

BEGAN_S = 1_795_360_740.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"

SUBJECT = Subject(
    session_id="sess-1", began_s=BEGAN_S, pool="own", model="voxtral", tenant="acme", transport="websocket"
)


class Told:
    """A `TraceSink` on the SDK, told what happens to one session."""

    def __init__(self, subject: Subject = SUBJECT, sampler: Sampler = ALWAYS_ON) -> None:
        self.subject = subject
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.sink = TraceSink(provider)

    def __call__(self, kind: MarkKind, at_s: float, **facts: Fact) -> None:
        self.sink.note(self.subject, Mark(kind, at_s, max(0.0, at_s), facts))

    def begin(self) -> None:
        """As every session begins: with a connection, and a leg on its way."""
        self(MarkKind.CONNECTED, -0.02, transport="websocket")
        self(MarkKind.AUTHENTICATED, -0.01, method="api-key")
        self(MarkKind.BEGAN, 0.0, taken_over=False)
        self(MarkKind.LEG_ASKED, 0.0, leg=1, purpose="new")

    def end(self, at_s: float, outcome: str = "client-closed", fault: str = "") -> None:
        self(MarkKind.ENDED, at_s, outcome=outcome, fault=fault, received_s=2.5)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """Those that have ended, in the order of their beginnings."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: (span.start_time or 0, -ended_ns(span)))

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == f"parley.{name}"]

    def only(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    @property
    def tree(self) -> list[str]:
        """Each span as `name < parent begin-end`, in seconds of the session."""
        names = {span.context.span_id: span.name for span in self.spans}
        return [
            f"{short(span.name)} < {short(names.get(span.parent.span_id, 'client')) if span.parent else 'nobody'} "
            f"{at_s(span.start_time):g}-{at_s(span.end_time):g}"
            for span in self.spans
        ]


def ended_ns(span: ReadableSpan) -> int:
    assert span.end_time is not None
    return span.end_time


def short(name: str) -> str:
    return name.removeprefix("parley.")


def at_s(time_ns: int | None) -> float:
    assert time_ns is not None
    return round(time_ns / 1e9 - BEGAN_S, 4)


def facts(span: ReadableSpan) -> dict[str, object]:
    """Its attributes, without those that all have."""
    common = ("session.id", "gen_ai.operation.name", "gen_ai.request.model")
    return {name: value for name, value in (span.attributes or {}).items() if name not in common}
