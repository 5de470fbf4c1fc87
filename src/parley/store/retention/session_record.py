"""What is written of one session: entries, in files of which none is older than an eighth of what may be kept.

A file expires as a whole, and nothing is to be kept for longer than was promised: so a long session has many.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from parley.store.retention.archive import Archive, Part
from parley.store.retention.entry import CONTINUED, Closed, CutOff, Entry, encode_entry
from parley.store.retention.frames import FRAME_OVERHEAD_BYTES, Header

_SPANS = 8
"""Files that a session has, if it lasts as long as its record is kept."""


class SessionRecord:
    """Writes the records of one session, of at most `bytes_max` bytes here. Nothing is on the disk before there is
    something to write. `header` says whose it is; `ttl_s` how long it is kept, 0: until it is purged.

    Its methods are called one after another, and raise ParleyError retention-unavailable.
    """

    def __init__(
        self,
        archive: Archive,
        header: Header,
        *,
        ttl_s: float,
        bytes_max: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._archive = archive
        self._header = header
        self._ttl_s = ttl_s
        self._bytes_max = bytes_max
        self._clock = clock
        self._part: Part | None = None
        self._until_s = 0.0
        self._bytes = 0
        self.is_cut_off = False

    async def write(self, entries: Sequence[Entry]) -> None:
        """Write entries, or as many as may be, and that there were more."""
        fitting = self._fitting(entries)
        if fitting:
            part = await self._current()
            await self._archive.append(part, fitting)

    def _fitting(self, entries: Sequence[Entry]) -> list[bytes]:
        fitting: list[bytes] = []
        for entry in entries:
            if self.is_cut_off:
                break
            data = encode_entry(entry)
            size = len(data) + FRAME_OVERHEAD_BYTES
            if self._bytes + size > self._bytes_max:
                self.is_cut_off = True
                data = encode_entry(CutOff())
            self._bytes += size
            fitting.append(data)
        return fitting

    async def _current(self) -> Part:
        """The file that is written to now."""
        now = self._clock()
        if self._part is not None and 0.0 < self._until_s <= now:
            await self._close(CONTINUED)
        if self._part is None:
            expires_s = now + self._ttl_s if self._ttl_s else 0.0
            self._until_s = now + self._ttl_s / _SPANS if self._ttl_s else 0.0
            self._part = await self._archive.begin(replace(self._header, expires_s=expires_s))
        return self._part

    async def close(self, reason: str) -> None:
        """Write that this is all, and why."""
        if self._part is not None:
            await self._close(reason)

    async def _close(self, reason: str) -> None:
        part, self._part = self._part, None
        assert part is not None, "there is one"
        await self._archive.append(part, [encode_entry(Closed(reason))])
