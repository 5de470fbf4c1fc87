"""A relay in front of vLLM that sees what the gateway does with it.

It measures how far the audio sent runs ahead of the audio that the model has consumed, counts the streams on which a
turn was begun, and those whose turn vLLM ended before it was asked to, or before it had consumed all of it.
"""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from .process import Vllm, http_get
from .script import FRAME_S
from .sound import RATE
from .talk import ANSWER_TIMEOUT_S, Event

_ROUTE = "/v1/realtime"
_MODELS_ROUTE = "/v1/models"
_FRAMES_BEFORE_FIRST_DELTA = 7


class Tap:
    """Relays sessions to vLLM, and GETs of anything else. `hides_length`: vLLM's limit on a turn is not told."""

    def __init__(self, vllm: Vllm, *, hides_length: bool = False) -> None:
        self._vllm = vllm
        self._hides_length = hides_length
        self.port = 0
        self.lag_max_s = 0.0
        self.streams = 0
        self.truncated = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{_ROUTE}"

    async def answer_http(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == _ROUTE:
            return None
        answer = await asyncio.to_thread(http_get, f"http://127.0.0.1:{self._vllm.port}{request.path}")
        status, body = answer or (HTTPStatus.BAD_GATEWAY, b"")
        if self._hides_length and request.path == _MODELS_ROUTE:
            body = body.replace(b'"max_model_len"', b'"hidden"')
        return connection.respond(HTTPStatus(status), body.decode())

    async def relay(self, downstream: ServerConnection) -> None:
        progress = _Progress()
        async with (
            connect(self._vllm.url, compression=None, proxy=None, open_timeout=ANSWER_TIMEOUT_S) as upstream,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._forward(downstream, upstream, progress))
            tasks.create_task(self._forward(upstream, downstream, progress))

    async def _forward(
        self,
        source: ClientConnection | ServerConnection,
        target: ClientConnection | ServerConnection,
        progress: "_Progress",
    ) -> None:
        # However one side ends, the other is ended.
        with suppress(ConnectionClosed):
            async for message in source:
                event = json.loads(message)
                self._count(event, progress)
                progress.observe(event)
                self.lag_max_s = max(self.lag_max_s, progress.lag_s)
                await target.send(message)
        await target.close()

    def _count(self, event: Event, progress: "_Progress") -> None:
        match event:
            case {"type": "input_audio_buffer.commit"} if not event.get("final"):
                self.streams += 1
            case {"type": "transcription.done"} if not progress.is_complete or progress.lag_s > 0:
                self.truncated += 1


class _Progress:
    """Audio sent and consumed in the current turn. One delta is 80 ms, the first one 560 ms."""

    def __init__(self) -> None:
        self._sent_s = 0.0
        self._deltas = 0
        self.is_complete = False

    def observe(self, event: Event) -> None:
        match event["type"]:
            case "input_audio_buffer.commit":
                self.is_complete = bool(event.get("final"))
            case "input_audio_buffer.append":
                self._sent_s += len(b64decode(event["audio"])) / 2 / RATE
            case "transcription.delta":
                self._deltas += 1
            case "transcription.done":
                self._sent_s, self._deltas = 0.0, 0

    @property
    def lag_s(self) -> float:
        consumed_frames = self._deltas + _FRAMES_BEFORE_FIRST_DELTA - 1 if self._deltas else 0
        return self._sent_s - consumed_frames * FRAME_S


@asynccontextmanager
async def open_tap(vllm: Vllm, *, hides_length: bool = False) -> AsyncIterator[Tap]:
    tap = Tap(vllm, hides_length=hides_length)
    async with serve(
        tap.relay, "127.0.0.1", 0, process_request=tap.answer_http, compression=None, close_timeout=10
    ) as server:
        tap.port = next(iter(server.sockets)).getsockname()[1]
        yield tap
