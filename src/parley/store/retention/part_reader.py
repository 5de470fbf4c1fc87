"""Reads one record's file, a piece at a time, and tells what was written from what was made of it since."""

from typing import BinaryIO

from parley.core.errors import ParleyError
from parley.store.retention.entry import Closed, CutOff, Entry, decode_entry
from parley.store.retention.frames import (
    FRAME_MAX_BYTES,
    HEAD_MAX_BYTES,
    LENGTH_BYTES,
    FrameCipher,
    context_of,
    decode_head,
)


class PartReader:
    """A file from its head on; it waits for the disk. `header` may be believed once its key has opened a frame.

    `closed` is why it ends, empty while its end is not there: it is still written, the node crashed, or somebody cut it
    off. `is_cut_off` says that there was more than may be kept.

    Raises ParleyError retention-unavailable, when made, for a file that is no record.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        start = file.read(HEAD_MAX_BYTES)
        self.header, length = decode_head(start)
        self._head = start[:length]
        file.seek(length)
        self._cipher: FrameCipher | None = None
        self.closed = ""
        self.is_cut_off = False

    @property
    def context(self) -> bytes:
        """What its key is bound to."""
        return context_of(self._head)

    def unlock(self, key: bytes) -> None:
        """This is its key."""
        self._cipher = FrameCipher(key, self._head)

    def read(self, bytes_min: int = 1_048_576) -> list[Entry]:
        """The next entries, of so many bytes or more; none at the end.

        Raises:
            ParleyError: retention-unavailable, when the file was changed, or the key is another's.
        """
        entries: list[Entry] = []
        size = 0
        while size < bytes_min and (sealed := self._frame()):
            size += len(sealed)
            self._take(sealed, entries)
        return entries

    def _take(self, sealed: bytes, entries: list[Entry]) -> None:
        assert self._cipher is not None, "it was unlocked"
        if self.closed:
            raise ParleyError("retention-unavailable", "Something was written behind the record's end.")
        entry = decode_entry(self._cipher.open(sealed))
        if isinstance(entry, Closed):
            self.closed = entry.reason
        elif isinstance(entry, CutOff):
            self.is_cut_off = True
        else:
            entries.append(entry)

    def _frame(self) -> bytes:
        """The next frame; empty when it is not there, or not all of it."""
        head = self._file.read(LENGTH_BYTES)
        length = int.from_bytes(head) if len(head) == LENGTH_BYTES else 0
        if length > FRAME_MAX_BYTES:
            raise ParleyError("retention-unavailable", "The record was changed: a part of it is longer than any.")
        sealed = self._file.read(length)
        return sealed if len(sealed) == length else b""

    def close(self) -> None:
        """Let the file go."""
        self._file.close()
