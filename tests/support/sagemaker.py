"""SageMaker's endpoint as a double: HTTP/2 over TLS on loopback, each stream in the hands of its test's handler.

Misbehaviour that a decent listener can't be led into, such as a reset in mid-stream, is told to this one.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hyperframe.frame
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from parley.wire.event_stream import Decoder
from parley.wire.payload_part import (
    PayloadPart,
    encode_internal_stream_failure,
    encode_model_stream_error,
    encode_part,
    parse_part,
)
from tests.support.waiting import Changes

_READ_BYTES = 65_536
_CANCEL = 8


class ServerStream:
    """One invocation as its server sees it. `parts` that came are taken with `receive`."""

    def __init__(self, connection: "_ServerConnection", stream_id: int, headers: dict[str, str]) -> None:
        self.connection = connection
        self.headers = headers
        self.is_cut = False
        """Whether the client reset it, or its connection is gone."""
        self.takes_credit = True
        """Whether what the client sends is given back to its window."""
        self.has_ended = False
        """Whether the client's END_STREAM came; `is_proven` with the empty signing event before it."""
        self.is_proven = False
        self.parts: list[PayloadPart] = []
        self.changes = Changes()
        self._news = asyncio.Event()
        self._id = stream_id
        self._decoder = Decoder()
        self._is_open = False
        self._taken = 0

    @property
    def endpoint(self) -> str:
        return self.headers[":path"].split("/")[2]

    @property
    def query(self) -> str:
        return self.headers.get("x-amzn-sagemaker-model-query-string", "")

    async def receive(self) -> bytes | None:
        """The next part's bytes; None when the client sends no more. A server has no reason to hurry."""
        while not (len(self.parts) > self._taken or self.has_ended or self.is_cut):
            self._news.clear()
            await self._news.wait()
        if len(self.parts) == self._taken:
            return None
        self._taken += 1
        return self.parts[self._taken - 1].data

    async def until_ended(self) -> None:
        """Wait for the client's end, of whichever kind."""
        await self.changes.until("the client's end", lambda: self.has_ended or self.is_cut)

    def open(self) -> None:
        """Answer with 200."""
        if not self._is_open:
            self._is_open = True
            headers = [(":status", "200"), ("content-type", "application/vnd.amazon.eventstream")]
            self.connection.call(lambda wire: wire.send_headers(self._id, headers))

    async def say(self, *parts: bytes) -> None:
        """Send parts."""
        for part in parts:
            await self.write(encode_part(part))

    async def write(self, data: bytes) -> None:
        """Send bytes, as the client's windows allow."""
        self.open()
        while data:
            size = min(self.connection.window(self._id), len(data), 16_384)
            if size:
                self._send(data[:size])
                data = data[size:]
            else:
                await self.changes.until("credit", lambda: self.is_cut or self.connection.window(self._id) > 0)
                if self.is_cut:
                    raise ConnectionResetError
        await asyncio.sleep(0)

    def _send(self, piece: bytes) -> None:
        self.connection.call(lambda wire: wire.send_data(self._id, piece))

    def end(self) -> None:
        """END_STREAM."""
        self.open()
        self.connection.call(lambda wire: wire.end_stream(self._id))

    async def fail(self, message: str, code: str) -> None:
        """A ModelStreamError, and the end."""
        await self.write(encode_model_stream_error(message, code))
        self.end()

    async def break_down(self, message: str) -> None:
        """An InternalStreamFailure, and the end."""
        await self.write(encode_internal_stream_failure(message))
        self.end()

    def refuse(self, status: int, name: str, **fields: object) -> None:
        """An answer that is no stream."""
        body = json.dumps(fields).encode()
        headers = [(":status", str(status)), ("content-type", "application/json"), ("x-amzn-errortype", name)]
        self.connection.call(lambda wire: wire.send_headers(self._id, headers))
        self.connection.call(lambda wire: wire.send_data(self._id, body, end_stream=True))

    def reset(self) -> None:
        """RST_STREAM in the midst."""
        self.connection.call(lambda wire: wire.reset_stream(self._id, _CANCEL))

    # ---- from the connection

    def take(self, data: bytes) -> None:
        for wrapper in self._decoder.feed(data):
            if wrapper.payload:
                self.parts.append(parse_part(self._decoder.decode(wrapper.payload)))
            else:
                self.is_proven = True
        self._notify()

    def ended(self) -> None:
        self.has_ended = True
        self._notify()

    def cut(self) -> None:
        self.is_cut = True
        self._notify()

    def _notify(self) -> None:
        self._news.set()
        self.changes.notify()


Handler = Callable[[ServerStream], Awaitable[None]]


