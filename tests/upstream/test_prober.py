"""When a member is probed, and what it is told of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from parley.core.errors import ParleyError
from parley.core.profile import profile_of
from parley.upstream.health.probe_turn import PROBE_LEG, Speech
from parley.upstream.health.prober import ProbeOptions, Prober
from parley.upstream.leg import LegConnection, LegSink
from parley.upstream.vllm import VllmLeg, VllmOptions, VllmUpstream
from parley.wire.vllm import encode_audio
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.logs import LogWatch
from tests.support.sound import pcm, pieces
from tests.support.waiting import Changes, bounded

SPEECH = Speech([encode_audio(piece) for piece in pieces(pcm(1.2))])


class Member:
    """A member whose wishes a test sets, on the double of vLLM."""

    place = "models.example:8000"
    model = MODEL

    def __init__(self, vllm: FakeVllm) -> None:
        self.due_in_s: float | None = None
        self.has_room = True
        self.told: list[str] = []
        self.changes = Changes()
        self._upstream = VllmUpstream(VllmOptions(url=vllm.url, connect_timeout_s=10.0))
        self._upstream.model = MODEL

    def probe_due_in_s(self) -> float | None:
        return self.due_in_s

    def begin_probe(self) -> bool:
        self._tell("begin" if self.has_room else "no room")
        return self.has_room

    def probe_ended(self, error: ParleyError | None) -> None:
        self.due_in_s = None
        self._tell("works" if error is None else error.code)

    def probe_abandoned(self) -> None:
        self._tell("abandoned")

    async def open_probe(self, sink: LegSink) -> LegConnection:
        leg: VllmLeg = await self._upstream.open_leg(PROBE_LEG, sink)
        return leg

    async def until(self, *told: str) -> None:
        await self.changes.until(f"it is told {told}", lambda: tuple(self.told[: len(told)]) == told)

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self.changes.notify()


@pytest.fixture
async def member(vllm: FakeVllm) -> Member:
    return Member(vllm)


@asynccontextmanager
async def probing(member: Member, *, interval_s: float = 0.0, timeout_s: float = 10.0) -> AsyncIterator[Prober]:
    options = ProbeOptions(SPEECH, profile_of, timeout_s=timeout_s, interval_s=interval_s)
    prober = Prober(member, options)
    task = asyncio.create_task(prober.run())
    try:
        yield prober
    finally:
        task.cancel()
        await bounded("the prober ends", asyncio.wait([task]))


async def test_a_member_that_wants_to_be_probed_is_probed_at_once(member: Member, vllm: FakeVllm) -> None:
    member.due_in_s = 0.0
    async with probing(member):
        await member.until("begin", "works")
    assert [len(one.turns) for one in vllm.sessions] == [1]
    await vllm.until_idle()


async def test_a_member_that_wants_it_later_is_probed_when_it_is_woken(member: Member) -> None:
    async with probing(member) as prober:
        member.due_in_s = 0.0
        assert member.told == []
        prober.wake()
        await member.until("begin", "works")


async def test_a_member_is_probed_again_and_again_where_an_interval_is_set(member: Member, vllm: FakeVllm) -> None:
    async with probing(member, interval_s=0.005):
        await member.until(*["begin", "works"] * 3)
    await vllm.until_idle()


async def test_a_member_without_room_is_left_alone_and_asked_again_later(member: Member, vllm: FakeVllm) -> None:
    member.has_room, member.due_in_s = False, 0.0
    async with probing(member) as prober:
        await member.until("no room")
        member.has_room = True
        prober.wake()
        await member.until("no room", "begin", "works")
    assert len(vllm.sessions) == 1


async def test_a_member_that_does_not_work_is_told_why_and_the_log_once(
    member: Member, vllm: FakeVllm, log: LogWatch
) -> None:
    vllm.refuses_with = 500
    async with probing(member, interval_s=0.005):
        await member.until(*["begin", "upstream-unavailable"] * 3)
        vllm.refuses_with = None
        await member.changes.until("it works again", lambda: "works" in member.told)
    failed = [message for message in log.messages if "a probe turn failed" in message]
    assert failed == [
        "a probe turn failed: upstream-unavailable: The handshake was refused with HTTP 500. At models.example:8000"
    ]
    assert log.messages.count("a probe turn succeeded: models.example:8000") == 1


async def test_a_probe_that_is_given_up_says_so_and_leaves_no_leg(member: Member, vllm: FakeVllm) -> None:
    vllm.runs = False
    member.due_in_s = 0.0
    async with probing(member):
        await (await vllm.session()).until_received("end")
    assert member.told == ["begin", "abandoned"]
    await vllm.until_idle()
