"""A server that speaks vLLM's realtime protocol and says what a test tells it to."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

Handler = Callable[[ServerConnection], Awaitable[None]]
STEP_BYTES = 2_560
TAIL_STEPS = 17


@asynccontextmanager
async def listening(
    handler: Handler,
    process_request: Callable[[ServerConnection, Request], Response | None] | None = None,
    **options: Any,
) -> AsyncIterator[str]:
    """A WebSocket server on a free port of loopback; gives its URL without a path."""
    async with serve(handler, "127.0.0.1", 0, process_request=process_request, **options) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def event(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


async def greet(socket: ServerConnection) -> None:
    await socket.send(event("session.created", id="sess-test", created=1))


@dataclass
class ScriptedVllm:
    """Answers each turn as vLLM does: one delta for every 80 ms of audio, most of them empty, 17 more after the end.

    `pieces` are the texts of the deltas, by number; what is left of them at the end of a turn comes with the last one.
    """

    pieces: dict[int, str] = field(default_factory=lambda: {3: " Hello", 6: " there."})
    paths: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    message_bytes: list[int] = field(default_factory=list)
    audio: list[bytearray] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def __call__(self, socket: ServerConnection) -> None:
        request = socket.request
        assert request is not None
        self.paths.append(request.path)
        self.headers.append(dict(request.headers))
        await greet(socket)
        turn = _Turn(self.pieces)
        async for message in socket:
            fields = json.loads(message)
            match fields["type"]:
                case "session.update":
                    self.models.append(fields["model"])
                case "input_audio_buffer.append":
                    data = base64.b64decode(fields["audio"])
                    self.message_bytes.append(len(data))
                    self.audio[-1] += data
                    await self._say(socket, turn.take(len(data)))
                case "input_audio_buffer.commit" if fields.get("final"):
                    await self._say(socket, turn.finish())
                    counts = {"prompt_tokens": 39, "completion_tokens": turn.steps, "total_tokens": 39 + turn.steps}
                    await socket.send(event("transcription.done", text=turn.text, usage=counts))
                case "input_audio_buffer.commit":
                    turn = _Turn(self.pieces)
                    self.audio.append(bytearray())

    @staticmethod
    async def _say(socket: ServerConnection, texts: Sequence[str]) -> None:
        for text in texts:
            await socket.send(event("transcription.delta", delta=text))


class _Turn:
    def __init__(self, pieces: dict[int, str]) -> None:
        self.steps = 0
        self.text = ""
        self._left = dict(pieces)
        self._bytes = 0

    def take(self, size: int) -> list[str]:
        self._bytes += size
        return self._steps(self._bytes // STEP_BYTES - self.steps)

    def finish(self) -> list[str]:
        texts = self._steps(TAIL_STEPS)
        rest = "".join(self._left.values())
        self.text += rest
        return [*texts[:-1], texts[-1] + rest]

    def _steps(self, count: int) -> list[str]:
        texts = [self._left.pop(self.steps + number, "") for number in range(count)]
        self.steps += count
        self.text += "".join(texts)
        return texts
