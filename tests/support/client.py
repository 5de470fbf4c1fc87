"""A client of the gateway on the `websockets` library, which shares no code with Parley."""

import contextlib
import json
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.fake_vllm import MODEL
from tests.support.sound import PIECE_BYTES, encoded, pieces
from tests.support.waiting import bounded

Event = dict[str, Any]
NO_CODE = 1005
DROPPED = 1006


@dataclass(frozen=True)
class Ending:
    """What came before the end of a connection, and how it ended; DROPPED stands for no close frame."""

    events: list[Event]
    code: int
    reason: str

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def error_code(self) -> str:
        """Parley's code of the last event, which has to be an error."""
        assert self.events, "it ended without a word"
        return code_of(self.events[-1])


def code_of(event: Event) -> str:
    """Parley's code of an error."""
    assert event["type"] == "error", event
    return str(event["parley"]["code"])


class Client:
    """One WebSocket session."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.session_id = ""

    @classmethod
    async def connect(cls, url: str, **options: Any) -> Self:
        """Connects and takes `session.created`."""
        settings: dict[str, Any] = {
            "compression": None,
            "max_size": None,
            # Its default stops reading, and with that the closing handshake, while nobody asks for events.
            "max_queue": None,
            "ping_interval": None,
            "proxy": None,
            "open_timeout": None,
            "close_timeout": 10.0,
            **options,
        }
        client = cls(await bounded("the handshake", connect(url, **settings)))
        created = await client.receive()
        assert created["type"] == "session.created", created
        client.session_id = created["id"]
        return client

    async def send(self, kind: str, **fields: object) -> None:
        await self.send_raw(json.dumps({"type": kind, **fields}))

    async def send_raw(self, message: str | bytes | Iterable[str | bytes] | AsyncIterable[str | bytes]) -> None:
        """A message as it is; several pieces make one fragmented message."""
        await bounded("a message is sent", self.connection.send(message))

    async def name_model(self, model: str = MODEL) -> None:
        await self.send("session.update", model=model)

    async def start(self) -> None:
        await self.send("input_audio_buffer.commit")

    async def append(self, audio: bytes) -> None:
        await self.send("input_audio_buffer.append", audio=encoded(audio))

    async def say(self, audio: bytes, piece_bytes: int = PIECE_BYTES) -> None:
        """Audio at full speed."""
        for piece in pieces(audio, piece_bytes):
            await self.append(piece)

    async def say_until_closed(self, audio: bytes, piece_bytes: int = PIECE_BYTES) -> None:
        """Audio at full speed, on a connection that may be closed in the middle of it."""
        with contextlib.suppress(ConnectionClosed):
            await self.say(audio, piece_bytes)

    async def finish(self) -> None:
        await self.send("input_audio_buffer.commit", final=True)

    async def send_turn(self, audio: bytes, piece_bytes: int = PIECE_BYTES) -> None:
        """A whole turn, without waiting for any of its answer."""
        await self.start()
        await self.say(audio, piece_bytes)
        await self.finish()

    async def receive(self) -> Event:
        event = json.loads(await bounded("an event", self.connection.recv()))
        assert isinstance(event, dict)
        return event

    async def error(self) -> str:
        """Parley's code of the next event, which has to be an error."""
        return code_of(await self.receive())

    async def until(self, *kinds: str) -> list[Event]:
        """All events up to the first of these kinds."""
        events = [await self.receive()]
        while events[-1]["type"] not in kinds:
            assert events[-1]["type"] != "error", events[-1]
            events.append(await self.receive())
        return events

    async def result(self) -> str:
        """The text of the next turn, which its deltas have to add up to."""
        *deltas, done = await self.until("transcription.done")
        assert {event["type"] for event in deltas} <= {"transcription.delta"}
        assert "".join(event["delta"] for event in deltas) == done["text"]
        return str(done["text"])

    async def until_closed(self) -> Ending:
        """All events up to the end of the connection, and how it ended."""
        events: list[Event] = []
        try:
            while True:
                events.append(await self.receive())
        except ConnectionClosed as closed:
            frame = closed.rcvd
            return Ending(events, frame.code if frame else DROPPED, frame.reason if frame else "")

    def abort(self) -> None:
        """Break off without a close frame."""
        self.connection.transport.abort()

    async def close(self, code: int = 1000) -> None:
        await bounded("the connection closes", self.connection.close(code))
