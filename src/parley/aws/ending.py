"""The end of tasks that call a library which may swallow that they are cancelled."""

import asyncio
from collections.abc import Iterable
from typing import Any

_PATIENCE_S = 1.0
_TRIES_MAX = 5


async def end_tasks(tasks: Iterable[asyncio.Task[Any]], *, patience_s: float = _PATIENCE_S) -> None:
    """Cancel tasks and wait until they have ended; those that go on after `patience_s` are cancelled again, five times
    in all: nobody may be held up by them for ever."""
    pending = {task for task in tasks if not task.done()}
    for _ in range(_TRIES_MAX):
        if not pending:
            return
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=patience_s)
