"""The file of access keys: read at the start, and again when it has changed."""

import time
from collections.abc import Callable
from pathlib import Path

from parley.access.sigv4.access_key import AccessKey as AccessKey
from parley.access.sigv4.access_key import AccessKeys as AccessKeys
from parley.access.sigv4.key_table import parse_keys
from parley.access.watched_file import FileError, WatchedFile


class CredentialsError(FileError):
    """Access keys can't be had."""


class KeyFile:
    """Access keys from a TOML file (`key_table`), for which `AccessKeys` is the interface. It is watched as every
    `WatchedFile` is, by whose clock `clock` goes.

    Raises:
        CredentialsError: from the constructor, with every problem of the file.
    """

    def __init__(self, path: str | Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = WatchedFile(path, parse_keys, "access keys", error=CredentialsError, clock=clock)

    def __len__(self) -> int:
        return len(self._file.current)

    def find(self, access_key_id: str) -> AccessKey | None:
        """The key with this id, by the file's content of a second ago at the latest."""
        return self._file.current.get(access_key_id)
