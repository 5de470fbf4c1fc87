"""Who may begin a session on a node, and how a drain ends them."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from parley.access.caller import NOBODY, Caller
from parley.core import events as ev
from parley.core.admission import AdmissionLimits
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.profile import ModelProfile, profile_of
from parley.core.ticket import Place
from parley.ingress.attachment import SessionName
from parley.server.admission_desk import AdmissionDesk, StreamPool
from parley.server.client_port import ClientPort
from parley.server.draining import Draining
from parley.server.host import Host, Sources
from parley.server.live_sessions import LiveSessions
from parley.server.runner import SessionRunner
from parley.server.settings.tenant import TenantSettings
from parley.server.tenants import Tenants
from parley.upstream.health.health import HealthOptions, UpstreamHealth
from parley.wire.vllm import encode_audio
from tests.server.doubles import FakePool
from tests.support.logs import LogWatch
from tests.support.seams import FakeAttachment
from tests.support.sound import pcm
from tests.support.waiting import Changes, bounded

pytestmark = pytest.mark.usefixtures("log")

RETRY_AFTER_S = 3.0
WINDOW_S = 30.0
ONE = "1" * 64
"""The principal of a tenant that has one session."""


class WatchedDesk(AdmissionDesk):
    """Tells when a place is given back."""

    changes: Changes

    def leave(self, place: Place) -> None:
        super().leave(place)
        self.changes.notify()


class Node:
    """A host between doubles, with a model server that is ready."""

    def __init__(self, tasks: asyncio.TaskGroup, *, sessions_max: int, queue_max: int, model: str) -> None:
        self.changes = Changes()
        self.upstream = FakePool(self.changes)
        self.health = UpstreamHealth(HealthOptions(url="ws://127.0.0.1:1/v1/realtime"))
        self.health.ready = True
        self.health.models = ("first", "second")
        self.live = LiveSessions(
            random=random.Random(1).randbytes, window_s=WINDOW_S, retry_after_s=RETRY_AFTER_S, tasks=tasks
        )
        limits = AdmissionLimits(
            sessions_max=sessions_max, queue_max=queue_max, queue_timeout_s=600.0, retry_after_s=RETRY_AFTER_S
        )
        tenants = Tenants([TenantSettings(name="one", principals=(ONE,), max_sessions=1)], others_max=0)
        self.desk = WatchedDesk(limits, tenants.of, self.live.clock)
        self.desk.changes = self.changes
        self.desk.serve(self.upstream)
        self.host = self.make_host(model)
        self.attachments: list[FakeAttachment] = []
        self.profiles_of: list[str] = []

    def make_host(self, model: str, upstream: StreamPool | None = None) -> Host:
        """A host of this node; all of them share its places and what lives on it."""
        return Host(
            limits=SessionLimits(resume_window_s=WINDOW_S),
            live=self.live,
            desk=self.desk,
            upstream=upstream or self.upstream,
            health=self.health,
            model=model,
            sources=Sources(
                jitter=lambda: 0.5,
                profile=self._profile,
                context_s=lambda: 0.0,
                measure_speech=lambda _pcm: 0,
            ),
        )

    def _profile(self, model: str) -> ModelProfile:
        self.profiles_of.append(model)
        return profile_of(model)

    def open(self, *, principal: str = "", name: SessionName | None = None) -> ClientPort:
        self.attachments.append(FakeAttachment(self.changes))
        return self.host.open(self.attachments[-1], caller=Caller(principal), name=name)

    def detached(self) -> str:
        """A session whose client opted in and is gone; its token."""
        port = self.open()
        port.start()
        port.receive(ev.ResumeEnabled())
        port.receive(ev.ClientClosed())
        (token,) = self.attachments[-1].tokens
        return token

    def resumed(self, token: str, principal: str = "") -> FakeAttachment:
        """Another connection takes a session up."""
        attachment = FakeAttachment(self.changes)
        self.host.resume(attachment, token, 0, Caller(principal)).start()
        return attachment

    async def at_work(self) -> ClientPort:
        """A session whose model has audio and has not answered."""
        runner = self.open()
        runner.start()
        count = len(self.attachments)
        await self.changes.until("a leg", lambda: len(self.upstream.legs) == count)
        for event in (ev.ModelNamed(""), ev.TurnStarted(), ev.AudioReceived(encode_audio(pcm(1.0))), ev.TurnEnded()):
            runner.receive(event)
        await self.changes.until("the turn is sent", lambda: "end" in self.upstream.leg.told)
        return runner

    async def drain(self, timeout_s: float) -> None:
        await Draining(self.live, self.live.clock, settle_s=0.0, timeout_s=timeout_s).run()

    def end_all(self) -> None:
        for runner in self.live.runners:
            runner.receive(ev.DrainStarted(self.live.clock()))

    async def until_empty(self) -> None:
        await self.changes.until("every place is given back", lambda: not self.desk.view.live)

    def refusal(self, principal: str = "") -> ParleyError:
        with pytest.raises(ParleyError) as caught:
            self.host.check(Caller(principal))
        with pytest.raises(ParleyError) as again:
            self.open(principal=principal)
        assert again.value.code == caught.value.code
        return caught.value


@asynccontextmanager
async def node(*, sessions_max: int = 8, queue_max: int = 0, model: str = "") -> AsyncIterator[Node]:
    async with asyncio.TaskGroup() as tasks:
        one = Node(tasks, sessions_max=sessions_max, queue_max=queue_max, model=model)
        yield one
        one.end_all()


async def test_a_session_has_an_id_and_a_time_of_its_own() -> None:
    async with node() as one:
        first, second = one.open(), one.open()
        assert first.name.session_id.startswith("sess-")
        assert first.name.session_id != second.name.session_id
        assert first.name.created_s > 1_700_000_000
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
        await one.drain(1.0)
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
        await bounded("the drain", one.drain(600.0))


async def test_a_drain_ends_idle_sessions_at_once_and_tells_them() -> None:
    async with node() as one:
        for _ in range(2):
            one.open().start()
        await bounded("the drain", one.drain(600.0))
        assert [attachment.end_code for attachment in one.attachments] == ["shutting-down"] * 2
        assert one.desk.view.live == 0


async def test_a_drain_waits_for_a_turn_in_flight() -> None:
    async with node() as one:
        await one.at_work()
        draining = asyncio.create_task(one.drain(600.0))
        await asyncio.sleep(0)
        assert one.attachments[0].ended == []
        one.upstream.finish_turn()
        await bounded("the drain", draining)
        assert one.attachments[0].told == ["done", "end"]
        assert one.attachments[0].end_code == "shutting-down"


async def test_a_drain_ends_a_turn_that_hangs_at_the_deadline() -> None:
    async with node() as one:
        await one.at_work()
        await bounded("the drain", one.drain(0.05))
        assert one.attachments[0].end_code == "shutting-down"
        assert one.upstream.leg.told[-1] == "close"


async def test_hurry_ends_a_turn_that_hangs_at_once() -> None:
    async with node() as one:
        await one.at_work()
        draining = asyncio.create_task(one.drain(600.0))
        await asyncio.sleep(0)
        one.end_all()
        await bounded("the drain", draining)
        assert one.attachments[0].end_code == "shutting-down"


async def test_relief_is_asked_of_the_oldest_quarter_and_next_of_those_after_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def note(runner: SessionRunner, event: ev.Event) -> None:
        if isinstance(event, ev.RotationAsked):
            asked.append(runner.name.session_id)
        receive(runner, event)

    receive = SessionRunner.receive
    monkeypatch.setattr(SessionRunner, "receive", note)
    async with node() as one:
        names = [one.open().name.session_id for _ in range(5)]
        one.host.relieve()
        one.host.relieve()
        assert asked == names[:4]


# ---- coming back


async def test_a_detached_session_keeps_its_place_and_needs_no_other_to_come_back() -> None:
    async with node(sessions_max=1) as one:
        token = one.detached()
        assert one.refusal().code == "at-capacity"
        assert one.resumed(token).told == ["Resumed"]
        assert one.desk.view.live == 1


async def test_a_session_comes_back_while_the_model_server_is_away() -> None:
    async with node() as one:
        token = one.detached()
        one.health.ready = False
        assert one.resumed(token).told == ["Resumed"]


async def test_a_session_that_ended_is_told_from_one_that_never_was() -> None:
    async with node() as one:
        token = one.detached()
        one.end_all()
        for known, code in ((token, "expired"), ("never", "unknown-session")):
            with pytest.raises(ParleyError) as caught:
                one.resumed(known)
            assert caught.value.code == code
        await one.until_empty()
        with pytest.raises(ParleyError) as later:
            one.resumed(token)
        assert later.value.code == "expired"


async def test_a_session_comes_back_for_its_principal_alone() -> None:
    async with node() as one:
        port = one.open(principal="me")
        port.start()
        port.receive(ev.ResumeEnabled())
        (token,) = one.attachments[-1].tokens
        with pytest.raises(ParleyError) as caught:
            one.resumed(token, "you")
        assert caught.value.code == "wrong-principal"
        assert one.resumed(token, "me").told == ["Resumed"]


async def test_a_drain_ends_detached_sessions_too() -> None:
    async with node() as one:
        one.detached()
        await bounded("the drain", one.drain(600.0))
        assert one.desk.view.live == 0


async def test_a_session_has_the_name_that_was_promised() -> None:
    async with node() as one:
        name = one.host.new_name()
        port = one.open(name=name)
        assert port.name == name
        port.receive(ev.ClientClosed())


async def test_a_session_that_was_not_needed_is_no_news(log: LogWatch) -> None:
    async with node() as one:
        port = one.open()
        port.start()
        port.abandon()
        await one.until_empty()
        await asyncio.sleep(0)
    assert [record.getMessage() for record in log.records if record.levelname != "DEBUG"] == []


async def test_a_session_goes_by_the_clock_of_the_nodes_model() -> None:
    async with node(model="second") as one:
        one.open().receive(ev.ClientClosed())
        assert one.profiles_of == ["second"]


# ---- several hosts of one node


async def test_a_session_comes_back_at_another_host_of_the_node() -> None:
    async with node() as one:
        token = one.detached()
        attachment = FakeAttachment(one.changes)
        one.make_host("second").resume(attachment, token, 0, NOBODY).start()
        assert attachment.told == ["Resumed"]


async def test_arrivals_are_counted_for_all_hosts_of_the_node() -> None:
    async with node() as one:
        other = one.make_host("second")
        assert [one.host.next_arrival(), other.next_arrival(), one.host.next_arrival()] == [1, 2, 3]


async def test_a_drain_ends_the_sessions_of_all_hosts() -> None:
    async with node() as one:
        other = one.make_host("second")
        one.open().start()
        attachment = FakeAttachment(one.changes)
        other.open(attachment).start()
        await bounded("the drain", one.drain(600.0))
        assert [one.attachments[0].end_code, attachment.end_code] == ["shutting-down"] * 2
        for host in (one.host, other):
            with pytest.raises(ParleyError) as caught:
                host.check()
            assert caught.value.code == "shutting-down"


async def test_a_session_takes_a_place_on_the_node_and_a_stream_of_its_host() -> None:
    async with node(sessions_max=2) as one:
        own = FakePool(one.changes, streams=1)
        one.desk.serve(own)
        small = one.make_host("second", own)
        port = small.open(FakeAttachment(one.changes))
        with pytest.raises(ParleyError) as full:
            small.open(FakeAttachment(one.changes))
        assert full.value.code == "at-capacity"
        one.open()
        assert one.refusal().code == "at-capacity"
        port.receive(ev.ClientClosed())
        await one.changes.until("its place is given back", lambda: one.desk.view.live == 1)
        small.check()


async def test_a_session_that_is_queued_begins_at_once_and_gets_its_place_when_one_is_given_back() -> None:
    async with node(sessions_max=1, queue_max=1) as one:
        first = one.open()
        first.start()
        await one.changes.until("its leg", lambda: len(one.upstream.legs) == 1)
        one.open().start()
        assert one.refusal().code == "at-capacity"
        assert (one.desk.view.live, one.desk.view.queued, len(one.upstream.legs)) == (1, 1, 1)
        first.receive(ev.ClientClosed())
        await one.changes.until("the other's leg", lambda: len(one.upstream.legs) == 2)
        assert (one.desk.view.live, one.desk.view.queued) == (1, 0)


async def test_a_queued_session_whose_client_goes_leaves_the_queue() -> None:
    async with node(sessions_max=1, queue_max=1) as one:
        one.open().start()
        waiting = one.open()
        waiting.start()
        waiting.receive(ev.ClientClosed())
        await one.changes.until("it has left", lambda: not one.desk.view.queued)
        assert one.desk.view.live == 1


async def test_a_session_that_was_never_started_gives_back_what_it_was_promised() -> None:
    async with node() as one:
        one.upstream.streams = 1
        one.open().receive(ev.ClientClosed())
        await one.until_empty()
        one.host.check()


async def test_a_tenants_limit_is_asked_of_its_own_clients_alone() -> None:
    async with node() as one:
        one.open(principal=ONE)
        assert one.refusal(ONE).code == "too-many-sessions"
        one.open(principal="2" * 64)
        one.host.check()


async def test_relief_is_asked_of_the_sessions_of_one_host_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(runner: SessionRunner, event: ev.Event) -> None:
        if isinstance(event, ev.RotationAsked):
            asked.append(runner.name.session_id)
        receive(runner, event)

    receive = SessionRunner.receive
    monkeypatch.setattr(SessionRunner, "receive", note)
    async with node() as one:
        other = one.make_host("second")
        one.open()
        name = other.open(FakeAttachment(one.changes)).name.session_id
        other.relieve()
        assert asked == [name]
