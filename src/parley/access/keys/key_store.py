"""The file of API keys as a command changes it: under a lock, and never half written."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from parley.access.keys.api_key import ApiKey
from parley.access.keys.key_table import format_api_keys, parse_api_keys
from parley.access.watched_file import WatchedFile

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
        FileError: what is there is no such file.
        OSError: there is none, or it can't be written.
    """
    path = path.resolve()
    if not may_begin:
        path.stat()
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = dict(open_keys(path).current) if path.exists() else {}
        yield keys
        _write(path, format_api_keys(keys.values()))
    finally:
        os.close(lock)


def _write(path: Path, document: bytes) -> None:
    before = path.stat() if path.exists() else None
    successor = path.with_name(f".{path.name}.new")
    descriptor = os.open(successor, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(document)
        if before is not None:
            # The server may run as somebody else than whoever changes its keys.
            os.fchown(descriptor, before.st_uid, before.st_gid)
        os.fchmod(descriptor, _MODE if before is None else before.st_mode & 0o777)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(successor, path)
