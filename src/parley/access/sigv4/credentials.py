"""The file of access keys: read at the start, and again when it has changed."""

import logging
import math
import os
import shlex
import stat
import time
from collections.abc import Callable
from pathlib import Path

from parley.access.sigv4.access_key import AccessKey as AccessKey
from parley.access.sigv4.access_key import AccessKeys as AccessKeys
from parley.access.sigv4.key_table import CredentialsError as CredentialsError
from parley.access.sigv4.key_table import parse_keys

FILE_MAX_BYTES = 262_144
LOOK_INTERVAL_S = 1.0

_FORBIDDEN_MODE = stat.S_IRWXO | stat.S_IWGRP
"""Nobody but its owner may write the file, and of the others only its group may read it (mounted secrets are so)."""

_log = logging.getLogger("parley.access")

_Mark = tuple[int, ...]


class KeyFile:
    """Access keys from a TOML file (`key_table`), for which `AccessKeys` is the interface.

    It is looked at when a key is asked for, at most once in `LOOK_INTERVAL_S`, and read again when it has changed. When
    it can't be read then, or is wrong, the keys stay as they were and the log says why, once. `clock` gives seconds and
    never goes back.

    Raises:
        CredentialsError: from the constructor, with every problem of the file.
    """

    def __init__(self, path: str | Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._clock = clock
        self._next_look_s = -math.inf
        self._mark = self._look()
        self._keys = _read(self._path)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, access_key_id: str) -> AccessKey | None:
        """The key with this id, by the file's content of a second ago at the latest."""
        if self._clock() >= self._next_look_s:
            mark = self._look()
            if mark != self._mark:
                self._mark = mark
                self._read_again()
        return self._keys.get(access_key_id)

    def _look(self) -> _Mark | None:
        """What changes when the file does; None when it isn't there. Taken before it is read, so that a change in
        between is found the next time."""
        self._next_look_s = self._clock() + LOOK_INTERVAL_S
        try:
            found = self._path.stat()
        except OSError:
            return None
        # The status changes with the mode; a mounted secret changes by being another file.
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _read_again(self) -> None:
        try:
            self._keys = _read(self._path)
        except CredentialsError as error:
            _log.warning("the access keys stay as they were: %s", " ".join(error.problems))
        else:
            _log.info("read the access keys anew: %d", len(self._keys))


def _read(path: Path) -> dict[str, AccessKey]:
    where = shlex.quote(str(path))
    try:
        document = _read_document(path, where)
    except OSError as error:
        raise CredentialsError(
            f"The file of access keys, {where}, can't be read: {os.strerror(error.errno or 0)}."
        ) from None
    try:
        return parse_keys(document)
    except CredentialsError as error:
        raise CredentialsError(*(f"{where}: {problem}" for problem in error.problems)) from None


def _read_document(path: Path, where: str) -> bytes:
    # Without waiting, should it be a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise CredentialsError(f"{where} is not a regular file; name a file of access keys.")
        if mode & _FORBIDDEN_MODE:
            raise CredentialsError(
                f"Others than its owner may read or change {where}, which holds secrets. Run: chmod 600 {where}"
            )
        with open(descriptor, "rb", closefd=False) as file:
            document = file.read(FILE_MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(document) > FILE_MAX_BYTES:
        raise CredentialsError(f"{where} is larger than {FILE_MAX_BYTES} bytes.")
    return document
