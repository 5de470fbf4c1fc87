"""The listener alone, with a double of what is behind it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from parley.access.browser_token import BrowserTokens
from parley.access.caller import NOBODY, Caller
from parley.access.gate import Gate
from parley.core import events as ev
from parley.core.content import Audio
from parley.core.errors import ParleyError
from parley.ingress.attachment import Attachment, OnFetched, Provenance, SessionName
from parley.ingress.http import http_application
from parley.ingress.origins import Origins
from parley.ingress.port import Port, PortLimits
from parley.ingress.upgrades import Upgrades
from parley.ingress.websocket import SocketLimits
from tests.support.raw import RawSocket
from tests.support.waiting import Changes

_USUAL_PORT = PortLimits()
_USUAL_SOCKET = SocketLimits()


class StubSession:
    """A session that does nothing but remember what its client did."""

    def __init__(self, attachment: Attachment, changes: Changes, name: SessionName) -> None:
        self.attachment = attachment
        self._name = name
        self.is_abandoned = False
        self.events: list[ev.Event] = []
        self.is_started = False
        self._changes = changes

    @property
    def name(self) -> SessionName:
        return self._name

    def abandon(self) -> None:
        self.is_abandoned = True
        self._changes.notify()

    def start(self) -> None:
        self.is_started = True
        self._changes.notify()

    def receive(self, event: ev.Event) -> None:
        self.events.append(event)
        self._changes.notify()

    def receive_audio(self, audio: Audio) -> None:
        self.receive(ev.AudioReceived(audio))

    async def until[E: ev.Event](self, kind: type[E]) -> None:
        await self.until_count(kind, 1)

    async def until_count[E: ev.Event](self, kind: type[E], count: int) -> None:
        await self._changes.until(
            f"{count} {kind.__name__}", lambda: sum(isinstance(event, kind) for event in self.events) >= count
        )


class StubHost:
    """Begins stub sessions, or refuses them: at the handshake, or only when they are opened."""

    models: tuple[str, ...] = ("stub",)
    resume_window_s = 30.0

    def __init__(self) -> None:
        self.sessions: list[StubSession] = []
        self.refuses_check: ParleyError | None = None
        self.refuses_open: ParleyError | None = None
        self.refuses_resume: ParleyError | None = None
        self.callers: list[Caller] = []
        self.provenances: list[Provenance | None] = []
        self.claims: list[tuple[str, int, Caller]] = []
        self.refuses_fetch: ParleyError | None = None
        self.looks_for_sessions = False
        self.fetches: list[OnFetched] = []
        self._named = 0
        self._changes = Changes()

    def check(self, caller: Caller | None = None, endpoint: str = "") -> None:
        if self.refuses_check is not None:
            raise self.refuses_check

    def check_ready(self) -> None:
        self.check()

    async def fetch_begun(self) -> OnFetched:
        """What is to be called when the session was looked for."""
        await self._changes.until("a session is looked for", lambda: bool(self.fetches))
        return self.fetches[0]

    def new_name(self) -> SessionName:
        self._named += 1
        return SessionName("sess-stub" if self._named == 1 else f"sess-stub-{self._named}", 1)

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
    ) -> StubSession:
        if self.refuses_open is not None:
            raise self.refuses_open
        self.callers.append(caller)
        self.provenances.append(provenance)
        return self._begin(attachment, name or self.new_name())

    def next_arrival(self) -> int:
        return 1

    def fetch(self, token: str, caller: Caller, on_done: OnFetched) -> bool:
        if self.refuses_fetch is not None:
            raise self.refuses_fetch
        if self.looks_for_sessions:
            self.fetches.append(on_done)
            self._changes.notify()
        return self.looks_for_sessions

    def resume(
        self, attachment: Attachment, token: str, seq: int, caller: Caller, *, arrival: int | None = None
    ) -> StubSession:
        self.claims.append((token, seq, caller))
        if self.refuses_resume is not None:
            raise self.refuses_resume
        return self._begin(attachment, SessionName("sess-resumed", 0))

    def _begin(self, attachment: Attachment, name: SessionName) -> StubSession:
        session = StubSession(attachment, self._changes, name)
        self.sessions.append(session)
        self._changes.notify()
        return session

    async def claimed(self) -> None:
        """Wait until somebody has shown a token and been let in."""
        await self._changes.until(
            "a session is taken up",
            lambda: any(one.is_started and one.name.session_id == "sess-resumed" for one in self.sessions),
        )

    async def session(self) -> StubSession:
        """The session, as soon as it has been started."""
        await self._changes.until("a session", lambda: any(session.is_started for session in self.sessions))
        return self.sessions[0]


class Listener:
    """A port with a stub host behind it."""

    def __init__(self, host: StubHost, port: Port, number: int) -> None:
        self.host = host
        self.port = port
        self._number = number
        self._sockets: list[RawSocket] = []

    async def connect(self, *, receive_buffer_bytes: int | None = None) -> RawSocket:
        socket = await RawSocket.connect(self._number, receive_buffer_bytes=receive_buffer_bytes)
        self._sockets.append(socket)
        return socket

    async def open(self) -> tuple[RawSocket, StubSession]:
        """A WebSocket whose `session.created` has come, and its session."""
        socket = await self.connect()
        assert (await socket.upgrade()).status == 101
        assert (await socket.frame()).event["type"] == "session.created"
        return socket, await self.host.session()

    def abort_all(self) -> None:
        for socket in self._sockets:
            socket.abort()


@asynccontextmanager
async def listening(
    port_limits: PortLimits = _USUAL_PORT,
    socket_limits: SocketLimits = _USUAL_SOCKET,
    *,
    body_max_bytes: int = 2**20,
    stall_timeout_s: float = 60.0,
    gate: Gate | None = None,
    origins: Origins | None = None,
    browser_tokens: BrowserTokens | None = None,
) -> AsyncIterator[Listener]:
    """A listener on a free port of loopback."""
    host = StubHost()
    gate = gate or Gate()
    http = http_application(
        host,
        gate,
        body_max_bytes=body_max_bytes,
        stall_timeout_s=stall_timeout_s,
        origins=origins,
        browser_tokens=browser_tokens,
    )
    port = Port(Upgrades(host, socket_limits, gate, origins), http, port_limits, socket_limits)
    listener = Listener(host, port, await port.start("127.0.0.1", 0))
    try:
        yield listener
    finally:
        listener.abort_all()
        await asyncio.wait_for(port.close(), 20.0)
