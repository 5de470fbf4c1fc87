"""What every store of sessions does, whatever it is made of."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parley.core.errors import ParleyError
from parley.store.directory import DirectoryStore
from parley.store.session_store import SessionStore, Taken
from tests.support.memory_store import MemoryStore

KEY, OTHER = b"k" * 32, b"o" * 32
SECRET = b"zzgeheimnis"


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "directory"])
async def store(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> AsyncIterator[SessionStore]:
    if request.param == "memory":
        yield MemoryStore(clock, states_max=2, bytes_max=100)
        return
    directory = DirectoryStore(tmp_path / "sessions", clock=clock, states_max=2, bytes_max=100)
    yield directory
    directory.close()


async def refusal(store: SessionStore, key: bytes, sealed: bytes) -> str:
    with pytest.raises(ParleyError) as caught:
        await store.put(key, sealed, 30.0)
    return caught.value.code


async def test_what_was_put_is_taken_once(store: SessionStore) -> None:
    await store.put(KEY, SECRET, 30.0)
    taken = await store.take(KEY)
    assert taken is not None
    assert taken.sealed == SECRET
    assert await store.take(KEY) is None


async def test_of_many_takers_one_wins(store: SessionStore) -> None:
    await store.put(KEY, SECRET, 30.0)
    taken = await asyncio.gather(*(store.take(KEY) for _ in range(8)))
    assert sum(one is not None for one in taken) == 1


async def test_states_are_told_apart_by_their_keys(store: SessionStore) -> None:
    await store.put(KEY, b"one", 30.0)
    await store.put(OTHER, b"other", 30.0)
    other, one = await store.take(OTHER), await store.take(KEY)
    assert other is not None
    assert one is not None
    assert (other.sealed, one.sealed) == (b"other", b"one")


async def test_a_state_that_is_put_again_replaces_the_one_before(store: SessionStore) -> None:
    await store.put(KEY, b"old", 30.0)
    await store.put(KEY, b"new", 30.0)
    taken = await store.take(KEY)
    assert taken is not None
    assert taken.sealed == b"new"


async def test_a_state_is_gone_when_its_time_is_over(store: SessionStore, clock: Clock) -> None:
    await store.put(KEY, SECRET, 30.0)
    clock.now += 31.0
    assert await store.take(KEY) is None


async def test_what_is_put_back_is_kept_for_the_rest_of_its_time(store: SessionStore, clock: Clock) -> None:
    await store.put(KEY, SECRET, 30.0)
    clock.now += 20.0
    taken = await store.take(KEY)
    assert taken is not None
    assert taken.ttl_s == pytest.approx(10.0, abs=0.01)
    await store.put_back(KEY, taken)
    again = await store.take(KEY)
    assert again is not None
    await store.put_back(KEY, again)
    clock.now += 11.0
    assert await store.take(KEY) is None


async def test_a_full_store_refuses_by_number(store: SessionStore) -> None:
    for key in (KEY, OTHER):
        await store.put(key, b"x", 30.0)
    assert await refusal(store, b"third", b"x") == "store-unavailable"


async def test_a_full_store_refuses_by_bytes(store: SessionStore) -> None:
    await store.put(KEY, b"x" * 60, 30.0)
    assert await refusal(store, OTHER, b"x" * 60) == "store-unavailable"


async def test_a_store_has_room_again_when_states_have_expired(
    store: SessionStore, clock: Clock, request: pytest.FixtureRequest
) -> None:
    for key in (KEY, OTHER):
        await store.put(key, b"x" * 40, 30.0)
    clock.now += 31.0
    if isinstance(store, DirectoryStore):
        assert store.sweep() == 2
    await store.put(b"third", b"x" * 90, 30.0)


def test_what_was_taken_does_not_print() -> None:
    assert "zz" not in repr(Taken(SECRET, 1.0))
