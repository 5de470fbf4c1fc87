"""Model servers from a file that whoever starts and ends them writes."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from parley.upstream.discovery.discovery import DiscoveryError
from parley.upstream.discovery.question import Question

FILE_MAX_BYTES = 1_048_576
_SETTLE_S = 0.1
"""Time in which a file must not change after it was read: one that is written in place is cut short at first."""


def _wait_for_writers() -> None:
    time.sleep(_SETTLE_S)


class _Version(NamedTuple):
    """What tells one version of a file from another without reading it."""

    modified_ns: int
    inode: int
    size: int

    @classmethod
    def of(cls, status: os.stat_result) -> "_Version":
        return cls(status.st_mtime_ns, status.st_ino, status.st_size)


class _Read(NamedTuple):
    """What a look at the file found: another version and what is in it, or None where it is the one that is known."""

    version: _Version
    content: bytes | None


class FileSource[S]:
    """Reads the file at `path` again when it has changed. `parse` gives the servers that its content names, and raises
    DiscoveryError with what is wrong where; a file that is wrong in one place is not taken at all. `settle` waits, in
    a thread, for what may still be written.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[bytes], Sequence[S]],
        *,
        timeout_s: float = 5.0,
        settle: Callable[[], None] = _wait_for_writers,
    ) -> None:
        self._path = path
        self._parse = parse
        self._timeout_s = timeout_s
        self._version: _Version | None = None
        self._found: Sequence[S] = ()
        self._wrong = ""
        self._question = Question(lambda: asyncio.to_thread(_read, path, self._version, settle))

    @property
    def place(self) -> str:
        """See `Source.place`."""
        return f"the file {self._path}"

    async def look(self) -> Sequence[S]:
        """See `Source.look`."""
        try:
            version, content = await self._question.answer(self._timeout_s)
        except TimeoutError:
            raise DiscoveryError(f"it can't be read within {self._timeout_s:g} s; the last ones are kept.") from None
        except OSError as error:
            # It may come back as it was, and has to be read then all the same.
            self._version = None
            reason = error.strerror or type(error).__name__
            raise DiscoveryError(f"it can't be read: {reason}; the last ones are kept.") from None
        if content is not None:
            self._take(version, content)
        if self._wrong:
            raise DiscoveryError(self._wrong)
        return self._found

    async def close(self) -> None:
        """See `Source.close`."""
        await self._question.close()

    def _take(self, version: _Version, content: bytes) -> None:
        self._version, self._wrong = version, ""
        if len(content) > FILE_MAX_BYTES:
            self._wrong = f"it is larger than {FILE_MAX_BYTES} bytes; the last ones are kept."
            return
        try:
            self._found = self._parse(content)
        except DiscoveryError as error:
            self._wrong = f"{error}; the last ones are kept."


def _read(path: Path, known: _Version | None, settle: Callable[[], None]) -> _Read:
    """Read the file unless it is the version that is known, or changes while it is looked at. Runs in a thread."""
    version = _Version.of(path.stat())
    if version == known:
        return _Read(version, None)
    with path.open("rb") as file:
        version = _Version.of(os.fstat(file.fileno()))
        content = file.read(FILE_MAX_BYTES + 1)
    settle()
    return _Read(version, content if _Version.of(path.stat()) == version else None)
