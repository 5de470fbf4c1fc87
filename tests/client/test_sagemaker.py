"""The client through SageMaker: a gateway as its container, with the sidecar between them, and AWS's SDK before."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parley.client import (
    ConnectionLimits,
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
from tests.support.crt import aws_environment as aws_environment
from tests.support.crt import crt as crt
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import RunningGateway
from tests.support.sagemaker import SageMakerDouble, ServerStream, Sidecar
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded

SECOND_SAMPLES = 16_000
URL = "sagemaker://parley?variant=blue&path=v1/realtime"


@pytest.fixture(autouse=True)
def _ready(crt: object, aws_environment: object) -> None:
    """Every test here uses AWS's library, with AWS's variables of its own."""


def trust(server: SageMakerDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person would set."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME_HTTP2", server.url)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(server.ca_file))


@pytest.fixture
async def sagemaker(
    gateway: RunningGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SageMakerDouble]:
    """SageMaker with a gateway as the container."""
    async with SageMakerDouble(Sidecar(gateway.ws_url), tmp_path) as server:
        trust(server, monkeypatch)
        yield server


@pytest.fixture
async def stock(vllm: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SageMakerDouble]:
    """SageMaker with a stock vLLM as the container."""
    async with SageMakerDouble(Sidecar(vllm.url.removesuffix("/v1/realtime")), tmp_path) as server:
        trust(server, monkeypatch)
        yield server


async def say(session: RealtimeSession, audio: bytes) -> None:
    await session.start_turn()
    await session.send_audio(audio)
    await session.end_turn()


async def next_of[T](session: RealtimeSession, kind: type[T]) -> T:
    async for event in session:
        if isinstance(event, kind):
            return event
    raise AssertionError("the session ended")


async def heard(session: RealtimeSession) -> tuple[str, TurnDone, list[Event]]:
    """A turn's deltas joined, its end, and everything else."""
    text = ""
    others: list[Event] = []
    async for event in session:
        match event:
            case TextDelta():
                text += event.text
            case TurnDone():
                return text, event, others
            case _:
                others.append(event)
    raise AssertionError("the session ended")


async def test_words_arrive_as_over_a_websocket(sagemaker: SageMakerDouble) -> None:
    async with connect(URL) as session:
        assert session.can_resume
        await say(session, pcm(2.0))
        text, done, _ = await bounded("the turn", heard(session))
    assert text == transcript(2 * SECOND_SAMPLES)
    assert done.text == text.strip()
    (stream,) = sagemaker.streams
    assert stream.endpoint == "parley"
    assert stream.headers["x-amzn-sagemaker-target-variant"] == "blue"
    assert stream.query == ""


async def test_timestamps_are_asked_for_in_a_query_that_sagemaker_takes(sagemaker: SageMakerDouble) -> None:
    async with connect(URL, timestamps=True) as session:
        await say(session, pcm(1.0))
        _, done, _ = await bounded("the turn", heard(session))
    assert done.has_exact_times
    assert sagemaker.streams[0].query == "empty_deltas=true"


@pytest.mark.parametrize("kind", ["reset", "cut"])
async def test_a_stream_that_is_cut_is_resumed_without_a_word_lost(kind: str, sagemaker: SageMakerDouble) -> None:
    async with connect(URL) as session:
        await session.start_turn()
        await session.send_audio(pcm(1.0))
        first = await bounded("words", next_of(session, TextDelta))
        if kind == "reset":
            sagemaker.streams[0].reset()
            sagemaker.streams[0].cut()
        else:
            sagemaker.cut()
        await session.send_audio(pcm(1.0))
        await session.end_turn()
        text, done, others = await bounded("the turn", heard(session))
    assert [type(event) for event in others] == [ConnectionLost, SessionResumed]
    assert first.text + text == transcript(2 * SECOND_SAMPLES)
    assert done.text == transcript(2 * SECOND_SAMPLES).strip()
    assert [stream.query for stream in sagemaker.streams] == ["", "resume=1"]


