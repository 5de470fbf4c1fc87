"""An application of AWS's Python SDK in its old release 0.4.0, in an environment of its own.

python aws_old_python_sdk.py URL ENDPOINT MODEL < AUDIO
"""

import asyncio
import base64
import json
import os
import sys
from typing import Any

from aws_sdk_sagemaker_runtime_http2.client import SageMakerRuntimeHTTP2Client
from aws_sdk_sagemaker_runtime_http2.config import Config
from aws_sdk_sagemaker_runtime_http2.models import (
    InvokeEndpointWithBidirectionalStreamInput,
    RequestPayloadPart,
    RequestStreamEventPayloadPart,
)
from smithy_aws_core.identity import StaticCredentialsResolver

PIECE_BYTES = 3_200


async def talk(url: str, endpoint: str, model: str) -> str:
    """Says a turn of the audio on standard input; its text, or what was raised."""
    client = SageMakerRuntimeHTTP2Client(
        Config(
            endpoint_uri=url,
            region=os.environ["AWS_REGION"],
            aws_credentials_identity_resolver=StaticCredentialsResolver(),
            aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        )
    )
    stream = await client.invoke_endpoint_with_bidirectional_stream(
        InvokeEndpointWithBidirectionalStreamInput(endpoint_name=endpoint)
    )

    async def send(kind: str, **fields: Any) -> None:
        data = json.dumps({"type": kind, **fields}).encode()
        part = RequestPayloadPart(bytes_=data, data_type="UTF8")
        await stream.input_stream.send(RequestStreamEventPayloadPart(value=part))

    await send("session.update", model=model)
    try:
        _, receiver = await stream.await_output()
    except Exception as error:
        return f"{type(error).__name__} {getattr(error, 'error_code', None)}"
    await send("input_audio_buffer.commit")
    audio = sys.stdin.buffer.read()
    for start in range(0, len(audio), PIECE_BYTES):
        piece = base64.b64encode(audio[start : start + PIECE_BYTES]).decode()
        await send("input_audio_buffer.append", audio=piece)
    # The turn is left open: its end is the end of the input.
    await stream.input_stream.close()
    text = ""
    while (event := await receiver.receive()) is not None:
        message = json.loads(event.value.bytes_)
        if message["type"] == "transcription.done":
            text = message["text"]
    return text


if __name__ == "__main__":
    # Its connections' threads would keep the process.
    print(asyncio.run(talk(*sys.argv[1:])), flush=True)
    os._exit(0)
