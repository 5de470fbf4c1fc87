"""Legs for the tests of the upstream."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from parley.upstream.vllm import VllmLeg, VllmOptions, VllmUpstream
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.legs import OpenLeg, Sink


@pytest.fixture
async def open_leg(vllm: FakeVllm) -> AsyncIterator[OpenLeg]:
    """Opens legs on the double, in tasks of their own, and closes them with the test."""
    opening: list[asyncio.Task[VllmLeg]] = []

    def start(sink: Sink | None = None, **options: float | str) -> asyncio.Task[VllmLeg]:
        values = {"url": vllm.url, "connect_timeout_s": 10.0, **options}
        upstream = VllmUpstream(VllmOptions(**values))  # type: ignore[arg-type]
        upstream.model = MODEL
        task = asyncio.create_task(upstream.open_leg(7, sink or Sink()))
        opening.append(task)
        return task

    yield start
    for task in opening:
        task.cancel()
    for result in await asyncio.gather(*opening, return_exceptions=True):
        if isinstance(result, VllmLeg):
            result.close()
    await vllm.until_idle()
