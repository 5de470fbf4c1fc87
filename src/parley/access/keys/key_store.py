"""The file of API keys as a command changes it: under a lock, and never half written."""

import contextlib
import fcntl
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from parley.access.keys.api_key import ApiKey
from parley.access.keys.key_table import format_api_keys, parse_api_keys
from parley.access.watched_file import FILE_MAX_BYTES, FileError, WatchedFile

WHAT = "API keys"
_MODE = 0o600


def open_keys(path: str | Path, *, clock: Callable[[], float] | None = None) -> WatchedFile[dict[str, ApiKey]]:
    """The keys of a file, for a server.

    Raises:
        FileError: with every problem of it.
    """
    if clock is None:
        return WatchedFile(path, parse_api_keys, WHAT)
    return WatchedFile(path, parse_api_keys, WHAT, clock=clock)


@contextlib.contextmanager
def changing(path: Path, *, may_begin: bool = False) -> Iterator[dict[str, ApiKey]]:
    """The keys of a file, to be changed in place: what they are at the end is written, with the owner and the mode that
    the file had. With `may_begin` one that is not there is one without keys. A hidden file beside it is the lock.

    Raises:
        FileError: what is there is no such file, or what was to be written would be none.
        OSError: there is none, or it can't be written and keep its owner.
    """
    # The file that a link leads to is changed, not the link. Not Path.resolve, which fails in ways of its own.
    path = Path(os.path.realpath(path))
    if not may_begin:
        path.stat()
    with _locked(path):
        keys = {} if may_begin and not path.exists() else dict(open_keys(path).current)
        yield keys
        _write(path, format_api_keys(keys.values()))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    # It stays: were it removed, whoever waits for it would lock a file that nobody finds.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(path.with_name(f".{path.name}.lock"), flags, _MODE)
    try:
        # Whoever may change the keys may lock them as well, also after root has. Nothing else is given away by it.
        if path.exists() and os.fstat(lock).st_nlink == 1:
            with contextlib.suppress(PermissionError):
                _give(lock, path.stat())
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, document: bytes) -> None:
    if len(document) > FILE_MAX_BYTES:
        raise FileError(
            f"With this, {shlex.quote(str(path))} would be larger than {FILE_MAX_BYTES} bytes, and no server would "
            "read it. `parley keys prune` forgets keys that are over."
        )
    before = path.stat() if path.exists() else None
    successor = path.with_name(f".{path.name}.new")
    # Of a command that was killed.
    successor.unlink(missing_ok=True)
    try:
        with open(successor, "xb", opener=_open_private) as file:
            file.write(document)
            file.flush()
            if before is not None:
                # The server may run as somebody else than whoever changes its keys.
                _give(file.fileno(), before)
                os.fchmod(file.fileno(), before.st_mode & 0o777)
            os.fsync(file.fileno())
        os.replace(successor, path)
    finally:
        successor.unlink(missing_ok=True)
    # A key that was revoked is to stay so when the power fails.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, _MODE)


def _give(descriptor: int, owner: os.stat_result) -> None:
    os.fchown(descriptor, owner.st_uid, owner.st_gid)
