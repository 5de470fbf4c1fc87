"""Deploys in small: what carries live sessions is restarted or goes away, and what they say is as if nothing had been.

The large versions, with figures, are `benchmarks/deploys.py`.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from parley.client import GoingAway, SessionFailed, SessionResumed, connect
from tests.support.chaos_proxy import ChaosProxy
from tests.support.deploys import Operator, ScriptedServer, Talker, assert_whole, operated, phrases
from tests.support.process import serving
from tests.support.sound import pcm
from tests.support.waiting import bounded

REST = pcm(0.4, seed=99)
"""What is said once all is done, within the same turn."""


@pytest.fixture
async def apart() -> AsyncIterator[ScriptedServer]:
    """A model server that nothing happens to."""
    async with ScriptedServer() as server:
        yield server


# ---- model servers


async def restart_under_load(operator: Operator, server: ScriptedServer) -> None:
    """What an operator does: drain it, restart it when it is empty, use it again."""
    await operator.until_streams(server.name, lambda streams: streams > 0)
    await operator.api.post(f"upstreams/{server.name}/drain", timeout_s=0.6)
    await operator.until_streams(server.name, lambda streams: streams == 0)
    await server.restart()
    await operator.api.post(f"upstreams/{server.name}/undrain")
    await operator.until_upstreams("ready", server.name)


async def test_model_servers_are_restarted_one_after_another_and_no_session_notices(apart: ScriptedServer) -> None:
    talkers = [Talker(phrases(2, seed), REST) for seed in range(6)]
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ScriptedServer()) for _ in range(3)]
        gateway, operator = await stack.enter_async_context(operated(*servers))
        async with asyncio.TaskGroup() as tasks:
            for talker in talkers:
                tasks.create_task(talker.talk(gateway.ws_url))
            for talker in talkers:
                await talker.until_speaking()
            for server in servers:
                await restart_under_load(operator, server)
            for talker in talkers:
                talker.go_on()
    await assert_whole(talkers, apart)
    assert [talker.interruptions for talker in talkers] == [[]] * len(talkers)


# ---- gateways


async def test_one_of_two_gateways_gets_sigterm_and_its_sessions_go_on_at_the_other(
    apart: ScriptedServer, tmp_path: Path
) -> None:
    folder = tmp_path / "sessions"
    options = ("store.kind=directory", f"store.directory={folder}", "drain.timeout_s=1.4")
    talkers = [Talker(phrases(1, seed), REST) for seed in range(6)]
    at_leaving, at_staying = talkers[:3], talkers[3:]
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(ScriptedServer())
        starting = [serving(behind.url, *(f"--set={one}" for one in options)) for _ in range(2)]
        leaving, staying = await asyncio.gather(*map(stack.enter_async_context, starting))
        ways = [ChaosProxy(f"ws://127.0.0.1:{one.port}") for one in (leaving, staying)]
        for way in ways:
            await stack.enter_async_context(way)
        urls = [way.url for way in ways]
        async with asyncio.TaskGroup() as tasks:
            for talker in at_leaving:
                tasks.create_task(talker.talk(urls))
            for talker in at_staying:
                tasks.create_task(talker.talk(urls[::-1]))
            for talker in talkers:
                await talker.until_speaking()
            assert [way.accepted for way in ways] == [3, 3]
            leaving.signal(signal.SIGTERM)
            for talker in at_leaving:
                await talker.until_told(SessionResumed)
            for talker in talkers:
                talker.go_on()
            assert await leaving.until_ended() == 0
        assert [way.accepted for way in ways] == [3, 6]
    await assert_whole(talkers, apart)
    assert [set(talker.outcomes) for talker in at_leaving] == [{"rehydrated"}] * 3
    assert [talker.interruptions for talker in at_staying] == [[]] * 3
    assert list(folder.iterdir()) == [], "nothing of them stays in the store"


# ---- an operator's drain


async def test_a_drain_that_is_taken_back_costs_live_sessions_nothing_and_lets_new_ones_in_again(
    apart: ScriptedServer,
) -> None:
    talkers = [Talker(phrases(1, seed), REST) for seed in range(3)]
    late = Talker(pcm(0.7, seed=7))
    async with operated(apart, server={"retry_after_s": 7.0}) as (gateway, operator), asyncio.TaskGroup() as tasks:
        for talker in talkers:
            tasks.create_task(talker.talk(gateway.ws_url))
        for talker in talkers:
            await talker.until_speaking()
        await operator.api.post("drain", timeout_s=600)
        for talker in talkers:
            await talker.until_told(GoingAway)
        assert await states(operator) == {"leaving"}
        refused = await refusal(gateway.ws_url)
        assert (refused.code, refused.retry_after_s) == ("shutting-down", 7.0)
        assert (await operator.api.ask("DELETE", "drain")).status == 200
        await operator.until_node("ready")
        assert await states(operator) == {"live"}
        await late.talk(gateway.ws_url)
        for talker in talkers:
            talker.go_on()
    await assert_whole([*talkers, late], apart)
    told = [[type(event) for event in talker.interruptions] for talker in talkers]
    assert told == [[GoingAway]] * 3
    assert late.interruptions == []


async def states(operator: Operator) -> set[str]:
    """Those of all sessions."""
    return {one["state"] for one in (await operator.api.get("sessions"))["sessions"]}


async def refusal(url: str) -> SessionFailed:
    """How a session is refused."""

    async def begin() -> None:
        async with connect(url):
            pass

    with pytest.raises(SessionFailed) as caught:
        await bounded("an answer", begin())
    return caught.value
