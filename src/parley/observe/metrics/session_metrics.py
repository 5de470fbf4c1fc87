"""What the marks and samples of sessions add to the metrics."""

from collections.abc import Callable, Mapping

from parley.observe.marks import Fact, Mark, MarkKind, Sample, Subject
from parley.observe.metrics.instruments import Exemplar, Instruments

TraceOf = Callable[[str], str]
"""The trace id of a session; empty when it is not traced."""


class SessionMetrics:
    """A `MarkSink`. Exemplars carry the session's trace, where `trace_of` knows one."""

    def __init__(self, instruments: Instruments, trace_of: TraceOf | None = None) -> None:
        self._on = instruments
        self._trace_of = trace_of
        # Of those that live, the audio that was counted.
        self._received_s: dict[str, float] = {}

    # ---- marks

    def note(self, subject: Subject, mark: Mark) -> None:
        """See `MarkSink`."""
        note = _NOTES.get(mark.kind)
        if note is not None:
            note(self, subject, mark)

    def _exemplar(self, subject: Subject) -> Exemplar | None:
        trace = self._trace_of(subject.session_id) if self._trace_of is not None else ""
        return {"trace_id": trace} if trace else None

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

    def _input_resumed(self, _subject: Subject, mark: Mark) -> None:
        self._on.count("parley_blocked_seconds", _number(mark, "blocked_s"), side="client-input")

    def _output_unblocked(self, _subject: Subject, mark: Mark) -> None:
        self._on.count("parley_blocked_seconds", _number(mark, "blocked_s"), side="client-output")

    def _leg_unblocked(self, _subject: Subject, mark: Mark) -> None:
        self._on.count("parley_blocked_seconds", _number(mark, "blocked_s"), side="upstream")

    def _ended(self, subject: Subject, mark: Mark) -> None:
        facts: Mapping[str, Fact] = mark.facts
        on, exemplar = self._on, self._exemplar(subject)
        outcome, fault = _word(mark, "outcome"), str(facts["fault"])
        self._receive(subject, _number(mark, "received_s"))
        self._received_s.pop(subject.session_id, None)
        on.count("parley_sessions_ended", 1.0, exemplar, outcome=outcome, fault=fault)
        if outcome == "abandoned":
            return
        on.observe("parley_session_duration_seconds", _number(mark, "age_s"), exemplar)
        on.observe("parley_buffer_peak_bytes", _number(mark, "held_bytes_most"), exemplar)

    # ---- samples

    def sample(self, subject: Subject, sample: Sample) -> None:
        """See `MarkSink`."""
        on = self._on
        self._receive(subject, sample.received_s)
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


def _number(mark: Mark, name: str) -> float:
    return float(mark.facts[name])


def _word(mark: Mark, name: str) -> str:
    return str(mark.facts[name])


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
    MarkKind.INPUT_RESUMED: SessionMetrics._input_resumed,
    MarkKind.OUTPUT_UNBLOCKED: SessionMetrics._output_unblocked,
    MarkKind.LEG_UNBLOCKED: SessionMetrics._leg_unblocked,
    MarkKind.ENDED: SessionMetrics._ended,
    MarkKind.MOVED: SessionMetrics._ended,
}
