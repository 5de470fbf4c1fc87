"""What a session tells a client that opted in to its contract, beside text, ends of turns and errors.

Positions are samples on the session's cursor (all audio since the session began), intervals half-open pairs of them.
"""

from dataclasses import dataclass
from enum import StrEnum

from parley.core.content import Text
from parley.core.errors import ParleyError

type Intervals = tuple[tuple[int, int], ...]


class Outcome(StrEnum):
    """What became of a session whose connection or leg was lost."""

    RESUMED = "resumed"
    REHYDRATED = "rehydrated"
    RESTARTED = "restarted"


@dataclass(frozen=True, slots=True)
class Resumed:
    """A client is attached again. `inputs` is the number of its input events that were taken before."""

    outcome: Outcome
    inputs: int
    cursor: int
    replayed: Intervals
    lost: Intervals


@dataclass(frozen=True, slots=True)
class InputAcked:
    """Input is safe: `inputs` events of it, audio up to `cursor`."""

    inputs: int
    cursor: int


@dataclass(frozen=True, slots=True)
class Recovering:
    """The leg is lost and another is on its way; `reason` is an error code."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """Another leg has caught up."""

    outcome: Outcome
    replayed: Intervals
    lost: Intervals


@dataclass(frozen=True, slots=True)
class TextRevised:
    """Characters `start` to `end` (code points) of the item's text, heard in `interval`, are now `text`."""

    item: int
    start: int
    end: int
    text: Text
    interval: tuple[int, int]


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """A turn has no end; the session goes on with the next."""

    item: int
    error: ParleyError


@dataclass(frozen=True, slots=True)
class TurnCancelled:
    """The client gave a turn up."""

    item: int


@dataclass(frozen=True, slots=True)
class InputCleared:
    """The client dropped the open turn's audio, and the text that came of it."""

    item: int


class DropReason(StrEnum):
    """Why something was dropped."""

    INPUT_OVERRUN = "input-overrun"
    """The model did not keep up with the audio."""
    SLOW_CLIENT = "slow-client"
    """The client did not keep up with the text."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio that no model was sent, or text that the client is not sent, of this interval was dropped."""

    interval: tuple[int, int]
    reason: DropReason


@dataclass(frozen=True, slots=True)
class Queued:
    """The session waits for a model server; `eta_s` is None when it can't be told."""

    position: int
    eta_s: float | None


@dataclass(frozen=True, slots=True)
class Lagging:
    """The oldest audio that the model has not answered came this long ago, in seconds; 0 when it has caught up."""

    lag_s: float


@dataclass(frozen=True, slots=True)
class Expiring:
    """The session ends in so many seconds for this reason, an error code, unless what it lacks comes."""

    reason: str
    in_s: float


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The server ends in so many seconds; with `moves` the session can be taken up at another."""

    reason: str
    deadline_s: float
    moves: bool


State = Resumed | InputAcked | Queued | Lagging | Expiring | GoingAway
"""What states where things stand: it carries no number, and is not kept for later."""

Notice = State | Recovering | Recovered | TextRevised | TurnFailed | TurnCancelled | InputCleared | Gap
"""What is no `State` carries a number."""
