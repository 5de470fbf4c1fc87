"""A relay in front of vLLM that measures how far the audio sent runs ahead of the audio that the model has consumed."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from .process import Vllm, http_get
from .script import FRAME_S
from .sound import RATE
from .talk import ANSWER_TIMEOUT_S

_ROUTE = "/v1/realtime"
_FRAMES_BEFORE_FIRST_DELTA = 7


class Tap:
    """Relays sessions to vLLM, and GETs of anything else."""

    def __init__(self, vllm: Vllm) -> None:
        self._vllm = vllm
        self.port = 0
        self.lag_max_s = 0.0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{_ROUTE}"

    async def answer_http(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == _ROUTE:
            return None
        answer = await asyncio.to_thread(http_get, f"http://127.0.0.1:{self._vllm.port}{request.path}")
        status, body = answer or (HTTPStatus.BAD_GATEWAY, b"")
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
        async for message in source:
            progress.observe(json.loads(message))
            self.lag_max_s = max(self.lag_max_s, progress.lag_s)
            await target.send(message)
        await target.close()


class _Progress:
    """Audio sent and consumed in the current turn. One delta is 80 ms, the first one 560 ms."""

    def __init__(self) -> None:
        self._sent_s = 0.0
        self._deltas = 0

    def observe(self, event: dict[str, str]) -> None:
        match event["type"]:
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
async def open_tap(vllm: Vllm) -> AsyncIterator[Tap]:
    tap = Tap(vllm)
    async with serve(
        tap.relay, "127.0.0.1", 0, process_request=tap.answer_http, compression=None, close_timeout=10
    ) as server:
        tap.port = next(iter(server.sockets)).getsockname()[1]
        yield tap
