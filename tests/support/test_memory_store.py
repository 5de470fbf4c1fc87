"""Sealed states in memory: what `test_session_store` does not try."""

import pytest

from parley.core.errors import ParleyError
from tests.support.memory_store import MemoryStore


async def test_it_takes_puts_back_and_forgets() -> None:
    now = [0.0]
    store = MemoryStore(lambda: now[0], states_max=1)
    await store.put(b"key", b"old", 10.0)
    await store.put(b"key", b"state", 10.0)
    taken = await store.take(b"key")
    assert taken is not None
    assert (taken.sealed, taken.ttl_s, len(store)) == (b"state", 10.0, 0)
    await store.put_back(b"key", taken)
    now[0] = 10.0
    assert await store.take(b"key") is None
    assert len(store) == 0


async def test_it_is_bounded() -> None:
    store = MemoryStore(lambda: 0.0, states_max=1)
    await store.put(b"key", b"state", 10.0)
    with pytest.raises(ParleyError, match="store-unavailable"):
        await store.put(b"other", b"state", 10.0)
