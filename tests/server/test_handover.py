"""Sessions to and from the store: what is left there, who gets it, and a store that fails or hangs."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from parley.access.caller import Caller
from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.snapshot import SessionState, StoredSession
from parley.ingress.attachment import SessionName
from parley.server.handover import Adopter, Handover, state_max_bytes
from parley.server.runner import SessionRunner
from parley.store.sealing import seal, state_keys
from parley.store.session_store import Taken
from parley.wire.snapshot import encode
from tests.support.logs import LogWatch
from tests.support.memory_store import MemoryStore
from tests.support.waiting import Changes, bounded

TOKEN = "p1." + "A" * 43
OWNER = "owner"
STATE = SessionState(inputs=3, cursor=16_000, acknowledged=2)
FULL = ParleyError("store-unavailable", "It is full.")


class Store(MemoryStore):
    """A store that hangs or fails where a test says."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.changes = Changes()
        self.fails_with: Exception | None = None
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def put(self, key: bytes, sealed: bytes, ttl_s: float) -> None:
        await self._wait()
        await super().put(key, sealed, ttl_s)
        self.changes.notify()

    async def take(self, key: bytes) -> Taken | None:
        await self._wait()
        taken = await super().take(key)
        self.changes.notify()
        return taken

    async def _wait(self) -> None:
        await self.may_go_on.wait()
        if self.fails_with is not None:
            raise self.fails_with


class Runner:
    """A runner as far as its handover needs it; `outcome` is what StateStored makes of it."""

    def __init__(self, changes: Changes, *, becomes: str = "moved") -> None:
        self.name = SessionName("sess-1", 17)
        self.outcome = ""
        self.told: list[ev.Event] = []
        self._becomes = becomes
        self._changes = changes

    def state(self) -> tuple[SessionState, float]:
        return STATE, 30.0

    def receive(self, event: ev.Event) -> None:
        self.told.append(event)
        if isinstance(event, ev.StateStored):
            self.outcome = self._becomes
        self._changes.notify()

    @property
    def refusal(self) -> str:
        (event,) = self.told
        assert isinstance(event, ev.StateRefused)
        return event.error.code


class Host:
    """Goes on with sessions, or does not."""

    def __init__(self, model: str = "voxtral") -> None:
        self.model = model
        self.adopted: list[StoredSession] = []
        self.refuses_with: ParleyError | None = None

    def adopt(self, stored: StoredSession, caller: Caller) -> SessionRunner:
        if self.refuses_with is not None:
            raise self.refuses_with
        self.adopted.append(stored)
        return cast(SessionRunner, Runner(Changes()))


class Scene:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.store = Store()
        self.host = Host()
        self.handover = self.make()

    def make(self, **options: Any) -> Handover:
        made = Handover(
            self.store,
            **{
                "random": random.Random(1).randbytes,
                "bytes_max": 100_000,
                "put_timeout_s": 20.0,
                "take_timeout_s": 20.0,
                "unix_time": lambda: self.now,
                **options,
            },
        )
        made.hosts = [cast(Adopter, self.host)]
        return made

    async def left(self, *, becomes: str = "moved", handover: Handover | None = None) -> Runner:
        """A session that was to be left, and was told what came of it."""
        handover = handover or self.handover
        runner = Runner(self.store.changes, becomes=becomes)
        handover.note(cast(SessionRunner, runner), TOKEN, OWNER)
        handover.leave(cast(SessionRunner, runner), "voxtral", 1_280)
        await self.store.changes.until("an answer", lambda: bool(runner.told))
        return runner

    async def refusal(self, principal: str = OWNER, *, token: str = TOKEN, handover: Handover | None = None) -> str:
        with pytest.raises(ParleyError) as caught:
            await bounded("an answer", (handover or self.handover).fetch(token, Caller(principal)))
        return caught.value.code


@pytest.fixture
async def scene(log: LogWatch) -> AsyncIterator[Scene]:
    scene = Scene()
    yield scene
    scene.store.may_go_on.set()
    await scene.handover.close()
    assert TOKEN not in log.everything


# ---- to the store


async def test_what_is_left_is_what_the_session_was_and_whose(scene: Scene) -> None:
    runner = await scene.left()
    assert runner.told == [ev.StateStored()]
    await scene.handover.fetch(TOKEN, Caller(OWNER))
    assert scene.host.adopted == [
        StoredSession(
            session_id="sess-1",
            created_s=17,
            principal=OWNER,
            model="voxtral",
            frame_samples=1_280,
            expires_s=1_030.0,
            state=STATE,
        )
    ]


