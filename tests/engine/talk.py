"""A client of vLLM's realtime protocol, and a running engine server, for the tests of the server."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from parley.engine.options import EngineOptions
from parley.engine.server import serve_engine

WAIT_S = 20.0
"""Bound of every wait: far more than any of them takes."""

Event = dict[str, Any]


@asynccontextmanager
async def serving(options: EngineOptions) -> AsyncGenerator[str]:
    """A running server; the value is its HTTP address."""
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve_engine(options, ready.set_result))
    try:
        task.add_done_callback(lambda _: ready.cancel())
        yield f"http://127.0.0.1:{await asyncio.wait_for(ready, WAIT_S)}"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@dataclass(frozen=True)
class Turn:
    """What came of a turn."""

    deltas: list[str]
    done: Event


@dataclass
class Client:
    """One connection."""

    socket: aiohttp.ClientWebSocketResponse

    async def send(self, **event: Any) -> None:
        await self.socket.send_json(event)

    async def name_model(self, model: str = "test-model") -> None:
        await self.send(type="session.update", model=model)

    async def append(self, pcm16: bytes) -> None:
        await self.send(type="input_audio_buffer.append", audio=base64.b64encode(pcm16).decode())

    async def start(self) -> None:
        await self.send(type="input_audio_buffer.commit")

    async def end(self) -> None:
        await self.send(type="input_audio_buffer.commit", final=True)

    async def event(self) -> Event:
        """The next event; fails when the connection ends instead."""
        message = await self.socket.receive(WAIT_S)
        assert message.type is aiohttp.WSMsgType.TEXT, (message.type, self.socket.close_code)
        event: Event = json.loads(message.data)
        return event

    async def turn(self) -> Turn:
        """All events up to the next that is not a delta."""
        deltas = []
        while (event := await self.event())["type"] == "transcription.delta":
            deltas.append(event["delta"])
        return Turn(deltas, event)

    async def say(self, pcm16: bytes) -> Turn:
        """A whole turn."""
        await self.start()
        await self.append(pcm16)
        await self.end()
        return await self.turn()

    async def close_code(self) -> int | None:
        """The code with which the server closes; what comes before is skipped."""
        while (await self.socket.receive(WAIT_S)).type is aiohttp.WSMsgType.TEXT:
            pass
        return self.socket.close_code


@asynccontextmanager
async def connected(address: str, *, greet: bool = True) -> AsyncGenerator[Client]:
    """A connection; with `greet` past `session.created` and with the model named."""
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{address}/v1/realtime") as socket:
        client = Client(socket)
        if greet:
            await client.event()
            await client.name_model()
        yield client
