"""What may happen to a session: facts, in the past tense."""

from dataclasses import dataclass

from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.limits import AtBound
from parley.core.retention import Retention
from parley.core.usage import Usage

# From the client.


@dataclass(slots=True)
class AudioReceived:
    """A piece of audio arrived; it belongs to the turn that is open, or opens one.

    `messages` is how many the client sent it in: several that were joined, or 0 for all but the last piece of one that
    was cut.
    """

    audio: Audio
    messages: int = 1


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The client asked for a transcript of the oldest turn that has not started."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The client said that the open turn's audio is complete."""


@dataclass(frozen=True, slots=True)
class ModelNamed:
    """The client named the model; empty means any."""

    name: str


@dataclass(frozen=True, slots=True)
class InputRejected:
    """The client sent something invalid."""

    error: ParleyError


@dataclass(frozen=True, slots=True)
class ClientBlocked:
    """The client does not read: its connection's write buffer is above the high-water mark."""


@dataclass(frozen=True, slots=True)
class ClientUnblocked:
    """The client reads again."""


@dataclass(frozen=True, slots=True)
class ClientClosed:
    """The client's connection is gone."""


@dataclass(frozen=True, slots=True)
class ResumeEnabled:
    """The client opted in to the session's contract: numbers, notices, and a token to come back with."""


@dataclass(frozen=True, slots=True)
class PoliciesChosen:
    """The client said what happens when more audio, or more results, wait than may; None leaves it as it is."""

    input: AtBound | None = None
    output: AtBound | None = None


@dataclass(frozen=True, slots=True)
class RetentionChosen:
    """The client said what is to be kept of its session; None leaves that to the server. `consent`: whoever speaks has
    agreed to having the audio kept."""

    retention: Retention | None = None
    consent: bool = False


@dataclass(frozen=True, slots=True)
class OutputAcked:
    """The client has every numbered event up to `seq`."""

    seq: int


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The client said that it is finished with the session."""


@dataclass(frozen=True, slots=True)
class InputFinished:
    """The client will send nothing more on this connection, and still reads: its side of the stream is half-closed."""


@dataclass(frozen=True, slots=True)
class InputCleared:
    """The client dropped the audio of the open turn."""


@dataclass(frozen=True, slots=True)
class TurnCancelled:
    """The client gave up the turn of this item; 0 means the oldest turn."""

    item: int = 0


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """A connection of this generation showed the session's token; it has every event up to `seq`."""

    generation: int
    seq: int


# From the leg; `leg` tells a live leg's events from a replaced one's.


@dataclass(frozen=True, slots=True)
class LegQueued:
    """The leg waits for a stream on a model server, at this place of the queue (from 1); `eta_s` is how long, None when
    that can't be told."""

    leg: int
    position: int
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class LegAdmitted:
    """The leg has a stream, and is being connected. Said of every leg that was queued, and may be of others."""

    leg: int


@dataclass(frozen=True, slots=True)
class LegOpened:
    """The leg is connected and the model named: it can take a turn."""

    leg: int


@dataclass(frozen=True, slots=True)
class LegFailed:
    """The leg could not be opened, was closed, or reported an error; it is of no further use."""

    leg: int
    error: ParleyError


@dataclass(frozen=True, slots=True)
class LegBlocked:
    """The model server does not read: the leg's write buffer is above the high-water mark."""

    leg: int


@dataclass(frozen=True, slots=True)
class LegUnblocked:
    """The model server reads again."""

    leg: int


@dataclass(slots=True)
class DeltaReceived:
    """The model consumed one more frame, and perhaps said something."""

    leg: int
    text: Text


@dataclass(frozen=True, slots=True)
class SpeechMeasured:
    """The audio of MeasureSpeech holds so much speech, in samples; `leg` is that of the effect."""

    leg: int
    speech_samples: int


@dataclass(frozen=True, slots=True)
class TurnTranscribed:
    """The model ended the turn."""

    leg: int
    text: Text
    usage: Usage


# From the server.


@dataclass(frozen=True, slots=True)
class DrainStarted:
    """The server is going away: turns in flight may finish until `deadline` (the session's clock, seconds).

    With `move_at` another server may take the session over: from then on it moves at its next pause, and at the latest
    at `move_by`. None: it can only finish or be ended.
    """

    deadline: float
    move_at: float | None = None
    move_by: float | None = None


@dataclass(frozen=True, slots=True)
class DrainCancelled:
    """The server stays after all."""


@dataclass(frozen=True, slots=True)
class StateStored:
    """The session's state, asked for by StoreState, is where another server finds it."""


@dataclass(frozen=True, slots=True)
class StateRefused:
    """The session's state could not be stored; the session goes on here as long as it may."""

    error: ParleyError


@dataclass(frozen=True, slots=True)
class EndAsked:
    """The operator ends the session, or the server for a reason that is none of the session's own: `code` is the error
    that its client is told, and `retry_after_s` when it may come back."""

    code: str = "ended-by-operator"
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class RotationAsked:
    """The model server should be relieved of this session's leg: another takes over at the next pause, or, from
    `at_once_at` on, without one. `leg` is the one that is meant, 0 whichever is at work; None waits for a pause."""

    leg: int = 0
    at_once_at: float | None = None


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The time that `next_deadline` named has come."""


ClientEvent = (
    AudioReceived
    | TurnStarted
    | TurnEnded
    | ModelNamed
    | InputRejected
    | InputCleared
    | InputFinished
    | TurnCancelled
    | OutputAcked
    | ResumeEnabled
    | PoliciesChosen
    | RetentionChosen
    | SessionClosed
    | ClientBlocked
    | ClientUnblocked
    | ClientClosed
)
"""What a client's connection brings: for `Session.handle_client`."""

Event = (
    ClientEvent
    | ResumeRequested
    | LegQueued
    | LegAdmitted
    | LegOpened
    | LegFailed
    | LegBlocked
    | LegUnblocked
    | DeltaReceived
    | TurnTranscribed
    | SpeechMeasured
    | DrainStarted
    | DrainCancelled
    | StateStored
    | StateRefused
    | EndAsked
    | RotationAsked
    | TimerFired
)
