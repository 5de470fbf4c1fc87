"""The seam between a client's connection and the session it is attached to."""

from typing import Protocol

from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.events import Event
from parley.core.usage import Usage


class Attachment(Protocol):
    """One client connection, as the session sees it. No method waits; what can't be written now is buffered by the
    transport, which reports ClientBlocked above its high-water mark."""

    def send_delta(self, text: Text) -> None:
        """Write a piece of transcript."""

    def send_done(self, text: Text, usage: Usage) -> None:
        """Write the end of a turn."""

    def send_error(self, error: ParleyError) -> None:
        """Write an error that does not end the session."""

    def pause_input(self) -> None:
        """Stop reading; the peer feels it through its transport."""

    def resume_input(self) -> None:
        """Read again."""

    def end(self, error: ParleyError | None) -> None:
        """Write why the session ends, then close; with None the peer is gone and there is only cleaning up."""


class SessionPort(Protocol):
    """The session, as its client's connection sees it."""

    @property
    def session_id(self) -> str:
        """The id that the client is told."""

    @property
    def created_s(self) -> int:
        """When the session began, Unix time in seconds."""

    def start(self) -> None:
        """Begin the session's work; call once, after the opening message has been written."""

    def receive(self, event: Event) -> None:
        """Hand over what the client did. Never waits, never raises."""

    def receive_audio(self, audio: Audio) -> None:
        """The same as `receive(AudioReceived(audio))`, for the event that outnumbers all others."""


class SessionHost(Protocol):
    """What a listener asks of the server behind it."""

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models served, empty while the model server has not told."""

    def check(self) -> None:
        """Whether a session could begin now.

        Raises:
            ParleyError: upstream-unavailable, at-capacity or shutting-down.
        """

    def open(self, attachment: Attachment, *, forward_empty_deltas: bool | None = None) -> SessionPort:
        """Begin a session for this connection; None leaves empty deltas to the settings.

        Raises:
            ParleyError: as `check` does.
        """
