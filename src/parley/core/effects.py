"""What a session wants done: imperatives, executed in order."""

from dataclasses import dataclass
from enum import IntEnum

from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.notices import Notice
from parley.core.retention import Retention
from parley.core.usage import Usage

# To the model server.


class LegPurpose(IntEnum):
    """Why a leg is asked for, most urgent first: `docs/design/many-sessions.md` says what each may have."""

    RECOVERY = 0
    SUCCESSOR = 1
    RETURN = 2
    NEW = 3


@dataclass(frozen=True, slots=True)
class OpenLeg:
    """Get a stream on a model server, connect and name the model; answer with LegOpened or LegFailed.

    Where the stream has to be waited for, LegQueued and LegAdmitted come first.
    """

    leg: int
    purpose: LegPurpose = LegPurpose.NEW


@dataclass(frozen=True, slots=True)
class StartTurn:
    """Start a turn on the leg."""

    leg: int


@dataclass(slots=True)
class SendAudio:
    """Send audio of the running turn."""

    leg: int
    audio: Audio


@dataclass(frozen=True, slots=True)
class EndTurn:
    """Say that the running turn's audio is complete."""

    leg: int


@dataclass(frozen=True, slots=True)
class CloseLeg:
    """Close the leg; nothing more is wanted of it."""

    leg: int


@dataclass(frozen=True, slots=True)
class MeasureSpeech:
    """Say how much speech is in this audio, which the leg answered with nothing; answer with SpeechMeasured. A `leg` of
    0 is none: the audio is that of a parked session."""

    leg: int
    pieces: tuple[Audio, ...]


# To the client. A `seq` of 0 is no number: the client has not opted in to the session's contract, or the notice carries
# none. `item` is the turn's ordinal in the session, from 1; 0 where the client is not told of it.


@dataclass(slots=True)
class SendDelta:
    """Pass on a piece of transcript, or several joined."""

    text: Text
    seq: int = 0
    item: int = 0


@dataclass(frozen=True, slots=True)
class SendDone:
    """Pass on the end of a turn. `text_from` is where on the cursor `text` begins when it is not whole."""

    text: Text
    usage: Usage
    seq: int = 0
    item: int = 0
    text_from: int | None = None


@dataclass(frozen=True, slots=True)
class SendError:
    """Tell the client of an error that does not end the session."""

    error: ParleyError
    seq: int = 0


@dataclass(frozen=True, slots=True)
class SendNotice:
    """Tell the client what became of its session or of a turn."""

    notice: Notice
    seq: int = 0


@dataclass(frozen=True, slots=True)
class IssueToken:
    """Make a resume token, remember its hash, and tell the client token and window in `session.updated`."""


@dataclass(frozen=True, slots=True)
class Attach:
    """From here on the client is the connection of this generation; the one before is let go."""

    generation: int


@dataclass(frozen=True, slots=True)
class CloseAttachment:
    """Tell the connection of this generation why it is of no use to the session, and close it."""

    generation: int
    error: ParleyError


@dataclass(frozen=True, slots=True)
class PauseInput:
    """Stop reading from the client."""


@dataclass(frozen=True, slots=True)
class ResumeInput:
    """Read from the client again."""


@dataclass(frozen=True, slots=True)
class StoreState:
    """Put the session's snapshot where another server finds it; answer with StateStored or StateRefused. Until then
    nothing more is taken from the client."""


@dataclass(frozen=True, slots=True)
class LeaveSession:
    """The session goes on elsewhere: tell the client `moved`, which counts as a lost connection, and let it go."""


# To whoever keeps what was said.


@dataclass(frozen=True, slots=True)
class Retain:
    """From here on this is kept of the session: all audio, its turns, or nothing, and then what was kept goes."""

    retention: Retention


@dataclass(frozen=True, slots=True)
class KeepTurn:
    """Keep the final text of a turn, whose audio has this interval on the session's cursor. `text_from` is where `text`
    begins when it is not whole."""

    item: int
    begin: int
    end: int
    text: Text
    text_from: int | None = None


@dataclass(frozen=True, slots=True)
class EndSession:
    """Tell the client why the session ends, and close its connection with the error's close code.

    `error` is None when the client ended it, or is gone. With a `seq` the error carries it, and `session.ended` follows
    with the next; without an error `session.ended` carries it.
    """

    error: ParleyError | None
    seq: int = 0


Effect = (
    OpenLeg
    | StartTurn
    | SendAudio
    | EndTurn
    | CloseLeg
    | MeasureSpeech
    | SendDelta
    | SendDone
    | SendError
    | SendNotice
    | IssueToken
    | Attach
    | CloseAttachment
    | PauseInput
    | ResumeInput
    | StoreState
    | LeaveSession
    | Retain
    | KeepTurn
    | EndSession
)
