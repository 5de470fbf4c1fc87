"""Model servers that come and go under a gateway: sessions move to those that are there, and no word is lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import RunningGateway, gateway_settings
from tests.support.logs import LogChanges, LogWatch
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded

LOOK_S = 0.02
TURN_S = 2.0


class ServersFile:
    """The file that a gateway watches."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, *servers: FakeVllm) -> None:
        self.write_text("".join(f'[[upstreams]]\nurl = "{server.url}"\n' for server in servers))

    def write_text(self, text: str) -> None:
        other = self.path.with_suffix(".new")
        other.write_text(text)
        other.replace(self.path)


@pytest.fixture
def file(tmp_path: Path) -> ServersFile:
    return ServersFile(tmp_path / "servers.toml")


@pytest.fixture
async def servers(log: LogWatch) -> AsyncIterator[tuple[FakeVllm, FakeVllm]]:
    async with FakeVllm() as first, FakeVllm() as second:
        yield first, second
    assert first.traps + second.traps == []


@asynccontextmanager
async def discovering(file: ServersFile, **upstream: float) -> AsyncIterator[RunningGateway]:
    settings = gateway_settings(
        "", upstream={"discover_file": str(file.path), "discover_interval_s": LOOK_S, **upstream}
    )
    gateway = RunningGateway(settings)
    try:
        await gateway.start(wait_ready=False)
        yield gateway
    finally:
        await gateway.close()


async def until_idle(server: FakeVllm) -> None:
    await bounded("the server has no leg", server.until_idle())


def has_legs(server: FakeVllm, count: int) -> bool:
    return len(server.live) >= count


async def test_a_gateway_without_servers_is_ready_when_the_first_is_found(
    file: ServersFile, servers: tuple[FakeVllm, FakeVllm]
) -> None:
    async with discovering(file) as gateway:
        assert gateway.ready_count == 0
        file.write(servers[0])
        await gateway.until_ready()
        client = await gateway.open()
        await client.send_turn(pcm(1.0))
        assert await client.result() == transcript(16_000)


async def test_a_session_moves_between_turns_when_its_server_is_gone_from_the_file(
    file: ServersFile, servers: tuple[FakeVllm, FakeVllm]
) -> None:
    first, second = servers
    file.write(first)
    async with discovering(file) as gateway:
        await gateway.until_ready()
        client = await gateway.open()
        await client.send_turn(pcm(1.0))
        assert await client.result() == transcript(16_000)
        file.write(second)
        await until_idle(first)
        await client.send_turn(pcm(1.0))
        assert await bounded("another turn", client.result()) == transcript(16_000)
        assert len(second.sessions) == 1


async def test_a_turn_that_runs_moves_to_another_server_and_no_word_is_lost(
    file: ServersFile, servers: tuple[FakeVllm, FakeVllm]
) -> None:
    first, second = servers
    file.write(first, second)
    async with discovering(file, drain_timeout_s=0.2) as gateway:
        await gateway.until_ready()
        client = await gateway.open()
        await client.start()
        sound = pcm(TURN_S)
        await client.say(sound[: len(sound) // 2])
        await first.changes.until("a server is in use", lambda: bool(first.live or second.live))
        left, taken = (first, second) if first.live else (second, first)
        await (await left.session(0)).until_samples(int(TURN_S * 16_000) // 4)
        file.write(taken)
        await taken.session(0)
        await client.say(sound[len(sound) // 2 :])
        await client.finish()
        assert await bounded("the turn's end", client.result()) == transcript(int(TURN_S * 16_000))
        await until_idle(left)


async def test_a_file_that_breaks_changes_nothing_and_the_log_says_what_is_wrong(
    file: ServersFile, servers: tuple[FakeVllm, FakeVllm]
) -> None:
    file.write(servers[0])
    async with discovering(file) as gateway:
        await gateway.until_ready()
        client = await gateway.open()
        with LogChanges("parley.upstream") as changes:
            file.write_text('[[upstreams]]\nurl = "http://gpu:8000"\n')
            await changes.until("upstreams, entry 1, url must be the whole WebSocket URL")
        await client.send_turn(pcm(1.0))
        assert await client.result() == transcript(16_000)


async def test_the_servers_of_a_name_are_used_by_their_addresses(servers: tuple[FakeVllm, FakeVllm]) -> None:
    settings = gateway_settings("", upstream={"discover_dns": servers[0].url, "discover_interval_s": LOOK_S})
    gateway = RunningGateway(settings)
    try:
        await gateway.start()
        client = await gateway.open()
        await client.send_turn(pcm(1.0))
        assert await client.result() == transcript(16_000)
    finally:
        await gateway.close()


async def test_sessions_follow_servers_that_come_and_go_again_and_again_and_lose_no_word(
    file: ServersFile, servers: tuple[FakeVllm, FakeVllm]
) -> None:
    file.write(servers[0])
    sound = pcm(3.0)
    half_a_second = 16_000
    async with discovering(file, drain_timeout_s=0.1) as gateway:
        await gateway.until_ready()
        clients = [await gateway.open() for _ in range(4)]
        for client in clients:
            await client.start()
        for number, begin in enumerate(range(0, len(sound), half_a_second)):
            here, there = servers[number % 2], servers[1 - number % 2]
            for client in clients:
                await client.say(sound[begin : begin + half_a_second])
            await here.changes.until("all are here", partial(has_legs, here, len(clients)))
            file.write(there)
            await there.changes.until("all are there", partial(has_legs, there, len(clients)))
        for client in clients:
            await client.finish()
        for client in clients:
            assert await bounded("a turn's end", client.result()) == transcript(len(sound) // 2)
