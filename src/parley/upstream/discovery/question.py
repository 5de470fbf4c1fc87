"""Something that is asked of the system and may hang, such as a name server or a network's file system."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable


class Question[T]:
    """Asks one thing at a time: while an answer is outstanding, the next wait is for the same one. So however long it
    hangs, it holds no more than one thread.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._asking: asyncio.Task[T] | None = None

    async def answer(self, timeout_s: float) -> T:
        """The answer, or what asking raised; TimeoutError when it does not come in time."""
        if self._asking is None:
            self._asking = asyncio.create_task(self._asked())
        asking = self._asking
        done, _ = await asyncio.wait([asking], timeout=timeout_s)
        if not done:
            raise TimeoutError
        self._asking = None
        return asking.result()

    async def close(self) -> None:
        """Give up waiting."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await asking

    async def _asked(self) -> T:
        return await self._ask()
