"""What a session wants done: imperatives, executed in order."""

from dataclasses import dataclass

from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.usage import Usage

# To the model server.


@dataclass(frozen=True, slots=True)
class OpenLeg:
    """Connect to a model server and name the model; answer with LegOpened or LegFailed."""

    leg: int


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


# To the client.


@dataclass(slots=True)
class SendDelta:
    """Pass on a piece of transcript, or several joined."""

    text: Text


@dataclass(frozen=True, slots=True)
class SendDone:
    """Pass on the end of a turn."""

    text: Text
    usage: Usage


@dataclass(frozen=True, slots=True)
class SendError:
    """Tell the client of an error that does not end the session."""

    error: ParleyError


@dataclass(frozen=True, slots=True)
class PauseInput:
    """Stop reading from the client."""


@dataclass(frozen=True, slots=True)
class ResumeInput:
    """Read from the client again."""


@dataclass(frozen=True, slots=True)
class EndSession:
    """Tell the client why the session ends, and close its connection with the error's close code.

    `error` is None when the client itself has gone and there is nobody to tell.
    """

    error: ParleyError | None


Effect = (
    OpenLeg
    | StartTurn
    | SendAudio
    | EndTurn
    | CloseLeg
    | SendDelta
    | SendDone
    | SendError
    | PauseInput
    | ResumeInput
    | EndSession
)
