"""Sealed states in memory, for nodes within one process."""

from collections.abc import Callable
from dataclasses import dataclass, field

from parley.core.errors import ParleyError
from parley.store.session_store import Taken


@dataclass(frozen=True, slots=True)
class _Kept:
    sealed: bytes = field(repr=False)
    expires_at: float


class MemoryStore:
    """A `SessionStore` of at most `states_max` states and `bytes_max` bytes; `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float], *, states_max: int = 1_024, bytes_max: int = 1_073_741_824) -> None:
        self._clock = clock
        self._states_max = states_max
        self._bytes_max = bytes_max
        self._kept: dict[bytes, _Kept] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def put(self, key: bytes, sealed: bytes, ttl_s: float) -> None:
        """See `SessionStore.put`."""
        self._forget()
        self._drop(key)
        if len(self._kept) >= self._states_max or self._bytes + len(sealed) > self._bytes_max:
            raise ParleyError("store-unavailable", "It is full.")
        self._kept[key] = _Kept(sealed, self._clock() + ttl_s)
        self._bytes += len(sealed)

    async def take(self, key: bytes) -> Taken | None:
        """See `SessionStore.take`."""
        self._forget()
        kept = self._drop(key)
        return None if kept is None else Taken(kept.sealed, kept.expires_at - self._clock())

    async def put_back(self, key: bytes, taken: Taken) -> None:
        """See `SessionStore.put_back`."""
        await self.put(key, taken.sealed, taken.ttl_s)

    def _drop(self, key: bytes) -> _Kept | None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept.sealed)
        return kept

    def _forget(self) -> None:
        now = self._clock()
        for key in [key for key, kept in self._kept.items() if kept.expires_at <= now]:
            self._drop(key)
