"""A stream of SageMaker's endpoint without HTTP/2: what is written is recorded, what a client sends is handed over.

```
stream = open_stream(Endpoint(StubHost()))    the factory's handler on an exchange in memory
stream.send(part(b"{...}"))                   bytes of the request's body
stream.exchange.parts, .failure, .error       the answer, decoded
```
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from parley.access.caller import Caller
from parley.access.gate import Gate
from parley.access.sigv4.credentials import AccessKey
from parley.core.errors import ParleyError
from parley.ingress.attachment import SessionHost
from parley.ingress.http2.bidirectional import Bidirectional, StreamLimits
from parley.ingress.http2.exchange import ExchangeHandler, Headers, Request
from parley.ingress.invocation import Container, FrameSink, Invocation, Target
from parley.wire.event_stream import CONTENT_TYPE, Decoder
from parley.wire.payload_part import PayloadPart, StreamFailure, encode_part, parse_response
from tests.support.ingress import StubHost
from tests.support.signing import CREDENTIALS
from tests.support.waiting import Changes

TARGET = "/endpoints/parley/invocations-bidirectional-stream"
QUICK = StreamLimits(close_timeout_s=0.02, waiting_timeout_s=0.02, container_timeout_s=0.02)

Event = dict[str, Any]


class MemoryExchange:
    """An `Exchange` that keeps what is written. `block` and `unblock` are the peer's reading."""

    def __init__(self) -> None:
        self.changes = Changes()
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.is_finished = False
        self.reset_code: int | None = None
        self.is_paused = False
        self.handler: ExchangeHandler | None = None
        self.blocks_at_bytes: int | None = None
        """A write that brings the body to this size tells the handler that it is blocked, from within."""

    @property
    def is_over(self) -> bool:
        return self.is_finished or self.reset_code is not None

    def respond(self, status: int, headers: Headers = ()) -> None:
        if self.is_over:
            return
        assert not self.status, "an exchange has one answer"
        self.status = status
        names = [name for name, _ in headers]
        assert len(set(names)) == len(names)
        assert all(name == name.lower() for name in names)
        self.headers = {name.decode(): value.decode() for name, value in headers}
        self.changes.notify()

    def write(self, data: bytes) -> None:
        if self.is_over:
            return
        assert self.status, "an answer begins with its head"
        self.body += data
        self.changes.notify()
        if self.blocks_at_bytes is not None and len(self.body) >= self.blocks_at_bytes:
            self.blocks_at_bytes = None
            assert self.handler is not None
            self.handler.writing_blocked()

    def finish(self) -> None:
        assert self.status or self.is_over, "an answer begins with its head"
        self.is_finished = True
        self.changes.notify()

    def reset(self, code: int) -> None:
        if self.reset_code is None:
            self.reset_code = code
            self.changes.notify()

    def pause_reading(self) -> None:
        self.is_paused = True
        self.changes.notify()

    def round_trip_s(self) -> float | None:
        return None

    def resume_reading(self) -> None:
        self.is_paused = False
        self.changes.notify()

    # ---- the answer, as a client reads it

    @property
    def responses(self) -> list[PayloadPart | StreamFailure]:
        assert (self.status, self.headers["content-type"]) == (200, CONTENT_TYPE)
        decoder = Decoder()
        responses = [parse_response(message) for message in decoder.feed(bytes(self.body))]
        assert decoder.is_between_messages
        return responses

    @property
    def parts(self) -> list[PayloadPart]:
        return [one for one in self.responses if isinstance(one, PayloadPart)]

    @property
    def events(self) -> list[Event]:
        """The messages of a session."""
        assert all(part.is_text and part.is_complete for part in self.parts)
        return [json.loads(part.data) for part in self.parts]

    @property
    def failure(self) -> StreamFailure:
        """The exception, which is the last event, and the only one of its kind."""
        *before, last = self.responses
        assert isinstance(last, StreamFailure)
        assert not any(isinstance(one, StreamFailure) for one in before)
        assert self.is_finished
        return last

    @property
    def error(self) -> Event:
        """The body of an error before the stream."""
        assert self.status >= 400
        assert self.headers["content-type"] == "application/json"
        assert int(self.headers["content-length"]) == len(self.body)
        assert self.is_finished
        error = json.loads(self.body)
        assert isinstance(error, dict)
        return error

    async def until_finished(self) -> None:
        await self.changes.until("the answer ends", lambda: self.is_finished)

    async def until_reset(self) -> int:
        await self.changes.until("the stream is reset", lambda: self.reset_code is not None)
        assert self.reset_code is not None
        return self.reset_code


