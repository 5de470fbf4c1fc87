"""What a session tells its user. What was said does not show in a repr."""

from dataclasses import dataclass, field

from parley.core.usage import Usage


@dataclass(frozen=True, slots=True)
class SessionCreated:
    """The server accepted the session; `session_id` is what its logs call it."""

    session_id: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A further piece of the turn's transcript, never empty; all pieces joined are the transcript.

    `audio_end_s` is the place in the turn's audio that the piece was recognised at, when `connect` was told to ask for
    timestamps: one delta is one step of 80 ms, so it is as exact as the model's own delay, give or take two steps.
    """

    text: str = field(repr=False)
    audio_end_s: float | None = None


@dataclass(frozen=True, slots=True)
class TurnDone:
    """The turn has ended; `text` is its whole transcript, without the space that models begin it with.

    `has_exact_times` says whether every `audio_end_s` of the turn holds: timestamps were asked for, and no delta was
    joined with another on the way, as happens to a client that reads slowly.
    """

    text: str = field(repr=False)
    usage: Usage
    has_exact_times: bool = False


Event = SessionCreated | TextDelta | TurnDone
