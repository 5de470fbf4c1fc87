"""A gateway in front of two model servers: one of them may die, refuse or hang, and clients go on."""

from collections.abc import AsyncIterator
from functools import partial

import pytest

from tests.support.client import Client
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import RunningGateway, gateway_settings
from tests.support.http import get
from tests.support.logs import LogWatch
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded


@pytest.fixture
async def servers(log: LogWatch) -> AsyncIterator[tuple[FakeVllm, FakeVllm]]:
    async with FakeVllm() as first, FakeVllm() as second:
        yield first, second
    assert first.traps + second.traps == []


@pytest.fixture
async def gateway(servers: tuple[FakeVllm, FakeVllm]) -> AsyncIterator[RunningGateway]:
    running = RunningGateway(gateway_settings("", upstream={"urls": tuple(server.url for server in servers)}))
    try:
        await running.start()
        # Both have been looked at: the first probe of the second may still be on its way.
        for server in servers:
            await server.changes.until("it is asked all three things", partial(was_asked, server))
        yield running
    finally:
        await running.close()


def was_asked(server: FakeVllm) -> bool:
    return len(server.requests) >= 3


async def transcribed(client: Client) -> bool:
    await client.send_turn(pcm(1.0))
    return bool(await client.result() == transcript(16_000))


async def test_sessions_are_spread_over_the_servers(
    gateway: RunningGateway, servers: tuple[FakeVllm, FakeVllm]
) -> None:
    clients = [await gateway.open() for _ in range(4)]
    assert all([await transcribed(client) for client in clients])
    assert [len(server.live) for server in servers] == [2, 2]


async def test_when_a_server_dies_new_sessions_are_served_by_the_other(
    gateway: RunningGateway, servers: tuple[FakeVllm, FakeVllm]
) -> None:
    await servers[0].stop()
    clients = [await gateway.open() for _ in range(3)]
    assert all([await transcribed(client) for client in clients])
    assert (await get(gateway, "/ping")).status == 200
    await servers[0].start(servers[0].port)


async def test_a_server_that_dies_under_a_session_between_turns_is_replaced_by_the_other(
    gateway: RunningGateway, servers: tuple[FakeVllm, FakeVllm]
) -> None:
    client = await gateway.open()
    assert await transcribed(client)
    at_work = next(server for server in servers if server.live)
    await at_work.stop()
    assert await bounded("another turn", transcribed(client))
    await at_work.start(at_work.port)
