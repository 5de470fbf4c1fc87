"""One connection of vLLM's realtime protocol: messages in, turns run, events out."""

import asyncio
import logging
import os
import secrets
import time
from concurrent.futures import Executor
from dataclasses import dataclass, field

from aiohttp import WSMessage, WSMsgType, web

from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.engine.clock import PROMPT_TOKENS, SAMPLE_RATE_HZ
from parley.engine.faults import Fault, FaultClock
from parley.engine.inbox import Inbox, TurnInput
from parley.engine.metrics import EngineMetrics
from parley.engine.transcriber import Engine, Transcriber
from parley.wire import vllm

logger = logging.getLogger(__name__)

_FATAL = frozenset({"binary-frame", "message-too-large", "too-many-turns"})
_IDLE = "Nothing was received for longer than this server keeps an idle session. Connect again."
_EMPTY_DELTA = vllm.encode_delta(Text.of(""))

MESSAGE_MAX_BYTES = 16 * 2**20
"""Largest message, as vLLM has it."""

SEND_TIMEOUT_S = 30.0
"""How long a write may wait for a client that does not read."""

CLOSE_TIMEOUT_S = 1.0
"""How long the farewell to a client may take."""

Socket = web.WebSocketResponse
"""A connection whose text messages arrive as bytes (`decode_text=False`)."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all sessions of a server have in common."""

    engine: Engine
    executor: Executor
    metrics: EngineMetrics
    faults: FaultClock
    model_name: str


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of a session; see `EngineOptions`."""

    buffered_audio_max_s: float
    idle_timeout_s: float
    max_model_len: int
    behind_slack_s: float = 1.0


@dataclass(slots=True)
class _TurnOutput:
    """What a turn has said: the number of its deltas, and those that are not empty."""

    deltas: int = 0
    texts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.deltas += 1
        if text:
            self.texts.append(text)

    @property
    def usage(self) -> vllm.Usage:
        """Zeros for a turn without audio, as vLLM has it."""
        if self.deltas == 0:
            return vllm.Usage()
        return vllm.Usage(PROMPT_TOKENS, self.deltas, PROMPT_TOKENS + self.deltas)

    def __repr__(self) -> str:
        return f"_TurnOutput(deltas={self.deltas})"


class _FarewellError(Exception):
    """Ends the session: the last message, and the close code."""

    def __init__(self, message: bytes, close_code: int) -> None:
        super().__init__(close_code)
        self.message = message
        self.close_code = close_code

    @classmethod
    def of(cls, error: ParleyError) -> "_FarewellError":
        return cls(vllm.encode_failure(error), error.spec.ws_close)


class EngineSession:
    """One client. `run` ends when the client leaves, an error ends the session, or `shut_down` is called."""

    def __init__(
        self, socket: Socket, transport: asyncio.WriteTransport, shared: Shared, limits: SessionLimits
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._shared = shared
        self._limits = limits
        self._id = f"sess-{secrets.token_hex(16)}"
        self._inbox = Inbox()
        self._pending_samples = 0
        self._model_set = False
        self._muted = self._stalled = False
        self._arrived = asyncio.Event()
        self._consumed = asyncio.Event()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serve the connection until it ends; leaves no task behind."""
        parts = (self._read(), self._work(), self._stop.wait())
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        if self._stop.is_set():
            await self._say_farewell(_FarewellError.of(ParleyError("shutting-down")))
        for outcome in outcomes:
            if isinstance(outcome, _FarewellError):
                await self._say_farewell(outcome)
            elif isinstance(outcome, ConnectionError | TimeoutError):
                logger.info("the client of %s is gone or does not read", self._id)
                self._transport.abort()

    def shut_down(self) -> None:
        """Tell the client that the server goes away, and close with 1012."""
        self._stop.set()

    # Reading.

    async def _read(self) -> None:
        await self._send(vllm.encode_created(self._id, int(time.time())))
        while (message := await self._receive()) is not None:
            try:
                self._handle(message)
            except ParleyError as error:
                if error.code in _FATAL:
                    raise _FarewellError.of(error) from None
                await self._send(vllm.encode_failure(error))
            while self._held_samples() >= self._limits.buffered_audio_max_s * SAMPLE_RATE_HZ:
                await self._space()

    async def _receive(self) -> WSMessage | None:
        """The next data message; None once the connection is closing."""
        while True:
            try:
                message = await self._socket.receive(self._limits.idle_timeout_s or None)
            except TimeoutError:
                turn = self._inbox.runnable
                if turn is not None and turn.ended:
                    continue  # It is we who keep the client waiting.
                raise _FarewellError(vllm.encode_error(_IDLE, "processing_error"), 1001) from None
            return message if message.type in (WSMsgType.TEXT, WSMsgType.BINARY) else None

    def _handle(self, message: WSMessage) -> None:
        if message.type is WSMsgType.BINARY:
            raise ParleyError("binary-frame")
        if len(message.data) > MESSAGE_MAX_BYTES:
            raise ParleyError("message-too-large", f"The limit is {MESSAGE_MAX_BYTES} bytes.")
        event = vllm.parse_client(message.data)
        if isinstance(event, Audio):
            self._inbox.append(vllm.pcm_of(event))
        elif isinstance(event, vllm.SessionUpdate):
            if event.model not in ("", self._shared.model_name):
                raise ParleyError("model-not-found")
            self._model_set = True
        elif not self._model_set:
            raise ParleyError("model-not-set")
        elif event.final:
            self._inbox.end()
        else:
            self._inbox.start()
        self._arrived.set()

    def _held_samples(self) -> int:
        return self._inbox.buffered_samples + self._pending_samples

    async def _space(self) -> None:
        """Wait until the turns have consumed some audio. Meanwhile the socket is not read: TCP holds the client back.

        With no turn started that could consume it, the session ends: input-overflow.
        """
        if self._inbox.runnable is None:
            raise _FarewellError.of(ParleyError("input-overflow"))
        self._consumed.clear()
        await self._consumed.wait()

    # Working.

    async def _work(self) -> None:
        """Run the turns one after the other."""
        while True:
            while (turn := self._inbox.runnable) is None:
                self._arrived.clear()
                await self._arrived.wait()
            try:
                await self._run_turn(turn)
            except (ConnectionError, TimeoutError):
                raise
            except Exception as error:
                self._shared.metrics.failures.inc()
                logger.error("a turn of %s failed: %s", self._id, type(error).__name__)
                raise _FarewellError.of(ParleyError("internal-error")) from None
            self._pending_samples = 0
            self._inbox.drop(turn)
            self._consumed.set()

    async def _run_turn(self, turn: TurnInput) -> None:
        transcriber = self._shared.engine.open()
        started_s = time.monotonic()
        output = _TurnOutput()
        while not transcriber.finished:
            deltas = await self._step(turn, transcriber, started_s)
            for delta in deltas:
                if not await self._tell(delta, output):
                    return
            if not deltas and not transcriber.finished:
                await self._more(turn)
        await self._done(output)

    async def _step(self, turn: TurnInput, transcriber: Transcriber, started_s: float) -> list[str]:
        """One step in the pool, which all sessions share first come, first served."""
        behind_s = self._behind_s(turn, transcriber, started_s)
        pieces, ended = self._inbox.take(turn), turn.ended

        def compute() -> tuple[list[str], float]:
            begun_s = time.perf_counter()
            for piece in pieces:
                transcriber.feed(piece)
            if ended:
                transcriber.end()
            return transcriber.step(behind_s), time.perf_counter() - begun_s

        before = transcriber.pending_samples + sum(map(len, pieces)) // 2
        self._pending_samples = before
        deltas, took_s = await asyncio.get_running_loop().run_in_executor(self._shared.executor, compute)
        self._pending_samples = transcriber.pending_samples
        self._shared.metrics.decode_s.inc(took_s)
        self._shared.metrics.audio_s.inc(max(0, before - self._pending_samples) / SAMPLE_RATE_HZ)
        self._consumed.set()
        return deltas

    def _behind_s(self, turn: TurnInput, transcriber: Transcriber, started_s: float) -> float:
        """How far consumption trails what a microphone would have sent since the turn began, beyond the slack."""
        received_s = turn.samples_received / SAMPLE_RATE_HZ
        consumed_s = received_s - self._turn_backlog_samples(turn, transcriber) / SAMPLE_RATE_HZ
        due_s = min(received_s, time.monotonic() - started_s)
        return max(0.0, due_s - consumed_s - self._limits.behind_slack_s)

    def _turn_backlog_samples(self, turn: TurnInput, transcriber: Transcriber) -> int:
        return transcriber.pending_samples + sum(map(len, turn.pieces)) // 2

    async def _more(self, turn: TurnInput) -> None:
        """Wait until the turn has audio to take, or its end."""
        while not turn.pieces and not turn.ended:
            self._arrived.clear()
            await self._arrived.wait()

    async def _tell(self, delta: str, output: _TurnOutput) -> bool:
        """Send a delta, and commit the fault that is due after it. Returns whether the turn goes on."""
        text = "" if self._muted else delta
        output.add(text)
        if not self._stalled:
            await self._send(vllm.encode_delta(Text.of(text)) if text else _EMPTY_DELTA)
        self._shared.metrics.deltas.inc()
        fault = self._shared.faults.count_delta()
        if fault is Fault.DIE:
            os._exit(1)
        self._muted |= fault is Fault.MUTE
        self._stalled |= fault is Fault.STALL
        if fault is Fault.ERROR:
            await self._send(vllm.encode_error("The engine was told to fail here.", "processing_error"))
            return False
        if fault is Fault.DONE or PROMPT_TOKENS + output.deltas >= self._limits.max_model_len:
            await self._done(output)
            return False
        return True

    async def _done(self, output: _TurnOutput) -> None:
        self._shared.metrics.turns.inc()
        if not self._stalled:
            await self._send(vllm.encode_done(Text.of("".join(output.texts)), output.usage))

    # Writing.

    async def _send(self, message: bytes) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await self._socket.send_frame(message, WSMsgType.TEXT)

    async def _say_farewell(self, farewell: _FarewellError) -> None:
        """Say why and close. A client that does not take it is cut off."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.send_frame(farewell.message, WSMsgType.TEXT)
                await self._socket.close(code=farewell.close_code)
        except (ConnectionError, TimeoutError):
            self._transport.abort()
