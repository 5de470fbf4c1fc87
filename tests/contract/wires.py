"""The transports that the contract is held to, each as a `Wire`: messages there, messages back, and how it ends.

```
Transport.connect ──► Wire      MemoryWire   the server's host and dialect, no socket in between
                                SocketWire   /v1/realtime, text frames
                                             /invocations-bidirectional-stream, binary frames
                             Http2Wire    SageMaker's endpoint, parts in signing events
```
A further transport is a further class with the same methods, and an entry in `TRANSPORTS`.
"""

import asyncio
import hashlib
import json
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Protocol

from h2.errors import ErrorCodes

from parley.access.caller import Caller
from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ERRORS, ParleyError
from parley.core.notices import Notice
from parley.core.usage import Usage
from parley.ingress.attachment import SessionHost, SessionPort
from parley.ingress.threshold import Arrival, Threshold
from parley.wire.dialect import Resume, VllmDialect
from parley.wire.event_stream import Decoder
from parley.wire.payload_part import PayloadPart, StreamFailure, encode_part, parse_response
from tests.contract.server import ContractServer
from tests.support.client import DROPPED, NO_CODE, Ending, Event
from tests.support.http2 import ClientStream, Http2Client
from tests.support.raw import BINARY, CLOSE, PING, PONG, TEXT, RawSocket, frame
from tests.support.signing import EVENT_STREAM, TARGET, EventSigner
from tests.support.waiting import Changes

__all__ = ["TRANSPORTS", "Ending", "Event", "RefusedError", "Transport", "Wire", "WireClosedError"]


class RefusedError(Exception):
    """The server did not let a connection in; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class WireClosedError(Exception):
    """The server has ended the connection."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Wire(ABC):
    """One connection of a client. What it was sent is read when it is asked for, and not before."""

    async def send(self, kind: str, **fields: object) -> None:
        await self.send_message(json.dumps({"type": kind, **fields}).encode())

    @abstractmethod
    async def send_message(self, message: bytes) -> None:
        """One message, also after the server has said goodbye: it may be on its way then."""

    @abstractmethod
    async def receive(self) -> Event:
        """The next event; WireClosedError when there is none any more."""

    async def expect(self, kind: str, **fields: object) -> Event:
        """The next event, which has to be of this kind with these fields."""
        event = await self.receive()
        assert {"type": event["type"], **{name: event.get(name) for name in fields}} == {"type": kind, **fields}, event
        return event

    async def until_closed(self) -> Ending:
        """All events that are left, and how the connection ended."""
        events: list[Event] = []
        try:
            while True:
                events.append(await self.receive())
        except WireClosedError as closed:
            return Ending(events, closed.code, closed.reason)

    @abstractmethod
    def abort(self) -> None:
        """The connection breaks: no goodbye, and what was not taken yet may be lost."""

    @abstractmethod
    async def close(self, code: int) -> None:
        """The client says goodbye, with a close code where the transport has them."""


class Transport(Protocol):
    """A way into the server. `connect` raises RefusedError; the first event of the wire is the server's greeting."""

    name: str

    async def connect(self, server: ContractServer, *, comes_back: bool, credentials: str) -> Wire: ...


# ---- in memory


