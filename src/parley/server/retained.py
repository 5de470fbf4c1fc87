"""What is kept, for those who may read it or have it shredded: the operations behind the admin API's routes.

Nothing here asks who may: whoever calls this has asked the gate, with the `Owner` that `find` gives.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from parley.audio.wav import wav_header
from parley.core.content import SAMPLE_RATE
from parley.core.errors import ParleyError
from parley.server.keeper import Keeper
from parley.server.retained_views import (
    PAGE_MAX,
    Owner,
    Purged,
    RetainedAudio,
    RetainedList,
    RetainedView,
    TranscriptView,
    TurnView,
)
from parley.server.shown_tenant import shown_tenant
from parley.store.retention.archive import Archive, Reading
from parley.store.retention.entry import Entry, KeptAudio, KeptTurn
from parley.store.retention.folder import Kept

_PAGE_BYTES = 4_194_304
"""Text of one answer; what follows is asked for with `after`."""
_AUDIO_MAX_BYTES = 2**31 - 4_096
"""What the header of a WAV can say for certain: some take larger lengths for unknown ones."""
_SILENCE_BYTES = 65_536


class Retained:
    """Reads and shreds what the node keeps. All methods raise ParleyError retention-unavailable when that fails."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._archive: Archive = keeper.archive

    async def find(self, session_id: str) -> Owner:
        """Whose what is kept of a session is.

        Raises:
            ParleyError: nothing-retained.
        """
        header = (await self._records(session_id))[0].header
        return Owner(header.tenant, header.principal)

    async def _records(self, session_id: str) -> list[Kept]:
        records = await self._archive.find(session_id)
        if not records:
            raise ParleyError("nothing-retained")
        return records

    async def list(self, may: Callable[[str], bool], limit: int = PAGE_MAX) -> RetainedList:
        """Of which sessions something is kept whose tenant `may` be seen; at most `limit`."""
        found: dict[str, list[Kept]] = {}
        for kept in await self._archive.all(lambda header: may(header.tenant)):
            found.setdefault(kept.header.session_id, []).append(kept)
        views = [_view(records) for records in found.values()]
        limit = min(limit, PAGE_MAX)
        return RetainedList(retained=views[:limit], more=len(views) > limit)

    async def transcript(self, session_id: str, after: int = 0) -> TranscriptView:
        """What was said in a session, in the turns behind this one.

        Raises:
            ParleyError: nothing-retained.
        """
        records = await self._records(session_id)
        reading, turns, size, following = Reading(), list[TurnView](), 0, 0
        async for entries in self._archive.read(records, reading):
            for entry in entries:
                if isinstance(entry, KeptTurn) and entry.item > after:
                    if size > _PAGE_BYTES:
                        following = turns[-1].item
                        continue
                    size += len(entry.text.literal)
                    turns.append(_turn(entry))
        header = records[0].header
        return TranscriptView(
            id=session_id,
            retention=header.retention,
            began_s=header.began_s,
            expires_s=header.expires_s,
            turns=turns,
            next=following,
            complete=reading.is_complete,
            cut_off=reading.is_cut_off,
        )

    async def audio(self, session_id: str) -> RetainedAudio:
        """A session's audio. All of it is looked at before the first byte is given: nothing that was changed is.

        Raises:
            ParleyError: nothing-retained, also when only the transcript is kept.
        """
        records = await self._records(session_id)
        begin, end = await self._extent(records)
        size = 2 * (end - begin)
        if not size:
            raise ParleyError("nothing-retained", "There is no audio of it.")
        if size > _AUDIO_MAX_BYTES:
            raise ParleyError("retention-unavailable", "It is longer than a WAV file can be.")
        header = wav_header(end - begin)
        begin_ms = begin * 1_000 // SAMPLE_RATE
        return RetainedAudio(begin_ms, len(header) + size, header, lambda: self._pcm(records, begin, end))

    async def _extent(self, records: Sequence[Kept]) -> tuple[int, int]:
        """From where to where there is audio."""
        begin = end = -1
        async for entry in self._audio(records):
            begin = entry.begin if begin < 0 else begin
            end = max(end, entry.end)
        return begin, end

    async def _audio(self, records: Sequence[Kept]) -> AsyncGenerator[KeptAudio]:
        async with aclosing(self._archive.read(records, Reading())) as pieces:
            async for entries in pieces:
                for entry in _audio_of(entries):
                    yield entry

    async def _pcm(self, records: Sequence[Kept], position: int, end: int) -> AsyncGenerator[bytes]:
        """The samples, and silence where some are missing; what was added meanwhile is left out."""
        async with aclosing(self._audio(records)) as pieces:
            async for entry in pieces:
                while position < entry.begin:
                    silence = bytes(min(_SILENCE_BYTES, 2 * (entry.begin - position)))
                    position += len(silence) // 2
                    yield silence
                pcm = entry.pcm[2 * (position - entry.begin) : 2 * (end - entry.begin)]
                position += len(pcm) // 2
                if pcm:
                    yield pcm
                if position >= end:
                    return

    # ---- letting go

    async def purge(self, session_id: str) -> Purged:
        """Shred what is kept of a session; if it lives, nothing more of it is kept."""
        return Purged(records=await self._keeper.purge(session_id))

    async def purge_tenant(self, tenant: str) -> Purged:
        """Shred what is kept of all sessions of a tenant."""
        records = 0
        while found := await self._archive.all(lambda header: header.tenant == tenant):
            for session_id in {kept.header.session_id for kept in found}:
                records += await self._keeper.purge(session_id)
        return Purged(records=records)

    async def purge_expired(self) -> Purged:
        """Shred what is past its time, now."""
        return Purged(records=await self._archive.sweep())


def _view(records: Sequence[Kept]) -> RetainedView:
    first = records[0].header
    return RetainedView(
        id=first.session_id,
        retention=first.retention,
        tenant=shown_tenant(first.tenant),
        began_s=first.began_s,
        expires_s=first.expires_s,
        records=len(records),
        bytes=sum(kept.bytes for kept in records),
    )


def _turn(entry: KeptTurn) -> TurnView:
    return TurnView(
        item=entry.item,
        begin_ms=entry.begin * 1_000 // SAMPLE_RATE,
        end_ms=entry.end * 1_000 // SAMPLE_RATE,
        text=entry.text.decode(),
        text_from_ms=None if entry.text_from is None else entry.text_from * 1_000 // SAMPLE_RATE,
    )


def _audio_of(entries: Sequence[Entry]) -> list[KeptAudio]:
    return [entry for entry in entries if isinstance(entry, KeptAudio)]
