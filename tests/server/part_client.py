"""A client of SageMaker's endpoint on the tests' raw HTTP/2: messages go as parts, and come as them."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

from parley.wire.event_stream import CONTENT_TYPE, Decoder
from parley.wire.payload_part import StreamFailure, encode_part, parse_response
from tests.support.fake_vllm import MODEL
from tests.support.http2 import ClientStream, Http2Client
from tests.support.signing import Credentials, EventSigner, sign_request
from tests.support.sound import encoded, pieces

Event = dict[str, Any]


@dataclass
class PartStream:
    """One invocation. With a signer its events are signed."""

    stream: ClientStream
    signer: EventSigner | None = None
    decoder: Decoder = field(default_factory=lambda: Decoder(message_max_bytes=1_048_576))
    waiting: list[bytes | StreamFailure] = field(default_factory=list)

    async def send(self, kind: str, **fields: object) -> None:
        await self.send_part(json.dumps({"type": kind, **fields}).encode())

    async def send_part(self, data: bytes) -> None:
        part = encode_part(data)
        await self.stream.send(self.signer.sign(part) if self.signer is not None else part)

    async def send_turn(self, audio: bytes) -> None:
        await self.send("input_audio_buffer.commit")
        await self.say(audio)
        await self.send("input_audio_buffer.commit", final=True)

    async def say(self, audio: bytes) -> None:
        for piece in pieces(audio):
            await self.send("input_audio_buffer.append", audio=encoded(piece))

    async def end(self) -> None:
        """The input is over; signed, that is proven."""
        if self.signer is not None:
            await self.stream.send(self.signer.sign(b""))
        self.stream.end()

    async def next(self) -> bytes | StreamFailure | None:
        """The next part's bytes, or the failure that ends the stream; None at its end."""
        while not self.waiting:
            data = await self.stream.read()
            if not data:
                return None
            for message in self.decoder.feed(data):
                response = parse_response(message)
                self.waiting.append(response if isinstance(response, StreamFailure) else response.data)
        return self.waiting.pop(0)

    async def receive(self) -> Event:
        """The next event of the session."""
        data = await self.next()
        assert isinstance(data, bytes), data
        event = json.loads(data)
        assert isinstance(event, dict)
        return event

    async def until(self, kind: str) -> Event:
        """The next event of this kind; errors may not come before it."""
        while (event := await self.receive())["type"] != kind:
            assert event["type"] != "error", event
        return event

    async def result(self) -> str:
        """The text of the turn."""
        return str((await self.until("transcription.done"))["text"])

    async def opened(self, model: str = MODEL) -> Event:
        """`session.created`, and the model named."""
        created = await self.receive()
        assert created["type"] == "session.created", created
        await self.send("session.update", model=model)
        return created

    async def refusal(self) -> tuple[int, str, Event]:
        """The answer's status, the exception's name and the body, of a request that got no stream."""
        status, headers = await self.stream.head()
        body = json.loads(await self.stream.read_all())
        return status, headers["x-amzn-errortype"], body


class PartClient:
    """Opens invocations on one connection."""

    def __init__(self, http2: Http2Client, credentials: Credentials | None) -> None:
        self.http2 = http2
        self._credentials = credentials

    def invoke(self, endpoint: str = "parley", headers: Mapping[str, str] | None = None) -> PartStream:
        """Open one; the head of the answer has still to come."""
        target = f"/endpoints/{endpoint}/invocations-bidirectional-stream"
        if self._credentials is None:
            return PartStream(self.http2.open(target, {"content-type": CONTENT_TYPE, **(headers or {})}))
        head = sign_request(target, headers, authority="parley.test", credentials=self._credentials, style="node")
        stream = self.http2.open(target, dict(head.headers))
        return PartStream(stream, EventSigner(head.seed, self._credentials))


@asynccontextmanager
async def part_client(
    port: int, *, tls: SSLContext | None = None, credentials: Credentials | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[PartClient]:
    """A client of the endpoint on this port."""
    async with Http2Client(port, host=host, ssl_context=tls) as http2:
        yield PartClient(http2, credentials)
