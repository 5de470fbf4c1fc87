"""What the marks and samples of sessions add to the metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from parley.observe.marks import Fact, Mark, MarkKind, Sample, Subject
from parley.observe.metrics.instruments import Exemplar, Instruments

TraceOf = Callable[[str], Mapping[str, str]]
"""`trace_id` and `span_id` of a session, in hexadecimal; empty when it is not traced."""


class SessionMetrics:
    """A `MarkSink`. Exemplars carry the session's trace, where `trace_of` knows one."""

    def __init__(self, instruments: Instruments, trace_of: TraceOf | None = None) -> None:
        self._on = instruments
        self._trace_of = trace_of
        # Of those that live, the audio that was counted.
        self._received_s: dict[str, float] = {}
        self._blocks: dict[str, dict[tuple[str, int], _Block]] = {}

    @property
    def sessions_kept(self) -> int:
        """Sessions of which something is remembered here: those that live."""
        return len(self._received_s.keys() | self._blocks.keys())

    # ---- marks

    def note(self, subject: Subject, mark: Mark) -> None:
        """See `MarkSink`."""
        note = _NOTES.get(mark.kind)
        if note is not None:
            note(self, subject, mark)

    def _exemplar(self, subject: Subject) -> Exemplar | None:
        return (self._trace_of(subject.session_id) or None) if self._trace_of is not None else None

    def _receive(self, subject: Subject, received_s: float) -> None:
        more_s = received_s - self._received_s.get(subject.session_id, 0.0)
        if more_s > 0:
            self._received_s[subject.session_id] = received_s
            self._on.count("parley_audio_received_seconds", more_s)

    def _began(self, subject: Subject, mark: Mark) -> None:
        # What a session that comes from another node has received was counted there.
        self._received_s[subject.session_id] = mark.cursor_s
        self._on.count("parley_sessions_started", pool=subject.pool, transport=subject.transport)

    def _admitted(self, subject: Subject, mark: Mark) -> None:
        self._on.observe("parley_queue_wait_seconds", _number(mark, "waited_s"), self._exemplar(subject))

    def _first_audio(self, _subject: Subject, mark: Mark) -> None:
        self._on.observe("parley_first_audio_seconds", max(0.0, mark.at_s))

    def _first_text(self, subject: Subject, mark: Mark) -> None:
        self._on.observe("parley_turn_first_text_seconds", _number(mark, "after_s"), self._exemplar(subject))

    def _final(self, subject: Subject, mark: Mark) -> None:
        self._on.count("parley_turns", outcome="final")
        if "after_s" in mark.facts and "held" not in mark.facts:
            self._on.observe("parley_turn_final_seconds", _number(mark, "after_s"), self._exemplar(subject))

    def _turn_failed(self, subject: Subject, _mark: Mark) -> None:
        self._on.count("parley_turns", 1.0, self._exemplar(subject), outcome="failed")

    def _turn_dropped(self, _subject: Subject, _mark: Mark) -> None:
        self._on.count("parley_turns", outcome="dropped")

    def _attached(self, subject: Subject, mark: Mark) -> None:
        exemplar = self._exemplar(subject)
        self._on.count("parley_reconnects", 1.0, exemplar, outcome=_word(mark, "outcome"))
        self._on.observe("parley_away_seconds", _number(mark, "away_s"), exemplar)

    def _recovered(self, subject: Subject, mark: Mark) -> None:
        exemplar = self._exemplar(subject)
        self._on.count("parley_recoveries", 1.0, exemplar, outcome=_word(mark, "outcome"))
        self._on.observe("parley_recovery_seconds", _number(mark, "took_s"), exemplar)
        self._on.count("parley_audio_replayed_seconds", _number(mark, "replayed_s"))
        self._on.count("parley_audio_lost_seconds", _number(mark, "lost_s"))

    def _dropped(self, _subject: Subject, mark: Mark) -> None:
        self._on.count("parley_audio_dropped_seconds", _number(mark, "audio_s"), reason=_word(mark, "reason"))

    def _leg_asked(self, _subject: Subject, mark: Mark) -> None:
        self._on.count("parley_legs_asked", purpose=_word(mark, "purpose"))

    def _leg_opened(self, subject: Subject, mark: Mark) -> None:
        self._on.observe("parley_leg_open_seconds", _number(mark, "took_s"), self._exemplar(subject))

    def _leg_failed(self, subject: Subject, mark: Mark) -> None:
        phase = "opening" if mark.facts["opening"] else "open"
        self._on.count("parley_legs_failed", 1.0, self._exemplar(subject), code=_word(mark, "code"), phase=phase)

    def _blocked(self, subject: Subject, mark: Mark) -> None:
        key = _SIDES[mark.kind], int(mark.facts.get("leg", 0))
        self._blocks.setdefault(subject.session_id, {})[key] = _Block(mark.at_s)

    def _unblocked(self, subject: Subject, mark: Mark) -> None:
        side = _SIDES[mark.kind]
        blocks = self._blocks.get(subject.session_id, {})
        block = blocks.pop((side, int(mark.facts.get("leg", 0))), None)
        if not blocks:
            self._blocks.pop(subject.session_id, None)
        counted_s = 0.0 if block is None else block.counted_s
        self._on.count("parley_blocked_seconds", _number(mark, "blocked_s") - counted_s, side=side)

    def _count_blocked(self, blocks: "Mapping[tuple[str, int], _Block]", at_s: float) -> None:
        # While it lasts: what is only told when it is over has no rate.
        for (side, _), block in blocks.items():
            self._on.count("parley_blocked_seconds", at_s - block.since_s - block.counted_s, side=side)
            block.counted_s = max(block.counted_s, at_s - block.since_s)

    def _ended(self, subject: Subject, mark: Mark) -> None:
        facts: Mapping[str, Fact] = mark.facts
        on, exemplar = self._on, self._exemplar(subject)
        outcome, fault = _word(mark, "outcome"), str(facts["fault"])
        self._receive(subject, _number(mark, "received_s"))
        self._received_s.pop(subject.session_id, None)
        self._blocks.pop(subject.session_id, None)
        on.count("parley_sessions_ended", 1.0, exemplar, outcome=outcome, fault=fault)
        if outcome == "abandoned":
            return
        on.observe("parley_session_duration_seconds", _number(mark, "age_s"), exemplar)
        on.observe("parley_buffer_peak_bytes", _number(mark, "held_bytes_most"), exemplar)
        on.observe("parley_output_peak_bytes", _number(mark, "output_bytes_most"), exemplar)
        on.count("parley_deltas_dropped", _number(mark, "dropped_deltas"))

    # ---- samples

    def sample(self, subject: Subject, sample: Sample) -> None:
        """See `MarkSink`."""
        on = self._on
        self._receive(subject, sample.received_s)
        blocks = self._blocks.get(subject.session_id)
        if blocks is not None:
            self._count_blocked(blocks, sample.at_s)
        on.observe("parley_lag_seconds", sample.lag_s)
        on.observe("parley_commit_lag_seconds", sample.uncommitted_s)
        on.observe("parley_buffer_bytes", sample.buffer_bytes)
        if sample.has_leg:
            on.observe("parley_model_delay_seconds", sample.model_delay_s)
        if sample.upstream_rtt_s is not None:
            on.observe("parley_upstream_round_trip_seconds", sample.upstream_rtt_s)
        if sample.client_rtt_s is not None:
            on.observe("parley_client_round_trip_seconds", sample.client_rtt_s)
        if sample.input_late_s is not None:
            on.observe("parley_input_late_seconds", sample.input_late_s)

    def forwarded(self, direction: str, seconds: float) -> None:
        """A message took so long through this server, up or down."""
        self._on.observe("parley_forwarding_seconds", max(0.0, seconds), direction=direction)


