"""Containers as doubles, on libraries that Parley does not use: one that behaves, one that does what a test says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from types import TracebackType
from typing import NamedTuple, Self, cast

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from wsproto.utilities import generate_accept_token

from parley.upstream.container.container import ContainerOptions, ContainerUpstream
from parley.upstream.container.socket import ContainerSocket, SocketOptions
from tests.support.waiting import Changes, bounded

BIDIRECTIONAL = "/invocations-bidirectional-stream"
REQUEST_ID = "7f1c-of-the-test"


class Part(NamedTuple):
    """A frame."""

    data: bytes
    is_text: bool = True
    is_last: bool = True


class Sink:
    """What a relay would have heard."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended: list[tuple[int | None, str]] = []
        self.blocked: list[bool] = []
        self.changes = Changes()

    def frame_received(self, data: bytes, *, is_text: bool, is_last: bool) -> None:
        assert not self.ended, "nothing follows the end"
        self.parts.append(Part(data, is_text, is_last))
        self.changes.notify()

    def container_closed(self, code: int | None, reason: str) -> None:
        self.ended.append((code, reason))
        self.changes.notify()

    def writing_blocked(self) -> None:
        self.blocked.append(True)
        self.changes.notify()

    def writing_unblocked(self) -> None:
        self.blocked.append(False)
        self.changes.notify()

    async def until_parts(self, count: int) -> list[Part]:
        await self.changes.until(f"{count} frames", lambda: len(self.parts) >= count)
        return self.parts

    async def until_ended(self) -> tuple[int | None, str]:
        await self.changes.until("the end", lambda: bool(self.ended))
        (end,) = self.ended
        return end

    async def until_blocked(self, *blocked: bool) -> None:
        await self.changes.until(f"blocked {blocked}", lambda: tuple(self.blocked) == blocked)


class Stage:
    """Containers as Parley sees them, each with its health task; left with nothing open."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def upstream(self, url: str, *, wait_ready: bool = True, **options: float) -> ContainerUpstream:
        """`options` are those of `SocketOptions` and `ContainerOptions`, the latter's bounds being generous."""
        usual = {
            "accept_timeout_s": 10.0,
            "handshake_timeout_s": 10.0,
            "probe_interval_s": 0.02,
            "probe_timeout_s": 10.0,
        }
        outer = {name: options.pop(name, value) for name, value in usual.items()}
        upstream = ContainerUpstream(url, ContainerOptions(**outer, socket=SocketOptions(**options)))  # type: ignore[arg-type]
        changes = Changes()
        upstream.health.on_change = changes.notify
        task = asyncio.create_task(upstream.run())
        self._stack.push_async_callback(self._end, upstream, task)
        if wait_ready:
            await changes.until("the container is ready", lambda: upstream.ready)
        return upstream

    @staticmethod
    async def _end(upstream: ContainerUpstream, task: asyncio.Task[None]) -> None:
        await bounded("what is open is closed", upstream.close())
        assert upstream.streams == 0
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def staging() -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        yield Stage(stack)


async def opened(
    upstream: ContainerUpstream, sink: Sink | None = None, path: str = "", query: str = ""
) -> tuple[ContainerSocket, Sink]:
    """A stream on the container, and what it heard."""
    sink = sink or Sink()
    return await bounded("a stream", upstream.open(path, query, REQUEST_ID, sink)), sink


# ---- one that behaves


