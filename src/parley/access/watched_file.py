"""A file that an operator writes: read at the start, and again when it has changed."""

import logging
import math
import os
import shlex
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path

FILE_MAX_BYTES = 262_144
LOOK_INTERVAL_S = 1.0

_SECRET_MODE = stat.S_IRWXO | stat.S_IWGRP
"""Of a file with secrets: nobody but its owner may write it, and of the others only its group may read it (mounted
secrets are so)."""
_OTHERS_MODE = stat.S_IWOTH | stat.S_IWGRP
"""Of any file that decides who may do what: nobody but its owner may write it."""

_log = logging.getLogger("parley.access")

_Mark = tuple[int, ...]


class FileError(Exception):
    """A file can't be used. `problems` says why, each with what to do, and shows no secret."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class WatchedFile[T]:
    """What `parse` makes of a file's bytes. `what` is what messages call it, as `access keys`.

    It is looked at when it is asked for, at most once in `LOOK_INTERVAL_S`, and read again when it has changed. When it
    can't be read then, or is wrong, all stays as it was and the log says why, once. `clock` gives seconds and never
    goes back. A file that is not `is_secret` may be read by everybody. `on_change` is called when it was read again.

    Raises:
        FileError: or `error`, from the constructor, with every problem of the file; `parse` raises it as well.
    """

    def __init__(
        self,
        path: str | Path,
        parse: Callable[[bytes], T],
        what: str,
        *,
        is_secret: bool = True,
        error: type[FileError] = FileError,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self._on_change = on_change
        self._path = Path(path)
        self._parse = parse
        self._what = what
        self._forbidden = _SECRET_MODE if is_secret else _OTHERS_MODE
        self._error = error
        self._clock = clock
        self._next_look_s = -math.inf
        self._mark = self._look()
        self._value = self._read()

    @property
    def current(self) -> T:
        """What the file held a second ago at the latest."""
        if self._clock() >= self._next_look_s:
            mark = self._look()
            if mark != self._mark:
                self._mark = mark
                self._read_again()
        return self._value

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
            self._value = self._read()
        except FileError as error:
            _log.warning("the %s stay as they were: %s", self._what, " ".join(error.problems))
        else:
            # Never what they are.
            count = f": {len(self._value)}" if isinstance(self._value, Mapping) else ""
            _log.info("read the %s anew%s", self._what, count)
            if self._on_change is not None:
                self._on_change()

    def _read(self) -> T:
        where = shlex.quote(str(self._path))
        try:
            document = self._read_document(where)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise self._error(f"The file of {self._what}, {where}, can't be read: {why}.") from None
        try:
            return self._parse(document)
        except FileError as error:
            raise self._error(*(f"{where}: {problem}" for problem in error.problems)) from None

    def _read_document(self, where: str) -> bytes:
        # Without waiting, should it be a pipe.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise self._error(f"{where} is not a regular file; name a file of {self._what}.")
            if mode & self._forbidden:
                raise self._error(self._describe_mode(where))
            with open(descriptor, "rb", closefd=False) as file:
                document = file.read(FILE_MAX_BYTES + 1)
        finally:
            os.close(descriptor)
        if len(document) > FILE_MAX_BYTES:
            raise self._error(f"{where} is larger than {FILE_MAX_BYTES} bytes.")
        return document

    def _describe_mode(self, where: str) -> str:
        if self._forbidden == _SECRET_MODE:
            return f"Others than its owner may read or change {where}, which holds secrets. Run: chmod 600 {where}"
        return f"Others than its owner may change {where}. Run: chmod 644 {where}"
