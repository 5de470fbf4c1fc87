"""A live session on a realtime server: audio in, text out, turn by turn.

```
async with connect("ws://127.0.0.1:8080") as session:
    await session.start_turn()
    await session.send_audio(pcm16)          # as it comes in
    await session.end_turn()
    async for event in session:              # TextDelta, TextDelta, ..., TurnDone
```
The server may be Parley or a stock vLLM. A session owns one connection at a time and knows nothing of sockets.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from ssl import SSLContext

import msgspec

from parley.audio.pcm import split_pcm
from parley.client.connection import NO_CLOSE_CODE, NO_CLOSE_FRAME, Connection, ConnectionEndedError, ConnectionLimits
from parley.client.endpoint import realtime_url
from parley.client.events import Event, SessionCreated, TextDelta, TurnDone
from parley.client.failure import SessionFailed, vllm_failure
from parley.core.content import Text
from parley.core.errors import Fault, ParleyError, Retry
from parley.wire import vllm

STEP_S = 0.08
"""Audio that one delta stands for."""

SEND_PIECE_MS = 100
"""Audio of the largest message that is sent."""

NORMAL_CLOSE = 1000

_CLOSES = {
    NORMAL_CLOSE: "a normal end",
    1001: "going away",
    1002: "a protocol error",
    NO_CLOSE_CODE: "no code",
    NO_CLOSE_FRAME: "no close frame: it crashed, or the network failed",
    1008: "a policy violation",
    1009: "a message too large",
    1011: "an internal error",
    1012: "a restart",
    1013: "try again later",
}
_CLIENT_CLOSES = frozenset({1003, 1007, 1008, 1009})


class _Turn(Enum):
    NONE = "none"
    RUNNING = "running"
    ENDING = "ending"


@asynccontextmanager
async def connect(
    url: str,
    *,
    model: str = "",
    api_key: str | None = None,
    timestamps: bool = False,
    answer_timeout_s: float = 60.0,
    limits: ConnectionLimits | None = None,
    ssl_context: SSLContext | None = None,
) -> AsyncIterator["RealtimeSession"]:
    """A session on the server at `url` (`ws`, `wss`, `http` or `https`; the path defaults to `/v1/realtime`).

    `model` is the name to ask for, empty for whichever is served. `timestamps` fills `TextDelta.audio_end_s`.
    `answer_timeout_s` is how long the server may be silent while the end of a turn is awaited.

    Raises:
        SessionFailed: the server can't be reached, or does not begin a session.
        ValueError: `url` is not a URL of a WebSocket server.
    """
    limits = limits or ConnectionLimits()
    address = realtime_url(url, timestamps=timestamps)
    connection = await Connection.open(address, api_key=api_key, limits=limits, ssl_context=ssl_context)
    session = RealtimeSession(connection, timestamps=timestamps, answer_timeout_s=answer_timeout_s)
    try:
        await session.begin(model, timeout_s=limits.connect_timeout_s)
        yield session
    finally:
        await session.close()


class RealtimeSession:
    """One session: a turn at a time. Iterate over it for its events; see the module's text for the order of calls."""

    def __init__(self, connection: Connection, *, timestamps: bool, answer_timeout_s: float) -> None:
        self.session_id = ""
        self._connection = connection
        self._timestamps = timestamps
        self._answer_timeout_s = answer_timeout_s
        self._turn = _Turn.NONE
        self._steps = 0
        self._greeting: SessionCreated | None = None
        self._failure: SessionFailed | None = None
        self._is_closed = False

    async def begin(self, model: str, *, timeout_s: float) -> None:
        """Wait for the server to greet, then name the model. `connect` has done it.

        Raises:
            SessionFailed: it does not, within `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                event = await self._next()
        except TimeoutError:
            detail = "It accepted the connection and did not begin a session."
            raise SessionFailed.of(ParleyError("upstream-stalled", detail)) from None
        except ConnectionEndedError as end:
            raise _lost(end, "before the session began") from None
        if not isinstance(event, SessionCreated):
            detail = "It did not begin with session.created."
            raise SessionFailed.of(ParleyError("upstream-protocol", detail))
        self.session_id = event.session_id
        self._greeting = event
        # A server that has gone again by now is reported to whoever reads or sends next.
        with suppress(SessionFailed):
            await self._send(vllm.encode_session_update(model))

    async def start_turn(self) -> None:
        """Begin an utterance. The one before it has to be done: a stock vLLM drops what comes earlier.

        Raises:
            RuntimeError: a turn is still going on.
            SessionFailed: the session is over.
        """
        if self._turn is not _Turn.NONE:
            raise RuntimeError("A turn is going on: end it, and read events up to its TurnDone, before the next one.")
        self._turn = _Turn.RUNNING
        self._steps = 0
        await self._send(vllm.COMMIT_START)

    async def send_audio(self, pcm: bytes) -> None:
        """Send PCM16 little-endian, 16 kHz, mono; waits while the server takes no more.

        Raises:
            RuntimeError: no turn is going on.
            ParleyError: invalid-audio, when it is an odd number of bytes.
            SessionFailed: the session is over.
        """
        if self._turn is not _Turn.RUNNING:
            raise RuntimeError("No turn is going on: start one before sending audio.")
        if len(pcm) % 2:
            raise ParleyError("invalid-audio", f"It has {len(pcm)} bytes, an odd number.")
        for piece in split_pcm(pcm, SEND_PIECE_MS):
            await self._send(vllm.encode_append(vllm.encode_audio(piece)))

    async def end_turn(self) -> None:
        """Say that the utterance is complete; its TurnDone follows.

        Raises:
            RuntimeError: no turn is going on.
            SessionFailed: the session is over.
        """
        if self._turn is not _Turn.RUNNING:
            raise RuntimeError("No turn is going on.")
        self._turn = _Turn.ENDING
        await self._send(vllm.COMMIT_FINAL)

    async def close(self) -> None:
        """End the session; a turn that is still going on is given up."""
        self._is_closed = True
        await self._connection.close()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            SessionFailed: the server reported an error, or went away before the turn was done.
            StopAsyncIteration: the session ended between turns.
        """
        if self._greeting is not None:
            greeting, self._greeting = self._greeting, None
            return greeting
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                # Only here is an answer due; while a turn runs, silence may be all that there is to transcribe.
                async with asyncio.timeout(self._answer_timeout_s if self._turn is _Turn.ENDING else None):
                    event = await self._next()
            except TimeoutError:
                detail = f"The end of the turn was awaited for {self._answer_timeout_s:.0f} s."
                raise self._fail(SessionFailed.of(ParleyError("upstream-stalled", detail))) from None
            except ConnectionEndedError as end:
                if self._turn is _Turn.NONE and (self._is_closed or end.close_code == NORMAL_CLOSE):
                    raise StopAsyncIteration from None
                raise self._fail(self._lost(end)) from None
            if event is not None:
                return event

    async def _send(self, message: bytes) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            await self._connection.send(message)
        except ConnectionEndedError as end:
            # Not kept as the session's failure: what the server said before it went still waits to be read.
            raise _last_words(self._connection.last_unread) or self._lost(end) from None

    async def _next(self) -> Event | None:
        """The next message as an event; None for a delta without text."""
        message = await self._connection.receive()
        try:
            parsed = vllm.parse_server(message)
        except ParleyError as error:
            raise self._fail(SessionFailed.of(error)) from None
        match parsed:
            case Text():
                return self._delta(parsed)
            case vllm.Done():
                return self._done(parsed)
            case vllm.Created(session_id):
                return SessionCreated(session_id)
            case _:
                raise self._fail(_reported(message, parsed))

    def _delta(self, text: Text) -> TextDelta | None:
        self._steps += 1
        if text.is_empty:
            return None
        return TextDelta(text.decode(), round(self._steps * STEP_S, 2) if self._timestamps else None)

    def _done(self, done: vllm.Done) -> TurnDone:
        if self._turn is not _Turn.ENDING:
            raise self._fail(SessionFailed.of(ParleyError("upstream-truncated")))
        self._turn = _Turn.NONE
        is_exact = self._timestamps and self._steps == done.usage.completion_tokens
        return TurnDone(done.text.decode().removeprefix(" "), done.usage, has_exact_times=is_exact)

    def _lost(self, end: ConnectionEndedError) -> SessionFailed:
        is_between = self._turn is _Turn.NONE
        return _lost(end, "between turns" if is_between else "before the turn was done, so its text is not complete")

    def _fail(self, failure: SessionFailed) -> SessionFailed:
        if failure.ends_session:
            self._failure = failure
        return failure


