"""Endpoints of SageMaker's among the model servers of a node, and what a session notices of their streams' ends."""

import asyncio
import importlib.metadata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from parley.aws.failure import AwsError
from parley.client import Event, RealtimeSession, Recovered, Recovering, TextDelta, TurnDone, connect
from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.upstream.health.health import PassiveHealth
from parley.upstream.pool.maker import PoolOptions, vllm_pool
from parley.upstream.pool.pool import UpstreamPool
from tests.support.crt import aws_environment as aws_environment
from tests.support.crt import crt as crt
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.gateway import GatewayStarter
from tests.support.legs import Sink
from tests.support.sagemaker import SageMakerDouble, ServerStream, Sidecar
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import Changes, bounded

URL = "sagemaker://voxtral?path=v1/realtime"


@pytest.fixture(autouse=True)
def _ready(crt: object, aws_environment: object) -> None:
    """Every test here uses AWS's library, with AWS's variables of its own."""


@pytest.fixture
async def sagemaker(vllm: FakeVllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SageMakerDouble]:
    """SageMaker with the double of vLLM as the container."""
    async with SageMakerDouble(Sidecar(vllm.url.removesuffix("/v1/realtime")), tmp_path) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(server.ca_file))
        yield server


@asynccontextmanager
async def running(pool: UpstreamPool) -> AsyncIterator[UpstreamPool]:
    task = asyncio.create_task(pool.run())
    try:
        yield pool
    finally:
        task.cancel()
        await bounded("the pool ends", asyncio.wait((task,)))


class Changed:
    """Counts a pool's changes, and lets tests wait for what they bring."""

    def __init__(self) -> None:
        self._changes = Changes()

    def __call__(self) -> None:
        self._changes.notify()

    async def until(self, what: str, is_true: Callable[[], bool]) -> None:
        await self._changes.until(what, is_true)


async def until(session: RealtimeSession, kind: type[Event]) -> list[Event]:
    """All events up to the first of this kind."""
    events: list[Event] = []
    while not events or not isinstance(events[-1], kind):
        events.append(await bounded("an event", anext(session)))
    return events


async def test_a_leg_is_opened_on_an_endpoint_that_nobody_could_ask(sagemaker: SageMakerDouble) -> None:
    changed = Changed()
    pool = vllm_pool([URL], PoolOptions(model=MODEL, connect_timeout_s=10.0), changed)
    assert not pool.ready
    async with running(pool):
        await changed.until("ready", lambda: pool.ready)
        assert pool.models == ()
        leg = await bounded("the leg", pool.open_leg(1, Sink()))
        assert pool.members[0].legs == 1
        leg.close()
        assert pool.members[0].legs == 0


async def test_an_endpoint_that_refuses_is_left_alone_and_then_tried_again(sagemaker: SageMakerDouble) -> None:
    relay = sagemaker.handler

    async def refusing(stream: ServerStream) -> None:
        stream.refuse(500, "InternalServerError", Message="Oops.")

    changed = Changed()
    pool = vllm_pool([URL], PoolOptions(model=MODEL, connect_timeout_s=10.0), changed)
    async with running(pool):
        await changed.until("ready", lambda: pool.ready)
        sagemaker.handler = refusing
        with pytest.raises(ParleyError) as caught:
            await bounded("the refusal", pool.open_leg(1, Sink()))
        assert caught.value.code == "upstream-unavailable"
        assert not pool.ready
        sagemaker.handler = relay
        await changed.until("ready again", lambda: pool.ready)
        (await bounded("the leg", pool.open_leg(2, Sink()))).close()


async def test_the_time_alone_doubles_with_each_loss_and_begins_anew_after_a_leg() -> None:
    changed = Changed()
    health = PassiveHealth("sagemaker://x", lambda _ready: changed(), initial_s=0.01, max_s=0.03)
    task = asyncio.create_task(health.run())
    pauses = []
    for _ in range(3):
        await changed.until("ready", lambda: health.ready)
        health.lost()
        await changed.until("not ready", lambda: not health.ready)
        await changed.until("ready again", lambda: health.ready)
        pauses.append(health._pause_s)
    health.seen()
    pauses.append(health._pause_s)
    task.cancel()
    await asyncio.wait((task,))
    assert pauses == [0.02, 0.03, 0.03, 0.01]


async def test_a_leg_that_was_only_old_is_not_held_against_its_endpoint(sagemaker: SageMakerDouble) -> None:
    changed, sink = Changed(), Sink()
    options = PoolOptions(model=MODEL, connect_timeout_s=10.0, sagemaker_leg_age_max_s=0.05)
    pool = vllm_pool([URL], options, changed)
    async with running(pool):
        await changed.until("ready", lambda: pool.ready)
        leg = await bounded("the leg", pool.open_leg(1, sink))
        await sink.until(ev.LegFailed)
        leg.close()
        assert (pool.members[0].legs, pool.members[0].breaker.failures) == (0, 0)
        assert pool.ready


async def test_a_node_whose_streams_are_lost_replays_and_says_every_word_once(
    sagemaker: SageMakerDouble, vllm: FakeVllm
) -> None:
    async with GatewayStarter(URL) as start:
        gateway = await start(upstream={"model": MODEL})
        async with connect(gateway.ws_url) as session:
            await session.start_turn()
            await session.send_audio(pcm(2.0))
            events = await until(session, TextDelta)
            sagemaker.cut()
            await session.send_audio(pcm(2.0))
            await session.end_turn()
            events += await until(session, TurnDone)
    done = events[-1]
    assert isinstance(done, TurnDone)
    assert done.text == transcript(4 * 16_000).strip()
    assert [type(event) for event in events if isinstance(event, Recovering | Recovered)] == [Recovering, Recovered]
    assert len(sagemaker.streams) == 2


async def test_a_node_takes_another_stream_between_turns_and_says_nothing_of_it(
    sagemaker: SageMakerDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PoolOptions, "__init__", _short(PoolOptions.__init__))
    async with GatewayStarter(URL) as start:
        gateway = await start(upstream={"model": MODEL})
        async with connect(gateway.ws_url) as session:
            events: list[Event] = []
            for number in range(2):
                await session.start_turn()
                await session.send_audio(pcm(1.0))
                await session.end_turn()
                events += await until(session, TurnDone)
                await bounded("the stream goes", sagemaker.streams[number].until_ended())
    assert not [event for event in events if isinstance(event, Recovering | Recovered)]
    assert len(sagemaker.streams) >= 2


def _short(init: Callable[..., None]) -> Callable[..., None]:
    def made(self: PoolOptions, **values: object) -> None:
        init(self, **{**values, "sagemaker_leg_age_max_s": 0.05})

    return made


def test_without_the_sdk_a_pool_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("parley.aws.sdk.check.__defaults__", (missing,))
    with pytest.raises(AwsError, match="parley\\[sagemaker\\]") as caught:
        vllm_pool([URL], PoolOptions())
    assert caught.value.code == "sdk-missing"