async def test_old_streams_are_renewed_and_nobody_notices(sagemaker: SageMakerDouble) -> None:
    events = []
    async with connect(URL, sagemaker=SageMakerOptions(renew_after_s=0.3)) as session:
        await session.start_turn()
        piece, count = pcm(0.1), 0
        async with asyncio.TaskGroup() as tasks:

            async def listen() -> TurnDone:
                async for event in session:
                    events.append(event)
                    if isinstance(event, TurnDone):
                        return event
                raise AssertionError("the session ended")

            listening = tasks.create_task(listen())
            async with asyncio.timeout(20):
                while len(sagemaker.streams) < 5:
                    await session.send_audio(piece)
                    count += 1
                    await asyncio.sleep(0.01)
            await session.end_turn()
            done = await bounded("the end", listening)
    text = transcript(len(piece) // 2 * count)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text
    assert done.text == text.strip()
    assert not [event for event in events if isinstance(event, ConnectionLost | SessionResumed)]


async def test_a_stock_container_is_renewed_between_turns_only(stock: SageMakerDouble, vllm: FakeVllm) -> None:
    async with connect(URL, sagemaker=SageMakerOptions(renew_after_s=0.2)) as session:
        assert not session.can_resume
        await session.start_turn()
        await session.send_audio(pcm(1.0))
        # Older than that within the turn.
        await asyncio.sleep(0.3)
        assert len(stock.streams) == 1
        await session.end_turn()
        text, _, _ = await bounded("the turn", heard(session))
        await bounded("the old stream goes", stock.streams[0].until_ended())
        await say(session, pcm(0.5))
        other, _, _ = await bounded("the next turn", heard(session))
    assert text == transcript(SECOND_SAMPLES)
    assert other == transcript(SECOND_SAMPLES // 2, 1) or other == transcript(SECOND_SAMPLES // 2)
    assert len(stock.streams) == 2


async def test_a_renewal_that_fails_leaves_the_old_stream(sagemaker: SageMakerDouble) -> None:
    relay = sagemaker.handler

    async def refusing(stream: ServerStream) -> None:
        stream.refuse(503, "ServiceUnavailableError", Message="Later.")

    async with connect(URL, sagemaker=SageMakerOptions(renew_after_s=0.2)) as session:
        sagemaker.handler = refusing
        await session.start_turn()
        await session.send_audio(pcm(1.0))
        await bounded("the attempt", sagemaker.until_streams(2))
        await session.end_turn()
        text, _, others = await bounded("the turn", heard(session))
        sagemaker.handler = relay
    assert text == transcript(SECOND_SAMPLES)
    assert not [event for event in others if isinstance(event, ConnectionLost)]


@pytest.mark.parametrize("code", ["superseded", "4409"])
async def test_an_end_that_parley_means_is_not_resumed(code: str, sagemaker: SageMakerDouble) -> None:
    async with connect(URL) as session:
        await session.start_turn()
        await session.send_audio(pcm(1.0))
        await bounded("words", next_of(session, TextDelta))
        await sagemaker.streams[0].fail("Another connection has taken the session over.", code)
        with pytest.raises(SessionFailed) as caught:
            await bounded("the failure", next_of(session, TurnDone))
    assert caught.value.code == "superseded"


async def test_a_server_that_takes_nothing_does_not_hold_the_session_when_it_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(stream: ServerStream) -> None:
        stream.takes_credit = False
        await stream.say(b'{"type":"session.created","id":"sess-1","created":1}')
        await stream.until_ended()

    async with SageMakerDouble(full, tmp_path) as server:
        trust(server, monkeypatch)
        async with asyncio.timeout(20):
            async with connect(URL, limits=ConnectionLimits(close_timeout_s=0.2)) as session:
                await session.start_turn()
                sending = asyncio.create_task(session.send_audio(pcm(30.0)))
                await server.streams[0].changes.until("audio", lambda: len(server.streams[0].parts) > 5)
            sending.cancel()
            # It may have found the session over by itself.
            await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize(
    ("status", "name", "fields", "code"),
    [
        (424, "ModelError", {"OriginalStatusCode": 503, "OriginalMessage": "full"}, "container-refused"),
        (400, "ValidationException", {"message": "Endpoint x not found."}, "endpoint-not-found"),
        (403, "AccessDeniedException", {"message": "no"}, "access-denied"),
    ],
)
async def test_a_refusal_fails_the_session(
    status: int, name: str, fields: dict[str, object], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refusing(stream: ServerStream) -> None:
        stream.refuse(status, name, **fields)

    async with SageMakerDouble(refusing, tmp_path) as server:
        trust(server, monkeypatch)
        with pytest.raises(SessionFailed) as caught:
            async with connect(URL):
                pass
    assert caught.value.code == code


async def test_a_missing_region_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(SessionFailed, match="region=") as caught:
        async with connect("sagemaker://parley"):
            pass
    assert (caught.value.code, caught.value.retry) == ("aws-misconfigured", "never")


async def test_missing_credentials_are_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SessionFailed, match="No AWS credentials") as caught:
        async with connect("sagemaker://parley"):
            pass
    assert caught.value.code == "aws-misconfigured"


async def test_a_url_that_is_none_of_sagemakers_is_refused_before_anything_is_begun() -> None:
    with pytest.raises(ValueError, match="variant, region, path"):
        async with connect("sagemaker://parley?regoin=eu-central-1"):
            pass
