"""A gateway in front of model servers that are not alike."""

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus

from parley.server.settings.document import UpstreamEntry
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.logs import LogChanges, LogWatch
from tests.support.sound import pcm
from tests.support.voxtral import transcript


@pytest.fixture
async def other(log: LogWatch) -> AsyncIterator[FakeVllm]:
    async with FakeVllm() as server:
        yield server
    assert server.traps == []


async def gateway_before(start: GatewayStarter, *entries: UpstreamEntry, spare_streams: int = 0) -> RunningGateway:
    """A gateway that sees all of these model servers."""
    upstream = {"url": "", "probe_interval_s": 0.02, "spare_streams": spare_streams}
    with contextlib.ExitStack() as stack:
        ready = [(stack.enter_context(LogChanges("parley.upstream")), urlsplit(entry.url).netloc) for entry in entries]
        gateway = await start(upstream=upstream, upstreams=entries)
        for changes, place in ready:
            await changes.until(f"at {place}")
    return gateway


async def test_each_server_has_as_many_streams_as_it_takes(
    start_gateway: GatewayStarter, vllm: FakeVllm, other: FakeVllm
) -> None:
    gateway = await gateway_before(
        start_gateway, UpstreamEntry(url=vllm.url, max_sessions=2), UpstreamEntry(url=other.url, max_sessions=1)
    )
    clients = [await gateway.open() for _ in range(3)]
    for client in clients:
        await client.send_turn(pcm(1.0))
    assert [await client.result() for client in clients] == [transcript(16_000)] * 3
    assert (len(vllm.live), len(other.live)) == (2, 1)
    with pytest.raises(InvalidStatus) as refused:
        await gateway.connect()
    assert refused.value.response.status_code == 503
    assert "Retry-After" in refused.value.response.headers
    await clients[0].close()
    await gateway.open()


async def test_a_session_whose_server_dies_goes_on_with_the_spare_stream_of_another(
    start_gateway: GatewayStarter, vllm: FakeVllm, other: FakeVllm
) -> None:
    gateway = await gateway_before(
        start_gateway,
        UpstreamEntry(url=vllm.url, max_sessions=2),
        UpstreamEntry(url=other.url, max_sessions=2),
        spare_streams=1,
    )
    clients = [await gateway.open() for _ in range(2)]
    for client in clients:
        await client.start()
        await client.say(pcm(1.0))
        await client.until("transcription.delta")
    await vllm.stop()
    for client in clients:
        await client.finish()
        await client.until("transcription.done")
    assert len(other.live) == 2
    await vllm.start(vllm.port)