class _Own(msgspec.Struct):
    code: str
    fault: Fault
    retry: Retry
    retry_after_s: float | None = None


class _ErrorEvent(msgspec.Struct):
    parley: _Own


_decode_own = msgspec.json.Decoder(_ErrorEvent).decode


def _reported(message: bytes, failed: vllm.Failed) -> SessionFailed:
    """The failure that an `error` event names: Parley's own data where it is there, vLLM's code otherwise."""
    try:
        own = _decode_own(message).parley
    except msgspec.DecodeError:
        return vllm_failure(failed.code, failed.message)
    return SessionFailed(own.code, failed.message, fault=own.fault, retry=own.retry, retry_after_s=own.retry_after_s)


def _last_words(message: bytes | None) -> SessionFailed | None:
    """The failure that a server named in the last message before it closed, if it did."""
    try:
        parsed = None if message is None else vllm.parse_server(message)
    except ParleyError:
        return None
    return _reported(message, parsed) if message is not None and isinstance(parsed, vllm.Failed) else None


def _lost(end: ConnectionEndedError, when: str) -> SessionFailed:
    """The failure of a session whose connection went away."""
    cause = _CLOSES.get(end.close_code, "an unknown code")
    message = f"The connection ended {when} (code {end.close_code}, {cause}). Start a new session and send it again."
    fault = Fault.CLIENT if end.close_code in _CLIENT_CLOSES else Fault.SERVER
    return SessionFailed("connection-lost", message, fault=fault, retry=Retry.NEW_SESSION)
