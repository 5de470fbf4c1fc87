"""What is worth remembering of a session: marks on its audio clock, and samples between them.

```
runner ── events, effects ─► SessionObserver ── Mark ──┬─► Timeline   what an operator reads
server's sampler ── Sample ────────────────────────────┼─► metrics    what is counted over all sessions
                                                       └─► traces     one trace a session
```
A mark's facts are numbers, and words of closed vocabularies (error codes, outcomes, reasons) or of the settings (names
of model servers). Nothing that was said, by whom, or that lets anybody in can get into one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

type Fact = bool | int | float | str


_END_FACTS = (
    "outcome",
    "fault",
    "age_s",
    "received_s",
    "dropped_s",
    "replayed_s",
    "lost_s",
    "held_s_most",
    "held_bytes_most",
    "output_bytes_most",
    "dropped_deltas",
)


class MarkKind(StrEnum):
    """What happened; `docs/timeline.md` has the facts that come with each. Names are stable: metrics, traces, the
    console and the terminal's waterfall go by them."""

    CONNECTED = "connected"
    AUTHENTICATED = "authenticated"
    BEGAN = "began"
    QUEUED = "queued"
    ADMITTED = "admitted"
    LEG_ASKED = "leg-asked"
    LEG_OPENED = "leg-opened"
    LEG_FAILED = "leg-failed"
    LEG_CLOSED = "leg-closed"
    FIRST_AUDIO_IN = "first-audio-in"
    FIRST_AUDIO_OUT = "first-audio-out"
    TURN_BEGAN = "turn-began"
    TURN_FIRST_TEXT = "turn-first-text"
    TURN_SPEECH_ENDED = "turn-speech-ended"
    TURN_FINAL = "turn-final"
    TURN_FAILED = "turn-failed"
    TURN_DROPPED = "turn-dropped"
    DETACHED = "detached"
    ATTACHED = "attached"
    RECOVERING = "recovering"
    RECOVERED = "recovered"
    INPUT_PAUSED = "input-paused"
    INPUT_RESUMED = "input-resumed"
    OUTPUT_BLOCKED = "output-blocked"
    OUTPUT_UNBLOCKED = "output-unblocked"
    LEG_BLOCKED = "leg-blocked"
    LEG_UNBLOCKED = "leg-unblocked"
    DROPPED = "dropped"
    LAGGING = "lagging"
    HIGH_WATER = "high-water"
    DRAIN_STARTED = "drain-started"
    DRAIN_CANCELLED = "drain-cancelled"
    MOVED = "moved"
    ENDED = "ended"


FACTS: Mapping[MarkKind, tuple[str, ...]] = {
    MarkKind.CONNECTED: ("transport",),
    MarkKind.AUTHENTICATED: ("method",),
    MarkKind.BEGAN: ("taken_over",),
    MarkKind.QUEUED: ("leg", "position"),
    MarkKind.ADMITTED: ("leg", "waited_s"),
    MarkKind.LEG_ASKED: ("leg", "purpose"),
    MarkKind.LEG_OPENED: ("leg", "took_s", "server"),
    MarkKind.LEG_FAILED: ("leg", "code", "opening"),
    MarkKind.LEG_CLOSED: ("leg",),
    MarkKind.FIRST_AUDIO_IN: (),
    MarkKind.FIRST_AUDIO_OUT: ("leg",),
    MarkKind.TURN_BEGAN: ("turn",),
    MarkKind.TURN_FIRST_TEXT: ("turn", "after_s"),
    MarkKind.TURN_SPEECH_ENDED: ("turn", "audio_s"),
    MarkKind.TURN_FINAL: ("turn", "after_s", "held"),
    MarkKind.TURN_FAILED: ("turn", "code"),
    MarkKind.TURN_DROPPED: ("turn",),
    MarkKind.DETACHED: (),
    MarkKind.ATTACHED: ("outcome", "away_s", "replayed_s", "lost_s"),
    MarkKind.RECOVERING: ("reason",),
    MarkKind.RECOVERED: ("outcome", "replayed_s", "lost_s", "took_s"),
    MarkKind.INPUT_PAUSED: (),
    MarkKind.INPUT_RESUMED: ("blocked_s",),
    MarkKind.OUTPUT_BLOCKED: (),
    MarkKind.OUTPUT_UNBLOCKED: ("blocked_s",),
    MarkKind.LEG_BLOCKED: ("leg",),
    MarkKind.LEG_UNBLOCKED: ("leg", "blocked_s"),
    MarkKind.DROPPED: ("reason", "audio_s"),
    MarkKind.LAGGING: ("lag_s",),
    MarkKind.HIGH_WATER: ("held_s", "held_bytes"),
    MarkKind.DRAIN_STARTED: ("within_s", "moves"),
    MarkKind.DRAIN_CANCELLED: (),
    MarkKind.MOVED: _END_FACTS,
    MarkKind.ENDED: _END_FACTS,
}
"""All that a mark of each kind may say."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something happened `at_s` seconds after the session began on this node (before it: negative), when it had
    received `cursor_s` seconds of audio."""

    kind: MarkKind
    at_s: float
    cursor_s: float
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose marks they are: a session, in what may be shown of it.

    `began_s` is Unix time. `pool` and `model` are names of the settings, or what the model server calls it. `tenant` is
    as `shown_tenant` shows it. `traceparent` and `tracestate` are what its client sent (W3C Trace Context), empty
    without.
    """

    session_id: str
    began_s: float
    pool: str = ""
    endpoint: str = ""
    model: str = ""
    tenant: str = ""
    transport: str = ""
    traceparent: str = ""
    tracestate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """How a session stands at a moment, in seconds and bytes; None where nobody can tell.

    `lag_s`: the oldest audio that the model has not answered came this long ago. `model_delay_s`: the audio that the
    model consumes next was *sent* this long ago. `held_s`: audio that waits here. `client_rtt_s` and
    `upstream_rtt_s`: the last round trip of a ping on the connection to the client and to the model server.
    `input_late_s`: how far the audio of the open turn is behind the time since it began to come, if that were live.
    `text_waits_bytes`: results that wait for the client to read. `has_leg`: it is connected to a model server.
    `uncommitted_s`: audio that would have to be heard again if that were lost. `buffer_bytes`: all memory that it
    keeps. `received_s`: all audio that came.
    """

    at_s: float
    state: str
    lag_s: float = 0.0
    model_delay_s: float = 0.0
    held_s: float = 0.0
    client_rtt_s: float | None = None
    upstream_rtt_s: float | None = None
    input_late_s: float | None = None
    text_waits_bytes: int = 0
    has_leg: bool = False
    uncommitted_s: float = 0.0
    buffer_bytes: int = 0
    received_s: float = 0.0


class MarkSink(Protocol):
    """Who listens to a node's sessions. No method waits or raises; marks come in order for each session, BEGAN (or
    CONNECTED before it) first and ENDED or MOVED last."""

    def note(self, subject: Subject, mark: Mark) -> None:
        """Something happened."""

    def sample(self, subject: Subject, sample: Sample) -> None:
        """A look at a session that lives, about once a second."""
