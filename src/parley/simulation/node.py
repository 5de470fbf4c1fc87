"""The server in a run: it finds sessions by their token, hands events to the real core and does what that says.

It does for the core what the server's runner and host do, over simulated connections, in the real wire format.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from parley.core import events as ev
from parley.core.content import Audio
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.profile import VOXTRAL, ModelProfile
from parley.core.session import Session
from parley.simulation.hosted import HostedSession
from parley.simulation.invariants import require
from parley.simulation.legs import LegOpener
from parley.simulation.link import End
from parley.simulation.world import CLOCK_STEP_S, World
from parley.wire import serving, vllm

MODEL = "voxtral"


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """Bounds and model of every session of the server."""

    limits: SessionLimits
    profile: ModelProfile = VOXTRAL
    check_every: int = 16


class ServerNode:
    """All sessions of one server."""

    def __init__(self, world: World, options: NodeOptions, opener: LegOpener) -> None:
        self.world = world
        self.options = options
        self.opener = opener
        self.sessions: list[HostedSession] = []
        self.connections = 0
        self._by_token: dict[bytes, HostedSession] = {}
        self._ahead_s = 0.0

    @property
    def now(self) -> float:
        """The server's monotonic clock."""
        return self.world.now + self._ahead_s

    def jump(self, seconds: float) -> None:
        """The clock is suddenly so much later, for everyone on this server."""
        self.world.log("server", "clock jumps by {:.1f} s", seconds)
        self._ahead_s += seconds
        for hosted in self.live:
            hosted.set_timer(clock_jumped=True)

    def in_world(self, at: float) -> float:
        """A time of the server's clock on the world's."""
        return at - self._ahead_s + CLOCK_STEP_S

    @property
    def live(self) -> list[HostedSession]:
        """The sessions that have not ended."""
        return [hosted for hosted in self.sessions if not hosted.is_over]

    def accept(self, end: End, principal: str, *, resumes: bool) -> None:
        """A client connected. With `resumes` it said that it would show a token, so no session is begun for it."""
        self.connections += 1
        connection = ClientConnection(self, end, principal)
        end.attach(connection)
        if not resumes:
            connection.begin()
        else:
            connection.greet(f"conn-{self.connections}")

    def begin(self, connection: "ClientConnection") -> HostedSession:
        """A session of its own for a connection."""
        session = Session(
            self.options.limits,
            (MODEL,),
            self.options.profile,
            jitter=self.world.chance.random(),
            generation=connection.number,
        )
        hosted = HostedSession(self, f"s{len(self.sessions) + 1}", session, connection.principal)
        self.sessions.append(hosted)
        return hosted

    def issue_token(self, hosted: HostedSession) -> str:
        """A token for a session."""
        token = "p1." + base64.urlsafe_b64encode(self.world.chance.randbytes(32)).rstrip(b"=").decode()
        self._by_token[_hash(token)] = hosted
        return token

    def forget(self, hosted: HostedSession) -> None:
        """A session has ended: for a time its token is told `expired`, then it is unknown."""

        def drop() -> None:
            self._by_token = {key: each for key, each in self._by_token.items() if each is not hosted}

        self.world.after(self.options.limits.resume_window_s, drop)

    @property
    def tokens(self) -> int:
        """How many tokens are remembered."""
        return len(self._by_token)

    def resume(self, connection: "ClientConnection", request: serving.Resume) -> ParleyError | None:
        """Attach a connection to the session of its token; or why not."""
        hosted = self._by_token.get(_hash(request.token))
        if hosted is None:
            return ParleyError("unknown-session")
        if hosted.principal != connection.principal:
            return ParleyError("wrong-principal")
        if hosted.is_over:
            return ParleyError("expired")
        hosted.resume(connection, request.seq)
        return None


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


