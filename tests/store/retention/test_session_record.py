"""One session's record: when it begins, how much it holds, and that nothing in it is older than was promised."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parley.store.retention.archive import Archive
from parley.store.retention.entry import KeptAudio
from parley.store.retention.session_record import SessionRecord
from tests.store.retention.records import AUDIO, HEADER, SESSION, TURN, Clock, archive_in, read

TTL_S = 80.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def archive(tmp_path: Path, clock: Clock) -> AsyncIterator[Archive]:
    archive = archive_in(tmp_path, clock)
    yield archive
    archive.close()


def record_in(archive: Archive, clock: Clock, *, ttl_s: float = TTL_S, bytes_max: int = 10_000) -> SessionRecord:
    return SessionRecord(archive, HEADER, ttl_s=ttl_s, bytes_max=bytes_max, clock=clock)


async def test_nothing_is_there_before_there_is_something_to_keep(archive: Archive, clock: Clock) -> None:
    record = record_in(archive, clock)
    await record.write([])
    await record.close("client-ended")
    assert await archive.find(SESSION) == []


async def test_a_record_is_complete_when_it_was_closed(archive: Archive, clock: Clock) -> None:
    record = record_in(archive, clock)
    await record.write([TURN])
    await record.write([AUDIO])
    await record.close("client-ended")
    entries, reading = await read(archive)
    assert (entries, reading.is_complete) == ([TURN, AUDIO], True)


async def test_a_record_expires_when_its_first_entry_does(archive: Archive, clock: Clock) -> None:
    await record_in(archive, clock).write([TURN])
    (kept,) = await archive.find(SESSION)
    assert kept.header.expires_s == clock.now + TTL_S


async def test_a_long_session_has_many_records_so_that_what_is_old_can_go(archive: Archive, clock: Clock) -> None:
    record = record_in(archive, clock)
    for _ in range(3):
        await record.write([TURN])
        clock.now += TTL_S / 8
    await record.close("client-ended")
    assert [kept.header.part for kept in await archive.find(SESSION)] == [1, 2, 3]
    assert (await read(archive))[1].is_complete
    clock.now += TTL_S * 6 / 8
    assert [kept.header.part for kept in await archive.find(SESSION)] == [3]
    assert (await read(archive))[1].is_complete


async def test_what_is_kept_until_it_is_purged_is_one_record(archive: Archive, clock: Clock) -> None:
    record = record_in(archive, clock, ttl_s=0.0)
    for _ in range(2):
        await record.write([TURN])
        clock.now += 1e9
    (kept,) = await archive.find(SESSION)
    assert kept.header.expires_s == 0.0


async def test_at_the_bound_it_says_so_and_keeps_nothing_more(archive: Archive, clock: Clock) -> None:
    record = record_in(archive, clock, bytes_max=600)
    await record.write([TURN, KeptAudio(0, bytes(600)), TURN])
    await record.write([TURN])
    assert record.is_cut_off
    await record.close("client-ended")
    entries, reading = await read(archive)
    assert entries == [TURN]
    assert (reading.is_complete, reading.is_cut_off) == (True, True)
