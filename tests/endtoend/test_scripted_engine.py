"""The gateway in front of the embedded engine's scripted recogniser, which says checksums of what it heard.

Equal transcripts mean that the audio arrived whole; see also test_engines.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from parley.engine.options import EngineOptions
from parley.engine.server import serve_engine
from tests.support.client import Client
from tests.support.gateway import RunningGateway, gateway_settings
from tests.support.logs import LogWatch
from tests.support.sound import pcm
from tests.support.waiting import bounded

MODEL = "scripted"


@dataclass(frozen=True)
class Stage:
    """An engine, and a gateway in front of it."""

    engine_url: str
    gateway: RunningGateway

    async def straight(self) -> Client:
        client = await Client.connect(self.engine_url)
        await client.name_model(MODEL)
        return client

    async def through(self) -> Client:
        client = await self.gateway.connect()
        await client.name_model(MODEL)
        return client


@pytest.fixture
async def stage(log: LogWatch) -> AsyncIterator[Stage]:
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    engine = asyncio.create_task(
        serve_engine(EngineOptions(port=0, engine="scripted", model_name=MODEL), ready.set_result)
    )
    url = f"ws://127.0.0.1:{await bounded('the engine is ready', ready)}/v1/realtime"
    gateway = RunningGateway(gateway_settings(url))
    try:
        await gateway.start()
        yield Stage(url, gateway)
    finally:
        await gateway.close()
        engine.cancel()
        await asyncio.gather(engine, return_exceptions=True)


@pytest.mark.parametrize("seconds", [0.05, 0.5625, 1.0, 7.3])
async def test_the_transcript_is_the_same_through_the_gateway_as_straight(stage: Stage, seconds: float) -> None:
    audio = pcm(seconds)
    texts = []
    for client in (await stage.straight(), await stage.through()):
        await client.send_turn(audio)
        texts.append(await client.result())
        await client.close()
    assert texts[0] == texts[1] != ""


async def test_the_pieces_that_audio_comes_in_do_not_change_the_transcript(stage: Stage) -> None:
    audio = pcm(3.0)
    texts = set()
    for piece_bytes in (320, 3_200, 9_998, len(audio)):
        client = await stage.through()
        await client.send_turn(audio, piece_bytes)
        texts.add(await client.result())
    assert len(texts) == 1


async def test_turns_run_together_have_the_same_transcripts_as_straight_and_one_by_one(stage: Stage) -> None:
    turns = [pcm(0.7 + number / 3, number) for number in range(5)]
    straight = await stage.straight()
    expected = []
    for audio in turns:
        await straight.send_turn(audio)
        expected.append(await straight.result())
    await straight.close()
    client = await stage.through()
    for audio in turns:
        await client.send_turn(audio)
    assert [await client.result() for _ in turns] == expected
    assert len(set(expected)) == len(turns)