@asynccontextmanager
async def echoing() -> AsyncIterator[str]:
    """A container that sends every message back. Its URL.

    One that came in fragments goes in as many, and with the empty last one that the library adds.
    """

    async def echo(connection: ServerConnection) -> None:
        try:
            while True:
                fragments = [one async for one in connection.recv_streaming()]
                await connection.send(fragments[0] if len(fragments) == 1 else fragments)
        except (ConnectionClosed, EOFError):
            return

    def answer_ping(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(HTTPStatus.OK, "") if request.path == "/ping" else None

    async with serve(echo, "127.0.0.1", 0, process_request=answer_ping, max_size=None, ping_interval=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


# ---- one that does what a test says


class RawContainer:
    """A container made by hand. Its attributes are orders for connections to come."""

    def __init__(self) -> None:
        self.connections: list[RawConnection] = []
        self.changes = Changes()
        self.ping_status: int | None = 200
        """What `/ping` answers; None: nothing."""
        self.pings_asked = 0
        self.refuses_with = 0
        self.answers_with: bytes | None = None
        """Instead of an answer to the handshake; empty: none ever comes."""
        self.hangs_up = False
        self.says_first = b""
        """Sent in one write with the handshake's answer."""
        self.adds_headers = b""
        self.answers_pings = True
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def streams(self) -> list["RawConnection"]:
        """The connections that asked for a WebSocket, oldest first."""
        return [one for one in self.connections if one.path and one.path != "/ping"]

    async def stream(self, number: int = 0) -> "RawConnection":
        await self.changes.until(f"stream {number}", lambda: len(self.streams) > number)
        return self.streams[number]

    async def until_asked(self, times: int) -> None:
        await self.changes.until(f"{times} times GET /ping", lambda: self.pings_asked >= times)

    async def start(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: RawConnection(self), "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
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


class RawConnection(asyncio.Protocol):
    """One connection to it. Frames that came are in `parts`, and each method is an order."""

    def __init__(self, container: RawContainer) -> None:
        self.path = ""
        self.head = b""
        self.parts: list[Part] = []
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.close_code: int | None = None
        self.close_reason = ""
        self.is_lost = False
        self._container = container
        self._received = bytearray()
        self._frames: Connection | None = None
        self._transport: asyncio.Transport | None = None

    # ---- waits

    async def until_parts(self, count: int) -> list[Part]:
        await self._container.changes.until(f"{count} frames", lambda: len(self.parts) >= count)
        return self.parts

    async def until_pongs(self, count: int) -> list[bytes]:
        await self._container.changes.until(f"{count} pongs", lambda: len(self.pongs) >= count)
        return self.pongs

    async def until_pings(self, count: int) -> list[bytes]:
        await self._container.changes.until(f"{count} pings", lambda: len(self.pings) >= count)
        return self.pings

    async def until_closed(self) -> int | None:
        await self._container.changes.until("a Close frame", lambda: self.close_code is not None)
        return self.close_code

    async def until_lost(self) -> None:
        await self._container.changes.until("the connection is lost", lambda: self.is_lost)

    # ---- orders

    def send(self, data: bytes, *, is_text: bool = True, is_last: bool = True) -> None:
        """A frame; one that is not the last is continued by the next."""
        if is_text:
            self._send(TextMessage(data.decode(), message_finished=is_last))
        else:
            self._send(BytesMessage(data, message_finished=is_last))

    def ping(self, payload: bytes) -> None:
        self._send(Ping(payload))

    def close(self, code: int, reason: str | None = None) -> None:
        self._send(CloseConnection(code, reason))

    def send_raw(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def stop_reading(self) -> None:
        assert self._transport is not None
        self._transport.pause_reading()

    def read_again(self) -> None:
        assert self._transport is not None
        self._transport.resume_reading()

    @property
    def unsent_bytes(self) -> int:
        """What it wrote and the kernel would not take."""
        assert self._transport is not None
        return self._transport.get_write_buffer_size()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def end_tcp(self) -> None:
        """FIN without a Close frame."""
        assert self._transport is not None
        self._transport.close()

    # ---- from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of asyncio's class.
        self._transport = cast(asyncio.Transport, transport)
        self._container.connections.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._container.changes.notify()

    def data_received(self, data: bytes) -> None:
        if self._frames is None:
            self._received += data
            head, end, rest = bytes(self._received).partition(b"\r\n\r\n")
            if end:
                self._received.clear()
                self.head = head
                self.path = head.split(b" ")[1].decode()
                self._answer(rest)
        else:
            self._take(data)
        self._container.changes.notify()

    def _answer(self, rest: bytes) -> None:
        container = self._container
        if self.path == "/ping":
            container.pings_asked += 1
            if container.ping_status is not None:
                self.send_raw(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % container.ping_status)
        elif container.hangs_up:
            self.end_tcp()
        elif container.answers_with is not None:
            self.send_raw(container.answers_with)
        elif container.refuses_with:
            self.send_raw(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nno" % container.refuses_with)
        else:
            self.accept(rest)

    def accept(self, rest: bytes = b"") -> None:
        """Agree to the WebSocket."""
        (key,) = (line[19:] for line in self.head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: "))
        self._frames = Connection(ConnectionType.SERVER)
        self.send_raw(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n%b\r\n"
            % (generate_accept_token(key), self._container.adds_headers)
            + self._container.says_first
        )
        if rest:
            self._take(rest)

    def _take(self, data: bytes) -> None:
        assert self._frames is not None
        self._frames.receive_data(data)
        for event in self._frames.events():
            self._note(event)

    def _note(self, event: Event) -> None:
        if isinstance(event, Message):
            data = event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
            before = self._received
            before += data
            if event.frame_finished:
                self.parts.append(Part(bytes(before), isinstance(event, TextMessage), event.message_finished))
                before.clear()
        elif isinstance(event, Ping):
            self.pings.append(bytes(event.payload))
            if self._container.answers_pings:
                self._send(event.response())
        elif isinstance(event, Pong):
            self.pongs.append(bytes(event.payload))
        elif isinstance(event, CloseConnection):
            self.close_code, self.close_reason = event.code, event.reason or ""
            assert self._frames is not None
            if self._frames.state is ConnectionState.REMOTE_CLOSING:
                self._send(event.response())

    def _send(self, event: Event) -> None:
        assert self._frames is not None
        if not self.is_lost:
            self.send_raw(self._frames.send(event))
