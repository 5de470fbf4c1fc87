"""Sealed states as files in a folder: for servers of one machine, or with a file system in common.

```
HASH.session        a state, HASH being the hex of its key's SHA-256; its modification time is when it expires
HASH.NUMBER.taken   the same for a moment: who could rename it has it
NUMBER.new          one that is being written; renamed when it is complete
```
Files are 0600 and the folder 0700. Nothing is flushed to the disk: a state does not have to outlive a machine.
"""

import asyncio
import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from parley.core.errors import ParleyError
from parley.store.session_store import Taken
from parley.store.worker import Worker

_STATE, _TAKEN, _NEW = ".session", ".taken", ".new"
_LEFT_OVER_S = 60.0
"""Age from which on a file that is being written belongs to a server that died."""
_SWEEP_MAX = 1_000
_COUNTED_S = 1.0
"""How long a count of the folder's files is good for."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class UnusableFolderError(Exception):
    """The folder can't hold states; the text says why, and what to do."""


class DirectoryStore:
    """A `SessionStore` in a folder that is made if it is not there; at most `states_max` files and `bytes_max` bytes,
    whichever server's they are, give or take those of the last second. `clock` is Unix time, which the servers share.

    Raises UnusableFolderError, when made, for a folder that is not its own alone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        states_max: int = 10_000,
        bytes_max: int = 8_589_934_592,
        state_max_bytes: int = 268_435_456,
        sweep_interval_s: float = 10.0,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._states_max = states_max
        self._bytes_max = bytes_max
        self._state_max_bytes = state_max_bytes
        self._sweep_interval_s = sweep_interval_s
        self._worker = Worker("parley-store")
        self._counted_at = -_COUNTED_S
        self._files = self._bytes = 0
        _prepare(folder)

    async def put(self, key: bytes, sealed: bytes, ttl_s: float) -> None:
        """See `SessionStore.put`."""
        await self._call(self._put, key, sealed, self._clock() + ttl_s)

    async def take(self, key: bytes) -> Taken | None:
        """See `SessionStore.take`."""
        return await self._call(self._take, key)

    async def put_back(self, key: bytes, taken: Taken) -> None:
        """See `SessionStore.put_back`."""
        await self.put(key, taken.sealed, taken.ttl_s)

    async def run(self) -> None:
        """Remove what has expired, again and again, until cancelled."""
        while True:
            with contextlib.suppress(ParleyError):
                await self._call(self.sweep)
            await asyncio.sleep(self._sweep_interval_s)

    def close(self) -> None:
        """End the thread, if the disk lets it."""
        self._worker.close(timeout_s=0.2)

    async def _call[T](self, function: Callable[..., T], *args: object) -> T:
        try:
            return await self._worker.call(function, *args)
        except OSError as error:
            # The text of it names the file.
            reason = error.strerror or type(error).__name__
            raise ParleyError("store-unavailable", f"The folder says: {reason}.") from None

    # ---- in the thread

    def _put(self, key: bytes, sealed: bytes, expires_s: float) -> None:
        self._count()
        if self._files >= self._states_max or self._bytes + len(sealed) > self._bytes_max:
            raise ParleyError("store-unavailable", "It is full.")
        new = self._folder / f"{os.urandom(16).hex()}{_NEW}"
        try:
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(sealed)
            os.utime(new, (expires_s, expires_s))
            new.replace(self._path(key))
        except BaseException:
            new.unlink(missing_ok=True)
            raise
        self._files += 1
        self._bytes += len(sealed)

    def _take(self, key: bytes) -> Taken | None:
        path = self._path(key)
        mine = path.with_suffix(f".{os.urandom(8).hex()}{_TAKEN}")
        try:
            path.rename(mine)
        except FileNotFoundError:
            return None
        try:
            return self._read(mine)
        finally:
            mine.unlink(missing_ok=True)

    def _read(self, path: Path) -> Taken | None:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_mode & _OTHERS:
                raise ParleyError("state-unreadable", "Its file is not this user's alone.")
            if status.st_size > self._state_max_bytes:
                raise ParleyError("state-unreadable", f"It is larger than {self._state_max_bytes} bytes.")
            ttl_s = status.st_mtime - self._clock()
            return Taken(file.read(self._state_max_bytes), ttl_s) if ttl_s > 0 else None

    def _path(self, key: bytes) -> Path:
        return self._folder / f"{hashlib.sha256(key).hexdigest()}{_STATE}"

    def _count(self) -> None:
        now = self._clock()
        if abs(now - self._counted_at) >= _COUNTED_S:
            sizes = [status.st_size for _, status in self._entries()]
            self._files, self._bytes, self._counted_at = len(sizes), sum(sizes), now

    def _entries(self) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith((_STATE, _TAKEN, _NEW)):
                    # Another server may have it by now.
                    with contextlib.suppress(FileNotFoundError):
                        yield entry, entry.stat(follow_symlinks=False)

    def sweep(self) -> int:
        """Remove what has expired, and what servers that died left half-done; returns how many files."""
        now, removed = self._clock(), 0
        for entry, status in self._entries():
            age_s = _LEFT_OVER_S if entry.name.endswith(_NEW) else 0.0
            if status.st_mtime + age_s <= now:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.path)
                removed += 1
                if removed >= _SWEEP_MAX:
                    break
        return removed


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UnusableFolderError(f"{folder} can't be used: {reason}.") from None
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
        raise UnusableFolderError(f"{folder} has to be this user's, and closed to others: chmod 700 {folder}.")
