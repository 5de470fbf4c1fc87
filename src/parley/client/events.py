"""What a session tells its user. What was said does not show in a repr.

`item` is the number of the turn in its session, from 1; 0 where there is none. Intervals are pairs of milliseconds
since the session's first audio.
"""

from dataclasses import dataclass, field

from parley.core.usage import Usage

type Intervals = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """The server accepted the session; `session_id` is what its logs call it."""

    session_id: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A further piece of the turn's transcript, never empty; all pieces joined are the transcript, revisions aside.

    `audio_end_s` is the place in the turn's audio that the piece was recognised at, when `connect` was told to ask for
    timestamps: one delta is one step of 80 ms, so it is as exact as the model's own delay, give or take two steps.
    """

    text: str = field(repr=False)
    audio_end_s: float | None = None
    item: int = 0


@dataclass(frozen=True, slots=True)
class TurnDone:
    """The turn has ended; `text` is its whole transcript, without the space that models begin it with.

    `has_exact_times` says whether every `audio_end_s` of the turn holds: timestamps were asked for, and no delta was
    joined with another on the way, as happens to a client that reads slowly. `text_from_ms` is None, or for a turn so
    long that the server let its beginning go, where `text` begins.
    """

    text: str = field(repr=False)
    usage: Usage
    has_exact_times: bool = False
    item: int = 0
    text_from_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TextRevised:
    """Characters `start` to `end` (code points) of the item's deltas, joined, are now `text`.

    It happens when another model server decodes audio again and hears it otherwise; `interval_ms` is that audio.
    """

    item: int
    start: int
    end: int
    text: str = field(repr=False)
    interval_ms: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """A turn has no end, and what it said is not complete; the session goes on with the next.

    `code`, `fault` and `retry` are of the table of errors, `message` says what happened.
    """

    item: int
    code: str
    message: str = field(repr=False)
    fault: str
    retry: str


@dataclass(frozen=True, slots=True)
class TurnCancelled:
    """The turn was given up, as was asked for; it has no other end."""

    item: int


@dataclass(frozen=True, slots=True)
class InputCleared:
    """What was said in the open turn is void, as was asked for; the turn goes on as the next item."""

    item: int


@dataclass(frozen=True, slots=True)
class Recovering:
    """The server lost its model server (`reason` is an error code) and looks for another; input is still taken."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """Another model server goes on. `outcome` is `rehydrated` (`replayed_ms` was decoded again) or `restarted` (words
    in `lost_ms` may be missing)."""

    outcome: str
    replayed_ms: Intervals
    lost_ms: Intervals


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection is gone and being made again; `close_code` is RFC 6455's. SessionResumed follows, or a failure."""

    close_code: int


@dataclass(frozen=True, slots=True)
class SessionResumed:
    """The connection is back after `attempts` to make it and `downtime_s` seconds.

    `outcome` is `resumed` (nothing was lost), `rehydrated` (the model server was lost as well; `replayed_ms` was
    decoded again) or `restarted` (words in `lost_ms` may be missing; nothing is where the connection was lost before
    the session had begun, and all input was sent again).
    """

    outcome: str
    replayed_ms: Intervals
    lost_ms: Intervals
    attempts: int
    downtime_s: float


@dataclass(frozen=True, slots=True)
class Gap:
    """Something of this interval was dropped, as the session's policies say: with `input-overrun` audio that the model
    did not keep up with, with `slow-client` text that this client did not; the turn's end has all of its text."""

    interval_ms: tuple[int, int]
    reason: str


@dataclass(frozen=True, slots=True)
class Queued:
    """The session waits for a model server, at this place of the queue, for about `eta_s`, None when that can't be
    told; at position 0 it waits no longer. Input is taken meanwhile."""

    position: int
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Lagging:
    """The model is so far behind the audio; 0 when it has caught up."""

    lag_s: float


@dataclass(frozen=True, slots=True)
class Expiring:
    """The server ends the session in so long, unless what it lacks comes: `idle-timeout` (audio, or speech),
    `duration-limit` or `lag-limit`."""

    reason: str
    in_s: float


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The server ends in so long. With `moves` the session goes on at another one, which needs nothing from you."""

    reason: str
    deadline_s: float
    moves: bool


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The last event. `reason` is `client-ended` or an error code, `retry` says what may help."""

    reason: str
    retry: str


Interruption = ConnectionLost | SessionResumed | Recovering | Recovered | Gap | Queued | Lagging | Expiring | GoingAway
"""What happens to a session that goes on."""

Event = (
    SessionCreated
    | TextDelta
    | TurnDone
    | TextRevised
    | TurnFailed
    | TurnCancelled
    | InputCleared
    | Recovering
    | Recovered
    | ConnectionLost
    | SessionResumed
    | Gap
    | Queued
    | Lagging
    | Expiring
    | GoingAway
    | SessionEnded
)