class ClientConnection:
    """One connection of a client: what its bytes mean, and which session they go to."""

    def __init__(self, node: ServerNode, end: End, principal: str) -> None:
        self.end = end
        self.number = node.connections
        self.principal = principal
        self.generation = 0
        self.hosted: HostedSession | None = None
        self._node = node
        self._is_first = True

    def begin(self) -> None:
        """Begin a session at once, so that its leg is there when the first audio is."""
        hosted = self._node.begin(self)
        self.greet(hosted.name)
        hosted.begin(self)

    def greet(self, name: str) -> None:
        """`session.created`."""
        self.end.send(serving.encode_created(name, 0, self._node.options.limits.resume_window_s))

    def send(self, message: bytes) -> None:
        """Send a message."""
        self.end.send(message)

    def refuse(self, error: ParleyError) -> None:
        """Say why this connection is of no use, and close it."""
        self._node.world.log(self.end.name, "is refused: {}", error.code)
        self.end.send(serving.encode_failure(error))
        self.end.close_and_listen(error.spec.ws_close)

    # ---- from the connection

    def message_received(self, _end: End, message: bytes) -> None:
        """See `link.Peer`."""
        is_first, self._is_first = self._is_first, False
        audio = vllm.audio_of(message)
        if audio is None:
            try:
                request = serving.parse_client(message)
            except ParleyError as error:
                self._hand_over(ev.InputRejected(error))
                return
            if isinstance(request, serving.Resume):
                self._resume(request, is_first=is_first)
                return
            events = _EVENTS[type(request)](request)
        elif audio.samples > vllm.SPLIT_SAMPLES:
            pieces = vllm.split(audio)
            events = [ev.AudioReceived(piece, messages=int(piece is pieces[-1])) for piece in pieces]
        else:
            if self.hosted is not None:
                self.hosted.receive_audio(audio, self.generation)
            return
        for event in events:
            self._hand_over(event)

    def _hand_over(self, event: ev.ClientEvent) -> None:
        if self.hosted is None:
            self.begin()
        require(self.hosted is not None, "a connection that speaks has a session")
        assert self.hosted is not None
        self.hosted.receive_from_client(event, self.generation)

    def _resume(self, request: serving.Resume, *, is_first: bool) -> None:
        if not is_first:
            self._hand_over(ev.InputRejected(ParleyError("invalid-event", "session.resume is the first event.")))
            return
        if self.hosted is not None:
            # It began a session of its own when it connected; nothing was said in it.
            own, self.hosted = self.hosted, None
            own.detach_unused()
        error = self._node.resume(self, request)
        if error is not None:
            self.refuse(error)

    def connection_lost(self, _end: End, code: int | None) -> None:
        """See `link.Peer`."""
        self._node.world.log(self.end.name, "server finds it closed ({})", code)
        if self.hosted is not None:
            self.hosted.receive_from_client(ev.ClientClosed(), self.generation)

    def writing_blocked(self, _end: End, is_blocked: bool) -> None:
        """See `link.Peer`."""
        if self.hosted is not None:
            event: ev.ClientEvent = ev.ClientBlocked() if is_blocked else ev.ClientUnblocked()
            self.hosted.receive_from_client(event, self.generation)


def _update(request: serving.Update) -> list[ev.ClientEvent]:
    named: list[ev.ClientEvent] = [ev.ModelNamed(request.model)]
    return [*named, ev.ResumeEnabled()] if request.resume else named


_EVENTS: dict[type, Callable[..., list[ev.ClientEvent]]] = {
    serving.Update: _update,
    serving.Ack: lambda request: [ev.OutputAcked(request.seq)],
    serving.End: lambda _request: [ev.SessionClosed()],
    serving.Clear: lambda _request: [ev.InputCleared()],
    serving.Cancel: lambda request: [ev.TurnCancelled(request.item)],
    vllm.Commit: lambda request: [ev.TurnEnded() if request.final else ev.TurnStarted()],
    Audio: lambda audio: [ev.AudioReceived(audio)],
}
