"""A delay in one of four places, and what the timeline and the metrics of a gateway in a process of its own say of it.

```
client ── link ──► gateway ── link ──► model server
  0.3 s there and back │ stands still │ 0.3 s there and back │ takes 0.4 s a frame
```
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.support.admin import AdminApi, eventually, free_port
from tests.support.chaos_proxy import ChaosProxy
from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.process import ServeProcess, serving
from tests.support.sound import encoded, pcm
from tests.support.waiting import bounded

LINK_S = 0.15
"""One way."""
MODEL_S = 0.4
STOPPED_S = RUNNING_S = 0.2
PIECE_S = 0.08
NOTABLE_S = 0.12
"""Over this a place is accused; loaded test machines are late by some tens of milliseconds by themselves."""

METRICS = {
    "client-link": "parley_client_round_trip_seconds",
    "upstream-link": "parley_upstream_round_trip_seconds",
    "model": "parley_model_delay_seconds",
}


@dataclass
class Stage:
    """All four, and what an operator sees of them."""

    near: ChaosProxy
    far: ChaosProxy
    vllm: FakeVllm
    serve: ServeProcess
    admin: AdminApi

    async def timeline(self) -> Any:
        (one,) = (await self.admin.get("sessions"))["sessions"]
        return await self.admin.get(f"sessions/{one['id']}/timeline")

    async def metrics(self) -> dict[str, float]:
        """Everything that is counted, by its line's name and labels."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.admin.url}/metrics") as response:
            text = await bounded("an answer", response.text())
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}


@asynccontextmanager
async def speaking(client: Client) -> AsyncIterator[None]:
    """Somebody speaks into it, at the pace of speech."""

    async def speak() -> None:
        piece = encoded(pcm(PIECE_S))
        while True:
            await client.send("input_audio_buffer.append", audio=piece)
            await asyncio.sleep(PIECE_S)

    task = asyncio.create_task(speak())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def standing_still(serve: ServeProcess) -> AsyncIterator[None]:
    """The gateway's process is stopped and goes on, again and again."""

    async def stop_and_go() -> None:
        try:
            while True:
                serve.signal(signal.SIGSTOP)
                await asyncio.sleep(STOPPED_S)
                serve.signal(signal.SIGCONT)
                await asyncio.sleep(RUNNING_S)
        finally:
            serve.signal(signal.SIGCONT)

    task = asyncio.create_task(stop_and_go())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
async def stage(vllm: FakeVllm) -> AsyncIterator[Stage]:
    port = free_port()
    async with (
        ChaosProxy(vllm.url) as far,
        serving(f"{far.url}/v1/realtime", "--admin", str(port)) as serve,
        ChaosProxy(f"ws://127.0.0.1:{serve.port}") as near,
    ):
        yield Stage(near, far, vllm, serve, AdminApi(port))


def delayed_client_link(stage: Stage) -> None:
    stage.near.up.delay_s = stage.near.down.delay_s = LINK_S


def delayed_upstream_link(stage: Stage) -> None:
    stage.far.up.delay_s = stage.far.down.delay_s = LINK_S


def delayed_model(stage: Stage) -> None:
    stage.vllm.model_delay_s = MODEL_S


def nothing(_stage: Stage) -> None:
    pass


@pytest.mark.parametrize(
    ("place", "delay"),
    [
        ("client-link", delayed_client_link),
        ("gateway", nothing),
        ("upstream-link", delayed_upstream_link),
        ("model", delayed_model),
    ],
)
async def test_the_place_that_is_slow_is_the_one_that_is_named(
    stage: Stage, place: str, delay: Callable[[Stage], None]
) -> None:
    delay(stage)
    client = await Client.connect(f"{stage.near.url}/v1/realtime")
    await client.name_model()
    await client.send("input_audio_buffer.commit")

    async def is_named() -> bool:
        # Each measurement has its turn: a few seconds of samples.
        timeline = await stage.timeline()
        return len(timeline["curve"]) >= 4 and timeline["places"]["slowest"] == place

    stops = standing_still(stage.serve) if place == "gateway" else contextlib.nullcontext()
    async with speaking(client), stops:
        await eventually(f"the timeline names {place}", is_named)
        places = (await stage.timeline())["places"]
        metrics = await stage.metrics()
    accused = place.replace("-", "_") + "_s"
    for name in ("client_link_s", "gateway_s", "upstream_link_s", "model_s"):
        is_late = places[name] is not None and places[name] >= NOTABLE_S
        assert is_late == (name == accused), places
    assert slow_metrics(metrics) == {place}, places
    await client.close()


def slow_metrics(metrics: dict[str, float]) -> set[str]:
    """The places whose metrics stand out: half of the measurements, or the loop for more than a tenth of the time."""
    late = {place for place, name in METRICS.items() if half_of(metrics, name) > NOTABLE_S}
    if "upstream-link" in late:
        # What a model was sent is on its way for as long.
        late.discard("model")
    if metrics['parley_loop_lag_seconds{quantile="0.99"}'] > NOTABLE_S:
        late = {"gateway"}
    return late


def half_of(metrics: dict[str, float], name: str) -> float:
    """The bound below which half of a histogram is, as Prometheus would have it."""
    count = metrics[f"{name}_count"]
    for line, value in metrics.items():
        if line.startswith(f"{name}_bucket") and value >= count / 2:
            bound = line.partition('le="')[2].partition('"')[0]
            return float(bound)
    return 0.0
