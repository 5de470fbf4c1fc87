"""Sessions that AWS's Python SDK takes up again after a lost connection, through the operation that it knows."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aws_sdk_sagemaker_runtime_http2.models import ModelStreamError

from tests.support import signing
from tests.support.aws_sdk import AwsStream, CrtLoop, Sdk, SdkStream, crt_loop
from tests.support.boto import signed_headers
from tests.support.chaos_proxy import ChaosProxy
from tests.support.client import Event
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.logs import LogWatch
from tests.support.sagemaker_stage import (
    CREDENTIALS,
    REGION,
    SCRIPTED,
    TEMPORARY,
    Credentials,
    SpeechStage,
    sagemaker_gateway,
    speech_stage,
)
from tests.support.sound import PIECE_BYTES, encoded, pcm, pieces

UNNUMBERED = {"session.created", "session.updated", "session.resumed", "session.ack"}
RESUME = "resume=1"


@pytest.fixture(scope="module")
def crt() -> CrtLoop:
    return crt_loop()


@pytest.fixture
async def stage(log: LogWatch, tmp_path: Path) -> AsyncIterator[SpeechStage]:
    async with speech_stage(tmp_path) as stage:
        yield stage


@dataclass
class Traveller:
    """A session that outlives its streams: keeps what a client of the session contract has to keep."""

    stream: AwsStream
    token: str
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    seen: list[Event] = field(default_factory=list)

    @classmethod
    async def begin(cls, stream: SdkStream, model: str) -> "Traveller":
        assert (await stream.receive())["type"] == "session.created"
        await stream.send("session.update", model=model, parley={"resume": True})
        updated = await stream.receive()
        assert updated["type"] == "session.updated"
        return cls(stream, updated["resume"]["token"])

    @property
    def seq(self) -> int:
        return int(self.seen[-1]["seq"]) if self.seen else 0

    async def send(self, kind: str, **fields: object) -> None:
        self.sent.append((kind, fields))
        await self.stream.send(kind, **fields)

    async def say(self, audio: bytes) -> None:
        for piece in pieces(audio, PIECE_BYTES):
            await self.send("input_audio_buffer.append", audio=encoded(piece))

    async def event(self) -> Event | None:
        """The next numbered event, which has to follow the one before, or None where the stream ends."""
        while (part := await self.stream.receive_part()) is not None:
            event: Event = json.loads(part.data)
            if event["type"] not in UNNUMBERED:
                assert event["seq"] == self.seq + 1, event
                self.seen.append(event)
                return event
        return None

    async def until(self, kind: str) -> Event:
        while (event := await self.event()) is None or event["type"] != kind:
            assert event is not None, "the stream ended"
            assert event["type"] != "error", event
        return event

    async def until_dropped(self) -> None:
        """To the SDK a lost connection looks like a clean end."""
        while await self.event() is not None:
            pass

    async def come_back(self, stream: SdkStream) -> Event:
        """Another stream takes the session up, and what was not safe is sent again."""
        self.stream = stream
        assert (await stream.receive())["type"] == "session.created"
        await stream.send("session.resume", token=self.token, seq=self.seq)
        resumed = await stream.receive()
        assert resumed["type"] == "session.resumed", resumed
        for kind, fields in self.sent[resumed["input_seq"] :]:
            await stream.send(kind, **fields)
        return resumed


@pytest.fixture
async def proxy(stage: SpeechStage) -> AsyncIterator[ChaosProxy]:
    async with ChaosProxy(stage.gateway.sagemaker_url) as proxy:
        yield proxy


@pytest.fixture
async def sdk(stage: SpeechStage, proxy: ChaosProxy, crt: CrtLoop) -> AsyncIterator[Sdk]:
    async with Sdk(crt, proxy.url.replace("ws:", "https:"), stage.gateway.authority_file) as sdk:
        yield sdk


async def test_a_dropped_session_is_resumed_and_says_what_an_undisturbed_one_says(
    stage: SpeechStage, proxy: ChaosProxy, sdk: Sdk
) -> None:
    audio = pcm(8.0)
    session = await Traveller.begin(await sdk.invoke(), SCRIPTED)
    await session.send("input_audio_buffer.commit")
    cuts = 0
    for start in range(0, len(audio), 64_000):
        await session.say(audio[start : start + 64_000])
        if cuts < 3:
            await session.until("transcription.delta")
            proxy.cut()
            cuts += 1
            await session.until_dropped()
            resumed = await session.come_back(await sdk.invoke(model_query_string=RESUME))
            assert resumed["outcome"] == "resumed"
    await session.send("input_audio_buffer.commit", final=True)
    done = await session.until("transcription.done")
    assert proxy.accepted == cuts + 1
    assert done["text"] == await stage.straight(audio)
    deltas = [event["delta"] for event in session.seen if event["type"] == "transcription.delta"]
    assert "".join(deltas) == done["text"]
    assert [event["seq"] for event in session.seen] == list(range(1, len(session.seen) + 1))


async def test_a_connection_that_is_cut_in_the_middle_of_a_part_loses_nothing(
    stage: SpeechStage, proxy: ChaosProxy, sdk: Sdk
) -> None:
    audio = pcm(3.0)
    proxy.up.cuts = [60_011]
    session = await Traveller.begin(await sdk.invoke(), SCRIPTED)
    await session.send("input_audio_buffer.commit")
    speaking = asyncio.create_task(session.say(audio))
    await session.until_dropped()
    # The SDK's `send` never returns when its connection is gone and 16 parts wait.
    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
    said = len(session.sent) - 1
    await session.come_back(await sdk.invoke(model_query_string=RESUME))
    await session.say(audio[said * PIECE_BYTES :])
    await session.send("input_audio_buffer.commit", final=True)
    assert (await session.until("transcription.done"))["text"] == await stage.straight(audio)


async def begun_on_a_websocket(stage: SpeechStage, credentials: Credentials) -> str:
    """The token of a session whose connection is lost."""
    signer = signing.Credentials(credentials.access_key_id, credentials.secret, credentials.session_token or "")
    authority = stage.gateway.ws_url.removeprefix("ws://")
    headers = signed_headers("/v1/realtime", authority=authority, credentials=signer, region=REGION)
    client = await stage.gateway.connect(additional_headers=headers)
    await client.send("session.update", model=SCRIPTED, parley={"resume": True})
    updated = await client.receive()
    await client.start()
    await client.say(pcm(1.0))
    await client.until("session.ack")
    client.abort()
    return str(updated["resume"]["token"])


async def test_a_session_begun_on_a_websocket_goes_on_over_the_sdk(stage: SpeechStage, sdk: Sdk) -> None:
    """Whose it is, is the access key's on both listeners."""
    token = await begun_on_a_websocket(stage, CREDENTIALS)
    stream = await sdk.invoke(model_query_string=RESUME)
    await stream.receive()
    await stream.send("session.resume", token=token, seq=0)
    resumed = await stream.receive()
    assert (resumed["type"], resumed["outcome"]) == ("session.resumed", "resumed")
    await stream.say(pcm(1.0)[resumed["cursor_ms"] * 32 :])
    await stream.finish()
    *_, done = await stream.until("transcription.done")
    assert done["text"] == await stage.straight(pcm(1.0))


