"""An HTTP/2 client for tests, frame by frame or request by request, and a server's handler that records.

Frames, hand-made, with nothing in between:

    async with RawHttp2(port) as peer:                    # connects; says preface and SETTINGS (`greet=False`: nothing)
        peer.send(headers_frame(1), data_frame(1, b"x"))  # any hyperframe frames; `peer.send_bytes(b"...")` for others
        frame = await peer.frame(DataFrame)               # the next DATA frame; whatever was read is in `peer.frames`
        await peer.until_eof()                            # the server has closed the connection
        peer.eof()                                        # half-close TCP; `peer.abort()` drops it

Requests, through h2, with a task that reads in the background:

    async with Http2Client(port) as client:               # `ssl_context=client_context(ca)` for TLS
        stream = client.open("/endpoints/x/invocations-bidirectional-stream", {"x-amzn-...": "..."})
        await stream.send(b"...")                         # waits for the windows' credit
        status, headers = await stream.head()             # headers: dict of str
        data = await stream.read()                        # what has come, b"" at END_STREAM
        body = await stream.read_all()
        stream.end()                                      # END_STREAM;  `stream.reset(code)` for RST_STREAM
        await stream.until_reset()                        # the code of the server's RST_STREAM
        client.ping(); await client.until_pong(); await client.until_goaway()

`stream.holds_credit = True` stops the answers to the stream's DATA: no WINDOW_UPDATE is sent (neither for the stream
nor for its share of the connection) until `stream.return_credit()`. `client.protocol` is the H2Connection; change it
and call `client.flush()` for anything that is missing here. `initial_window_bytes` is what its SETTINGS say. Reading
from a stream that was reset, or whose connection is gone, fails the test with what happened.

On the server's side `Recorder` is a `HandlerFactory`: `(await recorder.handler()).exchange` answers, its `.data` and
`.events` tell what came; `await recorder.until("...", lambda: ...)` waits for something of it. `echoing()` makes one
that echoes. `async with listening(recorder) as (listener, port)` runs a listener around a test.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from parley.ingress.http2.exchange import Exchange, ExchangeHandler, Request
from parley.ingress.http2.limits import Http2Limits
from parley.ingress.http2.listener import Http2Listener
from tests.support.waiting import BOUND_S, Changes, bounded

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Fields = list[tuple[str, str]]

_READ_BYTES = 65_536


def request_fields(path: str = "/", headers: Mapping[str, str] | None = None, method: str = "POST") -> Fields:
    """A request's fields, pseudo-fields first."""
    pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "parley.test")]
    return pseudo + list((headers or {}).items())


def headers_frame(
    stream_id: int, fields: Fields | None = None, *, end_stream: bool = False, end_headers: bool = True
) -> HeadersFrame:
    """A request's HEADERS, or whatever the fields say. No field of it enters the compression's table, so that frames
    can be sent in any order and more than once."""
    frame = HeadersFrame(stream_id)
    frame.data = header_block(request_fields() if fields is None else fields)
    if end_headers:
        frame.flags.add("END_HEADERS")
    if end_stream:
        frame.flags.add("END_STREAM")
    return frame


def header_block(fields: Fields) -> bytes:
    """Fields as HPACK literals that are never indexed."""
    return Encoder().encode([(name.encode(), value.encode(), True) for name, value in fields], huffman=False)


def data_frame(stream_id: int, data: bytes, *, end_stream: bool = False, pad_bytes: int | None = None) -> DataFrame:
    """A DATA frame."""
    frame = DataFrame(stream_id, data=data)
    if end_stream:
        frame.flags.add("END_STREAM")
    if pad_bytes is not None:
        frame.flags.add("PADDED")
        frame.pad_length = pad_bytes
    return frame


