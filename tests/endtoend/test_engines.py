"""The gateway in front of the engines that come with it."""

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

import pytest

from parley.client.events import TextDelta, TurnDone
from parley.client.pacing import FullPace, Pace, RealTimePace
from parley.client.session import connect
from parley.engine.options import EngineName, EngineOptions
from parley.engine.server import serve_engine
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.sound import pcm
from tests.support.waiting import bounded

SESSIONS = 20
PIECE_S = 0.08
PIECE_BYTES = int(PIECE_S * 16_000) * 2


@asynccontextmanager
async def engine(kind: EngineName) -> AsyncIterator[str]:
    """An engine on a free port; its realtime URL."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    # On a busy machine a stream may fall behind, and be decoded less often; here the text has to depend on audio alone.
    options = EngineOptions(port=0, engine=kind, max_sessions=64, behind_slack_s=3_600.0)
    serving = asyncio.create_task(serve_engine(options, on_ready=port.set_result))
    try:
        yield f"ws://127.0.0.1:{await bounded('the engine starts', port)}/v1/realtime"
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@asynccontextmanager
async def gateway_before(url: str) -> AsyncIterator[RunningGateway]:
    async with GatewayStarter(url) as start:
        yield await start()


class Heard:
    """What came back of one turn, and how much of its audio had been sent by then."""

    def __init__(self) -> None:
        self.text = ""
        self.sent_s = 0.0
        self.sent_at_first_text_s: float | None = None
        self.wait_after_end_s = 0.0


async def hear(url: str, audio: bytes, pace: Pace) -> Heard:
    """One turn of a session of its own."""
    heard = Heard()
    clock = asyncio.get_running_loop().time
    async with connect(url) as session:

        async def send() -> float:
            await session.start_turn()
            for start in range(0, len(audio), PIECE_BYTES):
                await session.send_audio(audio[start : start + PIECE_BYTES])
                heard.sent_s = (start + PIECE_BYTES) / 32_000
                await pace.reach(heard.sent_s)
            await session.end_turn()
            return clock()

        sending = asyncio.create_task(send())
        try:
            async for event in session:
                if isinstance(event, TextDelta) and heard.sent_at_first_text_s is None:
                    heard.sent_at_first_text_s = heard.sent_s
                elif isinstance(event, TurnDone):
                    heard.text = event.text
                    break
            heard.wait_after_end_s = clock() - await sending
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    return heard


def recording() -> bytes:
    """The bundled recording's samples."""
    place = resources.files("parley.client") / "recordings" / "welcome.wav"
    with resources.as_file(place) as path, wave.open(str(Path(path))) as file:
        frames: bytes = file.readframes(file.getnframes())
        return frames


@pytest.mark.parametrize("part", range(4))
async def test_real_speech_has_the_same_transcript_through_the_gateway(part: int) -> None:
    speech = recording()
    quarter = len(speech) // 4 // 2 * 2
    audio = speech[part * quarter : (part + 2) * quarter]
    async with engine("tiny-en") as url, gateway_before(url) as gateway:
        straight = await hear(url, audio, FullPace())
        through = await hear(gateway.ws_url, audio, FullPace())
    assert through.text == straight.text
    assert straight.text


async def test_a_first_partial_transcript_comes_while_audio_is_still_being_sent() -> None:
    audio = recording()[: 4 * 32_000]
    async with engine("tiny-en") as url, gateway_before(url) as gateway:
        heard = await bounded("the turn is heard", hear(gateway.ws_url, audio, RealTimePace()))
    assert heard.sent_at_first_text_s is not None
    assert heard.sent_at_first_text_s < 4.0


async def test_twenty_sessions_at_the_pace_of_speech_lose_nothing_and_keep_up() -> None:
    turns = [pcm(4.0, seed) for seed in range(SESSIONS)]
    async with engine("scripted") as url, gateway_before(url) as gateway:
        async with asyncio.TaskGroup() as tasks:
            through = [tasks.create_task(hear(gateway.ws_url, audio, RealTimePace())) for audio in turns]
        straight = [await hear(url, audio, FullPace()) for audio in turns]
    assert [task.result().text for task in through] == [heard.text for heard in straight]
    # What is left to do at the end of the audio is the last frames', not a backlog of four seconds.
    assert max(task.result().wait_after_end_s for task in through) < 3.0
