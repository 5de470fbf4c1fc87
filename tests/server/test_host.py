"""Who may begin a session on a node, and how a drain ends them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from parley.core import events as ev
from parley.core.admission import Admission
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.server.host import Host
from parley.server.runner import SessionRunner
from parley.upstream.health import HealthOptions, UpstreamHealth
from parley.wire.vllm import encode_audio
from tests.support.seams import FakeAttachment, FakeUpstream
from tests.support.sound import pcm
from tests.support.waiting import Changes, bounded

pytestmark = pytest.mark.usefixtures("log")

RETRY_AFTER_S = 3.0


class WatchedAdmission(Admission):
    """Tells when a place is given back."""

    def __init__(self, sessions_max: int, changes: Changes) -> None:
        super().__init__(sessions_max, RETRY_AFTER_S)
        self._changes = changes

    def release(self) -> None:
        super().release()
        self._changes.notify()


class Node:
    """A host between doubles, with a model server that is ready."""

    def __init__(self, tasks: asyncio.TaskGroup, *, sessions_max: int, model: str) -> None:
        self.changes = Changes()
        self.upstream = FakeUpstream(self.changes)
        self.health = UpstreamHealth(HealthOptions(url="ws://127.0.0.1:1/v1/realtime"))
        self.health.ready = True
        self.health.models = ("first", "second")
        self.admission = WatchedAdmission(sessions_max, self.changes)
        self.host = Host(
            limits=SessionLimits(),
            admission=self.admission,
            upstream=self.upstream,
            health=self.health,
            model=model,
            retry_after_s=RETRY_AFTER_S,
            tasks=tasks,
        )
        self.attachments: list[FakeAttachment] = []

    def open(self, *, forward_empty_deltas: bool | None = None) -> SessionRunner:
        self.attachments.append(FakeAttachment(self.changes))
        return self.host.open(self.attachments[-1], forward_empty_deltas=forward_empty_deltas)

    async def at_work(self) -> SessionRunner:
        """A session whose model has audio and has not answered."""
        runner = self.open()
        runner.start()
        count = len(self.attachments)
        await self.changes.until("a leg", lambda: len(self.upstream.legs) == count)
        for event in (ev.ModelNamed(""), ev.TurnStarted(), ev.AudioReceived(encode_audio(pcm(1.0))), ev.TurnEnded()):
            runner.receive(event)
        await self.changes.until("the turn is sent", lambda: "end" in self.upstream.leg.told)
        return runner

    async def until_empty(self) -> None:
        await self.changes.until("every place is given back", lambda: not self.admission.live)

    def refusal(self) -> ParleyError:
        with pytest.raises(ParleyError) as caught:
            self.host.check()
        with pytest.raises(ParleyError) as again:
            self.open()
        assert again.value.code == caught.value.code
        return caught.value


@asynccontextmanager
async def node(*, sessions_max: int = 8, model: str = "") -> AsyncIterator[Node]:
    async with asyncio.TaskGroup() as tasks:
        one = Node(tasks, sessions_max=sessions_max, model=model)
        yield one
        one.host.hurry()


async def test_a_session_has_an_id_and_a_time_of_its_own() -> None:
    async with node() as one:
        first, second = one.open(), one.open()
        assert first.session_id.startswith("sess-")
        assert first.session_id != second.session_id
        assert first.created_s > 1_700_000_000
        for runner in (first, second):
            runner.receive(ev.ClientClosed())


async def test_a_place_is_taken_for_as_long_as_the_session_lives() -> None:
    async with node(sessions_max=1) as one:
        runner = one.open()
        assert one.refusal().code == "at-capacity"
        runner.receive(ev.ClientClosed())
        await one.until_empty()
        one.open().receive(ev.ClientClosed())


async def test_a_refusal_takes_no_place() -> None:
    async with node(sessions_max=1) as one:
        one.health.ready = False
        for _ in range(3):
            one.refusal()
        one.health.ready = True
        one.open().receive(ev.ClientClosed())


async def test_every_refusal_says_when_to_retry() -> None:
    async with node(sessions_max=1) as one:
        runner = one.open()
        full = one.refusal()
        one.health.ready = False
        away = one.refusal()
        runner.receive(ev.ClientClosed())
        await one.host.drain(1.0)
        going = one.refusal()
        assert [error.code for error in (full, away, going)] == ["at-capacity", "upstream-unavailable", "shutting-down"]
        assert {error.retry_after_s for error in (full, away, going)} == {RETRY_AFTER_S}


async def test_the_first_model_that_is_listed_is_used() -> None:
    async with node() as one:
        assert (one.host.model, one.host.models) == ("first", ("first", "second"))


async def test_the_configured_model_is_used_although_others_are_listed_before_it() -> None:
    async with node(model="second") as one:
        assert one.host.model == "second"
        assert set(one.host.models) == {"first", "second"}


async def test_a_configured_model_is_known_although_it_is_not_listed() -> None:
    async with node(model="third") as one:
        assert one.host.model == "third"
        assert set(one.host.models) == {"first", "second", "third"}


async def test_no_model_is_named_while_none_is_known() -> None:
    async with node() as one:
        one.health.models = ()
        assert (one.host.model, one.host.models) == ("", ())


async def test_a_drain_without_sessions_ends_at_once() -> None:
    async with node() as one:
        await bounded("the drain", one.host.drain(600.0))


async def test_a_drain_ends_idle_sessions_at_once_and_tells_them() -> None:
    async with node() as one:
        for _ in range(2):
            one.open().start()
        await bounded("the drain", one.host.drain(600.0))
        assert [attachment.end_code for attachment in one.attachments] == ["shutting-down"] * 2
        assert one.admission.live == 0


async def test_a_drain_waits_for_a_turn_in_flight() -> None:
    async with node() as one:
        await one.at_work()
        draining = asyncio.create_task(one.host.drain(600.0))
        await asyncio.sleep(0)
        assert one.attachments[0].ended == []
        one.upstream.finish_turn()
        await bounded("the drain", draining)
        assert one.attachments[0].told == ["done", "end"]
        assert one.attachments[0].end_code == "shutting-down"


async def test_a_drain_ends_a_turn_that_hangs_at_the_deadline() -> None:
    async with node() as one:
        await one.at_work()
        await bounded("the drain", one.host.drain(0.05))
        assert one.attachments[0].end_code == "shutting-down"
        assert one.upstream.leg.told[-1] == "close"


async def test_hurry_ends_a_turn_that_hangs_at_once() -> None:
    async with node() as one:
        await one.at_work()
        draining = asyncio.create_task(one.host.drain(600.0))
        await asyncio.sleep(0)
        one.host.hurry()
        await bounded("the drain", draining)
        assert one.attachments[0].end_code == "shutting-down"
