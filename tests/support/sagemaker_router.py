"""SageMaker as a container sees it: starts the image, asks `/ping`, and relays a client's stream frame by frame.

It shares no WebSocket code with Parley. What it does is the published contract; where that is silent, it does what is
written beside it. One part of a client is one frame, never joined and never cut: PARTIAL is FIN=0, COMPLETE is FIN=1,
UTF8 is text and BINARY, the default, binary. The container's frames become parts the same way, and its Close frame a
`ModelStreamError`.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError

from tests.support.process import ServeProcess
from tests.support.waiting import Changes, bounded

BIDIRECTIONAL = "/invocations-bidirectional-stream"

ACCEPT_S = 0.25
"""A container has to accept a connection within it."""
PING_S = 2.0
"""And to answer `/ping` within this."""
SLACK = 10.0
"""By what both bounds are stretched here: the machine of a test may stop for seconds, SageMaker's should not."""
PINGS_UNANSWERED_MAX = 5
SENT_WITH_THE_HANDSHAKE = (
    (b"X-Amzn-SageMaker-Request-Id", b"0f6d6a52-of-the-test"),
    (b"X-Amzn-SageMaker-Inference-Id", b"inference-of-the-test"),
    (b"X-Amzn-SageMaker-Session-Id", b"NEW_SESSION"),
    (b"X-Amzn-SageMaker-Custom-Attributes", b"a=b"),
)


class ModelError(Exception):
    """The container did not open a WebSocket: the client gets HTTP 424 with the container's status and body."""

    def __init__(self, original_status: int, original_message: bytes) -> None:
        super().__init__(original_status)
        self.original_status = original_status
        self.original_message = original_message

    @property
    def code(self) -> str:
        """Parley's code, if the body is its error."""
        return str(json.loads(self.original_message)["error"]["code"])


@dataclass(frozen=True)
class ModelStreamError:
    """What a client of SageMaker gets for the container's Close frame; how ErrorCode is spelled is not published."""

    error_code: str
    message: str


@dataclass(frozen=True)
class ResponsePart:
    """A part as the client gets it."""

    data: bytes
    data_type: str
    completion_state: str

    @property
    def event(self) -> dict[str, Any]:
        """The part as an event of the vLLM dialect."""
        event = json.loads(self.data)
        assert isinstance(event, dict)
        return event