def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context that trust each other; the client's offers ALPN `h2`."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server)
    return server, client_context(authority)


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """A client's context that trusts this authority and offers ALPN `h2`."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["h2"])
    return context


async def _connect(
    host: str, port: int, ssl_context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await bounded("connecting", asyncio.open_connection(host, port, ssl=ssl_context))


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    try:
        async with asyncio.timeout(BOUND_S):
            await writer.wait_closed()
    except OSError:
        pass


class RawHttp2:
    """A peer that sends what it is told to and nothing by itself."""

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        ssl_context: ssl.SSLContext | None = None,
        greet: bool = True,
        settings: Mapping[int, int] | None = None,
    ) -> None:
        self.frames: list[Frame] = []
        """Every frame that was read, in order; those that `frame` passed over as well."""
        self._port = port
        self._host = host
        self._ssl_context = ssl_context
        self._greet = greet
        self._settings = dict(settings or {})
        self._decoder = Decoder()

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await _connect(self._host, self._port, self._ssl_context)
        if self._greet:
            self.send_bytes(PREFACE)
            self.send(SettingsFrame(0, settings=self._settings))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _close(self._writer)

    def send(self, *frames: Frame) -> None:
        """Send frames, in one piece."""
        self.send_bytes(b"".join(frame.serialize() for frame in frames))

    def send_bytes(self, data: bytes) -> None:
        """Send anything."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the kernel has taken what was sent."""
        await bounded("sending", self._writer.drain())

    async def send_apart(self, data: bytes) -> None:
        """Send byte by byte, so that they are read apart as far as possible."""
        for at in range(len(data)):
            self.send_bytes(data[at : at + 1])
            await self.drain()
            await asyncio.sleep(0)

    def eof(self) -> None:
        """Half-close TCP."""
        self._writer.write_eof()

    def abort(self) -> None:
        """Drop the connection."""
        self._writer.transport.abort()

    async def next_frame(self) -> Frame | None:
        """The next frame, None at the connection's end."""
        try:
            async with asyncio.timeout(BOUND_S):
                head = await self._reader.readexactly(9)
                frame, length = Frame.parse_frame_header(memoryview(head))
                frame.parse_body(memoryview(await self._reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        except TimeoutError:
            raise AssertionError(f"no frame came within {BOUND_S:g} s; before: {self.frames}") from None
        self.frames.append(frame)
        return frame

    async def frame[F: Frame](self, kind: type[F], stream_id: int | None = None) -> F:
        """The next frame of a type, and of a stream if one is named."""
        while (frame := await self.next_frame()) is not None:
            if isinstance(frame, kind) and stream_id in (None, frame.stream_id):
                return frame
        raise AssertionError(f"the connection ended without {kind.__name__}: {self.frames}")

    async def pong(self) -> PingFrame:
        """Send a PING and wait for its answer: everything sent before has been read by the server, and what it wrote
        at once is in `frames`."""
        self.send(PingFrame(0, opaque_data=b"awaited!"))
        while True:
            frame = await self.frame(PingFrame)
            if "ACK" in frame.flags and frame.opaque_data == b"awaited!":
                return frame

    async def goaway(self) -> ErrorCodes:
        """The code of the server's GOAWAY."""
        return ErrorCodes((await self.frame(GoAwayFrame)).error_code)

    async def until_eof(self) -> list[Frame]:
        """All frames up to the end of the connection."""
        while await self.next_frame() is not None:
            pass
        return self.frames

    def fields(self, frame: HeadersFrame) -> dict[str, str]:
        """What a HEADERS frame of the server's says; call it for each one, in order."""
        return {_text(name): _text(value) for name, value in self._decoder.decode(frame.data)}

    def data(self, stream_id: int) -> bytes:
        """The body of a stream, as far as its frames were read."""
        return b"".join(
            frame.data for frame in self.frames if isinstance(frame, DataFrame) and frame.stream_id == stream_id
        )


class _Protocol(H2Connection):
    """h2 for a client whose server drains: GOAWAY(NO_ERROR) does not end what is open."""

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        if frame.error_code != ErrorCodes.NO_ERROR:
            return super()._receive_goaway_frame(frame)
        event = ConnectionTerminated()
        event.error_code = ErrorCodes.NO_ERROR
        event.last_stream_id = frame.last_stream_id
        return [], [event]


class ClientStream:
    """One request of an `Http2Client`."""

    def __init__(self, client: "Http2Client", stream_id: int) -> None:
        self.stream_id = stream_id
        self.holds_credit = False
        self.received = bytearray()
        """The answer's whole body so far, also what `read` has returned."""
        self.has_ended = False
        self.reset_code: ErrorCodes | None = None
        """Of the server's RST_STREAM."""
        self._client = client
        self._head: tuple[int, dict[str, str]] | None = None
        self._read_bytes = 0
        self._owed_bytes = 0

    async def send(self, data: bytes, *, end_stream: bool = False) -> None:
        """Send data when the windows have room for it; fails when the stream ends before."""
        protocol = self._client.protocol
        view = memoryview(data)
        while view:
            await self._client.until(f"stream {self.stream_id} may send", lambda: self.room_bytes > 0 or self._is_over)
            assert not self._is_over, self._what_happened()
            size = min(self.room_bytes, protocol.max_outbound_frame_size, len(view))
            protocol.send_data(self.stream_id, view[:size].tobytes())
            view = view[size:]
            self._client.flush()
        if end_stream:
            self.end()

    @property
    def room_bytes(self) -> int:
        """What both windows let through now; 0 when the stream is over."""
        if self._is_over:
            return 0
        return self._client.protocol.local_flow_control_window(self.stream_id)

    def end(self) -> None:
        """Send END_STREAM."""
        self._client.protocol.end_stream(self.stream_id)
        self._client.flush()

    def reset(self, code: ErrorCodes = ErrorCodes.CANCEL) -> None:
        """Send RST_STREAM."""
        self._client.protocol.reset_stream(self.stream_id, code)
        self._client.flush()

    async def head(self) -> tuple[int, dict[str, str]]:
        """The answer's status and its other fields."""
        await self._client.until(f"stream {self.stream_id} has an answer", lambda: bool(self._head) or self._is_over)
        assert self._head is not None, self._what_happened()
        return self._head

    async def read(self) -> bytes:
        """What has come of the body since the last read, waiting for something; empty at its end."""
        await self._client.until(
            f"stream {self.stream_id} has data", lambda: len(self.received) > self._read_bytes or self._is_settled
        )
        data = bytes(self.received[self._read_bytes :])
        assert data or self.has_ended, self._what_happened()
        self._read_bytes = len(self.received)
        return data

    async def read_all(self) -> bytes:
        """The rest of the body."""
        parts = []
        while data := await self.read():
            parts.append(data)
        return b"".join(parts)

    async def until_received(self, size: int) -> None:
        """Wait until the body has so many bytes."""
        await self._client.until(
            f"stream {self.stream_id} has {size} bytes", lambda: len(self.received) >= size or self._is_settled
        )
        assert len(self.received) >= size, self._what_happened()

    async def until_reset(self) -> ErrorCodes:
        """The code of the server's RST_STREAM."""
        await self._client.until(f"stream {self.stream_id} was reset", lambda: self._is_over)
        assert self.reset_code is not None, self._what_happened()
        return self.reset_code

    def return_credit(self) -> None:
        """Let what was held flow again."""
        self.holds_credit = False
        self._pay()

    @property
    def _is_over(self) -> bool:
        return self.reset_code is not None or self._client.is_lost

    @property
    def _is_settled(self) -> bool:
        return self.has_ended or self._is_over

    def _what_happened(self) -> str:
        return (
            f"stream {self.stream_id}: reset {self.reset_code!r}, ended {self.has_ended}, connection lost "
            f"{self._client.is_lost}, GOAWAY {self._client.goaway_code!r}, {len(self.received)} bytes"
        )

    def take(self, event: Event) -> None:
        """h2 saw something of this stream."""
        if isinstance(event, ResponseReceived):
            fields = {_text(name): _text(value) for name, value in event.headers or ()}
            self._head = int(fields.pop(":status")), fields
        elif isinstance(event, DataReceived):
            self.received += event.data or b""
            self._owed_bytes += event.flow_controlled_length or 0
            self._pay()
        elif isinstance(event, StreamEnded):
            self.has_ended = True
        elif isinstance(event, StreamReset):
            self.reset_code = ErrorCodes(event.error_code or 0)

    def _pay(self) -> None:
        if self._owed_bytes and not self.holds_credit:
            self._client.protocol.acknowledge_received_data(self._owed_bytes, self.stream_id)
            self._owed_bytes = 0
            self._client.flush()


class Http2Client:
    """A client of one connection. Its reading task lives within `async with`."""

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        ssl_context: ssl.SSLContext | None = None,
        initial_window_bytes: int = 65_535,
    ) -> None:
        self.protocol = _Protocol(H2Configuration(client_side=True, header_encoding=None))
        self.streams: dict[int, ClientStream] = {}
        self.is_lost = False
        """Whether the connection has ended."""
        self.goaway_code: ErrorCodes | None = None
        self.last_stream_id: int | None = None
        """What the server's GOAWAY said."""
        self.pongs = 0
        self._port = port
        self._host = host
        self._ssl_context = ssl_context
        self._initial_window_bytes = initial_window_bytes
        self._changes = Changes()

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await _connect(self._host, self._port, self._ssl_context)
        self.protocol.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = self._initial_window_bytes
        self.protocol.local_settings.acknowledge()
        self.protocol.initiate_connection()
        self.flush()
        self._task = asyncio.create_task(self._read(), name="Http2Client")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await _close(self._writer)

    def open(
        self,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
        end_stream: bool = False,
    ) -> ClientStream:
        """Send a request's head."""
        stream_id = self.protocol.get_next_available_stream_id()
        stream = self.streams[stream_id] = ClientStream(self, stream_id)
        self.protocol.send_headers(stream_id, request_fields(path, headers, method), end_stream=end_stream)
        self.flush()
        return stream

    def ping(self) -> None:
        """Send a PING."""
        self.protocol.ping(b"awaited!")
        self.flush()

    async def until_pong(self, pongs: int = 1) -> None:
        """Wait until so many PINGs have been answered."""
        await self.until(f"{pongs} PINGs answered", lambda: self.pongs >= pongs or self.is_lost)
        assert self.pongs >= pongs, "the connection was lost"

    async def until_goaway(self) -> ErrorCodes:
        """The code of the server's GOAWAY."""
        await self.until("GOAWAY", lambda: self.goaway_code is not None or self.is_lost)
        assert self.goaway_code is not None, "the connection was lost without GOAWAY"
        return self.goaway_code

    async def until_lost(self) -> None:
        """Wait until the server has closed the connection."""
        await self.until("the connection's end", lambda: self.is_lost)

    async def until(self, what: str, is_true: Callable[[], bool]) -> None:
        """Wait until something is true that what the server sends can make true."""
        await self._changes.until(what, is_true)

    def flush(self) -> None:
        """Send what h2 has to say."""
        data = self.protocol.data_to_send()
        if data and not self._writer.is_closing():
            self._writer.write(data)

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(_READ_BYTES):
                for event in self.protocol.receive_data(data):
                    self._take(event)
                self.flush()
                self._changes.notify()
        except (ConnectionError, ProtocolError):
            pass
        finally:
            self.is_lost = True
            self._changes.notify()

    def _take(self, event: Event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", None) or 0)
        if stream is not None:
            stream.take(event)
        elif isinstance(event, PingAckReceived):
            self.pongs += 1
        elif isinstance(event, ConnectionTerminated):
            self.goaway_code = ErrorCodes(event.error_code or 0)
            self.last_stream_id = event.last_stream_id


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@dataclass
class RecordedExchange:
    """An `ExchangeHandler` that keeps what it hears. `events` are the names of the calls in order, runs of
    `data_received` as one."""

    request: Request
    exchange: Exchange
    changes: Changes
    on_data: Callable[["RecordedExchange", bytes], None] | None = None
    on_end: Callable[["RecordedExchange"], None] | None = None
    pauses_when_blocked: bool = False
    data: bytearray = field(default_factory=bytearray)
    pieces: list[int] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.pieces.append(len(data))
        if self.events[-1:] != ["data_received"]:
            self._note("data_received")
        if self.on_data is not None:
            self.on_data(self, data)
        self.changes.notify()

    def input_ended(self) -> None:
        self._note("input_ended")
        if self.on_end is not None:
            self.on_end(self)

    def lost(self) -> None:
        self._note("lost")

    def writing_blocked(self) -> None:
        self._note("writing_blocked")
        if self.pauses_when_blocked:
            self.exchange.pause_reading()

    def writing_unblocked(self) -> None:
        self._note("writing_unblocked")
        if self.pauses_when_blocked:
            self.exchange.resume_reading()

    @property
    def is_blocked(self) -> bool:
        """Whether it was told so last."""
        told = [event for event in self.events if event.startswith("writing_")]
        return told[-1:] == ["writing_blocked"]

    def answer(self, body: bytes = b"", status: int = 200) -> None:
        """A whole answer."""
        self.exchange.respond(status)
        self.exchange.write(body)
        self.exchange.finish()

    def _note(self, event: str) -> None:
        self.events.append(event)
        self.changes.notify()


class Recorder:
    """A `HandlerFactory`. `on_request` is called with the new handler, while the factory runs."""

    def __init__(
        self,
        on_request: Callable[[RecordedExchange], None] | None = None,
        *,
        on_data: Callable[[RecordedExchange, bytes], None] | None = None,
        on_end: Callable[[RecordedExchange], None] | None = None,
    ) -> None:
        self.handlers: list[RecordedExchange] = []
        self._changes = Changes()
        self._on_request = on_request
        self._on_data = on_data
        self._on_end = on_end

    def __call__(self, request: Request, exchange: Exchange) -> ExchangeHandler:
        handler = RecordedExchange(request, exchange, self._changes, self._on_data, self._on_end)
        self.handlers.append(handler)
        if self._on_request is not None:
            self._on_request(handler)
        self._changes.notify()
        return handler

    async def handler(self, index: int = 0) -> RecordedExchange:
        """The handler of the so manieth request, waiting for it."""
        await self._changes.until(f"{index + 1} requests", lambda: len(self.handlers) > index)
        return self.handlers[index]

    async def until(self, what: str, is_true: Callable[[], bool]) -> None:
        """Wait until something is true that a request's handler hears."""
        await self._changes.until(what, is_true)


def echoing() -> Recorder:
    """A server that answers with what it reads, ends when its client does, and reads no more than that takes."""

    def begin(handler: RecordedExchange) -> None:
        handler.pauses_when_blocked = True
        handler.exchange.respond(200)

    return Recorder(
        begin,
        on_data=lambda handler, data: handler.exchange.write(data),
        on_end=lambda handler: handler.exchange.finish(),
    )


@asynccontextmanager
async def listening(
    recorder: Callable[[Request, Exchange], ExchangeHandler],
    limits: Http2Limits | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[Http2Listener, int]]:
    """A listener and its port."""
    listener = Http2Listener(recorder, limits or Http2Limits(linger_s=0.2), ssl_context)
    port = await listener.start("127.0.0.1", 0)
    try:
        yield listener, port
    finally:
        await bounded("the listener closes", listener.close())


def window_update(stream_id: int, increment: int) -> WindowUpdateFrame:
    """A WINDOW_UPDATE frame; the increment is not checked."""
    frame = WindowUpdateFrame(stream_id)
    frame.window_increment = increment
    return frame


def serialized(frames: Iterable[Frame]) -> bytes:
    """Frames as bytes."""
    return b"".join(frame.serialize() for frame in frames)
