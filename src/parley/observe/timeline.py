"""The timeline of one session: its marks, bounded, and what they come to."""

from collections import deque
from dataclasses import dataclass, field

from parley.observe.marks import Fact, Mark, MarkKind, Sample, Subject
from parley.observe.places import Places, PlacesView

FIRST_MARKS_MAX = 128
LAST_MARKS_MAX = 384
CURVE_MAX = 120


@dataclass(slots=True)
class Totals:
    """What the marks of a session add up to. Times are in seconds; `*_after_s` count from the session's beginning and
    are None until then."""

    first_audio_after_s: float | None = None
    first_sent_after_s: float | None = None
    first_text_after_s: float | None = None
    queued_s: float = 0.0
    received_s: float = 0.0
    dropped_s: float = 0.0
    replayed_s: float = 0.0
    lost_s: float = 0.0
    held_s_most: float = 0.0
    held_bytes_most: int = 0
    input_paused_s: float = 0.0
    output_blocked_s: float = 0.0
    leg_blocked_s: float = 0.0
    away_s: float = 0.0
    recovering_s: float = 0.0
    final_s_most: float = 0.0
    turns: int = 0
    turns_failed: int = 0
    legs: int = 0
    legs_failed: int = 0
    resumptions: dict[str, int] = field(default_factory=dict)
    recoveries: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A sample, as it is drawn."""

    at_s: float
    lag_s: float
    held_s: float
    model_delay_s: float
    client_rtt_s: float | None
    upstream_rtt_s: float | None


@dataclass(frozen=True, slots=True)
class TimelineView:
    """A timeline at a moment. Of the marks `left_out` are missing behind the first `left_out_after`."""

    subject: Subject
    age_s: float
    outcome: str
    marks: tuple[Mark, ...]
    left_out_after: int
    left_out: int
    places: PlacesView
    totals: Totals
    curve: tuple[CurvePoint, ...]


class Timeline:
    """Keeps the first and the last marks of a session, and what all of them come to."""

    __slots__ = (
        "_curve",
        "_first",
        "_last",
        "_last_at_s",
        "_left_out",
        "_places",
        "outcome",
        "subject",
        "totals",
    )

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.totals = Totals()
        self.outcome = ""
        self._first: list[Mark] = []
        self._left_out = 0
        # An empty deque takes 700 bytes, and most sessions are idle.
        self._last: deque[Mark] | None = None
        self._curve: deque[CurvePoint] | None = None
        self._places: Places | None = None
        self._last_at_s = 0.0

    def note(self, mark: Mark) -> None:
        """Something happened."""
        self._last_at_s = mark.at_s
        if len(self._first) < FIRST_MARKS_MAX:
            self._first.append(mark)
        else:
            if self._last is None:
                self._last = deque(maxlen=LAST_MARKS_MAX)
            self._left_out += len(self._last) == LAST_MARKS_MAX
            self._last.append(mark)
        self._add(mark)

    def sample(self, sample: Sample, loop_late_s: float) -> None:
        """A look at it."""
        self._last_at_s = sample.at_s
        if self._places is None or self._curve is None:
            self._places, self._curve = Places(), deque(maxlen=CURVE_MAX)
        self._places.sample(sample, loop_late_s)
        self.totals.held_s_most = max(self.totals.held_s_most, round(sample.held_s, 4))
        self._curve.append(
            CurvePoint(
                round(sample.at_s, 2),
                round(sample.lag_s, 3),
                round(sample.held_s, 3),
                round(sample.model_delay_s, 4),
                _rounded(sample.client_rtt_s),
                _rounded(sample.upstream_rtt_s),
            )
        )

    def view(self, age_s: float | None = None) -> TimelineView:
        """As it is now; without an age, as old as its last mark."""
        return TimelineView(
            subject=self.subject,
            age_s=round(self._last_at_s if age_s is None else age_s, 3),
            outcome=self.outcome,
            marks=(*self._first, *(self._last or ())),
            left_out_after=len(self._first),
            left_out=self._left_out,
            places=(self._places or Places()).view(),
            totals=self.totals,
            curve=tuple(self._curve or ()),
        )

    def _add(self, mark: Mark) -> None:
        totals, facts, kind = self.totals, mark.facts, mark.kind
        match kind:
            case MarkKind.FIRST_AUDIO_IN:
                totals.first_audio_after_s = mark.at_s
            case MarkKind.FIRST_AUDIO_OUT:
                totals.first_sent_after_s = mark.at_s
            case MarkKind.TURN_FIRST_TEXT if totals.first_text_after_s is None:
                totals.first_text_after_s = mark.at_s
            case MarkKind.ADMITTED:
                totals.queued_s += _number(facts["waited_s"])
            case MarkKind.TURN_BEGAN:
                totals.turns += 1
            case MarkKind.TURN_FAILED:
                totals.turns_failed += 1
            case MarkKind.TURN_FINAL if "after_s" in facts and "held" not in facts:
                totals.final_s_most = max(totals.final_s_most, _number(facts["after_s"]))
            case MarkKind.LEG_ASKED:
                totals.legs += 1
            case MarkKind.LEG_FAILED:
                totals.legs_failed += 1
            case MarkKind.ATTACHED:
                _count(totals.resumptions, facts["outcome"])
                totals.away_s += _number(facts["away_s"])
            case MarkKind.RECOVERED:
                _count(totals.recoveries, facts["outcome"])
                totals.recovering_s += _number(facts["took_s"])
                totals.replayed_s += _number(facts["replayed_s"])
                totals.lost_s += _number(facts["lost_s"])
            case MarkKind.DROPPED:
                totals.dropped_s += _number(facts["audio_s"])
            case MarkKind.HIGH_WATER:
                totals.held_s_most = max(totals.held_s_most, _number(facts["held_s"]))
                totals.held_bytes_most = max(totals.held_bytes_most, int(facts["held_bytes"]))
            case MarkKind.INPUT_RESUMED:
                totals.input_paused_s += _number(facts["blocked_s"])
            case MarkKind.OUTPUT_UNBLOCKED:
                totals.output_blocked_s += _number(facts["blocked_s"])
            case MarkKind.LEG_UNBLOCKED:
                totals.leg_blocked_s += _number(facts["blocked_s"])
            case MarkKind.ENDED | MarkKind.MOVED:
                self._end(mark)
        totals.received_s = mark.cursor_s

    def _end(self, mark: Mark) -> None:
        totals, facts = self.totals, mark.facts
        self.outcome = str(facts["outcome"])
        totals.dropped_s, totals.replayed_s = _number(facts["dropped_s"]), _number(facts["replayed_s"])
        totals.lost_s, totals.held_s_most = _number(facts["lost_s"]), _number(facts["held_s_most"])
        totals.held_bytes_most = int(facts["held_bytes_most"])


def _rounded(time_s: float | None) -> float | None:
    return None if time_s is None else round(time_s, 4)


def _number(fact: Fact) -> float:
    return float(fact)


def _count(counts: dict[str, int], outcome: Fact) -> None:
    counts[str(outcome)] = counts.get(str(outcome), 0) + 1
