"""Clients as they come in storms: bare ones, for numbers; one that waits its turn; and two that are no good."""

import asyncio
import contextlib
import time
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Self

import msgspec
from benchmarks.talk import Talk, talk
from tests.support.raw import UPGRADE, request, text_frame

from parley.audio.pcm import split_pcm
from parley.client import SessionFailed
from parley.client.connection import Connection, ConnectionLimits

_PIECE_MS = 100
_LIMITS = ConnectionLimits(connect_timeout_s=60.0)


class Caller:
    """A bare WebSocket client of vLLM's protocol. `refusal` is why it has no connection, `retry_after_s` the hint."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._changed = asyncio.Event()
        self.refusal = ""
        self.retry_after_s: float | None = None

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect, until the server has spoken or refused."""
        caller = cls()
        try:
            caller._connection = await Connection.open(
                url, api_key=None, limits=_LIMITS, changed=caller._changed.set, ssl_context=None
            )
            await caller.receive()
        except SessionFailed as failure:
            caller.refusal = failure.code
            caller.retry_after_s = failure.retry_after_s
        return caller

    async def receive(self) -> dict[str, object] | None:
        """The next event; None when the connection has ended."""
        connection = self._connection
        assert connection is not None, "it is connected"
        while True:
            self._changed.clear()
            message = connection.receive()
            if message is not None:
                event: dict[str, object] = msgspec.json.decode(message)
                return event
            if connection.close_code is not None:
                return None
            await self._changed.wait()

    def send(self, **event: object) -> None:
        """Send an event."""
        if self._connection is not None:
            self._connection.send(msgspec.json.encode(event))

    def name_model(self, *, resume: bool = False) -> None:
        """Name the model, any."""
        self.send(type="session.update", model="", **({"parley": {"resume": True}} if resume else {}))

    async def push(self, pcm: bytes, pieces_per_s: float) -> None:
        """Start a turn and send its audio at a rate, as far as the server reads."""
        self.name_model()
        self.send(type="input_audio_buffer.commit")
        for piece in split_pcm(pcm, _PIECE_MS):
            await self._writable()
            self.send(type="input_audio_buffer.append", audio=b64encode(piece).decode())
            await asyncio.sleep(1 / pieces_per_s)

    async def _writable(self) -> None:
        while self._connection is not None and not self._connection.can_send:
            self._changed.clear()
            await self._changed.wait()

    async def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            await self._connection.abort()


@dataclass(slots=True)
class Call:
    """What came of a client that may have to wait: its talk, or why it was refused, and where in the queue it was."""

    talk: Talk = field(default_factory=Talk)
    refusal: str = ""
    retry_after_s: float | None = None
    positions: list[int] = field(default_factory=list)


async def call(url: str, pcm: bytes) -> Call:
    """Talk once."""
    one = Call()
    one.talk = await talk(url, pcm, positions=one.positions)
    if one.talk.failed is not None:
        one.refusal, one.retry_after_s = one.talk.failed.code, one.talk.failed.retry_after_s
    return one


async def persistent_calls(url: str, pcm: bytes, for_s: float) -> list[Call]:
    """Talk once; whoever is refused comes back when told to, for so long."""
    until = time.monotonic() + for_s
    calls = [await call(url, pcm)]
    while (wait_s := calls[-1].retry_after_s) and time.monotonic() + wait_s < until:
        await asyncio.sleep(wait_s)
        calls.append(await call(url, pcm))
    return calls


async def half_open(port: int) -> bool:
    """Connect and send half a request; whether the server ended it within a minute."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /v1/realtime HTTP/1.1\r\nHost: a\r\n")
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                await reader.read()
        return True
    except TimeoutError:
        return False
    finally:
        writer.transport.abort()


async def deaf_call(port: int, pcm: bytes, for_s: float) -> None:
    """Talk as fast as the server reads, and read nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    try:
        writer.write(request("/v1/realtime", UPGRADE))
        await reader.readuntil(b"\r\n\r\n")
        # With its limit the reader stops the socket by itself.
        writer.write(text_frame("session.update", model=""))
        writer.write(text_frame("input_audio_buffer.commit"))
        until = time.monotonic() + for_s
        pieces = [b64encode(piece).decode() for piece in split_pcm(pcm, _PIECE_MS)]
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(for_s):
                while time.monotonic() < until:
                    for piece in pieces:
                        writer.write(text_frame("input_audio_buffer.append", audio=piece))
                        await writer.drain()
    finally:
        writer.transport.abort()
