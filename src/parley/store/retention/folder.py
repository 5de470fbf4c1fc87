"""Records as files of a folder; nothing here waits for anything but the disk, or knows a key.

```
HASH-PART.parley    a record: see `frames`; HASH is the hex of the session id's SHA-256
HASH-PART.key       its key, wrapped; its modification time is when the record expires
```
Files are 0600 and the folder 0700. A record without its key is noise: so the key is what is shredded, first.
"""

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from parley.core.errors import ParleyError
from parley.store.retention.frames import HEAD_MAX_BYTES, Header, decode_head

_RECORD, _KEY = ".parley", ".key"
_NAME = re.compile(r"([0-9a-f]{64}-[0-9]{4})\.(?:parley|key)\Z", re.ASCII)
PARTS_MAX = 9_999
_KEY_MAX_BYTES = 65_536
"""What a KMS makes of 32 bytes is far shorter."""
_LEFT_OVER_S = 60.0
"""Age from which on a record without a key, or the other way round, is what a crash has left."""
_NEVER_S = float(2**32)
"""The modification time of what does not expire; file systems take no later one for certain."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class UnusableFolderError(Exception):
    """The folder can't hold records; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A record that is there: its name in the folder, its header, and its size on the disk."""

    name: str
    header: Header
    bytes: int


