"""A session as plain data: what another server needs to go on with it.

```
StoredSession = whose it is, and  SessionState = intake + turns + recovery + outputs + lifetime
```
Legs are no part of it: whoever takes the session over opens its own, and replays. Nor is the number of the client's
connection, which each server counts for itself. Within a state all positions and times are
relative, so no clock has to be shared.
A field that is added needs a default, for states are read by later releases; `wire/snapshot` writes them.
"""

from dataclasses import dataclass
from enum import StrEnum

from parley.core.content import Audio, Text
from parley.core.notices import Intervals


class StateError(Exception):
    """No session can go on from a state; why, without anything of what is in it."""


@dataclass(frozen=True, slots=True)
class JournalState:
    """See `Journal`: `first` is the index of the oldest piece, `start` where it begins."""

    first: int = 0
    start: int = 0
    pieces: tuple[Audio, ...] = ()


@dataclass(frozen=True, slots=True)
class TranscriptState:
    """See `Transcript`; `dropped` counts the settled runs that were let go."""

    settled: tuple[tuple[int, Text], ...] = ()
    recent: tuple[tuple[int, Text], ...] = ()
    dropped: int = 0
    last_position: int = 0
    from_position: int = 0
    ends_otherwise: bool = False
    settled_characters: int = 0


@dataclass(frozen=True, slots=True)
class TurnState:
    """See `Turn`."""

    item: int
    begin: int
    started: bool = False
    closed: bool = False
    given_up: bool = False
    fed: int = 0
    replay_point: int = 0
    furthest: int = 0
    failures: int = 0
    short_share: float = 0.0
    top: int = 0
    transcript: TranscriptState = TranscriptState()
    journal: JournalState = JournalState()
    holes: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class RecoveryState:
    """See `Recovery`: the oldest turn has lost its leg, for this reason, and has to be brought to `position` again.
    `replayed_from` is -1 while nothing has been replayed."""

    position: int
    code: str
    detail: str = ""
    had_leg: bool = False
    replayed_from: int = -1
    lost: Intervals = ()


class OutputKind(StrEnum):
    """What an output is."""

    DELTA = "delta"
    DONE = "done"
    ERROR = "error"
    RECOVERING = "recovering"
    RECOVERED = "recovered"
    REVISED = "revised"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CLEARED = "cleared"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class OutputState:
    """An output of any kind: `core/outputs` says which fields each has. `numbers` are its counts and positions; `code`
    is that of an error, or another word of a fixed set."""

    kind: OutputKind
    seq: int = 0
    item: int = 0
    text: Text | None = None
    numbers: tuple[int, ...] = ()
    code: str = ""
    detail: str = ""
    retry_after_s: float | None = None
    replayed: Intervals = ()
    lost: Intervals = ()


@dataclass(frozen=True, slots=True)
class LifetimeState:
    """How long ago the session began, in seconds."""

    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SessionState:
    """One session. `acknowledged` is the number up to which the client has everything, `sent` the outputs after it,
    numbered; `waiting` those that have no number yet. `items` counts the turns so far. A policy without a name is the
    server's own. `retention` is what is kept; empty is nothing.

    `restored` and `missed` are intervals that the client has not been told of; `counts_otherwise` and `mutes` are what
    was learnt of its model server.
    """

    inputs: int
    cursor: int
    acknowledged: int
    items: int = 0
    model_named: bool = False
    errors: int = 0
    forward_empty_deltas: bool = False
    input_policy: str = ""
    output_policy: str = ""
    sent: tuple[OutputState, ...] = ()
    waiting: tuple[OutputState, ...] = ()
    turns: tuple[TurnState, ...] = ()
    recovery: RecoveryState | None = None
    restored: Intervals = ()
    missed: Intervals = ()
    counts_otherwise: bool | None = None
    mutes: int = 0
    lifetime: LifetimeState = LifetimeState()
    retention: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A session as a store keeps it, and whose it is. `model` is the name that its legs were opened with,
    `frame_samples` the grid of its positions in text; `expires_s` is the Unix time until which it waits for its client.
    """

    session_id: str
    created_s: int
    principal: str
    model: str
    frame_samples: int
    expires_s: float
    state: SessionState

    def __repr__(self) -> str:
        return f"StoredSession(session_id={self.session_id!r})"
