"""`POST /invocations`: a recording in the body, its transcript in the answer, through a session like any other."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator

from aiohttp import web

from parley.access.gate import Gate
from parley.access.identity import BodyGuard
from parley.audio.decode import AudioDecoder
from parley.core import events as ev
from parley.core.content import SAMPLE_RATE, Text
from parley.core.errors import ParleyError
from parley.core.notices import Notice
from parley.core.usage import Usage
from parley.ingress.answers import error_response, json_response
from parley.ingress.attachment import SessionHost, SessionPort
from parley.ingress.continuing import check_body, refuse_body, take_body
from parley.ingress.provenance import provenance_of
from parley.ingress.request_heads import of_request
from parley.wire import vllm

_log = logging.getLogger("parley.ingress")

_BLOCKED_ABOVE_RESULTS = 64
_EVENT_STREAM = "text/event-stream"


class BodyAttachment:
    """A session's client that is an HTTP request: results queue here until the response takes them."""

    def __init__(self) -> None:
        self._results: deque[Text | tuple[Text, Usage] | ParleyError] = deque()
        self._arrived = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._blocked = False
        self.port: SessionPort | None = None
        self.ended: ParleyError | None = None

    # ---- from the session

    def send_delta(self, text: Text, seq: int = 0, item: int = 0) -> None:
        """Queue a piece of transcript."""
        self._put(text)

    def send_done(self, text: Text, usage: Usage, seq: int = 0, item: int = 0, text_from: int | None = None) -> None:
        """Queue the end of the turn."""
        self._put((text, usage))

    def send_error(self, error: ParleyError, seq: int = 0) -> None:
        """Queue an error."""
        self._put(error)

    def send_notice(self, notice: Notice, seq: int = 0) -> None:
        """Nothing: a request has not opted in to notices."""

    def send_token(self, token: str, window_s: float, retention: str = "") -> None:
        """Nothing: a request can't be resumed."""

    def round_trip_s(self) -> float | None:
        """Nothing is asked of such a client."""
        return None

    def pause_input(self) -> None:
        """Stop reading the body."""
        self._may_read.clear()

    def resume_input(self) -> None:
        """Read the body again."""
        self._may_read.set()

    def end(self, error: ParleyError | None, seq: int = 0) -> None:
        """Queue why the session ended; nothing follows."""
        self.ended = error
        self._may_read.set()
        if error is not None:
            self._put(error)

    def _put(self, result: Text | tuple[Text, Usage] | ParleyError) -> None:
        self._results.append(result)
        self._arrived.set()
        if not self._blocked and len(self._results) > _BLOCKED_ABOVE_RESULTS and self.port is not None:
            self._blocked = True
            self.port.receive(ev.ClientBlocked())

    # ---- from the request

    async def may_read(self) -> None:
        """Wait until the session takes more audio."""
        await self._may_read.wait()

    async def next(self) -> Text | tuple[Text, Usage] | ParleyError:
        """The next result; waits for it."""
        while not self._results:
            self._arrived.clear()
            await self._arrived.wait()
        result = self._results.popleft()
        if self._blocked and not self._results and self.port is not None:
            self._blocked = False
            self.port.receive(ev.ClientUnblocked())
        return result

    def put_back(self, result: Text | tuple[Text, Usage] | ParleyError) -> None:
        """It is the next one again."""
        self._results.appendleft(result)