class RouterStream:
    """One client's stream. Parts that came are in `parts`, and how it ended in `failure`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.parts: list[ResponsePart] = []
        self.failure: ModelStreamError | None = None
        self.is_over = False
        """Whether the container's side has ended; without a `failure` it broke off."""
        self.pings_received = 0
        self.pongs: list[bytes] = []
        self.pings_unanswered = 0
        self._taken = 0
        self._sent_pings = 0
        self._reader = reader
        self._writer = writer
        self._frames = WSConnection(ConnectionType.CLIENT)
        self._partial = bytearray()
        self._rejection: RejectConnection | None = None
        self._rejected_body: bytes | None = None
        self._is_open = False
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._changes = Changes()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, port: int, invocation_path: str = "", query: str = "") -> Self:
        """As SageMaker opens it for an invocation.

        Raises:
            ModelError: the container did not switch protocols.
        """
        try:
            async with asyncio.timeout(ACCEPT_S * SLACK):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except TimeoutError:
            raise AssertionError("the connection was not accepted in time") from None
        # Small, so that a container that does not read is felt after kilobytes instead of megabytes.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        stream = cls(reader, writer)
        target = f"/{invocation_path}" if invocation_path else BIDIRECTIONAL
        request = Request(
            host="localhost:8080",
            target=f"{target}?{query}" if query else target,
            extra_headers=list(SENT_WITH_THE_HANDSHAKE),
        )
        stream._send(request)
        try:
            await stream._changes.until(
                "the handshake", lambda: stream._is_open or stream._rejected_body is not None or stream.is_over
            )
            if not stream._is_open:
                rejection = stream._rejection
                raise ModelError(rejection.status_code if rejection else 0, stream._rejected_body or b"")
        except BaseException:
            await stream.drop()
            raise
        return stream

    # ---- what the client does

    def send_part(self, data: bytes, *, data_type: str = "UTF8", completion_state: str = "COMPLETE") -> None:
        """One part, one frame. A client that names no data type sends BINARY."""
        frame = bytearray(self._frames.send(BytesMessage(data, message_finished=completion_state == "COMPLETE")))
        # wsproto wants text as str, and a part may end within a character: it is the same frame but for its opcode,
        # which a continuation does not have.
        if data_type == "UTF8" and frame[0] & 0x0F == 2:
            frame[0] -= 1
        self._writer.write(frame)

    def send_event(self, kind: str, **fields: object) -> None:
        """An event of the vLLM dialect in one part."""
        self.send_part(json.dumps({"type": kind, **fields}).encode())

    def send_bytes(self, data: bytes) -> None:
        """What no router sends."""
        self._writer.write(data)

    async def part(self) -> ResponsePart:
        """The next part."""
        await self._changes.until("a part", lambda: len(self.parts) > self._taken or self.is_over)
        assert len(self.parts) > self._taken, f"it ended instead: {self.failure}"
        self._taken += 1
        return self.parts[self._taken - 1]

    async def event(self) -> dict[str, Any]:
        """The next part as an event."""
        return (await self.part()).event

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """Events up to the first of this kind."""
        events = [await self.event()]
        while events[-1]["type"] != kind:
            events.append(await self.event())
        return events

    async def result(self) -> str:
        """The text of the next turn."""
        events = await self.until("transcription.done")
        assert {event["type"] for event in events[:-1]} <= {"transcription.delta"}
        return str(events[-1]["text"])

    async def until_over(self) -> ModelStreamError | None:
        """How it ended for the client."""
        await self._changes.until("the end", lambda: self.is_over)
        return self.failure

    # ---- what the router does by itself

    def ping(self) -> bytes:
        """What it does every 60 s. The payload."""
        self._sent_pings += 1
        self.pings_unanswered += 1
        assert self.pings_unanswered <= PINGS_UNANSWERED_MAX, "SageMaker would have closed the connection"
        payload = b"ping %d" % self._sent_pings
        self._send(Ping(payload))
        return payload

    async def until_pong(self, payload: bytes) -> None:
        await self._changes.until(f"a pong of {payload!r}", lambda: payload in self.pongs)

    async def until_pinged(self, times: int) -> None:
        await self._changes.until(f"{times} pings of the container", lambda: self.pings_received >= times)

    def stop_reading(self) -> None:
        """The client does not read, so the router does not either."""
        self._may_read.clear()

    def read_again(self) -> None:
        self._may_read.set()

    @property
    def unsent_bytes(self) -> int:
        """What the kernel would not take."""
        return self._writer.transport.get_write_buffer_size()

    async def close(self) -> None:
        """The client has ended its stream; what SageMaker sends the container then is not published: a Close frame."""
        with suppress(LocalProtocolError):
            self._send(CloseConnection(1000))
        await self._changes.until("the end", lambda: self.is_over)
        await self.drop()

    async def drop(self) -> None:
        """Nothing is left of it."""
        self._reading.cancel()
        await asyncio.wait([self._reading])
        self._writer.transport.abort()
        with suppress(OSError):
            await bounded("the connection is gone", self._writer.wait_closed())

    # ---- frames

    def _send(self, event: Event) -> None:
        if not self.is_over:
            self._writer.write(self._frames.send(event))

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(65_536):
                await self._may_read.wait()
                self._frames.receive_data(data)
                for event in self._frames.events():
                    self._take(event)
                self._changes.notify()
        except OSError:
            pass
        finally:
            self.is_over = True
            self._changes.notify()

    def _take(self, event: Event) -> None:
        if isinstance(event, AcceptConnection):
            assert not event.subprotocol
            assert not event.extensions
            # With it SageMaker would open a second WebSocket, for usage.
            assert not any(name.lower().startswith(b"x-amzn-sagemaker-metadata") for name, _ in event.extra_headers)
            self._is_open = True
        elif isinstance(event, RejectConnection):
            self._rejection = event
            self._rejected_body = None if event.has_body else b""
        elif isinstance(event, RejectData):
            self._partial += event.data
            if event.body_finished:
                self._rejected_body = bytes(self._partial)
        elif isinstance(event, Message):
            self._take_data(event)
        elif isinstance(event, Ping):
            self.pings_received += 1
            self._send(event.response())
        elif isinstance(event, Pong):
            self.pongs.append(bytes(event.payload))
            self.pings_unanswered = 0
        elif isinstance(event, CloseConnection):
            self.failure = ModelStreamError(str(int(event.code)), event.reason or "")
            with suppress(LocalProtocolError):
                self._send(event.response())

    def _take_data(self, event: "Message[Any]") -> None:
        self._partial += event.data.encode() if isinstance(event, TextMessage) else event.data
        if event.frame_finished:
            data_type = "UTF8" if isinstance(event, TextMessage) else "BINARY"
            state = "COMPLETE" if event.message_finished else "PARTIAL"
            self.parts.append(ResponsePart(bytes(self._partial), data_type, state))
            self._partial.clear()


async def ping(port: int, method: str = "GET") -> int:
    """Ask `/ping`; the status. One without an answer in time is a failure, as it is for SageMaker."""
    try:
        async with asyncio.timeout(PING_S * SLACK):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(f"{method} /ping HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 0\r\n\r\n".encode())
                line = await reader.readline()
            finally:
                writer.transport.abort()
                with suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        raise AssertionError("/ping was not answered in time") from None
    return int(line.split(b" ")[1])


# ---- starting the image


def scripted_engine() -> str:
    """A model server's command line, for PARLEY_LAUNCH_COMMAND: the engine that says checksums of what it heard."""
    return f"{sys.executable} -P -m parley engine --engine scripted --port {{port}} --log-format json"


@asynccontextmanager
async def container(environ: Mapping[str, str], *, wait_ready: bool = True) -> AsyncIterator[ServeProcess]:
    """`docker run IMAGE serve` with this in its environment: the argument is the one that SageMaker gives.

    The image's own environment is the preset; the port is a free one, because tests share a machine.
    """
    image = {"PARLEY_PRESET": "sagemaker", "PARLEY_SERVER_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "parley", "serve"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
        | image
        | dict(environ),
    )
    serve = ServeProcess(process)
    try:
        serve.port = int((await serve.until_logged("listening on 0.0.0.0:")).rpartition(":")[2])
        if wait_ready:
            await serve.until_logged("model server is ready")
        yield serve
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
