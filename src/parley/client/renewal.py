"""A connection made ahead, to take the place of one that is not allowed to last."""

import asyncio
from collections.abc import Callable

from parley.client.failure import SessionFailed
from parley.client.link import Dial, Link

RETRY_S = 20.0
"""Time between two attempts: of the five minutes that are left, it leaves several."""


class Renewal:
    """Dials beside the connection that still serves; `changed` is called when it has, or could not."""

    def __init__(self, dial: Dial, changed: Callable[[], None]) -> None:
        self._dial = dial
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Link | None] | None = None
        self.not_before = 0.0
        """When to try again after one that failed, in the event loop's time."""

    @property
    def is_under_way(self) -> bool:
        """Whether a connection is being made, or waits to be taken."""
        return self._task is not None

    @property
    def is_ready(self) -> bool:
        """Whether a connection waits to be taken."""
        return self._task is not None and self._task.done()

    def begin(self) -> None:
        """Dial."""
        self._task = self._loop.create_task(self._run())

    async def _run(self) -> Link | None:
        try:
            return await self._dial(resume=True, changed=self._changed)
        except SessionFailed:
            self._task = None
            self.not_before = self._loop.time() + RETRY_S
            return None
        finally:
            # After this task is done: that is when there is something to see.
            self._loop.call_soon(self._changed)

    async def take(self) -> Link | None:
        """The connection; waits for one that is being made. None when there is none."""
        task = self._task
        if task is None:
            return None
        link = await task
        self._task = None
        return link

    async def close(self) -> None:
        """Give up what is made or waits."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and (link := task.result()) is not None:
            await link.abort()
