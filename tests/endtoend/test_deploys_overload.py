"""Storms in small: more sessions than there are streams, clients that never read, models that never answer.

The large versions, with figures, are `benchmarks/storms.py`.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from parley.client import TurnDone
from parley.server.settings.document import SessionSettings
from tests.support.admin import AdminApi, eventually, free_port
from tests.support.deploys import ScriptedServer, Talker, assert_whole, phrases
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway, gateway_settings
from tests.support.raw import RawSocket, text_frame
from tests.support.sound import PIECE_BYTES, encoded, pcm, pieces
from tests.support.voxtral import transcript, words

# ---- three times the sessions that there are streams

STREAMS = 3
REST = pcm(0.3, seed=99)


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer() as server:
        yield server


@pytest.fixture
async def narrow(engine: ScriptedServer) -> AsyncIterator[RunningGateway]:
    """A gateway with so many streams, where as many sessions may wait; who falls behind the audio is told."""
    gateway = RunningGateway(
        gateway_settings(
            engine.url,
            upstream={"max_sessions": STREAMS},
            admission={"queue_max": STREAMS, "queue_timeout_s": 600.0},
            session={"lag_notice_s": 2.0},
        )
    )
    try:
        await gateway.start()
        yield gateway
    finally:
        await gateway.close()


async def test_of_three_times_the_sessions_a_third_talks_a_third_waits_and_a_third_is_told_when_to_come_back(
    narrow: RunningGateway, engine: ScriptedServer
) -> None:
    admitted = [Talker(phrases(1, seed), REST) for seed in range(STREAMS)]
    waiting = [Talker(phrases(1, STREAMS + seed), REST) for seed in range(STREAMS)]
    refused = [Talker(phrases(1)) for _ in range(STREAMS)]
    async with asyncio.TaskGroup() as tasks:
        for talker in admitted:
            tasks.create_task(talker.talk(narrow.ws_url))
        for talker in admitted:
            await talker.until_speaking()
        for position, talker in enumerate(waiting, 1):
            tasks.create_task(talker.talk(narrow.ws_url))
            await talker.until_position(position)
        await asyncio.gather(*(talker.talk(narrow.ws_url) for talker in refused))
        # One place after another becomes free; whoever waits sees the queue grow shorter.
        for left, talker in zip(reversed(range(STREAMS)), admitted, strict=True):
            talker.go_on()
            await talker.until_told(TurnDone)
            await waiting[-1].until_position(left)
        for talker in waiting:
            talker.go_on()
    assert [talker.interruptions for talker in admitted] == [[]] * STREAMS, "they never waited, nor fell behind"
    assert [talker.positions for talker in waiting] == [[1, 0], [2, 1, 0], [3, 2, 1, 0]]
    await assert_whole(admitted + waiting, engine)
    for talker in refused:
        assert talker.failed is not None
        assert talker.failed.code == "at-capacity"
        assert (talker.failed.retry_after_s or 0.0) > 0.0


# ---- what is held

CLIENTS = 5
SESSION: dict[str, Any] = {
    "held_audio_max_s": 2.0,
    "journal_max_s": 4.0,
    "turn_text_max_bytes": 65_536,
    "ledger_max_bytes": 65_536,
    "output_max_bytes": 65_536,
    "output_policy": "drop-oldest",
    "first_delta_timeout_s": 60.0,
    "stall_timeout_s": 60.0,
}
SOUND = pcm(30.0)
READ_BYTES = 262_144
"""One read of a connection."""
WORDS = " x" * 10_000
"""Of each 80 ms: 7 MB of a whole turn, more than the kernels hold between them."""


def input_bytes_max() -> float:
    """What docs/limits.md says that one session can hold of audio: the first two parts of its table."""
    session = SessionSettings(**SESSION)
    return 85_333 * session.held_audio_max_s + READ_BYTES + 85_333 * session.journal_max_s + PIECE_BYTES


def output_bytes_max() -> int:
    """And of results, under drop-oldest: the next three. The transport is no part of what a session holds."""
    session = SessionSettings(**SESSION)
    texts = session.turn_text_max_bytes + 2**20
    return texts + session.ledger_max_bytes + 2 * session.output_max_bytes + session.turn_text_max_bytes


async def pour(socket: RawSocket) -> None:
    """A client that opts in, sends more than is ever held, as fast as it can, and reads nothing at all."""
    await socket.upgrade()
    socket.send(text_frame("session.update", model="", parley={"resume": True}))
    socket.send(text_frame("input_audio_buffer.commit"))
    for piece in pieces(SOUND):
        socket.send(text_frame("input_audio_buffer.append", audio=encoded(piece)))


class Watch:
    """What the admin API says that the sessions hold; `most` is the most that it ever said of one."""

    def __init__(self, admin: AdminApi) -> None:
        self._admin = admin
        self.most = 0

    async def sessions(self) -> list[dict[str, Any]]:
        page = await self._admin.get("sessions")
        self.most = max([self.most, *(one["held_bytes"] for one in page["sessions"])])
        return list(page["sessions"])


@pytest.fixture
async def watched(start_gateway: GatewayStarter) -> tuple[RunningGateway, Watch]:
    port = free_port()
    gateway = await start_gateway(session=SESSION, server={"write_buffer_max_bytes": 1_024}, admin={"port": port})
    return gateway, Watch(AdminApi(port))


async def test_clients_of_models_that_never_answer_hold_no_more_than_the_page_of_limits_says(
    watched: tuple[RunningGateway, Watch], vllm: FakeVllm
) -> None:
    gateway, watch = watched
    vllm.runs = False
    for _ in range(CLIENTS):
        await pour(await gateway.raw())

    async def are_full() -> bool:
        sessions = await watch.sessions()
        return len(sessions) == CLIENTS and all(one["held_s"] >= SESSION["held_audio_max_s"] for one in sessions)

    await eventually("all hold what they may", are_full)
    read_s = {one["id"]: one["received_s"] for one in await watch.sessions()}
    assert max(read_s.values()) < len(SOUND) / 32_000, "the rest is not read"
    await assert_well(gateway, vllm)
    later_s = {one["id"]: one["received_s"] for one in await watch.sessions()}
    assert {session_id: later_s[session_id] for session_id in read_s} == read_s, "and stays unread"
    assert watch.most <= input_bytes_max()


async def test_clients_that_never_read_hold_no_more_than_the_page_of_limits_says(
    watched: tuple[RunningGateway, Watch], vllm: FakeVllm
) -> None:
    gateway, watch = watched
    vllm.speech = lambda _turn, _step: WORDS
    for _ in range(CLIENTS):
        await pour(await gateway.raw(receive_buffer_bytes=4_096))

    async def have_heard_all() -> bool:
        sessions = await watch.sessions()
        return len(sessions) == CLIENTS and all(
            one["received_s"] == len(SOUND) / 32_000 and not one["held_s"] for one in sessions
        )

    await eventually("the models have heard it all", have_heard_all)
    assert watch.most > SESSION["output_max_bytes"], "something waited for them"
    assert watch.most <= input_bytes_max() + output_bytes_max()
    await assert_well(gateway, vllm)


async def assert_well(gateway: RunningGateway, vllm: FakeVllm) -> None:
    """Everybody else is served."""
    vllm.runs = True
    vllm.speech = words
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)
    await client.close()
