"""Which session a connection is for: decided by its first message, and until then by nobody."""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from urllib.parse import parse_qs

from parley.access.caller import NOBODY, Caller
from parley.core import events as ev
from parley.core.content import Audio
from parley.core.errors import ParleyError
from parley.core.events import ClientEvent
from parley.ingress.attachment import Attachment, Provenance, SessionHost, SessionName, SessionPort

_log = logging.getLogger("parley.ingress")

_FIELDS_MAX = 64
_HELD_MAX = 64
"""Events of a client that may wait while its session is looked for."""
_NO_MESSAGE = (ev.ClientBlocked, ev.ClientUnblocked, ev.ClientClosed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a client came: who it is, to which endpoint, which kinds of frame and of delta it takes, and whether it comes
    for a session that exists. Then none is begun before its first message says so. `provenance` is for those who watch
    the session."""

    caller: Caller = NOBODY
    endpoint: str = ""
    takes_binary: bool = False
    forward_empty_deltas: bool | None = None
    comes_back: bool = False
    transport: str = "websocket"
    provenance: Provenance | None = None


def flag(query: str, name: str) -> bool | None:
    """What a query string says about how its client comes; None when it says nothing.

    Raises:
        ParleyError: bad-request, when it has too many fields.
    """
    text = parameter(query, name)
    return None if text is None else text.lower() in ("1", "true", "yes")


def parameter(query: str, name: str) -> str | None:
    """What a query string says under this name, the last time; None when it says nothing.

    Raises:
        ParleyError: bad-request, when it has too many fields.
    """
    try:
        values = parse_qs(query, max_num_fields=_FIELDS_MAX).get(name) if query else None
    except ValueError:
        raise ParleyError("bad-request", f"The query string has more than {_FIELDS_MAX} fields.") from None
    return values[-1] if values else None


class Entrant(Attachment, Protocol):
    """A connection that has no session yet."""

    def enter(self, port: SessionPort) -> None:
        """The connection is for this session; `start` of its port has not been called if it was not begun before."""

    def refuse(self, error: ParleyError) -> None:
        """There is no session for the connection."""


class Threshold:
    """The port of a connection whose first message has not come. It passes that one on to where it belongs.

    A client that does not say that it comes back gets its session at once, so that the leg is there when its audio is.
    If it then resumes another one, the session just begun is dropped: nothing happened in it.

    Raises ParleyError, when made, as `SessionHost.open` does.
    """

    def __init__(self, host: SessionHost, entrant: Entrant, arrival: Arrival) -> None:
        self._host = host
        self._entrant = entrant
        self._arrival = arrival
        self._number = host.next_arrival()
        self._begun = None if arrival.comes_back else self._open()
        self._port = self._begun
        self._is_open = True
        self._is_blocked = False
        self._is_waiting = False
        self._is_gone = False
        self._held: list[ClientEvent] = []
        self._name = host.new_name() if self._begun is None else self._begun.name

    @property
    def name(self) -> SessionName:
        """What the client is told, before it is known which session it will have."""
        return self._name

    def _open(self, name: SessionName | None = None) -> SessionPort:
        arrival = self._arrival
        return self._host.open(
            self._entrant,
            caller=arrival.caller,
            endpoint=arrival.endpoint,
            name=name,
            arrival=self._number,
            forward_empty_deltas=arrival.forward_empty_deltas,
            provenance=arrival.provenance,
        )

    def start(self) -> None:
        """Begin the work of a session that was begun at once."""
        if self._begun is not None:
            self._begun.start()

    def receive(self, event: ClientEvent) -> None:
        """An event. What is no message decides nothing."""
        if self._is_waiting:
            self._hold(event)
        elif isinstance(event, ev.InputFinished) and self._is_open and self._begun is None:
            self._is_open = False
            self._entrant.refuse(ParleyError("bad-request", "The stream ended before its first message."))
        elif not isinstance(event, _NO_MESSAGE):
            if self._is_open:
                self._stay()
        elif not isinstance(event, ev.ClientClosed):
            self._is_blocked = isinstance(event, ev.ClientBlocked)
        if self._port is not None:
            self._port.receive(event)

    def _hold(self, event: ClientEvent) -> None:
        """Something comes while the session is looked for: little, for the client is not read."""
        if isinstance(event, ev.ClientClosed):
            self._is_gone = True
        elif isinstance(event, ev.ClientBlocked | ev.ClientUnblocked):
            self._is_blocked = isinstance(event, ev.ClientBlocked)
        elif len(self._held) < _HELD_MAX:
            self._held.append(event)
        elif not self._is_gone:
            self._is_gone = True
            self._entrant.refuse(ParleyError("bad-request", "More came before the answer to session.resume than fits."))

    def receive_audio(self, audio: Audio) -> None:
        """The same for audio."""
        self.receive(ev.AudioReceived(audio))

    def abandon(self) -> None:
        """Drop what was begun."""
        if self._begun is not None:
            self._begun.abandon()
            self._begun = self._port = None

    def claim(self, token: str, seq: int) -> None:
        """The client came for the session of this token; it has every event up to `seq`."""
        self._is_open = False
        self.abandon()
        try:
            is_looked_for = self._host.fetch(token, self._arrival.caller, partial(self._fetched, token, seq))
        except ParleyError as error:
            self._refuse(error)
            return
        if is_looked_for:
            # What follows waits with the client, but for what has been read.
            self._is_waiting = True
            self._entrant.pause_input()
        else:
            self._take_up(token, seq)

    def _fetched(self, token: str, seq: int, error: ParleyError | None) -> None:
        self._is_waiting = False
        if self._is_gone:
            return
        self._entrant.resume_input()
        if error is not None:
            self._refuse(error)
        else:
            self._take_up(token, seq)

    def _take_up(self, token: str, seq: int) -> None:
        try:
            port = self._host.resume(self._entrant, token, seq, self._arrival.caller, arrival=self._number)
        except ParleyError as error:
            self._refuse(error)
            return
        self._enter(port)
        for event in self._held:
            port.receive(event)
        self._held.clear()

    def _refuse(self, error: ParleyError) -> None:
        _log.info("refused to resume a session: %s", error.code)
        self._entrant.refuse(error)

    def _stay(self) -> None:
        """The client did not come for another session: this one is its own."""
        self._is_open = False
        if self._begun is not None:
            self._entrant.enter(self._begun)
            return
        try:
            port = self._port = self._open(self._name)
        except ParleyError as error:
            _log.info("refused a session: %s", error.code)
            self._entrant.refuse(error)
            return
        self._enter(port)

    def _enter(self, port: SessionPort) -> None:
        self._entrant.enter(port)
        port.start()
        if self._is_blocked:
            port.receive(ev.ClientBlocked())