@dataclass
class Stream:
    """A request's exchange and the handler that the factory made."""

    exchange: MemoryExchange
    handler: ExchangeHandler

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            assert not self.exchange.is_paused, "the exchange keeps it back"
            self.handler.data_received(piece)

    def say(self, kind: str, **fields: object) -> None:
        """A message in one part."""
        self.send(part(json.dumps({"type": kind, **fields}).encode()))


@dataclass
class Endpoint:
    """`Endpoints` of one target; it remembers what it was asked for."""

    serves: SessionHost | Container
    variant: str = "AllTraffic"
    fails_with: Exception | None = None
    asked: list[Invocation] = field(default_factory=list)

    def find(self, invocation: Invocation) -> Target:
        self.asked.append(invocation)
        if self.fails_with is not None:
            raise self.fails_with
        return Target(self.variant, self.serves)


class Keys:
    """One access key."""

    def find(self, access_key_id: str) -> AccessKey | None:
        key = AccessKey(CREDENTIALS.access_key_id, CREDENTIALS.secret_access_key)
        return key if access_key_id == key.access_key_id else None


@dataclass
class StubContainer:
    """A `Container` that takes a stream when it may, or refuses it."""

    refuses_entry: ParleyError | None = None
    refuses_open: Exception | None = None
    sockets: list["StubSocket"] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)
    may_open: asyncio.Event = field(default_factory=asyncio.Event)
    is_cancelled: bool = False
    entered: list[str] = field(default_factory=list)
    left: int = 0

    def __post_init__(self) -> None:
        self.may_open.set()

    def enter(self, caller: Caller) -> Callable[[], None]:
        if self.refuses_entry is not None:
            raise self.refuses_entry
        self.entered.append(caller.principal)
        return self._leave

    def _leave(self) -> None:
        self.left += 1

    async def open(self, path: str, query: str, request_id: str, sink: FrameSink) -> "StubSocket":
        self.asked.append((path, query, request_id))
        try:
            await self.may_open.wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            self.changes.notify()
            raise
        if self.refuses_open is not None:
            raise self.refuses_open
        self.sockets.append(StubSocket(sink))
        self.changes.notify()
        return self.sockets[-1]

    async def socket(self) -> "StubSocket":
        await self.changes.until("a socket", lambda: bool(self.sockets))
        return self.sockets[-1]


class StubSocket:
    """A container's end: frames that came, and a `sink` for those that it sends."""

    def __init__(self, sink: FrameSink) -> None:
        self.sink = sink
        self.frames: list[tuple[bytes, bool, bool]] = []
        self.is_paused = False
        self.closed_with: tuple[int, str] | None = None

    def send_frame(self, data: bytes, *, is_text: bool, is_last: bool) -> None:
        assert self.closed_with is None
        self.frames.append((data, is_text, is_last))

    def pause_reading(self) -> None:
        self.is_paused = True

    def round_trip_s(self) -> float | None:
        return None

    def resume_reading(self) -> None:
        self.is_paused = False

    def close(self, code: int, reason: str = "") -> None:
        assert self.closed_with is None, "it is closed once"
        self.closed_with = (code, reason)


def make_request(
    target: str = TARGET,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    *,
    method: str = "POST",
    content_type: str | None = CONTENT_TYPE,
) -> Request:
    """A request with the pseudo-fields and this content type before these headers."""
    given = list(headers.items() if isinstance(headers, Mapping) else headers)
    fields = [(":method", method), (":scheme", "https"), (":path", target), (":authority", "localhost:8443")]
    if content_type is not None:
        fields.append(("content-type", content_type))
    encoded = tuple((name.lower().encode(), value.encode("utf-8", "surrogateescape")) for name, value in fields + given)
    return Request(method, target, "localhost:8443", encoded, is_loopback=True)


def open_on(bidirectional: Bidirectional, request: Request | None = None) -> Stream:
    """What becomes of a request."""
    exchange = MemoryExchange()
    handler = bidirectional(request or make_request(), exchange)
    exchange.handler = handler
    return Stream(exchange, handler)


def open_stream(
    endpoint: Endpoint | None = None,
    request: Request | None = None,
    *,
    gate: Gate | None = None,
    limits: StreamLimits | None = None,
) -> Stream:
    """The same for a factory of its own."""
    endpoint = endpoint or Endpoint(StubHost())
    return open_on(Bidirectional(endpoint, gate or Gate(), limits or StreamLimits()), request)


def part(data: bytes, *, is_text: bool = True, is_complete: bool = True) -> bytes:
    """A part as an event without a signature."""
    return encode_part(data, is_text=is_text, is_complete=is_complete)
