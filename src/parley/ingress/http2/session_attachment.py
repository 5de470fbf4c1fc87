"""A client's stream as an attachment of a session: each message is a part, and parts of a message are joined."""

from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.ingress.attachment import SessionHost
from parley.ingress.conversation import Conversation
from parley.ingress.http2.answer import Answer
from parley.ingress.http2.exchange import Exchange
from parley.ingress.threshold import Arrival
from parley.ingress.waiting import WaitingRoom
from parley.wire.dialect import Dialect
from parley.wire.event_headers import invalid
from parley.wire.fragments import FragmentBuffer
from parley.wire.payload_part import PayloadPart


class SessionAttachment:
    """One client on HTTP/2: a `PartTaker` for what it sends, and the `Carrier` of what it is told.

    A stream that broke, a wrong signature included, counts as lost: what came before was good, so that a session whose
    client opted in to its contract waits for it to come back.
    """

    def __init__(
        self,
        exchange: Exchange,
        answer: Answer,
        host: SessionHost,
        dialect: Dialect,
        arrival: Arrival,
        waiting: WaitingRoom,
        message_max_bytes: int,
    ) -> None:
        self._exchange = exchange
        self._answer = answer
        self._fragments = FragmentBuffer(message_max_bytes)
        self._conversation = Conversation(host, dialect, arrival, self, waiting)

    def begin(self, variant: str) -> None:
        """A session begins, unless the client comes for one that exists, and the server speaks first.

        Raises:
            ParleyError: as `SessionHost.open` does; nothing has been written then.
        """
        self._conversation.begin()
        self._answer.begin(variant)
        self._conversation.greet()

    # ---- from the stream

    def take(self, part: PayloadPart) -> None:
        """See `PartTaker`. A part that is not the last one of its message is joined with those that follow, whose
        `DataType` says nothing."""
        if part.is_complete and not self._fragments.is_open:
            message, is_text = part.data, part.is_text
        else:
            joined = self._join(part)
            if joined is None:
                return
            message, is_binary = joined
            is_text = not is_binary
        (self._conversation.take if is_text else self._conversation.take_binary)(message)

    def _join(self, part: PayloadPart) -> tuple[bytes, bool] | None:
        if self._fragments.is_open:
            return self._fragments.append(part.data, is_last=part.is_complete)
        self._fragments.begin(part.data, is_binary=not part.is_text)
        return None

    def input_ended(self) -> None:
        """See `PartTaker`: the open turn is complete, and the session ends when its last turn is answered."""
        if self._fragments.is_open:
            raise invalid("The stream ended in the middle of a message: its last part is PARTIAL.")
        self._conversation.receive(ev.InputFinished())

    def fail(self, error: ParleyError) -> None:
        """See `PartTaker`."""
        self._conversation.fail(error)

    def lost(self) -> None:
        """See `PartTaker`."""
        self._answer.lost()
        self._conversation.lost()

    def writing_blocked(self) -> None:
        """See `PartTaker`."""
        self._conversation.receive(ev.ClientBlocked())

    def writing_unblocked(self) -> None:
        """See `PartTaker`."""
        self._conversation.receive(ev.ClientUnblocked())

    # ---- from the conversation

    @property
    def is_closing(self) -> bool:
        """See `Carrier`."""
        return self._answer.is_over

    def send_message(self, message: bytes) -> None:
        """See `Carrier`."""
        self._answer.write_part(message)

    def round_trip_s(self) -> float | None:
        """See `Carrier`."""
        return self._exchange.round_trip_s()

    def pause_input(self) -> None:
        """See `Carrier`: what comes fills the stream's window, and then the client waits."""
        self._exchange.pause_reading()

    def resume_input(self) -> None:
        """See `Carrier`."""
        self._exchange.resume_reading()

    def close(self, error: ParleyError | None) -> None:
        """See `Carrier`."""
        self._answer.end(error)
