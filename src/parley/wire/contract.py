"""The session contract's events as a client of Parley has them, beside those of vLLM's protocol.

`wire.contract_reading` makes them of a server's messages, `wire.contract_requests` is what a client writes, and
`wire.serving` the server's half; what the events are for is written in docs/protocol.md. Positions are milliseconds on
the session's cursor; a `seq` or an `item` of 0 means that the event carries none.
"""

import re
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from parley.core.content import Text
from parley.core.usage import Usage

SEQ_MAX = 2**53
"""The largest number that every JSON reader keeps exact."""

Seq = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
type Intervals = tuple[tuple[int, int], ...]

_ITEM_ID = re.compile(r"item_([1-9][0-9]{0,15})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Created:
    """The server accepted the connection. `resume_window_s` is None when it does not offer the session contract."""

    session_id: str
    resume_window_s: float | None = None


@dataclass(frozen=True, slots=True)
class Updated:
    """The opt-in is taken: `token` takes the session up again for `window_s` after its connection is lost. `retention`
    is what is kept of the session; empty is nothing."""

    session_id: str
    token: str = field(repr=False)
    window_s: float = 0.0
    retention: str = ""


@dataclass(frozen=True, slots=True)
class Resumed:
    """This connection is the session's; input after `input_seq` is to be sent (again)."""

    session_id: str
    outcome: str
    input_seq: int
    cursor_ms: int
    replayed_ms: Intervals = ()
    lost: Intervals = ()


@dataclass(frozen=True, slots=True)
class InputAck:
    """Input up to `input_seq` need not be kept any longer."""

    input_seq: int
    cursor_ms: int


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of transcript."""

    text: Text
    item: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a turn; `text_from_ms` says where `text` begins when it is not whole."""

    text: Text
    usage: Usage
    item: int = 0
    seq: int = 0
    text_from_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Revised:
    """Characters `start` to `end` (code points) of the item's text are now `text`."""

    item: int
    start: int
    end: int
    text: Text
    from_ms: int
    to_ms: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """A turn has no end; the session goes on."""

    item: int
    code: str
    message: str = field(repr=False)
    fault: str
    retry: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The turn that was given up."""

    item: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Cleared:
    """The open turn's audio and text are void; it begins again as another item."""

    item: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Recovering:
    """The server lost its model server; input is still taken."""

    reason: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Recovered:
    """The server found another model server, which has caught up."""

    outcome: str
    replayed_ms: Intervals = ()
    lost: Intervals = ()
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio that no model was sent, or text that is not sent here, of this interval was dropped."""

    from_ms: int
    to_ms: int
    reason: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Queued:
    """The session waits for a model server, at this place of the queue; at 0 it waits no longer. `eta_ms` is None when
    the server can't tell."""

    position: int
    eta_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Lagging:
    """The model is so far behind the audio; 0 when it has caught up."""

    lag_ms: int


@dataclass(frozen=True, slots=True)
class Expiring:
    """The session ends in so long for this reason, an error code, unless what it lacks comes."""

    reason: str
    in_ms: int


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The server ends in so long; with `moves` the session can be taken up at another."""

    reason: str
    deadline_ms: int
    moves: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event of a session; `reason` is an error code, or `client-ended`."""

    reason: str
    retry: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """An error. `code` is the one a vLLM client knows; the others are Parley's own, None from other servers."""

    message: str = field(repr=False)
    code: str | None
    parley_code: str | None = None
    fault: str | None = None
    retry: str | None = None
    retry_after_s: float | None = None
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event of a type that is not known here; it is to be passed over."""

    type: str
    seq: int = 0


ContractEvent = (
    Delta
    | Done
    | Created
    | Updated
    | Resumed
    | InputAck
    | Revised
    | TurnFailed
    | Cancelled
    | Cleared
    | Recovering
    | Recovered
    | Gap
    | Queued
    | Lagging
    | Expiring
    | GoingAway
    | Ended
    | Failed
    | Unknown
)


def item_of(item_id: str | None) -> int:
    """The turn's number in an `item_id`; 0 for none, and for one that is not of the form `item_<n>`."""
    match = _ITEM_ID.match(item_id) if item_id is not None else None
    return int(match[1]) if match is not None else 0
