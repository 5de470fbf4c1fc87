"""Two nodes with one folder: the first goes away in the middle of a turn, and its sessions go on at the second."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from parley.client import SessionResumed, TextDelta, TurnDone, connect
from parley.wire import snapshot
from tests.contract.participant import Participant
from tests.contract.server import ContractServer
from tests.contract.stage import steady, text_of
from tests.contract.wires import TRANSPORTS, Event, Transport, WireClosedError
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.sound import encoded, pcm
from tests.support.waiting import bounded

FIRST, SECOND = pcm(2.0, seed=1), pcm(1.5, seed=2)
SOON = {"timeout_s": 1.2}
"""There is no pause in what is said, so sessions move 0.2 s later."""


class Mover(Participant):
    """A client that is sent from one node to another."""

    states: list[Event]

    async def until_sent_on(self) -> tuple[str, int]:
        """The rest of what this node says: the code of its last error, and its close code."""
        self.states, code = [], ""
        try:
            while True:
                event = await self.wire.receive()
                if "seq" in event:
                    self._take(event)
                elif event["type"] == "error":
                    code = event["parley"]["code"]
                else:
                    self.states.append(event)
        except WireClosedError as closed:
            return code, closed.code


class Nodes:
    """Nodes in front of one model server, over one transport."""

    def __init__(self, transport: Transport, vllm: FakeVllm, folder: Path) -> None:
        self.transport = transport
        self.vllm = vllm
        self.folder = folder
        self.started: list[ContractServer] = []
        vllm.speech = steady

    async def start(self, *, has_store: bool = True, **sections: Any) -> ContractServer:
        store = {"kind": "directory", "directory": str(self.folder)} if has_store else {}
        node = ContractServer(self.vllm.url, store=store, **sections)
        self.started.append(node)
        await node.start()
        return node

    async def opted_in(self, node: ContractServer, credentials: str = "") -> Mover:
        wire = await self.transport.connect(node, comes_back=False, credentials=credentials)
        created = await wire.expect("session.created")
        await wire.send("session.update", model=MODEL, parley={"resume": True})
        updated = await wire.expect("session.updated", id=created["id"])
        return Mover(wire, updated["id"], updated["resume"]["token"], updated["resume"]["window_s"])

    async def speaking(self, node: ContractServer) -> Mover:
        """A client in the midst of a turn; the model has said all that it can say so far."""
        number = len(self.vllm.sessions)
        client = await self.opted_in(node)
        await client.start()
        await client.say(FIRST)
        leg = await self.vllm.session(number)
        await leg.until_samples(len(FIRST) // 2)
        await leg.until_read()
        await client.settled()
        return client

    async def bring_back(self, client: Mover, node: ContractServer, credentials: str = "") -> Event:
        wire = await self.transport.connect(node, comes_back=True, credentials=credentials)
        return await client.come_back(wire)

    async def refusal(
        self, client: Mover, node: ContractServer, credentials: str = "", over: Transport | None = None
    ) -> str:
        """Why a node does not take a session up."""
        client.wire = await (over or self.transport).connect(node, comes_back=True, credentials=credentials)
        await client.wire.expect("session.created")
        await client.wire.send("session.resume", token=client.token, seq=client.seq)
        code, _ = await client.until_sent_on()
        return code

    @property
    def files(self) -> list[Path]:
        return list(self.folder.iterdir())


@pytest.fixture(params=["memory", "websocket", "http2"])
async def nodes(request: pytest.FixtureRequest, vllm: FakeVllm, tmp_path: Path) -> AsyncIterator[Nodes]:
    nodes = Nodes(TRANSPORTS[request.param], vllm, tmp_path / "sessions")
    yield nodes
    for node in nodes.started:
        await node.close()


async def finish(client: Mover) -> str:
    """The turn goes on to its end; its text."""
    await client.repeat()
    await client.say(SECOND)
    await client.finish()
    done = await client.until("transcription.done")
    (item,) = client.items.values()
    assert item.text == item.pieces, "nothing was revised"
    return str(done["text"])


async def test_a_turn_goes_on_at_another_node(nodes: Nodes) -> None:
    old, new = await nodes.start(drain=SOON), await nodes.start()
    client = await nodes.speaking(old)
    old.begin_stop()
    assert await client.until_sent_on() == ("moved", 1012)
    going_away = next(event for event in client.states if event["type"] == "session.going_away")
    assert going_away["reason"] == "shutting-down"
    assert client.kinds[-1] == "session.recovering"
    resumed = await nodes.bring_back(client, new)
    assert (resumed["outcome"], resumed["replayed_ms"], resumed["lost"]) == ("rehydrated", [[0, 2_000]], [])
    assert await finish(client) == text_of(3.5)
    assert nodes.files == []
    await old.until_stopped()


async def test_what_is_sent_while_it_moves_is_taken_by_the_other_node(nodes: Nodes) -> None:
    old, new = await nodes.start(drain=SOON), await nodes.start()
    client = await nodes.speaking(old)
    old.begin_stop()
    assert await client.until_sent_on() == ("moved", 1012)
    for start in range(0, len(SECOND), 3_200):
        client.lose("input_audio_buffer.append", audio=encoded(SECOND[start : start + 3_200]))
    client.lose("input_audio_buffer.commit", final=True)
    await nodes.bring_back(client, new)
    await client.repeat()
    assert (await client.until("transcription.done"))["text"] == text_of(3.5)


async def test_an_idle_session_moves_at_once_and_has_nothing_to_replay(nodes: Nodes) -> None:
    old, new = await nodes.start(drain={"timeout_s": 600.0}), await nodes.start()
    client = await nodes.opted_in(old)
    await client.settled()
    old.begin_stop()
    assert await client.until_sent_on() == ("moved", 1012)
    resumed = await nodes.bring_back(client, new)
    assert (resumed["outcome"], resumed["replayed_ms"]) == ("rehydrated", [])
    await client.turn(FIRST)
    assert (await client.until("transcription.done"))["text"] == text_of(2.0)


async def test_a_detached_session_moves_too(nodes: Nodes) -> None:
    old, new = await nodes.start(drain={"timeout_s": 600.0}), await nodes.start()
    client = await nodes.speaking(old)
    client.wire.abort()
    old.begin_stop()
    await old.until_stopped()
    await nodes.bring_back(client, new)
    assert await finish(client) == text_of(3.5)


async def test_a_session_moves_again_and_again(nodes: Nodes) -> None:
    node = await nodes.start(drain=SOON)
    client = await nodes.speaking(node)
    for _ in range(2):
        node.begin_stop()
        assert (await client.until_sent_on())[0] == "moved"
        node = await nodes.start(drain=SOON)
        assert (await nodes.bring_back(client, node))["outcome"] == "rehydrated"
    assert await finish(client) == text_of(3.5)


async def test_a_node_that_drains_takes_no_session_but_sends_it_on(nodes: Nodes) -> None:
    old, busy, new = [await nodes.start(drain=drain) for drain in (SOON, {"timeout_s": 600.0}, SOON)]
    other = await nodes.opted_in(busy)
    plain = await nodes.transport.connect(busy, comes_back=False, credentials="")
    await plain.expect("session.created")
    await plain.send("session.update", model=MODEL)
    await plain.send("input_audio_buffer.commit")
    await plain.send("input_audio_buffer.append", audio=encoded(FIRST))
    await plain.expect("transcription.delta")
    client = await nodes.opted_in(old)
    old.begin_stop()
    assert (await client.until_sent_on())[0] == "moved"
    busy.begin_stop()
    assert (await other.until_sent_on())[0] == "moved"
    # Its HTTP/2 listener takes no connections any more.
    assert await nodes.refusal(client, busy, over=TRANSPORTS["websocket"]) == "moved"
    assert (await nodes.bring_back(client, new))["outcome"] == "rehydrated"


async def test_who_has_other_credentials_gets_nothing_and_takes_nothing_away(nodes: Nodes) -> None:
    old, new = await nodes.start(drain=SOON), await nodes.start()
    client = await nodes.opted_in(old)
    old.begin_stop()
    await client.until_sent_on()
    assert await nodes.refusal(client, new, "Bearer other") == "wrong-principal"
    assert (await nodes.bring_back(client, new))["outcome"] == "rehydrated"


async def test_a_session_that_nobody_left_is_unknown(nodes: Nodes) -> None:
    new = await nodes.start()
    client = Mover(None, "", "p1." + "A" * 43, 0.0)  # type: ignore[arg-type]
    assert await nodes.refusal(client, new) == "unknown-session"


async def test_a_token_of_another_release_is_told_so(nodes: Nodes) -> None:
    new = await nodes.start()
    client = Mover(None, "", "p9." + "A" * 43, 0.0)  # type: ignore[arg-type]
    assert await nodes.refusal(client, new) == "state-unsupported"


async def test_a_state_of_a_newer_release_is_refused_and_stays_for_a_node_that_can_read_it(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = await nodes.start(drain=SOON), await nodes.start()
    client = await nodes.opted_in(old)
    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "READABLE_BY", snapshot.VERSION + 1)
        old.begin_stop()
        await client.until_sent_on()
    assert await nodes.refusal(client, new) == "state-unsupported"
    assert len(nodes.files) == 1


async def test_a_file_that_was_changed_is_told_so(nodes: Nodes) -> None:
    old, new = await nodes.start(drain=SOON), await nodes.start()
    client = await nodes.opted_in(old)
    old.begin_stop()
    await client.until_sent_on()
    (file,) = nodes.files
    expires = file.stat().st_mtime
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    os.utime(file, (expires, expires))
    assert await nodes.refusal(client, new) == "state-unreadable"
    assert nodes.files == []


async def test_without_a_store_the_client_is_told_of_the_end(nodes: Nodes) -> None:
    old = await nodes.start(has_store=False, drain=SOON)
    client = await nodes.speaking(old)
    old.begin_stop()
    await client.until_sent_on()
    assert client.kinds[-2:] == ["error", "session.ended"]
    assert client.seen[-1]["reason"] == "shutting-down"


async def test_a_store_that_fails_leaves_the_session_where_it_is(nodes: Nodes) -> None:
    old = await nodes.start(drain=SOON)
    client = await nodes.speaking(old)
    nodes.folder.chmod(0o500)
    nodes.folder.rename(nodes.folder.with_name("gone"))
    old.begin_stop()
    await client.until_sent_on()
    assert client.kinds[-2:] == ["error", "session.ended"]


# ---- with Parley's own client


async def said_through(urls: list[str], begun: asyncio.Semaphore, may_end: asyncio.Event) -> tuple[str, str, list[str]]:
    """A turn that is said in two parts: its text as it came and at its end, and the outcomes of coming back."""
    text, final, outcomes = "", "", []
    async with connect(urls) as session:
        await session.start_turn()
        await session.send_audio(FIRST)

        async def go_on() -> None:
            begun.release()
            await may_end.wait()
            await session.send_audio(SECOND)
            await session.end_turn()

        going_on: asyncio.Task[None] | None = None
        async for event in session:
            match event:
                case TextDelta():
                    text += event.text
                    going_on = going_on or asyncio.create_task(go_on())
                case SessionResumed():
                    outcomes.append(str(event.outcome))
                case TurnDone():
                    final = event.text
                    break
                case _:
                    pass
        assert going_on is not None
        await going_on
    return text, final, outcomes


async def test_many_sessions_of_our_client_go_on_at_the_other_url(vllm: FakeVllm, tmp_path: Path) -> None:
    nodes = Nodes(TRANSPORTS["websocket"], vllm, tmp_path / "sessions")
    try:
        old, new = await nodes.start(drain=SOON), await nodes.start()
        begun, may_end, count = asyncio.Semaphore(0), asyncio.Event(), 8
        async with asyncio.TaskGroup() as tasks:
            talks = [tasks.create_task(said_through([old.ws_url, new.ws_url], begun, may_end)) for _ in range(count)]
            for _ in range(count):
                await bounded("a session speaks", begun.acquire())
            old.begin_stop()
            await old.until_stopped()
            may_end.set()
        assert [talk.result() for talk in talks] == [(text_of(3.5), text_of(3.5).strip(), ["rehydrated"])] * count
        assert nodes.files == []
    finally:
        for node in nodes.started:
            await node.close()
