"""How much memory a process and all below it have, and a watch that calls for relief when it is too much.

A model server that piles up memory for a stream (vLLM has been known to) gets it back when the stream ends. So the
remedy is to replace the oldest streams by new ones, and is asked of whoever has them.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

_log = logging.getLogger("parley.upstream")

_PROC = Path("/proc")
_PROCESSES_MAX = 1024
_MIB = 2**20

Measure = Callable[[int], int | None]
"""The resident memory in bytes of the process with this id and of all below it; None when that can't be told."""


def resident_bytes(pid: int, proc: Path = _PROC) -> int | None:
    """Resident memory of a process and of all its descendants, from Linux's /proc; None on systems that don't tell.

    What processes share counts once, by the one that shares most. At most 1024 processes are looked at; 0 is what one
    that has ended has.
    """
    if not (proc / "self" / "statm").exists():
        return None
    own_bytes, most_shared_bytes = 0, 0
    waiting, seen = [pid], {pid}
    while waiting and len(seen) <= _PROCESSES_MAX:
        process = proc / str(waiting.pop())
        own, shared = _memory_of(process)
        own_bytes += own
        most_shared_bytes = max(most_shared_bytes, shared)
        new = set(_children_of(process)) - seen
        seen |= new
        waiting += new
    return own_bytes + most_shared_bytes


def _memory_of(process: Path) -> tuple[int, int]:
    """Bytes that the process has for itself, and that it shares (proc(5), statm)."""
    try:
        _, resident, shared, *_ = map(int, (process / "statm").read_text().split())
    except (OSError, ValueError):
        return 0, 0
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    return (resident - shared) * page_bytes, shared * page_bytes


def _children_of(process: Path) -> list[int]:
    """Children of all its threads (proc(5), children); none where the kernel was built without that file."""
    children: list[int] = []
    for listing in process.glob("task/*/children"):
        # A thread may have ended meanwhile.
        with contextlib.suppress(OSError):
            children += map(int, listing.read_text().split())
    return children


class MemoryWatch:
    """Looks at a process tree's memory every `interval_s` and calls `relieve` when it is over `limit_bytes`.

    Memory comes back slowly, if at all: `relieve` is called again `patience_s` later at the earliest. `pid` gives the
    id of the process at the tree's root, None while there is none. Where memory can't be told, the log says so, once.
    """

    def __init__(
        self,
        pid: Callable[[], int | None],
        relieve: Callable[[], None],
        *,
        limit_bytes: int,
        interval_s: float = 5.0,
        patience_s: float = 30.0,
        measure: Measure = resident_bytes,
    ) -> None:
        self._pid = pid
        self._relieve = relieve
        self._limit_bytes = limit_bytes
        self._interval_s = interval_s
        self._patience_s = patience_s
        self._measure = measure
        self._is_told = False
        self.resident_bytes: int | None = None
        """What was found last; None when there was no process, or it can't be told."""

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            was_over = await self._look()
            await asyncio.sleep(self._patience_s if was_over else self._interval_s)

    async def _look(self) -> bool:
        """Whether relief was called for."""
        pid = self._pid()
        # A server has hundreds of threads, each a file to read.
        self.resident_bytes = await asyncio.to_thread(self._measure, pid) if pid is not None else None
        if self.resident_bytes is None:
            if pid is not None and not self._is_told:
                self._is_told = True
                _log.warning("the model server's memory can't be told here: launch.rotate_memory_mb has no effect")
            return False
        if self.resident_bytes <= self._limit_bytes:
            return False
        found_mib, limit_mib = self.resident_bytes // _MIB, self._limit_bytes // _MIB
        _log.warning("the model server has %d MiB of memory, over %d: the oldest streams move", found_mib, limit_mib)
        self._relieve()
        return True
