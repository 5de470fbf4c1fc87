"""The seam between a client's connection and the session it is attached to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from parley.access.caller import NOBODY, Caller
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.events import ClientEvent
from parley.core.notices import Notice
from parley.core.usage import Usage


@dataclass(frozen=True, slots=True)
class SessionName:
    """What a client is told of its session first: its id, and when it began, Unix time in seconds."""

    session_id: str
    created_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How a connection came: when its request was there and when it was let in, on the event loop's clock, over what,
    and how its client showed who it is. `traceparent` and `tracestate` are as W3C's Trace Context has them, empty
    without."""

    connected_at: float
    authenticated_at: float
    transport: str = "websocket"
    method: str = "none"
    traceparent: str = field(default="", repr=False)
    tracestate: str = field(default="", repr=False)


OnFetched = Callable[[ParleyError | None], None]
"""Called when a session was looked for, with the reason why it can't go on here, if it can't."""


class Attachment(Protocol):
    """One client connection, as the session sees it. No method waits; what can't be written now is buffered by the
    transport, which reports ClientBlocked above its high-water mark. A `seq` or an `item` of 0 is not written."""

    def send_delta(self, text: Text, seq: int = 0, item: int = 0) -> None:
        """Write a piece of transcript."""

    def send_done(self, text: Text, usage: Usage, seq: int = 0, item: int = 0, text_from: int | None = None) -> None:
        """Write the end of a turn; `text_from` is where on the cursor, in samples, `text` begins if it is not whole."""

    def send_error(self, error: ParleyError, seq: int = 0) -> None:
        """Write an error that does not end the session."""

    def send_notice(self, notice: Notice, seq: int = 0) -> None:
        """Write what became of the session or of a turn."""

    def send_token(self, token: str, window_s: float, retention: str = "") -> None:
        """Write the token with which the client takes the session up again, for `window_s` after it was lost, and what
        is kept of the session; empty is nothing."""

    def pause_input(self) -> None:
        """Stop reading; the peer feels it through its transport."""

    def resume_input(self) -> None:
        """Read again."""

    def round_trip_s(self) -> float | None:
        """How long the client takes to answer a ping, in seconds; None when nobody knows. Who asks has it asked
        again."""

    def end(self, error: ParleyError | None, seq: int = 0) -> None:
        """Write why the session, or this connection's part in it, ends; then close.

        With a `seq` the session has ended for a client that opted in to its contract: the error carries it, and the
        last event, `session.ended`, the next; without an error that one carries it. With neither the peer is gone and
        there is only cleaning up.
        """


class SessionPort(Protocol):
    """The session, as one connection of its client sees it. Another connection that takes the session over has a port
    of its own; the older one does nothing from then on."""

    @property
    def name(self) -> SessionName:
        """What the client is told of the session."""

    def start(self) -> None:
        """Begin the session's work, or take it up again; call once, when the connection is ready to be written to."""

    def receive(self, event: ClientEvent) -> None:
        """Hand over what the client did. Never waits, never raises."""

    def receive_audio(self, audio: Audio) -> None:
        """The same as `receive(AudioReceived(audio))`, for the event that outnumbers all others."""

    def abandon(self) -> None:
        """Drop a session that has begun and in which nothing happened: its client came for another one. The connection
        is not touched."""


class SessionHost(Protocol):
    """What a listener asks of the server behind it."""

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models served, empty while the model server has not told."""

    @property
    def resume_window_s(self) -> float:
        """How long a session waits for its client to come back; 0 when it does not."""

    def check(self, caller: Caller | None = None, endpoint: str = "") -> None:
        """Whether a session of this client could begin now, or wait until it can; None is for nobody in particular.
        `endpoint` is the name of the one that it came to, where it came to one.

        Raises:
            ParleyError: forbidden, audit-unavailable, quota-exceeded, upstream-unavailable, at-capacity,
                too-many-sessions or shutting-down.
        """

    def check_ready(self) -> None:
        """Whether balancers should send clients here: as `check`, and not while this server is about to go away, though
        it still takes who comes.

        Raises:
            ParleyError: as `check` does.
        """

    def next_arrival(self) -> int:
        """The number of a connection that was just made: later ones have higher ones."""

    def new_name(self) -> SessionName:
        """The name of a session that may begin later."""

    def open(
        self,
        attachment: Attachment,
        *,
        caller: Caller = NOBODY,
        endpoint: str = "",
        name: SessionName | None = None,
        arrival: int = 1,
        forward_empty_deltas: bool | None = None,
        provenance: Provenance | None = None,
    ) -> SessionPort:
        """Begin a session for this connection, which came as `provenance` says.

        `caller` is who it belongs to; only they may resume it. Without a `name` it gets one. None leaves empty
        deltas to the settings.

        Raises:
            ParleyError: as `check` does.
        """

    def resume(
        self, attachment: Attachment, token: str, seq: int, caller: Caller, *, arrival: int | None = None
    ) -> SessionPort:
        """Attach this connection to the session of a token; the client has every event up to `seq`. A session that no
        longer has what follows closes the connection with `gap` when the port is started, one that a later arrival has
        taken up with `superseded`.

        Raises:
            ParleyError: unknown-session, expired, wrong-principal or forbidden.
        """

    def fetch(self, token: str, caller: Caller, on_done: OnFetched) -> bool:
        """Have the session of a token go on here, if another server left it. False: it is here, or can't be elsewhere;
        `resume` knows. True: it is looked for, a few seconds at most; then `on_done` is called once, with the reason
        why it can't go on here, or None, and `resume` knows.

        Raises:
            ParleyError: it isn't even looked for.
        """
