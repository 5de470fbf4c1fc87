"""A session's timeline drawn as a waterfall: a lane each for the client, waiting, each leg and each turn.

```
0 s                            5 s                            10 s
client     ━━━━━━━━━━━━━━━━━━╌╌╌╌╌━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━   1 resumed
leg 1      ┄━━━━━━━━━━━━━━━━━━━━━━━━━━━━━✕                           upstream-closed
leg 2                                   ┄━━━━━━━━━━━━━━━━━━━━━━━━
turn 1        ━━━┿━━━━━━━━━━━━━┄┄◆                                   text 0.31 s, final 0.12 s
```
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

LEGS_MAX = 8
TURNS_MAX = 16
_WIDTH_MIN = 20

Style = Literal["good", "wait", "bad", "plain"]

_BARS: Mapping[Style, str] = {"good": "━", "wait": "┄", "bad": "╌", "plain": "─"}


@dataclass(slots=True)
class Span:
    """Something that went on from one time to another, in seconds since the session began."""

    begin_s: float
    end_s: float
    style: Style


@dataclass(frozen=True, slots=True)
class Point:
    """Something that happened at a time, as a character."""

    at_s: float
    glyph: str
    style: Style


@dataclass(slots=True)
class Lane:
    """A line of the drawing: what went on, what happened, and what is to be said of it."""

    label: str
    spans: list[Span] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def begin(self, at_s: float, style: Style, until_s: float) -> None:
        """From here on, something else; unless more comes, until the end."""
        self.end(at_s)
        self.spans.append(Span(at_s, until_s, style))

    def end(self, at_s: float) -> None:
        """What went on ends."""
        if self.spans:
            self.spans[-1].end_s = min(self.spans[-1].end_s, at_s)


class Waterfall:
    """The lanes of a timeline, as the admin API answers with it."""

    def __init__(self, timeline: Mapping[str, Any]) -> None:
        self._until_s = max(float(timeline["age_s"]), 0.001)
        self._client = Lane("client")
        self._held_up = Lane("held up")
        self._queue = Lane("queue")
        self._legs: dict[int, Lane] = {}
        self._turns: dict[int, Lane] = {}
        self._is_recovering = False
        self._client.begin(0.0, "good", self._until_s)
        for mark in timeline["marks"]:
            draw = _DRAW.get(mark["kind"])
            if draw is not None:
                draw(self, float(mark["at_s"]), mark["facts"])

    @property
    def until_s(self) -> float:
        """Where the drawing ends."""
        return self._until_s

    @property
    def lanes(self) -> list[Lane]:
        """Those in which anything happened; of legs and turns the last ones."""
        legs, turns = list(self._legs.values()), list(self._turns.values())
        between = [lane for lane in (self._queue, self._held_up) if lane.spans]
        return [self._client, *between, *_last(legs, LEGS_MAX, "legs"), *_last(turns, TURNS_MAX, "turns")]

    # ---- what marks draw

    def _detached(self, at_s: float, _facts: Mapping[str, Any]) -> None:
        self._client.begin(at_s, "bad", self._until_s)

    def _attached(self, at_s: float, facts: Mapping[str, Any]) -> None:
        self._client.begin(at_s, "good", self._until_s)
        lost = f", {facts['lost_s']:g} s lost" if facts["lost_s"] else ""
        self._client.notes.append(f"{facts['outcome']} after {facts['away_s']:.1f} s{lost}")

    def _ended(self, at_s: float, facts: Mapping[str, Any]) -> None:
        for lane in (self._client, self._queue, self._held_up, *self._legs.values()):
            lane.end(at_s)
        self._client.points.append(Point(at_s, "■", "plain"))
        self._client.notes.append(str(facts["outcome"]))

    def _queued(self, at_s: float, _facts: Mapping[str, Any]) -> None:
        self._queue.begin(at_s, "wait", self._until_s)

    def _admitted(self, at_s: float, facts: Mapping[str, Any]) -> None:
        self._queue.end(at_s)
        self._queue.notes.append(f"{facts['waited_s']:.1f} s")

    def _leg_asked(self, at_s: float, facts: Mapping[str, Any]) -> None:
        lane = self._legs[facts["leg"]] = Lane(f"leg {facts['leg']}")
        lane.begin(at_s, "wait", self._until_s)
        if facts["purpose"] != "new":
            lane.notes.append(str(facts["purpose"]))

    def _leg_opened(self, at_s: float, facts: Mapping[str, Any]) -> None:
        self._leg(facts).begin(at_s, "good", self._until_s)

    def _leg_failed(self, at_s: float, facts: Mapping[str, Any]) -> None:
        lane = self._leg(facts)
        lane.end(at_s)
        lane.points.append(Point(at_s, "✕", "bad"))
        lane.notes.append(str(facts["code"]))

    def _leg_closed(self, at_s: float, facts: Mapping[str, Any]) -> None:
        self._leg(facts).end(at_s)

    def _leg(self, facts: Mapping[str, Any]) -> Lane:
        return self._legs.setdefault(facts["leg"], Lane(f"leg {facts['leg']}"))

    def _turn_began(self, at_s: float, facts: Mapping[str, Any]) -> None:
        self._turn(facts).begin(at_s, "good", self._until_s)

    def _turn_text(self, at_s: float, facts: Mapping[str, Any]) -> None:
        lane = self._turn(facts)
        lane.points.append(Point(at_s, "┿", "good"))
        lane.notes.append(f"text {facts['after_s']:.2f} s")

    def _turn_closed(self, at_s: float, facts: Mapping[str, Any]) -> None:
        self._turn(facts).begin(at_s, "wait", self._until_s)

    def _turn_final(self, at_s: float, facts: Mapping[str, Any]) -> None:
        lane = self._turn(facts)
        lane.end(at_s)
        lane.points.append(Point(at_s, "◆", "good"))
        if "after_s" in facts:
            held = ", held for its client" if facts.get("held") else ""
            lane.notes.append(f"final {facts['after_s']:.2f} s{held}")

    def _turn_over(self, at_s: float, facts: Mapping[str, Any]) -> None:
        lane = self._turn(facts)
        lane.end(at_s)
        lane.points.append(Point(at_s, "✕", "bad"))
        lane.notes.append(str(facts.get("code", "dropped")))

    def _turn(self, facts: Mapping[str, Any]) -> Lane:
        return self._turns.setdefault(facts["turn"], Lane(f"turn {facts['turn']}"))

    def _blocked(self, at_s: float, _facts: Mapping[str, Any]) -> None:
        self._held_up.begin(at_s, "bad", self._until_s)

    def _unblocked(self, at_s: float, facts: Mapping[str, Any]) -> None:
        self._held_up.end(at_s)
        self._held_up.notes.append(f"{facts['blocked_s']:.1f} s")


_DRAW = {
    "detached": Waterfall._detached,
    "attached": Waterfall._attached,
    "ended": Waterfall._ended,
    "moved": Waterfall._ended,
    "queued": Waterfall._queued,
    "admitted": Waterfall._admitted,
    "leg-asked": Waterfall._leg_asked,
    "leg-opened": Waterfall._leg_opened,
    "leg-failed": Waterfall._leg_failed,
    "leg-closed": Waterfall._leg_closed,
    "turn-began": Waterfall._turn_began,
    "turn-first-text": Waterfall._turn_text,
    "turn-speech-ended": Waterfall._turn_closed,
    "turn-final": Waterfall._turn_final,
    "turn-failed": Waterfall._turn_over,
    "turn-dropped": Waterfall._turn_over,
    "input-paused": Waterfall._blocked,
    "output-blocked": Waterfall._blocked,
    "leg-blocked": Waterfall._blocked,
    "input-resumed": Waterfall._unblocked,
    "output-unblocked": Waterfall._unblocked,
    "leg-unblocked": Waterfall._unblocked,
}


def _last(lanes: list[Lane], lanes_max: int, what: str) -> list[Lane]:
    if len(lanes) <= lanes_max:
        return lanes
    return [Lane(f"… {len(lanes) - lanes_max} {what}"), *lanes[-lanes_max:]]


def drawn(lane: Lane, until_s: float, width: int) -> list[tuple[str, Style]]:
    """A lane in so many characters, each with its style."""
    cells: list[tuple[str, Style]] = [(" ", "plain")] * width

    def column(at_s: float) -> int:
        return min(width - 1, max(0, int(at_s / until_s * width)))

    for span in lane.spans:
        # What took less than a column is seen nevertheless.
        end = min(width, int(span.end_s / until_s * width))
        for place in range(column(span.begin_s), max(column(span.begin_s) + 1, end)):
            cells[place] = (_BARS[span.style], span.style)
    for point in lane.points:
        cells[column(point.at_s)] = (point.glyph, point.style)
    return cells


def scale(until_s: float, width: int) -> str:
    """The axis above the lanes: its beginning, its middle and its end."""
    middle, end = _time(until_s / 2), _time(until_s)
    line = "0 s".ljust(width // 2) + middle
    return line.ljust(max(len(line) + 1, width - len(end))) + end


def _time(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)}:{int(seconds % 60):02}"


def places_line(places: Mapping[str, Any]) -> str:
    """Where the time goes, in words; empty where nothing was measured."""
    names: Sequence[tuple[str, str]] = (
        ("client-link", "client link"),
        ("gateway", "gateway"),
        ("upstream-link", "upstream link"),
        ("model", "model"),
    )
    parts = []
    for name, shown in names:
        time_s = places[name.replace("-", "_") + "_s"]
        if time_s is not None:
            slowest = " (slowest)" if places["slowest"] == name else ""
            parts.append(f"{shown} {1000 * time_s:.0f} ms{slowest}")
    return ", ".join(parts)


def widths(terminal: int, lanes: Sequence[Lane]) -> tuple[int, int, int]:
    """How wide the labels, the drawing and the notes may be on a terminal of so many columns."""
    labels = max(len(lane.label) for lane in lanes) + 2
    longest = max((len(", ".join(lane.notes)) for lane in lanes), default=0)
    notes = min(longest, max(0, terminal // 3))
    return labels, max(_WIDTH_MIN, terminal - labels - notes - 3), notes