class Invocations:
    """The handler of `POST /invocations`.

    A client that sends nothing of its body for `stall_timeout_s`, or reads nothing of its answer, is given up: it would
    hold its place among the sessions for ever.
    """

    def __init__(self, host: SessionHost, gate: Gate, body_max_bytes: int, stall_timeout_s: float) -> None:
        self._host = host
        self._gate = gate
        self._body_max_bytes = body_max_bytes
        self._stall_timeout_s = stall_timeout_s

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Transcribe the body. JSON, or server-sent events when the request accepts them."""
        attachment, loop = BodyAttachment(), asyncio.get_running_loop()
        came_at, head = loop.time(), of_request(request)
        try:
            identity = self._gate.identify(head)
        except ParleyError as error:
            return refuse_body(error)
        try:
            if request.content_length is not None and request.content_length > self._body_max_bytes:
                raise ParleyError("message-too-large", f"The body may be {self._body_max_bytes} bytes long.")
            check_body(request)
            decoder = AudioDecoder.for_content_type(request.headers.get("Content-Type"))
            port = attachment.port = self._host.open(
                attachment,
                caller=identity.caller,
                forward_empty_deltas=False,
                provenance=provenance_of(
                    head, identity.caller, connected_at=came_at, now=loop.time(), transport="http"
                ),
            )
        except ParleyError as error:
            return error_response(error)
        take_body(request)
        port.start()
        port.receive(ev.ModelNamed(""))
        port.receive(ev.TurnStarted())
        wants_stream = _EVENT_STREAM in request.headers.get("Accept", "")
        feeding = asyncio.create_task(self._feed(request, decoder, attachment, port, identity.body))
        try:
            if wants_stream:
                # What comes of a body that is signed is not told before it is known to be the one.
                verified = None if identity.body is None else feeding
                return await _stream(request, attachment, self._stall_timeout_s, verified)
            return await _collect(attachment, feeding, is_signed=identity.body is not None)
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            port.receive(ev.ClientClosed())

    async def _feed(
        self,
        request: web.Request,
        decoder: AudioDecoder,
        attachment: BodyAttachment,
        port: SessionPort,
        guard: BodyGuard | None,
    ) -> int:
        """Pass the body on as audio, as fast as the session takes it; returns the samples passed on."""
        size = samples = 0
        try:
            async for chunk in self._chunks(request):
                size += len(chunk)
                if size > self._body_max_bytes:
                    raise ParleyError("message-too-large", f"The body may be {self._body_max_bytes} bytes long.")
                if guard is not None:
                    guard.feed(chunk)
                samples += await self._send(decoder.feed(chunk), attachment, port)
            if guard is not None:
                guard.finish()
            samples += await self._send(decoder.flush(), attachment, port)
        except ParleyError as error:
            attachment.end(error)
            port.receive(ev.ClientClosed())
            return samples
        port.receive(ev.TurnEnded())
        return samples

    async def _chunks(self, request: web.Request) -> AsyncIterator[bytes]:
        chunks = request.content.iter_any()
        while True:
            try:
                async with asyncio.timeout(self._stall_timeout_s):
                    chunk = await anext(chunks, b"")
            except TimeoutError:
                raise ParleyError("bad-request", f"The body stopped for {self._stall_timeout_s:g} s.") from None
            if not chunk:
                return
            yield chunk

    @staticmethod
    async def _send(pcm: bytes, attachment: BodyAttachment, port: SessionPort) -> int:
        if not pcm:
            return 0
        for piece in vllm.split(vllm.encode_audio(pcm)):
            await attachment.may_read()
            port.receive(ev.AudioReceived(piece))
        return len(pcm) // 2


async def _collect(attachment: BodyAttachment, feeding: asyncio.Task[int], *, is_signed: bool) -> web.StreamResponse:
    while True:
        result = await attachment.next()
        if isinstance(result, ParleyError):
            return error_response(result)
        if isinstance(result, tuple):
            text, usage = result
            duration_s = round(await feeding / SAMPLE_RATE, 3)
            if is_signed and attachment.ended is not None:
                return error_response(attachment.ended)
            body = {"text": text.decode().strip(), "duration_s": duration_s}
            return json_response({**body, "usage": _counts(usage)})


async def _stream(
    request: web.Request, attachment: BodyAttachment, stall_timeout_s: float, verified: asyncio.Task[int] | None = None
) -> web.StreamResponse:
    async def write(event: str, data: bytes) -> None:
        try:
            async with asyncio.timeout(stall_timeout_s):
                await response.write(b"event: %b\ndata: %b\n\n" % (event.encode(), data))
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from None

    response = web.StreamResponse(headers={"Content-Type": _EVENT_STREAM, "Cache-Control": "no-store"})
    first = await (attachment.next() if verified is None else _held_back(attachment, verified))
    if isinstance(first, ParleyError):
        # Nothing has been written yet, so the status can still tell.
        return error_response(first)
    await response.prepare(request)
    result: Text | tuple[Text, Usage] | ParleyError = first
    while True:
        if isinstance(result, Text):
            await write("transcription.delta", vllm.encode_delta(result))
        else:
            if isinstance(result, ParleyError):
                await write("error", vllm.encode_failure(result))
            else:
                await write("transcription.done", vllm.encode_done(*result))
            await response.write_eof()
            return response
        result = await attachment.next()


async def _held_back(
    attachment: BodyAttachment, verified: asyncio.Task[int]
) -> Text | tuple[Text, Usage] | ParleyError:
    """What is told first, and not before the end of the body: all the text until then as one piece, or an error."""
    pieces: list[Text] = []
    while True:
        result = await attachment.next()
        if isinstance(result, Text):
            pieces.append(result)
            # Of a body that was another one, the error is behind the text.
            if not verified.done() or attachment.ended is not None:
                continue
        elif isinstance(result, tuple):
            await verified
            if attachment.ended is not None:
                return attachment.ended
            attachment.put_back(result)
        else:
            return result
        return Text.joined(pieces)


def _counts(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
