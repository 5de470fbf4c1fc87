"""Transcribe a recording through SageMaker's API, with AWS's own SDK and nothing of Parley's.

    pip install 'aws-sdk-sagemaker-runtime-http2[awscrt]>=0.12,<0.13'
    parley serve --http2                         # in another terminal; it prints the first of these lines
    export SSL_CERT_FILE=...                     # whom to trust
    export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_REGION=us-east-1
    python examples/sagemaker_client.py FILE.wav https://127.0.0.1:8443 parley

Without a URL it goes where AWS_ENDPOINT_URL says, or to SageMaker itself: there the name is that of an endpoint of
yours with Parley in it, and the credentials are real ones. FILE.wav has 16 kHz, 16 bits, one channel.
"""

import asyncio
import base64
import json
import sys
import wave
from typing import Any

from aws_sdk_sagemaker_runtime_http2.client import AsyncSageMakerRuntimeHTTP2Client
from aws_sdk_sagemaker_runtime_http2.config import AsyncSageMakerRuntimeHTTP2Config
from aws_sdk_sagemaker_runtime_http2.models import (
    InvokeEndpointWithBidirectionalStreamInput,
    RequestPayloadPart,
    RequestStreamEventPayloadPart,
    ResponseStreamEventPayloadPart,
)
from smithy_core.exceptions import SmithyError
from smithy_http.aio.crt import AWSCRTHTTPClient

PIECE_SAMPLES = 3_200
RESPONSE_TIMEOUT_S = 30.0


def read_pcm16(path: str) -> bytes:
    """The samples of a recording."""
    recording: wave.Wave_read
    with wave.open(path) as recording:
        if (recording.getframerate(), recording.getsampwidth(), recording.getnchannels()) != (16_000, 2, 1):
            sys.exit(
                f"{path}: not 16 kHz, 16 bits, one channel; ffmpeg -i {path} -ar 16000 -ac 1 -sample_fmt s16 OUT.wav"
            )
        return recording.readframes(recording.getnframes())


async def send(stream: Any, pcm16: bytes) -> None:
    """Say what is to be said: each message is one part, and text."""

    async def message(kind: str, **fields: object) -> None:
        part = RequestPayloadPart(bytes_=json.dumps({"type": kind, **fields}).encode(), data_type="UTF8")
        await stream.input_stream.send(RequestStreamEventPayloadPart(value=part))

    await message("session.update", model="")
    await message("input_audio_buffer.commit")
    for start in range(0, len(pcm16), 2 * PIECE_SAMPLES):
        piece = pcm16[start : start + 2 * PIECE_SAMPLES]
        await message("input_audio_buffer.append", audio=base64.b64encode(piece).decode())
    await message("input_audio_buffer.commit", final=True)


async def receive(stream: Any) -> None:
    """Print the words as they come. What ends the stream early is raised by the SDK, except that a connection that
    broke looks like an end: so the turn's own end is what counts."""
    _, events = await asyncio.wait_for(stream.await_output(), RESPONSE_TIMEOUT_S)
    is_done = False
    while isinstance(event := await events.receive(), ResponseStreamEventPayloadPart):
        message = json.loads(event.value.bytes_ or b"{}")
        if message.get("type") == "transcription.delta":
            print(message["delta"], end="", flush=True)
        elif message.get("type") == "transcription.done":
            print()
            is_done = True
            # Nothing more is to be said, and the server ends the stream.
            await stream.input_stream.close()
        elif message.get("type") == "error":
            sys.exit(f"{message.get('code')}: {message.get('error')}")
    if not is_done:
        sys.exit("The stream ended before the turn was done; its text is not complete.")


async def main(path: str, url: str | None, endpoint: str) -> None:
    """Send and receive at the same time: the text begins long before the recording ends."""
    pcm16 = read_pcm16(path)
    # SageMaker's streams need HTTP/2 in both directions at once, which only this transport of the SDK can do.
    config = await AsyncSageMakerRuntimeHTTP2Config.resolve(transport=AWSCRTHTTPClient())
    if url is not None:
        config.endpoint_uri = url
    client = AsyncSageMakerRuntimeHTTP2Client(config=config)
    stream = await client.invoke_endpoint_with_bidirectional_stream(
        InvokeEndpointWithBidirectionalStreamInput(endpoint_name=endpoint)
    )
    # Sending does not fail when the server has ended the stream: it waits for ever. So receiving decides.
    sending = asyncio.create_task(send(stream, pcm16))
    try:
        await receive(stream)
    except SmithyError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await client.close()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(
        main(
            sys.argv[1],
            sys.argv[2] if len(sys.argv) > 2 else None,
            sys.argv[3] if len(sys.argv) > 3 else "parley",
        )
    )
