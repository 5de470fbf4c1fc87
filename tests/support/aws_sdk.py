"""AWS's own Python SDK as a client of the gateway: the real package, on its own transport, over TLS.

The one thing that is not the SDK's is whom it trusts. Its transport has no option for that beside the process's
environment, so `TrustingTransport` sets it; `benchmarks/sdk_sessions.py` runs the transport as it is.
"""

import asyncio
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aws_sdk_sagemaker_runtime_http2.client import AsyncSageMakerRuntimeHTTP2Client
from aws_sdk_sagemaker_runtime_http2.config import AsyncSageMakerRuntimeHTTP2Config, Plugin
from aws_sdk_sagemaker_runtime_http2.models import (
    InvokeEndpointWithBidirectionalStreamInput,
    InvokeEndpointWithBidirectionalStreamOutput,
    RequestPayloadPart,
    RequestStreamEvent,
    RequestStreamEventPayloadPart,
    ResponseStreamEvent,
    ResponseStreamEventPayloadPart,
)
from awscrt.io import ClientTlsContext, TlsContextOptions
from awscrt.websocket import create_handshake_request
from smithy_aws_core.identity import StaticCredentialsResolver
from smithy_core.aio.eventstream import DuplexEventStream
from smithy_core.aio.interfaces.eventstream import EventReceiver
from smithy_http.aio.crt import AWSCRTHTTPClient, AWSCRTHTTPResponse, _AWSCRTEventLoop

from tests.support.client import Event, code_of
from tests.support.sagemaker_stage import CREDENTIALS, ENDPOINT, REGION
from tests.support.sagemaker_stage import Credentials as Credentials
from tests.support.sagemaker_stage import SageMakerGateway as SageMakerGateway
from tests.support.sagemaker_stage import sagemaker_gateway as sagemaker_gateway
from tests.support.sound import PIECE_BYTES, encoded, pieces
from tests.support.waiting import bounded

_LOGGERS = (
    "aws_sdk_sagemaker_runtime_http2",
    "smithy_core",
    "smithy_http",
    "smithy_aws_core",
    "smithy_aws_event_stream",
)
CrtLoop = _AWSCRTEventLoop


def crt_loop() -> CrtLoop:
    """The SDK's own event loop: threads and descriptors that live as long as it does, so one is made for many tests.

    The library opens its source of randomness when it first needs some, and keeps it; that is now.
    """
    create_handshake_request(host="127.0.0.1")
    return CrtLoop()


class TrustingTransport(AWSCRTHTTPClient):
    """The SDK's transport, which trusts one authority of the tests' own."""

    def __init__(self, crt_loop: CrtLoop, authority_file: Path) -> None:
        super().__init__(eventloop=crt_loop)
        options = TlsContextOptions()
        options.override_default_trust_store(authority_file.read_bytes())
        self._tls_ctx = ClientTlsContext(options)
        self._writers: list[asyncio.Task[None]] = []

    async def settle(self) -> None:
        """End its connections, and the tasks that write requests: the SDK leaves those to the garbage collector."""
        await bounded("the SDK's connections close", self.close())
        for writer in self._writers:
            writer.cancel()
        await asyncio.gather(*self._writers, return_exceptions=True)

    async def _await_response(self, stream: Any) -> AWSCRTHTTPResponse:
        self._writers.append(stream._writer)
        return await super()._await_response(stream)

    def __deepcopy__(self, memo: Any) -> Self:
        # The SDK copies its settings and the transport in them; a copy would trust others.
        return self


@dataclass(frozen=True)
class Part:
    """A PayloadPart as it came."""

    data: bytes
    data_type: str | None
    completion_state: str | None


@dataclass(frozen=True)
class StreamEnding:
    """What came before the end of a stream, and what the SDK threw there, if anything."""

    events: list[Event]
    error: Exception | None

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]


class AwsStream(ABC):
    """One bidirectional stream, as an application of some AWS SDK holds it, and the protocol spoken on it."""

    @abstractmethod
    async def send_part(
        self, data: bytes | None, data_type: str | None = "UTF8", completion_state: str | None = None
    ) -> None:
        """Send a part; returns when the SDK has taken it."""

    @abstractmethod
    async def receive_part(self) -> Part | None:
        """The next part, or None at the end; raises what the SDK throws for an exception in the stream."""

    @abstractmethod
    async def close_input(self) -> None:
        """Half-close, as the SDK does it: a signed empty event, then END_STREAM."""

    # ---- to the server

    async def send(self, kind: str, **fields: object) -> None:
        await self.send_part(json.dumps({"type": kind, **fields}).encode())

    async def start(self) -> None:
        await self.send("input_audio_buffer.commit")

    async def append(self, audio: bytes) -> None:
        await self.send("input_audio_buffer.append", audio=encoded(audio))

    async def say(self, audio: bytes, piece_bytes: int = PIECE_BYTES) -> None:
        for piece in pieces(audio, piece_bytes):
            await self.append(piece)

    async def finish(self) -> None:
        await self.send("input_audio_buffer.commit", final=True)

    async def send_turn(self, audio: bytes, piece_bytes: int = PIECE_BYTES) -> None:
        """A whole turn, without waiting for any of its answer."""
        await self.start()
        await self.say(audio, piece_bytes)
        await self.finish()

    # ---- from the server

    async def receive(self) -> Event:
        """The next message."""
        part = await self.receive_part()
        assert part is not None, "the stream ended without a word"
        assert (part.data_type, part.completion_state) == ("UTF8", "COMPLETE")
        message = json.loads(part.data)
        assert isinstance(message, dict)
        return message

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

    async def error(self) -> str:
        """Parley's code of the next event, which has to be an error."""
        return code_of(await self.receive())

    async def until_ended(self) -> StreamEnding:
        """Everything up to the end, and how it ended."""
        events: list[Event] = []
        try:
            while (part := await self.receive_part()) is not None:
                events.append(json.loads(part.data))
        except AssertionError:
            raise
        except Exception as error:
            return StreamEnding(events, error)
        return StreamEnding(events, None)