@dataclass(slots=True)
class _Block:
    """Somebody does not read, since when in the session's life, and how much of it was counted."""

    since_s: float
    counted_s: float = 0.0


def _number(mark: Mark, name: str) -> float:
    return float(mark.facts[name])


def _word(mark: Mark, name: str) -> str:
    return str(mark.facts[name])


_SIDES: Mapping[MarkKind, str] = {
    MarkKind.INPUT_PAUSED: "client-input",
    MarkKind.INPUT_RESUMED: "client-input",
    MarkKind.OUTPUT_BLOCKED: "client-output",
    MarkKind.OUTPUT_UNBLOCKED: "client-output",
    MarkKind.LEG_BLOCKED: "upstream",
    MarkKind.LEG_UNBLOCKED: "upstream",
}

_NOTES: Mapping[MarkKind, Callable[[SessionMetrics, Subject, Mark], None]] = {
    MarkKind.BEGAN: SessionMetrics._began,
    MarkKind.ADMITTED: SessionMetrics._admitted,
    MarkKind.FIRST_AUDIO_IN: SessionMetrics._first_audio,
    MarkKind.TURN_FIRST_TEXT: SessionMetrics._first_text,
    MarkKind.TURN_FINAL: SessionMetrics._final,
    MarkKind.TURN_FAILED: SessionMetrics._turn_failed,
    MarkKind.TURN_DROPPED: SessionMetrics._turn_dropped,
    MarkKind.ATTACHED: SessionMetrics._attached,
    MarkKind.RECOVERED: SessionMetrics._recovered,
    MarkKind.DROPPED: SessionMetrics._dropped,
    MarkKind.LEG_ASKED: SessionMetrics._leg_asked,
    MarkKind.LEG_OPENED: SessionMetrics._leg_opened,
    MarkKind.LEG_FAILED: SessionMetrics._leg_failed,
    MarkKind.INPUT_PAUSED: SessionMetrics._blocked,
    MarkKind.OUTPUT_BLOCKED: SessionMetrics._blocked,
    MarkKind.LEG_BLOCKED: SessionMetrics._blocked,
    MarkKind.INPUT_RESUMED: SessionMetrics._unblocked,
    MarkKind.OUTPUT_UNBLOCKED: SessionMetrics._unblocked,
    MarkKind.LEG_UNBLOCKED: SessionMetrics._unblocked,
    MarkKind.ENDED: SessionMetrics._ended,
    MarkKind.MOVED: SessionMetrics._ended,
}
