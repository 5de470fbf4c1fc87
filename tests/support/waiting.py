"""Bounded waits on what happens, instead of sleeps."""

import asyncio
from collections.abc import Awaitable, Callable

BOUND_S = 20.0
"""For any one wait. What is waited for takes milliseconds; a busy machine may stop for long."""


async def bounded[T](what: str, happening: Awaitable[T]) -> T:
    """The result, or a failure that names what did not happen."""
    try:
        async with asyncio.timeout(BOUND_S):
            return await happening
    except TimeoutError:
        raise AssertionError(f"did not happen within {BOUND_S:g} s: {what}") from None


class Changes:
    """Wakes those who wait for something to become true; whoever changes anything calls `notify`."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, what: str, is_true: Callable[[], bool]) -> None:
        """Wait until it is true; fails, naming it, when it does not become so in time."""
        await bounded(what, self._until(is_true))

    async def _until(self, is_true: Callable[[], bool]) -> None:
        while not is_true():
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)