class SdkStream(AwsStream):
    """A stream of the Python SDK."""

    def __init__(
        self,
        duplex: DuplexEventStream[RequestStreamEvent, ResponseStreamEvent, InvokeEndpointWithBidirectionalStreamOutput],
    ) -> None:
        self.duplex = duplex
        self._receiver: EventReceiver[ResponseStreamEvent] | None = None
        self._requesting = duplex._output_future

    async def accepted(self) -> InvokeEndpointWithBidirectionalStreamOutput:
        """The answer's head; raises what the SDK raises for a refusal."""
        output, self._receiver = await bounded("the response", self.duplex.await_output())
        return output

    async def send_part(
        self, data: bytes | None, data_type: str | None = "UTF8", completion_state: str | None = None
    ) -> None:
        await self._send(RequestPayloadPart(bytes_=data, data_type=data_type, completion_state=completion_state))

    async def send_padded_part(self, data: bytes, padding: str) -> None:
        """Padding hides from who listens on the wire how much was said."""
        await self._send(RequestPayloadPart(bytes_=data, data_type="UTF8", p=padding))

    async def receive_part(self) -> Part | None:
        if self._receiver is None:
            await self.accepted()
        assert self._receiver is not None
        event = await bounded("an event", self._receiver.receive())
        if event is None:
            return None
        assert isinstance(event, ResponseStreamEventPayloadPart), event
        return Part(event.value.bytes_ or b"", event.value.data_type, event.value.completion_state)

    async def close_input(self) -> None:
        await bounded("the input is closed", self.duplex.input_stream.close())

    async def _send(self, part: RequestPayloadPart) -> None:
        await bounded("a part is sent", self.duplex.input_stream.send(RequestStreamEventPayloadPart(value=part)))

    async def settle(self) -> None:
        """Nothing of it is left; its connection is gone."""
        await asyncio.gather(self._requesting, return_exceptions=True)


async def greeted(stream: AwsStream, model: str) -> None:
    """Take the first event of a stream that was opened, and name the model."""
    created = await stream.receive()
    assert created["type"] == "session.created", created
    await stream.send("session.update", model=model)


class Sdk:
    """One client object of the SDK, and the streams that a test opens with it."""

    def __init__(
        self,
        crt_loop: CrtLoop,
        url: str,
        authority_file: Path,
        credentials: Credentials = CREDENTIALS,
        *,
        region: str = REGION,
    ) -> None:
        self._transport = TrustingTransport(crt_loop, authority_file)
        self._url = url
        self._credentials = credentials
        self._region = region
        self._client: AsyncSageMakerRuntimeHTTP2Client | None = None
        self._streams: list[SdkStream] = []

    async def invoke(self, endpoint: str = ENDPOINT, *, plugins: Sequence[Plugin] = (), **inputs: str) -> SdkStream:
        """A stream that has been asked for; whether it was taken, its `accepted` tells."""
        assert self._client is not None
        request = InvokeEndpointWithBidirectionalStreamInput(endpoint_name=endpoint, **inputs)
        duplex = await bounded(
            "the request is made",
            self._client.invoke_endpoint_with_bidirectional_stream(request, plugins=list(plugins)),
        )
        stream = SdkStream(duplex)
        self._streams.append(stream)
        return stream

    async def open(self, model: str, endpoint: str = ENDPOINT, **inputs: str) -> SdkStream:
        """A stream that was taken, whose model is named."""
        stream = await self.invoke(endpoint, plugins=(), **inputs)
        await stream.accepted()
        await greeted(stream, model)
        return stream

    async def __aenter__(self) -> Self:
        # At DEBUG they write every payload into the log.
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        config = await AsyncSageMakerRuntimeHTTP2Config.resolve(
            endpoint_uri=self._url,
            region=self._region,
            transport=self._transport,
            aws_credentials_identity_resolver=StaticCredentialsResolver(),
            aws_access_key_id=self._credentials.access_key_id,
            aws_secret_access_key=self._credentials.secret,
            aws_session_token=self._credentials.session_token,
        )
        self._client = AsyncSageMakerRuntimeHTTP2Client(config=config)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._client is not None
        await self._client.close()
        await self._transport.settle()
        for stream in self._streams:
            await stream.settle()
