"""The example that uses AWS's SDK, as a person runs it: its own process, the gateway's own certificate."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parley.audio.wav import wav_header
from tests.server.http2_gateway import Http2Gateway
from tests.support.fake_vllm import FakeVllm
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded

EXAMPLE = Path(__file__).parents[2] / "examples" / "sagemaker_client.py"


@pytest.fixture
async def gateway(vllm: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Http2Gateway]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    gateway = Http2Gateway(vllm.url, http2={"cleartext": False})
    await gateway.start()
    yield gateway
    await gateway.close()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "some.wav"
    path.write_bytes(wav_header(32_000) + pcm(2.0))
    return path


async def run(gateway: Http2Gateway, *arguments: str, **variables: str) -> tuple[int | None, str, str]:
    usual = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PARLEY_"))}
    environment = {
        **usual,
        "SSL_CERT_FILE": str(gateway.authorities_file),
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(EXAMPLE), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        output, errors = await bounded("the example ends", process.communicate())
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_it_prints_the_words(gateway: Http2Gateway, recording: Path) -> None:
    assert await run(gateway, str(recording), gateway.http2_url) == (0, transcript(32_000) + "\n", "")


async def test_it_goes_where_the_environment_says(gateway: Http2Gateway, recording: Path) -> None:
    ended = await run(gateway, str(recording), AWS_ENDPOINT_URL=gateway.http2_url)
    assert ended == (0, transcript(32_000) + "\n", "")


async def test_it_says_why_there_are_none(gateway: Http2Gateway, recording: Path) -> None:
    status, output, errors = await run(gateway, str(recording), gateway.http2_url, "no-such-endpoint")
    assert (status, output) == (1, "")
    assert errors.startswith("InputValidationError: ")
    assert "endpoint" in errors