async def test_a_store_that_refuses_is_told(scene: Scene) -> None:
    scene.store.fails_with = FULL
    assert (await scene.left()).refusal == "store-unavailable"


async def test_a_bug_of_ours_is_told_as_one(scene: Scene, log: LogWatch) -> None:
    log.expect_errors("parley.session")
    scene.store.fails_with = RuntimeError("bug")
    assert (await scene.left()).refusal == "internal-error"


async def test_a_state_that_is_too_large_is_refused(scene: Scene) -> None:
    assert (await scene.left(handover=scene.make(bytes_max=10))).refusal == "state-unreadable"


async def test_a_store_that_hangs_is_not_waited_for_and_what_it_did_is_undone(scene: Scene) -> None:
    scene.store.may_go_on.clear()
    handover = scene.make(put_timeout_s=0.01)
    assert (await scene.left(handover=handover)).refusal == "store-unavailable"
    scene.store.may_go_on.set()
    await bounded("it is taken out again", asyncio.gather(*handover._tasks))
    assert len(scene.store) == 0


async def test_a_store_that_hangs_and_then_fails_has_nothing_to_undo(scene: Scene) -> None:
    scene.store.may_go_on.clear()
    handover = scene.make(put_timeout_s=0.01)
    await scene.left(handover=handover)
    scene.store.fails_with = FULL
    scene.store.may_go_on.set()
    await bounded("the end", asyncio.gather(*handover._tasks))


async def test_the_state_of_a_session_that_ended_meanwhile_is_taken_out_again(scene: Scene) -> None:
    await scene.left(becomes="client-ended")
    await bounded("the end", asyncio.gather(*scene.handover._tasks))
    assert len(scene.store) == 0


async def test_a_state_that_can_not_be_taken_out_again_is_left_to_expire(scene: Scene, log: LogWatch) -> None:
    runner = Runner(scene.store.changes, becomes="client-ended")

    def fail(event: ev.Event) -> None:
        scene.store.fails_with = FULL
        runner.told.append(event)
        scene.store.changes.notify()

    runner.receive = fail  # type: ignore[method-assign]
    scene.handover.note(cast(SessionRunner, runner), TOKEN, OWNER)
    scene.handover.leave(cast(SessionRunner, runner), "voxtral", 1_280)
    await scene.store.changes.until("an answer", lambda: bool(runner.told))
    await bounded("the end", asyncio.gather(*scene.handover._tasks))
    assert "left in the store" in log.everything


# ---- from the store


async def test_what_nobody_left_is_not_there(scene: Scene) -> None:
    assert await scene.handover.fetch(TOKEN, Caller(OWNER)) is None


async def test_it_is_had_once(scene: Scene) -> None:
    await scene.left()
    runners = [await scene.handover.fetch(TOKEN, Caller(OWNER)) for _ in range(2)]
    assert [runner is None for runner in runners] == [False, True]


async def test_who_had_it_may_leave_it_again(scene: Scene) -> None:
    await scene.left()
    runner = await scene.handover.fetch(TOKEN, Caller(OWNER))
    assert runner is not None
    scene.handover.leave(runner, "voxtral", 1_280)
    await scene.store.changes.until("it is there", lambda: len(scene.store) == 1)
    scene.handover.forget(runner)
    scene.handover.forget(runner)


async def test_another_principal_gets_nothing_and_takes_nothing_away(scene: Scene) -> None:
    await scene.left()
    assert await scene.refusal("other") == "wrong-principal"
    assert await scene.handover.fetch(TOKEN, Caller(OWNER)) is not None


async def test_a_host_that_refuses_leaves_it_to_others(scene: Scene) -> None:
    await scene.left()
    scene.host.refuses_with = ParleyError("at-capacity")
    assert await scene.refusal() == "at-capacity"
    scene.host.refuses_with = None
    assert await scene.handover.fetch(TOKEN, Caller(OWNER)) is not None


async def test_a_node_without_the_model_leaves_it_to_others(scene: Scene) -> None:
    await scene.left()
    scene.host.model = "another"
    assert await scene.refusal() == "upstream-unavailable"
    assert len(scene.store) == 1


