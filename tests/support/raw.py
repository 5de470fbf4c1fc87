"""A bare TCP socket and WebSocket frames made by hand, for what no library would send."""

import asyncio
import json
import os
import socket
import struct
from typing import Any, NamedTuple, Self

from tests.support.waiting import bounded

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The example's key of RFC 6455 section 1.3; its answer is s3pPLMBiTxaQ9kYGzzhZRbK+xOo=."""
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

UPGRADE = {
    "Host": "parley.test",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


class Received(NamedTuple):
    """A frame of the server."""

    opcode: int
    payload: bytes
    is_last: bool

    @property
    def event(self) -> dict[str, Any]:
        """The payload as an event."""
        event = json.loads(self.payload)
        assert isinstance(event, dict)
        return event

    @property
    def close_code(self) -> int | None:
        """The code of a close frame; None when it has none."""
        assert self.opcode == CLOSE, self
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else None


def frame(opcode: int, payload: bytes = b"", *, is_last: bool = True, is_masked: bool = True) -> bytes:
    """A frame of a client (RFC 6455 section 5.2)."""
    head = bytes([opcode | (0x80 if is_last else 0)])
    mask_bit = 0x80 if is_masked else 0
    if len(payload) < 126:
        head += bytes([mask_bit | len(payload)])
    elif len(payload) < 65_536:
        head += bytes([mask_bit | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", len(payload))
    if not is_masked:
        return head + payload
    mask = os.urandom(4)
    repeated = mask * (len(payload) // 4 + 1)
    masked = int.from_bytes(payload) ^ int.from_bytes(repeated[: len(payload)])
    return head + mask + masked.to_bytes(len(payload))


def text_frame(kind: str, **fields: object) -> bytes:
    """An event in one frame."""
    return frame(TEXT, json.dumps({"type": kind, **fields}).encode())


def request(path: str, headers: dict[str, str], method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """A request's head."""
    lines = [f"{method} {path} {version}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


class Response(NamedTuple):
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The documented body of an error."""
        error = json.loads(self.body)["error"]
        assert isinstance(error, dict)
        return error


class RawSocket:
    """One TCP connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int, *, receive_buffer_bytes: int | None = None) -> Self:
        """A small receive buffer makes a client that does not read felt sooner."""
        connection = socket.socket()
        connection.setblocking(False)
        if receive_buffer_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        try:
            await bounded("the connection", asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port)))
        except OSError:
            connection.close()
            raise
        reader, writer = await asyncio.open_connection(sock=connection, limit=2**16)
        return cls(reader, writer)

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def send_apart(self, *pieces: bytes) -> None:
        """Each piece in a TCP segment of its own."""
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            self._writer.write(piece)
            await self.drain()
            # Lets the gateway, on the same loop, see this piece before the next.
            await asyncio.sleep(0)

    async def drain(self) -> None:
        await bounded("the data is sent", self._writer.drain())

    async def upgrade(self, path: str = "/v1/realtime", **headers: str) -> Response:
        """A handshake; `headers` are added, or replace the usual ones."""
        self.send(request(path, UPGRADE | {name.replace("_", "-"): value for name, value in headers.items()}))
        return await self.response()

    async def response(self) -> Response:
        """An HTTP response with a body of known length, or none."""
        head = await bounded("a response", self._reader.readuntil(b"\r\n\r\n"))
        status_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        body = await bounded("a response's body", self._reader.readexactly(length))
        return Response(int(status_line.split(" ")[1]), headers, body)

    async def frame(self, *, with_round_trips: bool = False) -> Received:
        """The next frame of the server, which is never masked (RFC 6455 section 5.1). The pings with which it measures
        round trips, at any time, are passed over unless they are wanted."""
        received = await bounded("a frame", self._frame())
        while received.opcode == PING and received.payload.startswith(b"rt") and not with_round_trips:
            received = await bounded("a frame", self._frame())
        return received

    async def until_close(self) -> tuple[list[Received], Received]:
        """The frames before the close frame, and that one."""
        frames = [await self.frame()]
        while frames[-1].opcode != CLOSE:
            frames.append(await self.frame())
        return frames[:-1], frames[-1]

    async def until_found(self, text: bytes) -> bytes:
        """Everything up to and with the text."""
        return await bounded(f"{text!r}", self._reader.readuntil(text))

    async def until_eof(self) -> bytes:
        """Everything up to the end of the connection, however it ends."""
        return await bounded("the end of the connection", self._until_eof())

    def shut_down(self) -> None:
        """Say that nothing more will be sent, and go on reading."""
        self._writer.write_eof()

    def abort(self) -> None:
        """Break off: the gateway sees a reset."""
        connection = self._writer.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _frame(self) -> Received:
        first, second = await self._reader.readexactly(2)
        assert not second & 0x80, "a server's frame is not masked"
        length = second
        if length == 126:
            length = struct.unpack("!H", await self._reader.readexactly(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", await self._reader.readexactly(8))[0]
        return Received(first & 0x0F, await self._reader.readexactly(length), bool(first & 0x80))

    async def _until_eof(self) -> bytes:
        try:
            return await self._reader.read()
        except ConnectionError:
            return b""
