"""A session's task: what it bounds, and that it leaves nothing behind."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection

from parley.client import (
    ClientLimits,
    ConnectionLimits,
    ConnectionLost,
    RealtimeSession,
    SessionCreated,
    SessionFailed,
    TextDelta,
    TurnDone,
    connect,
)
from parley.client.actions import Action
from parley.client.resumption import ClientMachine
from tests.support.chaos_proxy import ChaosProxy
from tests.support.waiting import bounded

from .parley_server import ScriptedParley, delta
from .vllm_server import ScriptedVllm, event, greet, listening

SECOND = bytes(32_000)


@pytest.fixture
async def stock() -> AsyncIterator[tuple[ChaosProxy, ScriptedVllm]]:
    vllm = ScriptedVllm()
    async with listening(vllm) as url, ChaosProxy(url) as proxy:
        yield proxy, vllm


async def say(session: RealtimeSession, audio: bytes = SECOND) -> None:
    await session.start_turn()
    await session.send_audio(audio)
    await session.end_turn()


async def end_of(session: RealtimeSession) -> TurnDone:
    async for item in session:
        if isinstance(item, TurnDone):
            return item
    raise AssertionError("the session ended")


async def test_a_stock_server_is_connected_to_again_with_the_next_turn(stock: tuple[ChaosProxy, ScriptedVllm]) -> None:
    proxy, vllm = stock
    async with connect(proxy.url) as session:
        await say(session)
        await bounded("the first end", end_of(session))
        proxy.cut()
        async with asyncio.timeout(20):
            while session._machine.is_connected:  # noqa: ASYNC110 (it is silent on purpose)
                await asyncio.sleep(0)
        await say(session)
        assert (await bounded("the second end", end_of(session))).item == 2
    assert len(vllm.paths) == 2
    assert vllm.audio == [SECOND, SECOND]


async def test_turns_said_ahead_reach_a_stock_server_one_after_another(stock: tuple[ChaosProxy, ScriptedVllm]) -> None:
    proxy, vllm = stock
    async with connect(proxy.url) as session:
        for number in range(3):
            await say(session, bytes([number]) * 3_200)
        ends = [await bounded("an end", end_of(session)) for _ in range(3)]
    assert [end.item for end in ends] == [1, 2, 3]
    assert vllm.audio == [bytes([number]) * 3_200 for number in range(3)]


async def test_a_turn_too_many_waits_for_the_end_of_another(stock: tuple[ChaosProxy, ScriptedVllm]) -> None:
    proxy, _ = stock
    async with connect(proxy.url, session_limits=ClientLimits(turns_max=1)) as session, asyncio.TaskGroup() as tasks:
        await say(session)
        second = tasks.create_task(say(session))
        ends = [await bounded("an end", end_of(session)) for _ in range(2)]
        await bounded("the second turn", second)
    assert [end.item for end in ends] == [1, 2]


async def test_events_that_are_not_taken_wait_within_a_bound_and_in_order() -> None:
    limits = ConnectionLimits(events_max=4, inbox_max_messages=8)
    script = [delta(f" {number}") for number in range(500)]
    async with listening(ScriptedParley(script)) as url, connect(url, limits=limits) as session:
        await say(session)
        async with asyncio.timeout(20):
            while len(session._runner._events) < 4:  # noqa: ASYNC110 (nobody is told while nobody listens)
                await asyncio.sleep(0)
        texts = []
        async for item in session:
            assert len(session._runner._events) <= 4
            if isinstance(item, TextDelta):
                texts.append(item.text)
            elif isinstance(item, TurnDone):
                break
    assert texts == [f" {number}" for number in range(500)]


async def test_a_session_is_closed_although_nobody_takes_its_events() -> None:
    limits = ConnectionLimits(events_max=2, close_timeout_s=20.0)
    server = ScriptedParley([delta(" x")] * 100)
    async with listening(server) as url:
        async with asyncio.timeout(10):
            async with connect(url, limits=limits) as session:
                await say(session)
    assert session._machine.has_ended


async def test_a_server_that_does_not_answer_the_end_is_not_waited_for() -> None:
    async def deaf(socket: ServerConnection) -> None:
        await socket.send(event("session.created", id="x", created=1, parley={"resume_window_s": 30.0}))
        await socket.send(event("session.updated", id="x", resume={"token": "t", "window_s": 30.0}))
        await socket.wait_closed()

    limits = ConnectionLimits(close_timeout_s=0.05)
    async with listening(deaf, close_timeout=0.1) as url, connect(url, limits=limits) as session:
        await session.close()
        assert [type(item) async for item in session] == [SessionCreated]
        with pytest.raises(RuntimeError, match="over"):
            await session.start_turn()


async def test_a_session_that_is_away_is_closed_without_waiting() -> None:
    server = ScriptedParley()
    limits = ConnectionLimits(close_timeout_s=20.0)
    async with (
        asyncio.timeout(10),
        listening(server) as url,
        ChaosProxy(url) as proxy,
        connect(proxy.url, limits=limits) as session,
    ):
        await session.start_turn()
        proxy.is_refusing = True
        proxy.cut()
        async for item in session:
            if isinstance(item, ConnectionLost):
                break


async def test_a_session_is_closed_while_it_connects() -> None:
    asked = asyncio.Event()
    gone = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        await reader.read()
        writer.close()
        gone.set()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def begin() -> None:
        # The WebSocket library lets go of a handshake that is given up when its time is over.
        async with connect(url, limits=ConnectionLimits(connect_timeout_s=0.5)):
            raise AssertionError("there is no session")

    async with server:
        connecting = asyncio.create_task(begin())
        await bounded("the handshake", asked.wait())
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bounded("the client gives up", connecting)
        await bounded("the connection is gone", gone.wait())


async def test_a_server_that_takes_input_and_never_acknowledges_it_is_given_up() -> None:
    async def forgetful(socket: ServerConnection) -> None:
        await socket.send(event("session.created", id="x", created=1, parley={"resume_window_s": 30.0}))
        await socket.send(event("session.updated", id="x", resume={"token": "t", "window_s": 30.0}))
        async for message in socket:
            if json.loads(message)["type"] == "session.end":
                return

    limits = ConnectionLimits(send_stall_timeout_s=0.1)
    bounds = ClientLimits(unacked_max_s=0.5)
    async with listening(forgetful) as url, connect(url, limits=limits, session_limits=bounds) as session:
        await session.start_turn()
        with pytest.raises(SessionFailed, match="upstream-stalled"):
            await session.send_audio(SECOND)


async def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: ClientMachine, message: bytes, now: float) -> list[Action]:
        raise ZeroDivisionError

    async def use(url: str) -> None:
        async with connect(url) as session:
            monkeypatch.setattr(ClientMachine, "message_received", broken)
            await say(session)
            await end_of(session)

    async with listening(ScriptedVllm()) as url:
        with pytest.raises(ZeroDivisionError):
            await bounded("the fault", use(url))


async def test_a_failure_is_told_to_everybody_who_asks() -> None:
    async def leaving(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.recv()
        await socket.recv()

    async with listening(leaving) as url, connect(url) as session:
        await session.start_turn()
        for _ in range(2):
            with pytest.raises(SessionFailed, match="connection-lost"):
                await end_of(session)
        for call in (session.start_turn, session.end_turn, session.clear, session.cancel):
            with pytest.raises(SessionFailed, match="connection-lost"):
                await call()


async def test_who_is_interrupted_while_closing_leaves_nothing_open() -> None:
    closing, released = asyncio.Event(), asyncio.Event()

    async def deaf(socket: ServerConnection) -> None:
        await socket.send(event("session.created", id="x", created=1, parley={"resume_window_s": 30.0}))
        await socket.send(event("session.updated", id="x", resume={"token": "t", "window_s": 30.0}))
        # The client says that it ends the session, and then closes the connection; neither is answered.
        while json.loads(await socket.recv())["type"] != "session.end":
            pass
        socket.transport.pause_reading()
        closing.set()
        await released.wait()

    async def use(url: str) -> None:
        async with connect(url, limits=ConnectionLimits(close_timeout_s=0.3)):
            pass

    async with listening(deaf, close_timeout=0.1) as url:
        using = asyncio.create_task(use(url))
        await bounded("the end is asked for", closing.wait())
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bounded("the client is gone", using)
        released.set()
