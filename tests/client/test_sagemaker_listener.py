"""The client of SageMaker against Parley's own endpoint: TLS, signatures and sessions are real on both sides."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parley.client import (
    ClientLimits,
    ConnectionLost,
    Event,
    RealtimeSession,
    SessionFailed,
    SessionResumed,
    TextDelta,
    TurnDone,
    connect,
)
from parley.client.sagemaker import SageMakerOptions
from tests.support.aws_sdk import Credentials, SageMakerGateway, sagemaker_gateway
from tests.support.chaos_proxy import ChaosProxy
from tests.support.crt import aws_environment as aws_environment
from tests.support.crt import crt as crt
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded

URL = "sagemaker://parley?region=eu-central-1&path=v1/realtime"


@pytest.fixture(autouse=True)
def _ready(crt: object, aws_environment: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here uses AWS's library, with the key that the gateway knows."""
    credentials = Credentials()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials.secret)


@pytest.fixture
async def gateway(vllm: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SageMakerGateway]:
    async with sagemaker_gateway(vllm.url, tmp_path) as gateway:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(gateway.authority_file))
        monkeypatch.setenv("AWS_ENDPOINT_URL", gateway.sagemaker_url)
        yield gateway


@pytest.fixture
async def proxy(gateway: SageMakerGateway, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChaosProxy]:
    async with ChaosProxy(gateway.sagemaker_url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url.replace("ws:", "https:"))
        yield proxy


async def say(session: RealtimeSession, audio: bytes) -> None:
    await session.start_turn()
    await session.send_audio(audio)
    await session.end_turn()


async def heard(session: RealtimeSession, turns: int) -> list[Event]:
    """All events up to the end of so many turns."""
    events: list[Event] = []
    while sum(isinstance(event, TurnDone) for event in events) < turns:
        events.append(await bounded("the next event", anext(session)))
    return events


def text_of(events: list[Event], item: int) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta) and event.item == item)


async def test_words_arrive_as_over_a_websocket(gateway: SageMakerGateway, start_gateway: GatewayStarter) -> None:
    open_gateway = await start_gateway()
    audio = [pcm(2.0), pcm(1.0, 1)]
    heard_over = []
    for url in (URL, open_gateway.ws_url):
        async with connect(url) as session:
            for turn in audio:
                await say(session, turn)
            events = await heard(session, 2)
        heard_over.append([(text_of(events, item), events[-1]) for item in (1, 2)])
        assert session.can_resume
    assert heard_over[0] == heard_over[1]
    assert heard_over[0][0][0] == transcript(2 * 16_000)


@pytest.mark.parametrize("seed", range(6))
async def test_wherever_connections_are_cut_nothing_is_lost_or_doubled(
    seed: int, proxy: ChaosProxy, vllm: FakeVllm
) -> None:
    chance = random.Random(seed)
    # The first connection lasts until a session has begun; those that follow may be cut within their handshakes.
    proxy.up.cuts = [10_000_000, *(chance.randrange(60_000) for _ in range(4))]
    proxy.down.cuts = [10_000_000, *(chance.randrange(8_000) for _ in range(4))]
    audio = [pcm(seconds, seed + number) for number, seconds in enumerate((2.0, 1.3, 0.7))]
    async with connect(URL, session_limits=ClientLimits(fruitless_max=1_000)) as session, asyncio.TaskGroup() as tasks:

        async def speak() -> None:
            await session.start_turn()
            await session.send_audio(audio[0][:32_000])
            await began.wait()
            await session.send_audio(audio[0][32_000:])
            await session.end_turn()
            for turn in audio[1:]:
                await say(session, turn)

        began = asyncio.Event()
        tasks.create_task(speak())
        events = [await bounded("the next event", anext(session))]
        while not isinstance(events[-1], TextDelta):
            events.append(await bounded("the next event", anext(session)))
        proxy.cut()
        began.set()
        events += await heard(session, len(audio))
    assert proxy.cuts > 1
    assert vllm.sessions[0].turns == audio
    texts = [transcript(len(turn) // 2, number) for number, turn in enumerate(audio)]
    assert [event.text for event in events if isinstance(event, TurnDone)] == [text.strip() for text in texts]
    assert [text_of(events, item) for item in (1, 2, 3)] == texts
    assert {event.outcome for event in events if isinstance(event, SessionResumed)} == {"resumed"}


async def test_renewed_over_and_over_it_says_every_word_once(gateway: SageMakerGateway, vllm: FakeVllm) -> None:
    audio = pcm(4.0)
    async with connect(URL, sagemaker=SageMakerOptions(renew_after_s=0.15)) as session, asyncio.TaskGroup() as tasks:

        async def speak() -> None:
            await session.start_turn()
            for start in range(0, len(audio), 3_200):
                await session.send_audio(audio[start : start + 3_200])
                # As it is spoken, only faster: several streams come and go meanwhile.
                await asyncio.sleep(0.02)
            await session.end_turn()

        tasks.create_task(speak())
        events = await heard(session, 1)
    assert text_of(events, 1) == transcript(4 * 16_000)
    assert vllm.sessions[0].turns == [audio]
    assert not [event for event in events if isinstance(event, ConnectionLost | SessionResumed)]


@pytest.mark.parametrize(
    ("variable", "value", "url", "code"),
    [
        ("AWS_ACCESS_KEY_ID", "AKIDNOBODYKNOWS00001", URL, "unknown-credentials"),
        ("AWS_SECRET_ACCESS_KEY", "not the secret", URL, "invalid-signature"),
        ("AWS_REGION", "eu-central-1", "sagemaker://another", "endpoint-not-found"),
        ("AWS_REGION", "eu-central-1", "sagemaker://parley?variant=green", "endpoint-not-found"),
        ("AWS_REGION", "eu-central-1", "sagemaker://parley?path=v2/nothing", "not-found"),
    ],
)
async def test_parleys_refusals_keep_their_codes(
    variable: str, value: str, url: str, code: str, gateway: SageMakerGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SessionFailed) as caught:
        async with connect(url):
            pass
    assert caught.value.code == code
