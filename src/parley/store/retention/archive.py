"""The records of a node: written and read in threads of their own, their keys wrapped by an envelope."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from parley.core.errors import ParleyError
from parley.store.retention.entry import CONTINUED, Entry
from parley.store.retention.envelope import KEY_BYTES, Envelope
from parley.store.retention.folder import Kept, RecordFolder
from parley.store.retention.frames import FrameCipher, Header, context_of, encode_head
from parley.store.retention.part_reader import PartReader
from parley.store.worker import Worker

_TRIES = 3
"""How often another process may be faster to begin a part."""


@dataclass(frozen=True, slots=True)
class Part:
    """A record that is being written: its name in the folder, its header, and what seals its frames."""

    name: str
    header: Header
    cipher: FrameCipher = field(repr=False)


@dataclass(slots=True)
class Reading:
    """What was found out while a session's records were read: whether all of it is there, from its first part to its
    end, and whether there was more than may be kept."""

    is_complete: bool = True
    is_cut_off: bool = False


class Archive:
    """Records of sessions in a folder; at most `bytes_max` bytes. `clock` is Unix time, `random` gives so many random
    bytes, and the envelope gets `wrap_timeout_s` for a key.

    All methods raise ParleyError retention-unavailable when the disk or the envelope does not do as asked.
    Raises UnusableFolderError, when made, for a folder that is not its own alone.
    """

    def __init__(
        self,
        folder: Path,
        envelope: Envelope,
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
        bytes_max: int = 68_719_476_736,
        sweep_interval_s: float = 60.0,
        wrap_timeout_s: float = 5.0,
    ) -> None:
        self._folder = RecordFolder(folder, clock=clock, random=random, bytes_max=bytes_max)
        self._envelope = envelope
        self._random = random
        self._sweep_interval_s = sweep_interval_s
        self._wrap_timeout_s = wrap_timeout_s
        self._writer = Worker("parley-retention-write")
        # Whoever reads a long record keeps nobody from writing.
        self._reader = Worker("parley-retention-read")

    # ---- writing

    async def begin(self, header: Header) -> Part:
        """Begin a session's next part; the number in `header` is of no account."""
        for _ in range(_TRIES):
            part = await self._in(self._writer, self._folder.next_part, header.session_id)
            numbered = replace(header, part=part)
            head = encode_head(numbered)
            key = self._random(KEY_BYTES)
            wrapped = await self._within(self._envelope.wrap(key, context_of(head)))
            with contextlib.suppress(FileExistsError):
                name = await self._in(self._writer, self._folder.create, numbered, head, wrapped)
                return Part(name, numbered, FrameCipher(key, head))
        raise ParleyError("retention-unavailable", "Others write records of the same session.")

    async def append(self, part: Part, entries: Sequence[bytes]) -> None:
        """Write entries, as bytes, behind those that are there; one call after another."""

        def seal_and_write() -> None:
            self._folder.append(part.name, b"".join(map(part.cipher.seal, entries)))

        await self._in(self._writer, seal_and_write)

    # ---- reading

    async def find(self, session_id: str) -> list[Kept]:
        """The records of a session, the first part first."""
        return await self._in(self._reader, self._folder.kept, session_id)

    async def all(self, matches: Callable[[Header], bool], records_max: int = 10_000) -> list[Kept]:
        """All records whose header matches, by when they began; at most so many. `matches` is called in a thread."""
        return await self._in(self._reader, self._folder.all, matches, records_max)

    async def read(self, records: Sequence[Kept], reading: Reading) -> AsyncGenerator[list[Entry]]:
        """The entries of a session's records, a few at a time; `reading` says at the end whether those are all."""
        expected = 1
        for place, kept in enumerate(records, 1):
            # The first parts may be past their time; one in the middle can't be.
            reading.is_complete &= kept.header.part == expected or (place == 1 and bool(kept.header.expires_s))
            expected = kept.header.part + 1
            reader = await self._in(self._reader, self._open, kept.name)
            try:
                if reader.header != kept.header:
                    raise ParleyError("retention-unavailable", "The record was changed while it was read.")
                await self._unlock(reader, kept.name)
                while entries := await self._in(self._reader, reader.read):
                    yield entries
            finally:
                reader.close()
            reading.is_cut_off |= reader.is_cut_off
            is_last = place == len(records)
            reading.is_complete &= bool(reader.closed) and (reader.closed != CONTINUED or not is_last)

    def _open(self, name: str) -> PartReader:
        file = self._folder.open(name)
        try:
            return PartReader(file)
        except BaseException:
            file.close()
            raise

    async def _unlock(self, reader: PartReader, name: str) -> None:
        wrapped = await self._in(self._reader, self._folder.wrapped_key, name)
        reader.unlock(await self._within(self._envelope.unwrap(wrapped, reader.context)))

    # ---- letting go

    async def purge(self, session_id: str) -> int:
        """Shred the records of a session, also those that can't be read; how many that were."""
        names = await self._in(self._writer, self._folder.names, session_id)
        for name in names:
            await self._in(self._writer, self._folder.shred, name)
        return len(names)

    async def sweep(self) -> int:
        """Shred what is past its time; how many records that were."""
        return await self._in(self._writer, self._folder.sweep)

    async def run(self, on_sweep: Callable[[int, ParleyError | None], None]) -> None:
        """Sweep again and again until cancelled, at once for the first time; `on_sweep` is told how many were shredded,
        or why that did not work."""
        while True:
            try:
                on_sweep(await self.sweep(), None)
            except ParleyError as error:
                on_sweep(0, error)
            await asyncio.sleep(self._sweep_interval_s)

    def close(self) -> None:
        """End the threads, if the disk lets them."""
        self._writer.close(timeout_s=0.2)
        self._reader.close(timeout_s=0.2)

    # ---- waits

    async def _in[T](self, worker: Worker, function: Callable[..., T], *args: object) -> T:
        try:
            return await worker.call(function, *args)
        except FileExistsError:
            raise
        except FileNotFoundError:
            raise ParleyError("retention-unavailable", "The record was purged.") from None
        except OSError as error:
            # The text of it names the file.
            reason = error.strerror or type(error).__name__
            raise ParleyError("retention-unavailable", f"The folder says: {reason}.") from None
        except ParleyError as error:
            if error.code == "retention-unavailable":
                raise
            raise ParleyError("retention-unavailable", error.detail) from None

    async def _within(self, wrapping: Coroutine[object, object, bytes]) -> bytes:
        try:
            async with asyncio.timeout(self._wrap_timeout_s):
                return await wrapping
        except TimeoutError:
            detail = f"The keys' envelope did not answer within {self._wrap_timeout_s:g} s."
            raise ParleyError("retention-unavailable", detail) from None
