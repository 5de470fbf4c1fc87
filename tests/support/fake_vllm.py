"""A double of a vLLM server on one port of loopback: its realtime WebSocket and the plain routes beside it.

Its protocol code shares nothing with Parley's: frames are those of the `websockets` library, used without its I/O, so
that a test may also break the protocol. Everything that was received is recorded, and each connection obeys a test's
orders at any moment: say nothing, read nothing, close, break off, send what no server should.
"""

import asyncio
import base64
import json
from collections import Counter
from http import HTTPStatus
from ssl import SSLContext
from types import TracebackType
from typing import Self, cast

from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from tests.support.voxtral import Speech, Voxtral, words
from tests.support.waiting import Changes

MODEL = "voxtral"
REALTIME_PATH = "/v1/realtime"
_MESSAGE_MAX_BYTES = 16 * 2**20
"""uvicorn's limit, which vLLM does not change."""


class FakeVllm:
    """The server. Its attributes are orders for connections and requests to come."""

    def __init__(self, speech: Speech = words) -> None:
        self.speech = speech
        self.connections: list[FakeConnection] = []
        self.requests: list[Request] = []
        self.changes = Changes()
        # What /health and /v1/models answer.
        self.is_healthy = True
        self.models: bytes = json.dumps({"object": "list", "data": [{"id": MODEL}]}).encode()
        self.raw_answers: dict[str, bytes] = {}
        """Whole responses by path, instead of the usual ones; an empty one never comes."""
        # Handshakes: refused with a status, answered with these bytes, answered not at all, or hung up on.
        self.refuses_with: int | None = None
        self.answers_with: bytes | None = None
        self.holds_handshakes = False
        self.hangs_up = False
        # New connections: whether they begin with session.created, and whether the model runs.
        self.greets = True
        self.runs = True
        self.model_delay_s = 0.0
        """How long the model takes for each frame, which it works on side by side; pings are answered at once."""
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{REALTIME_PATH}"

    @property
    def sessions(self) -> list["FakeConnection"]:
        """The realtime connections, oldest first."""
        return [one for one in self.connections if one.is_realtime]

    @property
    def live(self) -> list["FakeConnection"]:
        """The realtime connections that are open."""
        return [one for one in self.sessions if not one.is_lost]

    @property
    def traps(self) -> list[str]:
        """Which of vLLM's traps its client stepped into, on any connection."""
        return [trap for one in self.connections for trap in one.traps]

    async def session(self, number: int = 0) -> "FakeConnection":
        """A realtime connection by number, as soon as it is there."""
        await self.changes.until(f"realtime connection {number}", lambda: len(self.sessions) > number)
        return self.sessions[number]

    async def until_idle(self) -> None:
        """Wait until no realtime connection is open."""
        await self.changes.until("every leg is closed", lambda: not self.live)

    async def start(self, port: int = 0, ssl: SSLContext | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: FakeConnection(self), "127.0.0.1", port, ssl=ssl)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """As a process that is killed: every connection breaks off."""
        assert self._server is not None
        self._server.close()
        for one in self.connections:
            one.abort()
        await self.changes.until("every connection is lost", lambda: all(one.is_lost for one in self.connections))
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class FakeConnection(asyncio.Protocol):
    """One connection: a plain request, or a realtime session with a model behind it."""

    def __init__(self, server: FakeVllm) -> None:
        self.is_realtime = False
        self.is_lost = False
        self.request: Request | None = None
        self.received: list[str] = []
        """The kinds of the client's events, in order; an append's as `append`, an end's as `end`."""
        self.pongs: list[bytes] = []
        self.pings = 0
        self.close_code: int | None = None
        """The code of the client's close frame."""
        self.model = Voxtral(MODEL, server.speech)
        self.steps_per_turn_of_loop: int | None = None
        """How fast the model runs; None: as fast as audio comes."""
        self._server = server
        self._reads = 0
        self._runs = server.runs
        self._stepping: asyncio.Handle | None = None
        self._protocol = ServerProtocol(max_size=_MESSAGE_MAX_BYTES)
        self._fragments: list[bytes] = []
        self._misuse: list[str] = []
        self._transport: asyncio.Transport | None = None

    @property
    def traps(self) -> list[str]:
        return self.model.traps + self._misuse

    @property
    def turns(self) -> list[bytes]:
        """The audio of each turn, as the model got it."""
        return [bytes(generation.pcm) for generation in self.model.generations]

    @property
    def counts(self) -> Counter[str]:
        """How many events of each kind were received."""
        return Counter(self.received)

    # ---- waits

    async def until_received(self, kind: str, count: int = 1) -> None:
        await self._server.changes.until(f"{count} {kind}", lambda: self.counts[kind] >= count)

    async def until_samples(self, samples: int, turn: int = 0) -> None:
        """Wait until the model has been sent so much of a turn."""
        await self._server.changes.until(
            f"{samples} samples of turn {turn}", lambda: len(self.turns) > turn and len(self.turns[turn]) >= samples * 2
        )

    async def until_lost(self) -> None:
        await self._server.changes.until("the leg is closed", lambda: self.is_lost)

    async def until_pong(self) -> None:
        await self._server.changes.until("a pong", lambda: bool(self.pongs))

    async def until_read(self) -> None:
        """Wait until the client has read all that was sent; it answers a ping behind it."""
        self._reads += 1
        payload = b"read %d" % self._reads
        self.ping(payload)
        await self._server.changes.until("all is read", lambda: self.is_lost or payload in self.pongs)

    # ---- orders

    def hold_model(self) -> None:
        """The model says nothing more; audio still arrives."""
        self._runs = False

    def release_model(self) -> None:
        self._runs = True
        self._run()

    def stop_reading(self) -> None:
        assert self._transport is not None
        self._transport.pause_reading()

    def read_again(self) -> None:
        assert self._transport is not None
        self._transport.resume_reading()

    def send(self, message: str | bytes) -> None:
        """Anything at all, as one text frame; bytes need not be UTF-8. Nothing when the client has said goodbye."""
        if self._protocol.state is not State.OPEN:
            return
        self._protocol.send_text(message if isinstance(message, bytes) else message.encode())
        self._flush()

    def send_event(self, kind: str, **fields: object) -> None:
        self.send(json.dumps({"type": kind, **fields}))

    def send_fragments(self, *fragments: bytes) -> None:
        """One text message in as many frames."""
        for index, fragment in enumerate(fragments):
            is_last = index == len(fragments) - 1
            if index == 0:
                self._protocol.send_text(fragment, fin=is_last)
            else:
                self._protocol.send_continuation(fragment, fin=is_last)
        self._flush()

    def send_binary(self, message: bytes) -> None:
        self._protocol.send_binary(message)
        self._flush()

    def send_raw(self, data: bytes) -> None:
        """Bytes that need not be a frame."""
        assert self._transport is not None
        self._transport.write(data)

    def ping(self, payload: bytes) -> None:
        if self._protocol.state is not State.OPEN:
            return
        self._protocol.send_ping(payload)
        self._flush()

    def close(self, code: int | None = None) -> None:
        """Begin the closing handshake."""
        self._protocol.send_close(code)
        self._flush()

    def abort(self) -> None:
        """Break off without a close frame, as a process that dies."""
        if self._transport is not None:
            self._transport.abort()

    def greet(self) -> None:
        self.send_event("session.created", id="sess-of-the-double", created=1)

    def answer_handshake(self) -> None:
        """Accept a handshake that was held."""
        assert self.request is not None
        self._protocol.send_response(self._protocol.accept(self.request))
        self._flush()
        if self._server.greets:
            self.greet()

    # ---- from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of asyncio's class.
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.append(self)
        self._server.changes.notify()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._stepping is not None:
            self._stepping.cancel()
        self._server.changes.notify()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._answer(event)
            else:
                assert isinstance(event, Frame)
                self._take(event)
        if self._protocol.parser_exc is not None:
            self._misuse.append(f"frames that are not of the protocol: {self._protocol.parser_exc!r}")
        self._flush()
        self._run()
        self._server.changes.notify()

    def _flush(self) -> None:
        assert self._transport is not None
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    def _answer(self, request: Request) -> None:
        server, path = self._server, request.path.partition("?")[0]
        self.request = request
        server.requests.append(request)
        if path != REALTIME_PATH:
            self._answer_plain(path)
            return
        self.is_realtime = True
        if server.hangs_up:
            self.abort()
        elif server.answers_with is not None:
            self.send_raw(server.answers_with)
        elif server.refuses_with is not None:
            self._reject(server.refuses_with, "refused")
        elif not server.holds_handshakes:
            self.answer_handshake()

    def _answer_plain(self, path: str) -> None:
        raw = self._server.raw_answers.get(path)
        if raw is not None:
            self.send_raw(raw)
        elif path == "/health":
            self._reject(HTTPStatus.OK if self._server.is_healthy else HTTPStatus.SERVICE_UNAVAILABLE, "")
        elif path == "/v1/models":
            response = self._protocol.reject(HTTPStatus.OK, "")
            response.body = self._server.models
            del response.headers["Content-Length"]
            response.headers["Content-Length"] = str(len(self._server.models))
            self._protocol.send_response(response)
        elif path == "/version":
            self._reject(HTTPStatus.OK, '{"version":"0.33.0"}')
        else:
            self._reject(HTTPStatus.NOT_FOUND, "")

    def _reject(self, status: int, text: str) -> None:
        self._protocol.send_response(self._protocol.reject(status, text))

    # ---- frames

    def _take(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.CONT:
                self._fragments.append(bytes(frame.data))
                if frame.fin:
                    message, self._fragments = b"".join(self._fragments), []
                    self._take_message(message)
            case Opcode.BINARY:
                # vLLM's handler dies of it, without a close frame.
                self._misuse.append("a binary frame kills the connection")
                self.abort()
            case Opcode.PING:
                self.pings += 1
            case Opcode.PONG:
                self.pongs.append(bytes(frame.data))
            case Opcode.CLOSE:
                self.close_code = Close.parse(bytes(frame.data)).code

    def _take_message(self, message: bytes) -> None:
        event = json.loads(message)
        answer: str | None = None
        match event["type"]:
            case "session.update":
                self.received.append(f"session.update {event['model']}")
                answer = self.model.name_model(event["model"])
            case "input_audio_buffer.append":
                self.received.append("append")
                self._append(event["audio"])
            case "input_audio_buffer.commit" if event.get("final"):
                self.received.append("end")
                self.model.end()
            case "input_audio_buffer.commit":
                self.received.append("start")
                answer = self.model.start()
            case kind:
                self._misuse.append(f"an event of a type that vLLM does not know: {kind}")
        if answer is not None:
            self.send(answer)

    def _append(self, audio: str) -> None:
        data = base64.b64decode(audio, validate=True)
        if not data or len(data) % 2:
            self._misuse.append(f"audio of {len(data)} bytes")
        self.model.append(data)

    # ---- the model

    def _run(self) -> None:
        if self._stepping is None and self._runs and not self.is_lost:
            self._step()

    def _step(self) -> None:
        self._stepping = None
        left = self.steps_per_turn_of_loop
        while self._runs and not self.is_lost and (left is None or left > 0):
            event = self.model.step()
            if event is None:
                return
            if self._server.model_delay_s:
                asyncio.get_running_loop().call_later(self._server.model_delay_s, self.send, event)
            else:
                self.send(event)
            if left is not None:
                left -= 1
        if left == 0 and not self.is_lost:
            self._stepping = asyncio.get_running_loop().call_soon(self._step)
        self._server.changes.notify()
