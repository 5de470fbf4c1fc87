"""When a session is over, nothing of what was said in it stays in memory, however it ended."""

import asyncio
import base64
import collections
import gc
import types
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from parley.access.principal import principal_of
from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.server.settings.tenant import TenantSettings
from tests.store.retention.records import key_file
from tests.support.admin import eventually
from tests.support.client import Client
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.http import post
from tests.support.waiting import bounded

CANARY = b"zzgoldhaehnchen"
SOUND = base64.b64decode("zzgoldhaehnchenx" * 4_000)
_CONTAINERS = (
    *(dict, list, tuple, set, frozenset, collections.deque, collections.Counter, collections.defaultdict),
    *(partial, types.MethodType, types.FunctionType, types.CellType, types.CoroutineType, types.FrameType),
)


def marked(value: object) -> bool:
    """Whether the canary, or its sound, is in there."""
    if isinstance(value, Audio):
        value = value.payload
    elif isinstance(value, Text):
        value = value.literal
    if isinstance(value, str):
        return CANARY.decode() in value
    return isinstance(value, bytes | bytearray) and (CANARY in value or SOUND[:60] in value)


def content() -> list[str]:
    """What of the sessions' content is still alive, anywhere: nothing is to wait for the garbage collector."""
    return [repr(each) for each in gc.get_objects() if type(each) in (Audio, Text) and marked(each)]


def reachable(root: object) -> Iterator[tuple[str, object]]:
    """What Parley's own objects hold, by way of each other, with how it was found."""
    seen = {id(root)}
    queue: collections.deque[tuple[str, object]] = collections.deque([(type(root).__name__, root)])
    while queue:
        path, each = queue.popleft()
        yield path, each
        for held in gc.get_referents(each):
            module = type(held).__module__
            is_ours = module.startswith("parley.") or type(held) in (*_CONTAINERS, bytes, bytearray, str)
            if is_ours and id(held) not in seen:
                seen.add(id(held))
                queue.append((f"{path} > {type(held).__name__}", held))


def held_by(gateway: RunningGateway) -> list[str]:
    """How the gateway's objects come to what was said, if they do."""
    # A function's globals lead to the modules, and these to the tests' own canary.
    return [path for path, each in reachable(gateway._gateway) if marked(each) and "FunctionType" not in path]


@pytest.fixture
async def speaking(vllm: FakeVllm) -> FakeVllm:
    vllm.speech = lambda turn, step: f" {CANARY.decode()}{turn}.{step}"
    return vllm


async def opted_in(gateway: RunningGateway, **parley: Any) -> tuple[Client, str]:
    client = await gateway.connect(additional_headers={"Authorization": "Bearer one"})
    await client.send("session.update", model=MODEL, parley={"resume": True, **parley})
    updated = (await client.until("session.updated"))[-1]
    return client, updated["resume"]["token"]


async def until_over(gateway: RunningGateway) -> None:
    running = gateway._gateway
    assert running is not None
    await bounded("the sessions are over", running._live.empty.wait())
    keeper = running._keeper
    if keeper is not None:
        while keeper._tasks:
            await bounded("what is kept is written", asyncio.wait(keeper._tasks))


async def midway(client: Client) -> None:
    """A whole turn, and one that is under way."""
    await client.send_turn(SOUND)
    await client.until("transcription.done")
    await client.start()
    await client.say(SOUND)
    await client.until("transcription.delta")


async def ended_by_its_client(gateway: RunningGateway, _vllm: FakeVllm) -> None:
    client, _ = await opted_in(gateway)
    await midway(client)
    await client.send("session.end")
    await client.until("session.ended")


async def left_by_its_client(gateway: RunningGateway, _vllm: FakeVllm) -> None:
    client = await gateway.open()
    await midway(client)
    await client.close()


async def never_come_back_for(gateway: RunningGateway, _vllm: FakeVllm) -> None:
    client, _ = await opted_in(gateway)
    await midway(client)
    client.connection.transport.abort()


async def failed(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client, _ = await opted_in(gateway)
    await midway(client)
    vllm.refuses_with = 500
    (await vllm.session()).abort()
    await client.until_closed()


async def ended_by_the_operator(gateway: RunningGateway, _vllm: FakeVllm) -> None:
    client, _ = await opted_in(gateway)
    await midway(client)
    assert gateway._gateway is not None
    for runner in gateway._gateway._live.runners:
        runner.receive(ev.EndAsked())
    await client.until_closed()


async def moved(gateway: RunningGateway, _vllm: FakeVllm) -> None:
    client, _ = await opted_in(gateway)
    await midway(client)
    assert gateway._gateway is not None
    gateway._gateway.draining.hold(timeout_s=1.2, settle_s=0.0)
    assert (await client.until_closed()).code == 1012


async def taken_up_again_by_a_connection_that_had_begun_another(gateway: RunningGateway, _vllm: FakeVllm) -> None:
    first, token = await opted_in(gateway)
    await midway(first)
    second = await gateway.connect(additional_headers={"Authorization": "Bearer one"})
    await second.send("session.resume", token=token, seq=0)
    await second.until("session.resumed")
    await second.send("session.end")
    await second.until("session.ended")


async def kept(gateway: RunningGateway, _vllm: FakeVllm) -> None:
    client, _ = await opted_in(gateway, retention="debug-audio", consent=True)
    await midway(client)
    await client.send("session.end")
    await client.until("session.ended")


async def sent_as_a_recording(gateway: RunningGateway, _vllm: FakeVllm) -> None:
    answer = await post(gateway, "/invocations", SOUND, Content_Type="audio/pcm")
    assert CANARY in answer.body


ENDS = (
    *(ended_by_its_client, left_by_its_client, never_come_back_for, failed, ended_by_the_operator, moved),
    *(taken_up_again_by_a_connection_that_had_begun_another, kept, sent_as_a_recording),
)


@pytest.fixture
async def gateway(start_gateway: GatewayStarter, speaking: FakeVllm, tmp_path: Path) -> RunningGateway:
    return await start_gateway(
        session={"recovery_timeout_s": 0.2, "resume_window_s": 1.0},
        store={"kind": "directory", "directory": str(tmp_path / "states")},
        retention={"directory": str(tmp_path / "kept"), "key_file": str(key_file(tmp_path))},
        tenants=(TenantSettings(name="one", principals=(principal_of("Bearer one"),), retention_max="debug-audio"),),
    )


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_of_a_session_that_is_over_nothing_is_left(
    gateway: RunningGateway, speaking: FakeVllm, end: Callable[[RunningGateway, FakeVllm], Awaitable[None]]
) -> None:
    await end(gateway, speaking)
    await until_over(gateway)

    async def is_gone() -> bool:
        # What was called last is still on its way out.
        await asyncio.sleep(0)
        return not content() and not held_by(gateway)

    await eventually("all of it is gone", is_gone)


async def test_the_search_finds_what_is_there(gateway: RunningGateway, speaking: FakeVllm) -> None:
    client, _ = await opted_in(gateway)
    await midway(client)
    assert content() != []
    assert held_by(gateway) != []