class MemoryWire(Wire):
    """A client's connection to the host in the same process: whole messages, at once, in order."""

    def __init__(self, host: SessionHost, *, comes_back: bool, credentials: str) -> None:
        self._host = host
        self._dialect = VllmDialect()
        principal = hashlib.sha256(credentials.encode()).hexdigest() if credentials else ""
        self._arrival = Arrival(caller=Caller(principal), takes_binary=True, comes_back=comes_back)
        self._events: deque[Event] = deque()
        self._changes = Changes()
        self._ending: WireClosedError | None = None
        self._is_paused = False
        self._is_gone = False
        self._session_id = ""
        self._port: SessionPort | None = None

    def open(self) -> None:
        """As a listener does it: the server speaks first."""
        if not self._arrival.comes_back:
            self._host.check()
        port = self._port = Threshold(self._host, self, self._arrival)
        self._session_id = port.name.session_id
        self._write(self._dialect.opening(self._session_id, port.name.created_s, self._host.resume_window_s))
        port.start()

    # ---- the client's end

    async def send_message(self, message: bytes) -> None:
        await self._changes.until("the server reads", lambda: not self._is_paused)
        port = self._port
        if port is None or self._is_gone:
            return
        try:
            received = self._dialect.receive(message)
        except ParleyError as error:
            port.receive(ev.InputRejected(error))
            return
        if isinstance(received, Audio):
            port.receive_audio(received)
        elif not isinstance(received, Resume):
            for event in received:
                port.receive(event)
        elif isinstance(port, Threshold):
            port.claim(received.token, received.seq)
        else:
            port.receive(ev.InputRejected(ParleyError("invalid-event")))

    async def receive(self) -> Event:
        await self._changes.until("an event", lambda: bool(self._events or self._ending))
        if self._events:
            return self._events.popleft()
        self.abort()
        assert self._ending is not None
        raise self._ending

    def abort(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            if self._ending is None:
                self._ending = WireClosedError(DROPPED, "")
            if self._port is not None:
                self._port.receive(ev.ClientClosed())

    async def close(self, code: int) -> None:
        self._ending = WireClosedError(code, "")
        self.abort()

    # ---- the server's end

    def _write(self, message: bytes) -> None:
        if self._ending is None:
            self._events.append(json.loads(message))
            self._changes.notify()

    def enter(self, port: SessionPort) -> None:
        self._port = port
        self._session_id = port.name.session_id

    def refuse(self, error: ParleyError) -> None:
        self._port = None
        self.end(error)

    def send_delta(self, text: Text, seq: int = 0, item: int = 0) -> None:
        self._write(self._dialect.delta(text, seq, item))

    def send_done(self, text: Text, usage: Usage, seq: int = 0, item: int = 0, text_from: int | None = None) -> None:
        self._write(self._dialect.done(text, usage, seq, item, text_from))

    def send_error(self, error: ParleyError, seq: int = 0) -> None:
        self._write(self._dialect.error(error, seq))

    def send_notice(self, notice: Notice, seq: int = 0) -> None:
        self._write(self._dialect.notice(notice, seq, self._session_id))

    def send_token(self, token: str, window_s: float, retention: str = "") -> None:
        self._write(self._dialect.updated(self._session_id, token, window_s, retention))

    def round_trip_s(self) -> float | None:
        return None

    def pause_input(self) -> None:
        self._is_paused = True

    def resume_input(self) -> None:
        self._is_paused = False
        self._changes.notify()

    def end(self, error: ParleyError | None, seq: int = 0) -> None:
        if self._ending is not None:
            return
        if error is not None:
            self.send_error(error, seq)
        if seq:
            self._write(self._dialect.ended(error, seq + 1 if error is not None else seq))
        self._ending = (
            WireClosedError(error.spec.ws_close, error.code) if error is not None else WireClosedError(1000, "")
        )
        self.resume_input()


class Memory:
    """No socket: the server's own host, runner and dialect."""

    name = "memory"

    async def connect(self, server: ContractServer, *, comes_back: bool, credentials: str) -> Wire:
        # As over a socket, what has happened elsewhere comes first.
        for _ in range(3):
            await asyncio.sleep(0)
        wire = MemoryWire(server.host, comes_back=comes_back, credentials=credentials)
        try:
            wire.open()
        except ParleyError as error:
            raise RefusedError(error.code) from None
        server.wires.append(wire)
        return wire


# ---- over a socket


class SocketWire(Wire):
    """A WebSocket by hand: it reads a frame when it is asked for one, and may write at any time."""

    def __init__(self, socket: RawSocket, opcode: int) -> None:
        self._socket = socket
        self._opcode = opcode

    async def send_message(self, message: bytes) -> None:
        self._socket.send(frame(self._opcode, message))
        await self._socket.drain()

    async def receive(self) -> Event:
        while (received := await self._socket.frame()).opcode != CLOSE:
            if received.opcode == PING:
                self._socket.send(frame(PONG, received.payload))
                continue
            assert received.opcode == TEXT
            return received.event
        self._socket.send(frame(CLOSE, received.payload))
        raise WireClosedError(received.close_code or NO_CODE, received.payload[2:].decode())

    def abort(self) -> None:
        self._socket.abort()

    async def close(self, code: int) -> None:
        self._socket.send(frame(CLOSE, code.to_bytes(2)))
        await self._socket.until_eof()
        self._socket.abort()


class WebSocket:
    """A WebSocket route."""

    def __init__(self, name: str, path: str, opcode: int) -> None:
        self.name = name
        self._path = path
        self._opcode = opcode

    async def connect(self, server: ContractServer, *, comes_back: bool, credentials: str) -> Wire:
        socket = await server.raw()
        headers: dict[str, Any] = {"Authorization": credentials} if credentials else {}
        response = await socket.upgrade(self._path + ("?resume=1" if comes_back else ""), **headers)
        if response.status != 101:
            raise RefusedError(response.error["code"])
        return SocketWire(socket, self._opcode)


# ---- over HTTP/2


class _Client(Http2Client):
    """A client that can be cut off without waiting."""

    def abort(self) -> None:
        self._writer.transport.abort()

    async def connect(self) -> None:
        """Its reading task ends with the connection."""
        await self.__aenter__()


class Http2Wire(Wire):
    """A stream of SageMaker's endpoint. HTTP/2 has no close codes: the exception at the end names the error, and the
    error's close code is what a WebSocket's would be."""

    def __init__(self, client: _Client, stream: ClientStream) -> None:
        self._client = client
        self._stream = stream
        # No verification: a chain that begins anywhere.
        self._signer = EventSigner("0" * 64)
        self._decoder = Decoder()
        self._received: deque[PayloadPart | StreamFailure] = deque()
        self._ending = WireClosedError(1000, "")
        stream.holds_credit = True

    async def send_message(self, message: bytes) -> None:
        try:
            if not self._is_gone:
                await self._stream.send(self._signer.sign(encode_part(message)))
        except AssertionError:
            if not self._is_gone:
                raise

    @property
    def _is_gone(self) -> bool:
        return self._stream.reset_code is not None or self._client.is_lost

    async def receive(self) -> Event:
        while not self._received:
            await self._read()
        received = self._received.popleft()
        if isinstance(received, PayloadPart):
            assert received.is_text
            assert received.is_complete
            event = json.loads(received.data)
            assert isinstance(event, dict)
            return event
        # An InternalStreamFailure has no code of its own: its message begins with it.
        code = received.code or received.message.partition(":")[0]
        self._ending = WireClosedError(ERRORS[code].ws_close, code)
        return await self.receive()

    async def _read(self) -> None:
        stream = self._stream
        if self._is_gone and not stream.has_ended:
            raise WireClosedError(DROPPED, "")
        stream.return_credit()
        data = await stream.read()
        stream.holds_credit = True
        if not data:
            assert self._decoder.is_between_messages
            self._client.abort()
            raise self._ending
        self._received.extend(parse_response(message) for message in self._decoder.feed(data))

    def abort(self) -> None:
        self._client.abort()

    async def close(self, code: int) -> None:
        """It is over without END_STREAM, which would be the end of the input."""
        codes = {1000: ErrorCodes.CANCEL, 1001: ErrorCodes.NO_ERROR}
        self._stream.reset(codes.get(code, ErrorCodes.INTERNAL_ERROR))
        self._client.ping()
        await self._client.until_pong()
        self._client.abort()


class Http2:
    """SageMaker's endpoint."""

    name = "http2"

    async def connect(self, server: ContractServer, *, comes_back: bool, credentials: str) -> Wire:
        client = _Client(server.http2_port)
        await client.connect()
        server.wires.append(client)
        headers = {"content-type": EVENT_STREAM}
        if comes_back:
            headers["x-amzn-sagemaker-model-query-string"] = "resume=1"
        if credentials:
            headers["authorization"] = credentials
        stream = client.open(TARGET, headers)
        status, _ = await stream.head()
        if status != 200:
            raise RefusedError(json.loads(await stream.read_all())["ErrorCode"])
        return Http2Wire(client, stream)


TRANSPORTS: dict[str, Transport] = {
    transport.name: transport
    for transport in (
        Memory(),
        WebSocket("websocket", "/v1/realtime", TEXT),
        WebSocket("container", "/invocations-bidirectional-stream", BINARY),
        Http2(),
    )
}
"""By name. Every test of the contract runs over all of them."""
