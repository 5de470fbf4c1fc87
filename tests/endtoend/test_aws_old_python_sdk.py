"""An old release of AWS's Python SDK, 0.4.0, which applications still pin; run where it is installed.

It differs on the wire: no signed empty event ends its input, and it shows the answer to a refused request only when its
input has ended or the stream was reset.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.logs import LogWatch
from tests.support.sagemaker_stage import (
    CREDENTIALS,
    ENDPOINT,
    REGION,
    SCRIPTED,
    Credentials,
    SpeechStage,
    speech_stage,
)
from tests.support.sound import pcm
from tests.support.waiting import bounded

APPLICATION = Path(__file__).with_name("aws_old_python_sdk.py")
PYTHON = Path(__file__).parents[2] / ".cache" / "aws-sdk-0.4.0" / "bin" / "python"
HOW_TO_INSTALL = (
    "python -m venv .cache/aws-sdk-0.4.0 && "
    ".cache/aws-sdk-0.4.0/bin/pip install 'aws-sdk-sagemaker-runtime-http2[awscrt]==0.4.0'"
)

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason=f"the old SDK is not installed: {HOW_TO_INSTALL}")


@pytest.fixture
async def stage(log: LogWatch, tmp_path: Path) -> AsyncIterator[SpeechStage]:
    async with speech_stage(tmp_path) as stage:
        yield stage


async def say(
    stage: SpeechStage, audio: bytes, endpoint: str = ENDPOINT, credentials: Credentials = CREDENTIALS
) -> str:
    process = await asyncio.create_subprocess_exec(
        str(PYTHON),
        str(APPLICATION),
        stage.gateway.sagemaker_url,
        endpoint,
        SCRIPTED,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={
            "PATH": os.environ["PATH"],
            "SSL_CERT_FILE": str(stage.gateway.authority_file),
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret,
            "AWS_REGION": REGION,
        },
    )
    try:
        output, _ = await bounded("the old SDK is done", process.communicate(audio))
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return output.decode().removesuffix("\n")


async def test_an_input_that_ends_without_a_signed_event_is_complete(stage: SpeechStage) -> None:
    audio = pcm(3.0)
    assert await say(stage, audio) == await stage.straight(audio)


async def test_a_refusal_reaches_a_client_that_keeps_its_input_open(stage: SpeechStage) -> None:
    assert await say(stage, b"", "not-there") == "InputValidationError endpoint-not-found"


async def test_credentials_that_are_not_good_are_refused(stage: SpeechStage) -> None:
    wrong = Credentials(CREDENTIALS.access_key_id, "another+secret/than+the+file+of+keys+has")
    assert (await say(stage, b"", credentials=wrong)).startswith("CallError")
