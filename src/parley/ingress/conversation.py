"""What is said on a client's connection, whatever carries it: messages in as events of a session, and back.

```
WebSocket frames ─► WebSocketConnection ┐             ┌► Threshold ─► session
PayloadParts     ─► SessionAttachment   ┴ Conversation┘
                      a Carrier               an Attachment
```
"""

from typing import Protocol

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.events import ClientEvent
from parley.core.notices import Notice
from parley.core.usage import Usage
from parley.ingress.attachment import SessionHost, SessionPort
from parley.ingress.threshold import Arrival, Threshold
from parley.ingress.waiting import WaitingRoom
from parley.wire.dialect import Dialect, Resume


class Carrier(Protocol):
    """What carries whole messages between a client and its conversation. No method waits."""

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be said."""

    def send_message(self, message: bytes) -> None:
        """Carry a message to the client."""

    def round_trip_s(self) -> float | None:
        """See `Attachment.round_trip_s`."""

    def pause_input(self) -> None:
        """Read nothing more."""

    def resume_input(self) -> None:
        """Read again."""

    def close(self, error: ParleyError | None) -> None:
        """All is said: end the connection in the carrier's own way, because of this error if there is one. Calling it
        again, or when the client is gone, does nothing."""


class Conversation:
    """One client connection with its session: an `Attachment`, and an `Entrant` until the session is known."""

    def __init__(
        self, host: SessionHost, dialect: Dialect, arrival: Arrival, carrier: Carrier, waiting: WaitingRoom
    ) -> None:
        self._host = host
        self._dialect = dialect
        self._arrival = arrival
        self._carrier = carrier
        self._waiting = waiting
        self._session_id = ""
        self._port: SessionPort | None = None

    @property
    def transport(self) -> str:
        """What carries it: websocket or http2."""
        return self._arrival.transport

    @property
    def has_session(self) -> bool:
        """Whether what the client says is heard; not before `begin`, and not after a refusal."""
        return self._port is not None

    # ---- from the carrier

    def begin(self) -> None:
        """A session begins, unless the client comes for one that exists; nothing is said yet.

        Raises:
            ParleyError: as `SessionHost.open` does.
        """
        self._port = port = Threshold(self._host, self, self._arrival)
        self._session_id = port.name.session_id
        if self._arrival.comes_back:
            self._waiting.enter(self)

    def greet(self) -> None:
        """The server speaks first; then the session's work begins."""
        port = self._port
        assert port is not None, "it has begun"
        name = port.name
        self._carrier.send_message(self._dialect.opening(name.session_id, name.created_s, self._host.resume_window_s))
        port.start()

    def take(self, message: bytes) -> None:
        """A whole message of JSON."""
        port = self._port
        if port is None:
            return
        try:
            received = self._dialect.receive(message)
        except ParleyError as error:
            port.receive(ev.InputRejected(error))
            return
        if isinstance(received, Audio):
            port.receive_audio(received)
        elif isinstance(received, Resume):
            self._come_back(port, received)
        else:
            for event in received:
                port.receive(event)

    def take_binary(self, message: bytes) -> None:
        """A whole message that is said to be binary."""
        # A SageMaker client that names no data type gets binary frames made of its JSON.
        if self._arrival.takes_binary and message[:1] == b"{":
            self.take(message)
        else:
            self.receive(ev.InputRejected(ParleyError("binary-frame")))

    def receive(self, event: ClientEvent) -> None:
        """What the client did beside saying something."""
        if self._port is not None:
            self._port.receive(event)

    def fail(self, error: ParleyError) -> None:
        """What the client sends can't be told apart any more: the connection ends, and counts as lost. A session whose
        client opted in waits for it to come back."""
        self.end(error)
        self.receive(ev.ClientClosed())

    def lost(self) -> None:
        """The connection is gone, by whichever side."""
        self._waiting.leave(self)
        self.receive(ev.ClientClosed())

    # ---- which session

    def _come_back(self, port: SessionPort, claim: Resume) -> None:
        if isinstance(port, Threshold):
            self._waiting.leave(self)
            port.claim(claim.token, claim.seq)
        else:
            detail = "session.resume has to be the first message of its connection."
            port.receive(ev.InputRejected(ParleyError("invalid-event", detail)))

    def enter(self, port: SessionPort) -> None:
        """The connection is for this session."""
        self._waiting.leave(self)
        self._port = port
        self._session_id = port.name.session_id

    def refuse(self, error: ParleyError) -> None:
        """There is no session for the connection."""
        self._port = None
        self.end(error)

    # ---- from the session

    def send_delta(self, text: Text, seq: int = 0, item: int = 0) -> None:
        """Write a piece of transcript."""
        self._carrier.send_message(self._dialect.delta(text, seq, item))

    def send_done(self, text: Text, usage: Usage, seq: int = 0, item: int = 0, text_from: int | None = None) -> None:
        """Write the end of a turn."""
        self._carrier.send_message(self._dialect.done(text, usage, seq, item, text_from))

    def send_error(self, error: ParleyError, seq: int = 0) -> None:
        """Write an error."""
        self._carrier.send_message(self._dialect.error(error, seq))

    def send_notice(self, notice: Notice, seq: int = 0) -> None:
        """Write what became of the session or of a turn."""
        self._carrier.send_message(self._dialect.notice(notice, seq, self._session_id))

    def send_token(self, token: str, window_s: float, retention: str = "") -> None:
        """Write the token with which the client takes the session up again."""
        self._carrier.send_message(self._dialect.updated(self._session_id, token, window_s, retention))

    def round_trip_s(self) -> float | None:
        """How long the client takes to answer a ping."""
        return self._carrier.round_trip_s()

    def pause_input(self) -> None:
        """Stop reading."""
        self._carrier.pause_input()

    def resume_input(self) -> None:
        """Read again."""
        self._carrier.resume_input()

    def end(self, error: ParleyError | None, seq: int = 0) -> None:
        """Write why it ends, in messages first and then in the carrier's way."""
        self._waiting.leave(self)
        carrier = self._carrier
        if not carrier.is_closing:
            if error is not None:
                self.send_error(error, seq)
            if seq:
                carrier.send_message(self._dialect.ended(error, seq + 1 if error is not None else seq))
        carrier.close(error)