class RecordFolder:
    """A folder of records, which is made if it is not there; at most `bytes_max` bytes in all, give or take those of
    other processes since the last sweep. `clock` is Unix time, `random` gives so many random bytes.

    All methods raise OSError when the disk does not do as asked, and FileNotFoundError for a record that was purged.
    Raises UnusableFolderError, when made, for a folder that is not its own alone.
    """

    def __init__(
        self, folder: Path, *, clock: Callable[[], float], random: Callable[[int], bytes], bytes_max: int
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._random = random
        self._bytes_max = bytes_max
        _prepare(folder)
        self.bytes = sum(status.st_size for _, status in self._files())

    # ---- writing

    def next_part(self, session_id: str) -> int:
        """The number of a session's next part.

        Raises:
            ParleyError: retention-unavailable, when it has too many.
        """
        part = max((int(name[-4:]) for name in self.names(session_id)), default=0) + 1
        if part > PARTS_MAX:
            raise ParleyError("retention-unavailable", f"The session has {PARTS_MAX} parts already.")
        return part

    def create(self, header: Header, head: bytes, wrapped: bytes) -> str:
        """Begin a record; its name is returned. FileExistsError says that another process was faster.

        Raises:
            ParleyError: retention-unavailable, when the folder is full.
        """
        self._check_room(len(head) + len(wrapped))
        name = _name_of(header.session_id, header.part)
        self._write_new(name + _RECORD, head)
        try:
            self._write_new(name + _KEY, wrapped, header.expires_s or _NEVER_S)
        except BaseException:
            (self._folder / (name + _RECORD)).unlink(missing_ok=True)
            raise
        self.bytes += len(head) + len(wrapped)
        return name

    def append(self, name: str, data: bytes) -> None:
        """Write behind a record's end.

        Raises:
            ParleyError: retention-unavailable, when the folder is full.
        """
        self._check_room(len(data))
        descriptor = os.open(self._folder / (name + _RECORD), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "ab") as file:
            file.write(data)
        self.bytes += len(data)

    def _check_room(self, size: int) -> None:
        if self.bytes + size > self._bytes_max:
            raise ParleyError("retention-unavailable", "The folder is full.")

    def _write_new(self, name: str, data: bytes, expires_s: float | None = None) -> None:
        path = self._folder / name
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(path, flags, 0o600), "wb") as file:
            try:
                file.write(data)
                file.flush()
                if expires_s is not None:
                    os.utime(file.fileno(), (expires_s, expires_s))
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    # ---- reading

    def names(self, session_id: str) -> list[str]:
        """The records of a session, the first part first."""
        prefix = f"{_hash_of(session_id)}-"
        found = {match[1] for file, _ in self._files() if (match := _NAME.match(file)) and file.startswith(prefix)}
        return sorted(name for name in found if (self._folder / (name + _RECORD)).exists())

    def kept(self, session_id: str) -> list[Kept]:
        """The records of a session that have their keys and are not past their time, the first part first."""
        found = (self._kept(name) for name in self.names(session_id))
        return [one for one in found if one is not None and one.header.session_id == session_id]

    def all(self, matches: Callable[[Header], bool], records_max: int) -> list[Kept]:
        """All such records whose header matches, by when they began; at most so many."""
        names = (file.removesuffix(_RECORD) for file, _ in self._files() if file.endswith(_RECORD))
        found: list[Kept] = []
        for name in names:
            one = self._kept(name)
            if one is not None and matches(one.header):
                found.append(one)
                if len(found) >= records_max:
                    break
        return sorted(found, key=lambda one: (one.header.began_s, one.name))

    def _kept(self, name: str) -> Kept | None:
        try:
            with self.open(name) as file:
                size = os.fstat(file.fileno()).st_size
                header, _ = decode_head(file.read(HEAD_MAX_BYTES))
        except (OSError, ParleyError):
            # Gone meanwhile, or not ours to read: there is nothing to list of it.
            return None
        is_there = (self._folder / (name + _KEY)).exists() and not header.is_over(self._clock())
        return Kept(name, header, size) if is_there else None

    def open(self, name: str) -> BinaryIO:
        """A record's file.

        Raises:
            ParleyError: retention-unavailable, when it is not this user's alone.
        """
        return _opened(self._folder / (name + _RECORD))

    def wrapped_key(self, name: str) -> bytes:
        """A record's key as the envelope made it.

        Raises:
            ParleyError: retention-unavailable, when it is not this user's alone.
        """
        with _opened(self._folder / (name + _KEY)) as file:
            return file.read(_KEY_MAX_BYTES)

    # ---- letting go

    def shred(self, name: str) -> None:
        """Let a record go: its key is overwritten, then both files are removed."""
        key = self._folder / (name + _KEY)
        with contextlib.suppress(FileNotFoundError):
            self._overwrite(key)
            self._remove(key)
            self._flush()
        with contextlib.suppress(FileNotFoundError):
            self._remove(self._folder / (name + _RECORD))

    def _remove(self, path: Path) -> None:
        size = path.stat().st_size
        path.unlink()
        self.bytes = max(0, self.bytes - size)

    def _overwrite(self, path: Path) -> None:
        with open(os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "wb", buffering=0) as file:
            file.write(self._random(os.fstat(file.fileno()).st_size))
            os.fsync(file.fileno())

    def _flush(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sweep(self, shreds_max: int = 1_000) -> int:
        """Shred what is past its time, and what a crash has left half-done; how many records that were."""
        now, total = self._clock(), 0
        times: dict[str, dict[str, float]] = {}
        for file, status in self._files():
            total += status.st_size
            name, _, kind = file.rpartition(".")
            times.setdefault(name, {})[kind] = status.st_mtime
        self.bytes = total
        old = [name for name, kinds in times.items() if _is_old(kinds, now)]
        for name in old[:shreds_max]:
            self.shred(name)
        return len(old[:shreds_max])

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if _NAME.match(entry.name):
                    # Another process may have shredded it by now.
                    with contextlib.suppress(FileNotFoundError):
                        yield entry.name, entry.stat(follow_symlinks=False)


def _is_old(times: dict[str, float], now_s: float) -> bool:
    """Whether a record is to go, given its files' times."""
    if "key" not in times:
        return times["parley"] + _LEFT_OVER_S <= now_s
    # The record is written first: a key without one is what a crash has left.
    return times["key"] <= now_s or "parley" not in times


def _hash_of(session_id: str) -> str:
    return hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()


def _name_of(session_id: str, part: int) -> str:
    return f"{_hash_of(session_id)}-{part:04d}"


def _opened(path: Path) -> BinaryIO:
    file = open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")  # noqa: SIM115 - the caller closes it
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode) or status.st_mode & _OTHERS:
        file.close()
        raise ParleyError("retention-unavailable", "A record is open to others than this user.")
    return file


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UnusableFolderError(f"{folder} can't be used: {reason}.") from None
    if status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
        raise UnusableFolderError(f"{folder} has to be this user's, and closed to others: chmod 700 {folder}.")