class _ServerConnection(asyncio.Protocol):
    def __init__(self, server: "SageMakerDouble") -> None:
        self._server = server
        self._wire = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False)
        )
        self._transport: asyncio.Transport | None = None
        self.streams: dict[int, ServerStream] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's TLS transport is none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.append(self)
        self._wire.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for stream in self.streams.values():
            stream.cut()
        self._server.connections.remove(self)
        self._server.changes.notify()

    def data_received(self, data: bytes) -> None:
        try:
            events = self._wire.receive_data(data)
        except h2.exceptions.ProtocolError:
            # What was on its way when the connection was ended from here.
            if self._wire.state_machine.state is not h2.connection.ConnectionState.CLOSED:
                raise
            return
        for event in events:
            match event:
                case h2.events.RequestReceived(stream_id=stream_id, headers=headers):
                    assert stream_id is not None
                    named = {str(name): str(value) for name, value in headers or ()}
                    stream = self.streams[stream_id] = ServerStream(self, stream_id, named)
                    self._server.accept(stream)
                case h2.events.DataReceived(stream_id=stream_id, data=body, flow_controlled_length=length):
                    stream = self.streams[stream_id or 0]
                    if stream.takes_credit and length:
                        self._wire.acknowledge_received_data(length, stream_id or 0)
                    stream.take(body or b"")
                case h2.events.StreamEnded(stream_id=stream_id):
                    self.streams[stream_id or 0].ended()
                case h2.events.StreamReset(stream_id=stream_id):
                    self.streams[stream_id or 0].cut()
                case h2.events.WindowUpdated():
                    for stream in self.streams.values():
                        stream.changes.notify()
                case _:
                    pass
        self._flush()

    def call(self, act: Callable[[h2.connection.H2Connection], None]) -> None:
        try:
            act(self._wire)
        except h2.exceptions.ProtocolError:
            # The client was faster.
            return
        self._flush()

    def window(self, stream_id: int) -> int:
        try:
            return min(self._wire.local_flow_control_window(stream_id), self._wire.max_outbound_frame_size)
        except h2.exceptions.ProtocolError:
            return 1

    def go_away(self) -> None:
        """GOAWAY(NO_ERROR): what runs goes on, nothing new is taken."""
        # By hand: h2 takes it for the end of everything.
        frame = hyperframe.frame.GoAwayFrame(last_stream_id=max(self.streams, default=0))
        if self._transport is not None:
            self._transport.write(frame.serialize())

    def abort(self) -> None:
        """As when the host crashes."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        data = self._wire.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)


class SageMakerDouble:
    """Listens on loopback; `handler` serves every stream. `ca_file` is what a client has to trust."""

    def __init__(self, handler: Handler, folder: Path) -> None:
        self.handler = handler
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections: list[_ServerConnection] = []
        self.streams: list[ServerStream] = []
        self.changes = Changes()
        authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(self._context)
        self._context.set_alpn_protocols(["h2"])

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"https://localhost:{self._server.sockets[0].getsockname()[1]}"

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    def accept(self, stream: ServerStream) -> None:
        self.streams.append(stream)
        self.changes.notify()
        task = asyncio.get_running_loop().create_task(self._serve(stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, stream: ServerStream) -> None:
        try:
            await self.handler(stream)
        except ConnectionResetError:
            return

    def cut(self) -> None:
        """Every connection is gone, without a word."""
        for connection in list(self.connections):
            connection.abort()

    async def until_streams(self, count: int) -> None:
        await self.changes.until(f"{count} streams", lambda: len(self.streams) >= count)

    async def until_alone(self) -> None:
        await self.changes.until("no connection", lambda: not self.connections)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _ServerConnection(self), "127.0.0.1", 0, ssl=self._context)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.cut()
        await self.until_alone()
        await self._server.wait_closed()


class Sidecar:
    """What SageMaker has between its streams and a container: a WebSocket for each stream, a frame for each part. A
    close frame becomes ModelStreamError."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, stream: ServerStream) -> None:
        path = stream.headers.get("x-amzn-sagemaker-model-invocation-path", "v1/realtime")
        try:
            socket = await connect(f"{self._url}/{path}?{stream.query}", compression=None, ping_interval=None)
        except InvalidStatus as refusal:
            status = refusal.response.status_code
            stream.refuse(424, "ModelError", OriginalStatusCode=status, OriginalMessage="refused")
            return
        stream.open()
        async with socket, asyncio.TaskGroup() as tasks:
            downward = tasks.create_task(self._down(socket, stream))
            while (message := await stream.receive()) is not None and not downward.done():
                await socket.send(message, text=True)
            if not stream.has_ended:
                # As a router does that lost its client.
                socket.transport.abort()
            else:
                await socket.close()

    async def _down(self, socket: ClientConnection, stream: ServerStream) -> None:
        try:
            async for message in socket:
                await stream.say(message.encode() if isinstance(message, str) else message)
        except (ConnectionClosed, ConnectionResetError):
            pass
        if not stream.is_cut and not stream.has_ended:
            await stream.fail(socket.close_reason or "", str(socket.close_code))
        stream.cut()
