"""A server that speaks the session contract and says what a test tells it to."""

import json
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection

from .vllm_server import event

OUTCOME: dict[str, Any] = {"outcome": "resumed", "replayed_ms": [], "lost": []}


@dataclass
class ScriptedParley:
    """One session. At the end of a turn it says `script`, numbered, and then done with `text`; the last event repeats.

    The connections that are lost: the first `drops` of them break off with the first audio. `outcome` is what
    session.resumed then says.
    """

    script: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    text: str | None = " Hello there."
    drops: int = 0
    outcome: dict[str, Any] = field(default_factory=lambda: dict(OUTCOME))
    inputs: int = 0
    seq: int = 0
    firsts: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def __call__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.paths.append(socket.request.path)
        await socket.send(event("session.created", id="sess-test", created=1, parley={"resume_window_s": 30.0}))
        first = json.loads(await socket.recv())
        self.firsts.append(first["type"])
        if first["type"] == "session.resume":
            state = {"input_seq": self.inputs, "cursor_ms": 0, **self.outcome}
            await socket.send(event("session.resumed", id="sess-test", **state))
        else:
            await socket.send(event("session.updated", id="sess-test", resume={"token": "t0ken", "window_s": 30.0}))
        async for message in socket:
            if not await self._take(socket, json.loads(message)):
                return

    async def _take(self, socket: ServerConnection, body: dict[str, Any]) -> bool:
        """Whether the connection lasts."""
        kind = body["type"]
        if kind == "session.ack":
            return True
        self.inputs += 1
        if kind == "input_audio_buffer.append" and self.drops:
            self.drops -= 1
            socket.transport.abort()
            return False
        if body.get("final"):
            for name, fields in self.script:
                await self._say(socket, name, **fields)
            if self.text is not None:
                await self._say(socket, "transcription.done", text=self.text, usage=None, item_id="item_1")
        if kind == "session.end":
            await self._say(socket, "session.ended", reason="client-ended", retry="never")
            return False
        await socket.send(event("session.ack", input_seq=self.inputs, cursor_ms=0))
        return True

    async def _say(self, socket: ServerConnection, kind: str, **fields: Any) -> None:
        self.seq += 1
        await socket.send(event(kind, **fields, seq=self.seq))


def delta(text: str) -> tuple[str, dict[str, Any]]:
    return "transcription.delta", {"delta": text, "item_id": "item_1"}


def revision(start: int, end: int, text: str) -> tuple[str, dict[str, Any]]:
    fields = {"item_id": "item_1", "start": start, "end": end, "text": text, "from_ms": 0, "to_ms": 80}
    return "transcription.revised", fields