async def test_a_session_begun_with_other_credentials_may_not_be_taken(stage: SpeechStage, sdk: Sdk) -> None:
    token = await begun_on_a_websocket(stage, TEMPORARY)
    stream = await sdk.invoke(model_query_string=RESUME)
    await stream.receive()
    await stream.send("session.resume", token=token, seq=0)
    ending = await stream.until_ended()
    assert ending.events[-1]["parley"]["code"] == "wrong-principal"
    assert isinstance(ending.error, ModelStreamError)
    assert ending.error.error_code == "wrong-principal"


async def test_another_key_may_not_take_a_session(stage: SpeechStage, sdk: Sdk, crt: CrtLoop) -> None:
    session = await Traveller.begin(await sdk.invoke(), SCRIPTED)
    async with Sdk(crt, stage.gateway.sagemaker_url, stage.gateway.authority_file, TEMPORARY) as other:
        stream = await other.invoke(model_query_string=RESUME)
        await stream.receive()
        await stream.send("session.resume", token=session.token, seq=0)
        ending = await stream.until_ended()
    assert isinstance(ending.error, ModelStreamError)
    assert ending.error.error_code == "wrong-principal"


async def test_a_token_that_nobody_has_is_a_model_stream_error(sdk: Sdk) -> None:
    stream = await sdk.invoke(model_query_string=RESUME)
    await stream.receive()
    await stream.send("session.resume", token="nobody-has-this-token", seq=0)
    ending = await stream.until_ended()
    assert isinstance(ending.error, ModelStreamError)
    assert ending.error.error_code == "unknown-session"


async def test_the_stream_that_came_before_is_told_that_it_was_superseded(sdk: Sdk) -> None:
    session = await Traveller.begin(await sdk.invoke(), SCRIPTED)
    before = session.stream
    await session.come_back(await sdk.invoke(model_query_string=RESUME))
    ending = await before.until_ended()
    assert isinstance(ending.error, ModelStreamError)
    assert ending.error.error_code == "superseded"


async def test_a_session_that_its_client_ends_ends_in_peace(sdk: Sdk) -> None:
    session = await Traveller.begin(await sdk.invoke(), SCRIPTED)
    await session.send("session.end")
    ending = await session.stream.until_ended()
    assert ending.kinds[-1] == "session.ended"
    assert ending.events[-1]["reason"] == "client-ended"
    assert ending.error is None


async def test_a_model_server_that_dies_and_comes_back_is_not_noticed(
    vllm: FakeVllm, tmp_path: Path, crt: CrtLoop
) -> None:
    async with (
        sagemaker_gateway(vllm.url, tmp_path, upstream={"probe_interval_s": 0.05}) as gateway,
        Sdk(crt, gateway.sagemaker_url, gateway.authority_file) as sdk,
    ):
        stream = await sdk.open(MODEL)
        await stream.start()
        await stream.say(pcm(1.0))
        await (await vllm.session()).until_samples(16_000)
        (await vllm.session()).abort()
        await (await vllm.session(1)).until_samples(16_000)
        await stream.say(pcm(1.0, 1))
        await stream.finish()
        text = await stream.result()
    assert text


async def test_a_client_that_goes_takes_its_session_with_it(vllm: FakeVllm, tmp_path: Path, crt: CrtLoop) -> None:
    async with sagemaker_gateway(vllm.url, tmp_path) as gateway:
        async with Sdk(crt, gateway.sagemaker_url, gateway.authority_file) as sdk:
            stream = await sdk.open(MODEL)
            await stream.start()
            await stream.append(pcm(0.1))
            await vllm.session()
        await vllm.until_idle()
