"""A thread for waits that nothing can interrupt: those for a disk."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from parley.core.errors import ParleyError


class Worker:
    """Does one thing after another in a thread of its own, at most `waiting_max` waiting.

    The thread is a daemon: a disk that hangs, as one behind a network may, does not keep the process from ending.
    """

    def __init__(self, name: str, *, waiting_max: int = 1_024) -> None:
        self._name = name
        self._calls: queue.Queue[Callable[[], None] | None] = queue.Queue(waiting_max)
        self._thread: threading.Thread | None = None

    async def call[T](self, function: Callable[..., T], *args: Any) -> T:
        """What a function returns or raises. Who gives up waiting doesn't keep it from being called.

        Raises:
            ParleyError: store-unavailable, when too much waits.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def report(deliver: Callable[[Any], None], value: Any) -> None:
            if not future.done():
                deliver(value)

        def work() -> None:
            try:
                outcome: tuple[Callable[[Any], None], Any] = (future.set_result, function(*args))
            except Exception as error:
                outcome = (future.set_exception, error)
            # The loop is closed if nobody waits for this any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(report, *outcome)

        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        try:
            self._calls.put_nowait(work)
        except queue.Full:
            raise ParleyError("store-unavailable", "It is too slow.") from None
        return await future

    def close(self, timeout_s: float = 1.0) -> None:
        """End the thread when it has done what waits; it is waited for so long."""
        thread, self._thread = self._thread, None
        if thread is not None:
            with contextlib.suppress(queue.Full):
                self._calls.put_nowait(None)
            thread.join(timeout_s)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
