"""What a store of sessions does, whatever it is made of."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Taken:
    """A sealed state that was taken out of a store, and how long it would still have been kept, in seconds."""

    sealed: bytes = field(repr=False)
    ttl_s: float


class SessionStore(Protocol):
    """Keeps sealed states by key, each for a time. It sees neither tokens nor content: keys are hashes, and what is
    kept is encrypted. Bounded in number and bytes."""

    async def put(self, key: bytes, sealed: bytes, ttl_s: float) -> None:
        """Keep a state for `ttl_s` seconds; one that is there under this key is replaced.

        Raises:
            ParleyError: store-unavailable, when it is full or does not work.
        """

    async def take(self, key: bytes) -> Taken | None:
        """Take a state out, so that nobody else gets it; None when there is none, or its time is over.

        Raises:
            ParleyError: store-unavailable; state-unreadable, when what is there can't be one.
        """

    async def put_back(self, key: bytes, taken: Taken) -> None:
        """Leave what was taken for others, for the rest of its time.

        Raises:
            ParleyError: store-unavailable.
        """
