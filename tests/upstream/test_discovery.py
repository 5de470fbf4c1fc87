"""What the pool is told of servers that come and go, and what the log is told when that can't be known."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from parley.upstream.discovery.discovery import Discovery, DiscoveryError
from tests.support.logs import LogWatch
from tests.support.waiting import Changes, bounded

pytestmark = pytest.mark.usefixtures("log")


class Spec(NamedTuple):
    name: str
    weight: float = 1.0


A, B, C = Spec("a"), Spec("b"), Spec("c")


class FakeSource:
    """Says what a test tells it to say."""

    place = "the test's source"

    def __init__(self) -> None:
        self.says: Sequence[Spec] | DiscoveryError = ()
        self.looks = 0
        self.is_closed = False
        self.changes = Changes()

    async def look(self) -> Sequence[Spec]:
        self.looks += 1
        self.changes.notify()
        if isinstance(self.says, DiscoveryError):
            raise self.says
        return self.says

    async def close(self) -> None:
        self.is_closed = True


class FakePool:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Spec]] = []
        self.has_room = True

    def add(self, spec: Spec) -> bool:
        self.told.append(("add", spec))
        return self.has_room

    def remove(self, spec: Spec) -> None:
        self.told.append(("remove", spec))

    def change(self, spec: Spec) -> None:
        self.told.append(("change", spec))

    def take(self) -> list[tuple[str, Spec]]:
        """What it was told since this was last asked."""
        told, self.told = self.told, []
        return told


class Stage:
    """A discovery between the two."""

    def __init__(self, members_max: int = 256) -> None:
        self.source = FakeSource()
        self.pool = FakePool()
        self.discovery = Discovery(
            self.source, self.pool, key_of=lambda spec: spec.name, interval_s=0.001, members_max=members_max
        )

    async def look(self, *found: Spec) -> list[tuple[str, Spec]]:
        self.source.says = found
        await self.discovery.look()
        return self.pool.take()

    async def fail(self, message: str) -> list[tuple[str, Spec]]:
        self.source.says = DiscoveryError(message)
        await self.discovery.look()
        return self.pool.take()


def text_of(log: LogWatch) -> str:
    return "\n".join(log.messages)


async def test_servers_that_are_found_are_added_once() -> None:
    stage = Stage()
    assert await stage.look(A, B) == [("add", A), ("add", B)]
    assert await stage.look(B, A) == []
    assert stage.discovery.known == (A, B)


async def test_a_server_that_is_found_no_longer_is_removed_and_a_new_one_added() -> None:
    stage = Stage()
    await stage.look(A, B)
    assert await stage.look(B, C) == [("remove", A), ("add", C)]


async def test_a_server_whose_properties_change_stays() -> None:
    stage = Stage()
    await stage.look(A, B)
    heavier = Spec("a", 2.0)
    assert await stage.look(heavier, B) == [("change", heavier)]
    assert await stage.look(heavier, B) == []


async def test_a_server_that_is_named_twice_is_one() -> None:
    assert await Stage().look(A, Spec("a", 3.0)) == [("add", A)]


async def test_while_a_source_fails_its_last_servers_are_kept() -> None:
    stage = Stage()
    await stage.look(A, B)
    assert [await stage.fail("no answer.") for _ in range(10)] == [[]] * 10
    assert await stage.look(A, B) == []


async def test_a_source_that_fails_is_reported_once_and_so_is_its_recovery(log: LogWatch) -> None:
    stage = Stage()
    for _ in range(3):
        await stage.fail("no answer.")
    await stage.fail("another reason.")
    await stage.look(A)
    await stage.look(A)
    assert text_of(log).count("no answer.") == 1
    assert text_of(log).count("another reason.") == 1
    assert text_of(log).count("are looked up again in the test's source") == 1


async def test_servers_that_are_all_gone_at_once_are_believed_gone_at_the_third_look(log: LogWatch) -> None:
    stage = Stage()
    await stage.look(A, B)
    assert await stage.look() == []
    assert await stage.look() == []
    assert await stage.look() == [("remove", A), ("remove", B)]
    assert text_of(log).count("the last ones are kept") == 1


async def test_a_server_that_comes_back_in_between_begins_the_count_anew() -> None:
    stage = Stage()
    await stage.look(A)
    await stage.look()
    await stage.look()
    assert await stage.look(A) == []
    assert [await stage.look() for _ in range(3)] == [[], [], [("remove", A)]]


async def test_a_source_that_fails_between_two_empty_looks_says_nothing_of_them() -> None:
    stage = Stage()
    await stage.look(A)
    await stage.look()
    await stage.fail("no answer.")
    assert await stage.look() == []
    assert await stage.look() == [("remove", A)]


async def test_of_too_many_servers_those_that_are_known_are_kept(log: LogWatch) -> None:
    stage = Stage(members_max=2)
    await stage.look(B)
    assert await stage.look(A, B, C) == [("add", A)]
    assert await stage.look(A, B, C) == []
    assert text_of(log).count("left out, in the test's source: 1, since at most 2") == 1
    assert await stage.look(B, C) == [("remove", A), ("add", C)]


async def test_a_server_that_the_pool_does_not_take_is_offered_again_and_never_removed(log: LogWatch) -> None:
    stage = Stage()
    stage.pool.has_room = False
    assert await stage.look(A) == [("add", A)]
    assert await stage.look(B) == [("add", B)]
    stage.pool.has_room = True
    assert await stage.look(B) == [("add", B)]
    assert stage.discovery.known == (B,)
    assert text_of(log).count("1 model servers of the test's source are left alone") == 1


async def test_it_looks_again_and_again_until_it_is_cancelled_and_then_closes_its_source() -> None:
    stage = Stage()
    task = asyncio.create_task(stage.discovery.run())
    await stage.source.changes.until("three looks", lambda: stage.source.looks >= 3)
    stage.source.says = (A,)
    looks = stage.source.looks
    await stage.source.changes.until("one more", lambda: stage.source.looks > looks + 1)
    assert stage.pool.take() == [("add", A)]
    task.cancel()
    await bounded("it ends", asyncio.wait([task]))
    assert stage.source.is_closed
    assert stage.pool.take() == []
