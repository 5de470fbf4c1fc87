"""A client of vLLM's realtime protocol on the `websockets` library, which shares no code with Parley."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from .process import MODEL
from .sound import Sound

Event = dict[str, Any]

ANSWER_TIMEOUT_S = 180.0
"""For any one event. Frames take 10 to 20 ms here, but a busy machine may stop for long."""
_HELD_MESSAGES_MAX = 8192


@dataclass(frozen=True)
class Result:
    """A turn's deltas, and what `transcription.done` said of it."""

    deltas: tuple[str, ...]
    text: str
    steps: int


class Session:
    """One connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, kind: str, **fields: object) -> None:
        await self.send_raw(json.dumps({"type": kind, **fields}))

    async def send_raw(self, message: str | bytes) -> None:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await self._connection.send(message)

    async def receive(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Event:
        """The next event. Raises ConnectionClosed, and TimeoutError when there is none in time."""
        async with asyncio.timeout(timeout_s):
            event = json.loads(await self._connection.recv())
        assert isinstance(event, dict)
        return event

    async def until(self, *kinds: str, timeout_s: float = ANSWER_TIMEOUT_S) -> list[Event]:
        """All events up to the first of these kinds; the time is for each."""
        events = [await self.receive(timeout_s)]
        while events[-1]["type"] not in kinds:
            events.append(await self.receive(timeout_s))
        return events

    async def until_closed(self) -> tuple[list[Event], int]:
        """All events up to the end of the connection, and its close code; 1006 stands for none."""
        events = []
        try:
            while True:
                events.append(await self.receive())
        except ConnectionClosed as closed:
            return events, closed.rcvd.code if closed.rcvd else 1006

    async def until_text(self, text: str, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        """Read deltas until they make up the text. vLLM sends most of them empty, and the gateway leaves those out."""
        received = ""
        while len(received) < len(text):
            event = await self.receive(timeout_s)
            assert event["type"] == "transcription.delta", event
            received += event["delta"]
        assert received == text

    async def name_model(self, model: str = MODEL) -> None:
        await self.send("session.update", model=model)

    async def begin(self) -> None:
        await self.send("input_audio_buffer.commit")

    async def say(self, sound: Sound) -> None:
        """Audio at full speed, one append a frame."""
        for audio in sound.appends():
            await self.send("input_audio_buffer.append", audio=audio)

    async def speak(self, sound: Sound) -> None:
        """Audio as it is spoken, one append a frame."""
        async for piece in sound.spoken():
            await self.send("input_audio_buffer.append", audio=b64encode(piece).decode())

    async def finish(self) -> None:
        await self.send("input_audio_buffer.commit", final=True)

    async def send_turn(self, sound: Sound) -> None:
        """A whole turn, without waiting for any of its answer."""
        await self.begin()
        await self.say(sound)
        await self.finish()

    async def result(self, timeout_s: float = ANSWER_TIMEOUT_S) -> Result:
        """The turn's answer, in which an error has no place."""
        *deltas, done = await self.until("transcription.done", "error", timeout_s=timeout_s)
        assert done["type"] == "transcription.done", done
        assert all(event["type"] == "transcription.delta" for event in deltas)
        return Result(tuple(event["delta"] for event in deltas), done["text"], done["usage"]["completion_tokens"])

    async def turn(self, sound: Sound) -> Result:
        await self.send_turn(sound)
        return await self.result()


@asynccontextmanager
async def open_session(url: str) -> AsyncIterator[Session]:
    """A connection that has been greeted; no model is named yet."""
    async with connect(
        url,
        compression=None,
        proxy=None,
        ping_interval=None,
        max_queue=_HELD_MESSAGES_MAX,
        open_timeout=ANSWER_TIMEOUT_S,
        close_timeout=10,
    ) as connection:
        session = Session(connection)
        assert (await session.receive())["type"] == "session.created"
        yield session


@asynccontextmanager
async def ready_session(url: str) -> AsyncIterator[Session]:
    """A connection on which turns can begin."""
    async with open_session(url) as session:
        await session.name_model()
        yield session