async def test_a_node_that_does_not_know_its_model_yet_takes_any(scene: Scene) -> None:
    await scene.left()
    scene.host.model = ""
    assert await scene.handover.fetch(TOKEN, Caller(OWNER)) is not None


async def test_its_time_is_its_own_whatever_the_store_says(scene: Scene) -> None:
    await scene.left()
    scene.now += 31.0
    assert await scene.handover.fetch(TOKEN, Caller(OWNER)) is None


async def test_a_token_of_another_kind_is_told_so(scene: Scene) -> None:
    assert await scene.refusal(token="p9.zz") == "state-unsupported"


async def put(scene: Scene, change: Callable[[bytes], bytes]) -> None:
    keys = state_keys(TOKEN)
    stored = StoredSession(
        session_id="", created_s=0, principal=OWNER, model="", frame_samples=0, expires_s=2e9, state=STATE
    )
    sealed = seal(encode(replace(stored, model="voxtral"), 100_000), keys, bytes(12))
    await scene.store.put(keys.store_key, change(sealed), 30.0)


async def test_a_state_that_was_changed_is_gone(scene: Scene) -> None:
    await put(scene, lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]))
    assert await scene.refusal() == "state-unreadable"
    assert len(scene.store) == 0


async def test_a_state_of_a_newer_release_stays(scene: Scene) -> None:
    await put(scene, lambda sealed: sealed[:3] + b"\x09" + sealed[4:])
    assert await scene.refusal() == "state-unsupported"
    assert len(scene.store) == 1


async def test_a_store_that_does_not_take_back_is_logged(scene: Scene, log: LogWatch) -> None:
    await put(scene, lambda sealed: sealed)

    def refuse(stored: StoredSession, caller: Caller) -> SessionRunner:
        scene.store.fails_with = FULL
        raise ParleyError("at-capacity")

    scene.host.adopt = refuse  # type: ignore[method-assign]
    assert await scene.refusal() == "at-capacity"
    assert "lost with its store" in log.everything


async def test_a_store_that_does_not_answer_is_told_and_what_it_gave_is_put_back(scene: Scene) -> None:
    await put(scene, lambda sealed: sealed)
    scene.store.may_go_on.clear()
    handover = scene.make(take_timeout_s=0.01)
    assert await scene.refusal(handover=handover) == "store-unavailable"
    scene.store.may_go_on.set()
    await bounded("it is put back", asyncio.gather(*handover._tasks))
    assert len(scene.store) == 1


async def test_one_that_does_not_answer_and_has_nothing_needs_nothing(scene: Scene) -> None:
    for failure in (None, FULL):
        scene.store.may_go_on.clear()
        scene.store.fails_with = failure
        handover = scene.make(take_timeout_s=0.01)
        assert await scene.refusal(handover=handover) == "store-unavailable"
        scene.store.may_go_on.set()
        await bounded("the end", asyncio.gather(*handover._tasks))


async def test_it_ends_although_the_store_hangs(scene: Scene) -> None:
    scene.store.may_go_on.clear()
    runner = Runner(scene.store.changes)
    scene.handover.note(cast(SessionRunner, runner), TOKEN, OWNER)
    scene.handover.leave(cast(SessionRunner, runner), "voxtral", 1_280)
    await bounded("the end", scene.handover.close())
    assert runner.told == []


def test_the_largest_state_follows_from_the_sessions_bounds() -> None:
    usual = state_max_bytes(SessionLimits())
    assert 10_000_000 < usual < 100_000_000
    assert state_max_bytes(SessionLimits(held_audio_max_s=240.0)) > usual


async def test_what_a_fetch_that_was_given_up_takes_is_put_back(scene: Scene) -> None:
    await scene.left()
    scene.store.may_go_on.clear()
    fetching = asyncio.create_task(scene.handover.fetch(TOKEN, Caller(OWNER)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)
    scene.store.may_go_on.set()
    await bounded("it is put back", asyncio.gather(*scene.handover._tasks))
    assert len(scene.store) == 1


async def test_no_call_of_the_store_outlives_it(scene: Scene) -> None:
    scene.store.may_go_on.clear()
    fetching = asyncio.create_task(scene.handover.fetch(TOKEN, Caller(OWNER)))
    await asyncio.sleep(0)
    await bounded("the end", scene.handover.close())
    assert not scene.handover._calls
    await asyncio.gather(fetching, return_exceptions=True)
