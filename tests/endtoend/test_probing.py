"""A gateway that has its model servers transcribe a bit of speech, and believes that rather than their `/health`."""

from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import RunningGateway, gateway_settings
from tests.support.logs import LogChanges, LogWatch
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded

PROBE_S = 0.05
FAILED, SUCCEEDED = "a probe turn failed: upstream-stalled", "a probe turn succeeded"


@pytest.fixture
async def servers(log: LogWatch) -> AsyncIterator[tuple[FakeVllm, FakeVllm]]:
    async with FakeVllm() as first, FakeVllm() as second:
        yield first, second
    assert first.traps + second.traps == []


Start = Callable[..., "RunningGateway"]


@pytest.fixture
async def start(servers: tuple[FakeVllm, FakeVllm]) -> AsyncIterator[Start]:
    started: list[RunningGateway] = []

    def make(**upstream: float) -> RunningGateway:
        urls = tuple(server.url for server in servers)
        started.append(RunningGateway(gateway_settings("", upstream={"urls": urls, **upstream})))
        return started[-1]

    yield make
    for gateway in started:
        await gateway.close()


def is_described(server: FakeVllm) -> bool:
    return len(server.requests) >= 3


async def until_described(*servers: FakeVllm) -> None:
    for server in servers:
        await server.changes.until("it is asked all three things", partial(is_described, server))


async def transcribe(gateway: RunningGateway) -> None:
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    assert await bounded("a turn", client.result()) == transcript(16_000)
    await client.close()


async def test_a_server_that_is_healthy_and_hangs_gets_no_session_until_it_answers_a_probe(
    servers: tuple[FakeVllm, FakeVllm], start: Start
) -> None:
    first, second = servers
    first.runs = False
    with LogChanges("parley.upstream") as changes:
        gateway = start(probe_turn_interval_s=PROBE_S, probe_turn_timeout_s=2 * PROBE_S)
        await gateway.start()
        await changes.until(FAILED)
        before = len(second.sessions)
        for _ in range(3):
            await transcribe(gateway)
        assert len(second.sessions) >= before + 3
        first.runs = True
        await changes.until(SUCCEEDED)


async def test_a_server_on_which_a_stream_failed_is_probed_before_it_is_used_again(
    servers: tuple[FakeVllm, FakeVllm], start: Start
) -> None:
    first, second = servers
    with LogChanges("parley.upstream") as changes:
        gateway = start(probe_turn_timeout_s=PROBE_S)
        await gateway.start()
        await until_described(first, second)
        client = await gateway.open()
        await client.send_turn(pcm(1.0))
        await bounded("a turn", client.result())
        left = first if first.live else second
        left.runs = False
        left.live[0].abort()
        # Half a second later it may be tried again: the double answers no probe yet.
        await changes.until(FAILED)
        left.runs = True
        await changes.until(SUCCEEDED)
        await client.close()
