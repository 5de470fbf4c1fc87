"""The file of an audit log: appended to, closed when it is large, and taken up again where it was left.

```
audit.jsonl                 what is written now
audit.jsonl.000000000001    what was closed, by the number of its first line
```
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from parley.access.audit_chain import LINE_MAX_BYTES, Link, bind, read

_SEQ_DIGITS = 12
_MODE = 0o600


class AuditFileError(Exception):
    """The file can't be used. Its text says why, and what to do."""


class AuditFile:
    """Appends entries to the chain in a file; one process at a time, which a lock sees to.

    A line that a crash left unfinished is taken away, and said so in the next. `max_bytes` is the size at which a file
    is closed and the next begun.

    Raises:
        AuditFileError: from the constructor, when the file can't be opened, is another process's, or does not end in a
            line of this chain.
    """

    def __init__(self, path: str | Path, *, key: bytes = b"", max_bytes: int = 67_108_864) -> None:
        self._path = Path(path)
        self._key = key
        self._max_bytes = max_bytes
        self._size = 0
        self._first_seq = 1
        self._file = self._open()
        try:
            self.end, self.torn_bytes = self._take_up()
        except BaseException:
            os.close(self._file)
            raise

    def append(self, entries: list[Mapping[str, object]]) -> None:
        """Write entries, and have them on the disk when this returns.

        Raises:
            OSError: they aren't. Nothing of the chain has moved on then: the same entries may be tried again.
        """
        if self._size >= self._max_bytes:
            self._begin_next()
        at, lines = self.end, []
        for entry in entries:
            line, at = bind(entry, at, self._key)
            lines.append(line)
        data = b"".join(lines)
        try:
            self._write(data)
            os.fsync(self._file)
        except OSError:
            # Half a line would break the chain for good.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        self.end = at

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)

    def _open(self) -> int:
        try:
            file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise AuditFileError(f"It can't be opened: {os.strerror(error.errno or 0)}.") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise AuditFileError("Another process writes it; give each node a file of its own.") from None
        return file

    def _take_up(self) -> tuple[Link, int]:
        """Where the chain stands, and the bytes of an unfinished line that were taken away."""
        size = os.fstat(self._file).st_size
        tail = os.pread(self._file, 2 * LINE_MAX_BYTES, max(0, size - 2 * LINE_MAX_BYTES))
        whole, newline, torn = tail.rpartition(b"\n")
        self._size = size - len(torn)
        if torn:
            os.ftruncate(self._file, self._size)
        if not newline:
            return self._end_of_closed(), len(torn)
        link = self._link(whole.rpartition(b"\n")[2] + b"\n")
        self._first_seq = self._link(os.pread(self._file, LINE_MAX_BYTES, 0).partition(b"\n")[0] + b"\n").seq
        return link, len(torn)

    def _end_of_closed(self) -> Link:
        """Where the newest of the closed files ends, for one that has no line yet."""
        earlier = closed_files(self._path)
        if not earlier:
            return Link()
        link = self._link(earlier[-1].read_bytes().rstrip(b"\n").rpartition(b"\n")[2] + b"\n")
        self._first_seq = link.seq + 1
        return link

    def _link(self, line: bytes) -> Link:
        try:
            return read(line, self._key)[1]
        except ValueError as error:
            raise AuditFileError(
                f"The chain can't go on behind a line that can't be trusted: {error}. Look at it with `parley audit "
                "verify`, keep the file elsewhere, and begin a new one."
            ) from None

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def _begin_next(self) -> None:
        closed = self._path.with_name(f"{self._path.name}.{self._first_seq:0{_SEQ_DIGITS}d}")
        os.rename(self._path, closed)
        try:
            file = self._open()
        except AuditFileError as error:
            os.rename(closed, self._path)
            raise OSError(str(error)) from None
        os.close(self._file)
        self._file, self._size, self._first_seq = file, 0, self.end.seq + 1


def closed_files(path: Path) -> list[Path]:
    """The files of this log that were closed, the oldest first."""
    names = path.parent.glob(f"{path.name}.{'[0-9]' * _SEQ_DIGITS}")
    return sorted(names, key=lambda one: one.name)


def lines_of(path: Path) -> Iterator[bytes]:
    """All lines of a log, those of its closed files first.

    Raises:
        OSError: a file can't be read.
    """
    for one in (*closed_files(path), path):
        with one.open("rb") as file:
            while line := file.readline(LINE_MAX_BYTES + 1):
                yield line
