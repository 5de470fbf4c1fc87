"""Records written and read: by whom, how much of them is there, and what is left when they are shredded."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parley.core.errors import ParleyError
from parley.store.retention.archive import Archive, Reading
from parley.store.retention.entry import CONTINUED, encode_entry
from parley.store.retention.envelope import FileEnvelope
from parley.store.retention.frames import Header
from tests.store.retention.records import (
    AUDIO,
    CANARY,
    HEADER,
    SESSION,
    TURN,
    Clock,
    archive_in,
    key_file,
    read,
    written,
)
from tests.support.waiting import bounded


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def archive(tmp_path: Path, clock: Clock) -> AsyncIterator[Archive]:
    archive = archive_in(tmp_path, clock)
    yield archive
    archive.close()


def files(tmp_path: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}


async def refusal(archive: Archive, session_id: str = SESSION) -> str:
    with pytest.raises(ParleyError) as caught:
        await read(archive, session_id)
    assert caught.value.code == "retention-unavailable"
    return caught.value.detail


# ---- what is there


async def test_what_is_written_is_read_again(archive: Archive) -> None:
    await written(archive, TURN, AUDIO)
    entries, reading = await read(archive)
    assert entries == [TURN, AUDIO]
    assert reading == Reading(is_complete=True, is_cut_off=False)


async def test_another_process_with_the_key_reads_it_too(archive: Archive, tmp_path: Path, clock: Clock) -> None:
    await written(archive, TURN)
    with contextlib.closing(archive_in(tmp_path, clock)) as another:
        assert (await read(another))[0] == [TURN]


async def test_nothing_that_was_said_is_in_the_files(archive: Archive, tmp_path: Path) -> None:
    await written(archive, TURN, AUDIO)
    assert not any(CANARY.encode() in name.encode() + data for name, data in files(tmp_path).items())


async def test_a_part_of_a_session_that_goes_on_in_another_is_complete_with_it(archive: Archive) -> None:
    await written(archive, TURN, reason=CONTINUED)
    assert not (await read(archive))[1].is_complete
    await written(archive, AUDIO)
    entries, reading = await read(archive)
    assert (entries, reading.is_complete) == ([TURN, AUDIO], True)


async def test_a_record_that_is_still_written_is_not_complete(archive: Archive) -> None:
    await written(archive, TURN, reason="")
    entries, reading = await read(archive)
    assert (entries, reading.is_complete) == ([TURN], False)


async def test_a_session_whose_middle_is_gone_is_not_complete(archive: Archive, tmp_path: Path) -> None:
    parts = [await written(archive, TURN, reason=CONTINUED) for _ in range(2)]
    await written(archive, AUDIO)
    for kind in (".key", ".parley"):
        (tmp_path / "kept" / f"{parts[1].name}{kind}").unlink()
    assert not (await read(archive))[1].is_complete


async def test_a_session_whose_first_part_expired_is_complete(archive: Archive, tmp_path: Path) -> None:
    first = await written(archive, TURN, reason=CONTINUED)
    await written(archive, AUDIO)
    for kind in (".key", ".parley"):
        (tmp_path / "kept" / f"{first.name}{kind}").unlink()
    entries, reading = await read(archive)
    assert (entries, reading.is_complete) == ([AUDIO], True)


async def test_all_records_are_listed(archive: Archive) -> None:
    for session_id in ("sess-1", "sess-2"):
        await written(archive, TURN, session_id=session_id)
    found = await archive.all(lambda header: header.session_id == "sess-2")
    assert [kept.header.session_id for kept in found] == ["sess-2"]


# ---- who may not


async def test_without_the_key_file_a_record_is_noise(archive: Archive, tmp_path: Path, clock: Clock) -> None:
    await written(archive, TURN)
    other = FileEnvelope(key_file(tmp_path, b"o" * 32))
    with contextlib.closing(archive_in(tmp_path, clock, other)) as another:
        assert "not in the file" in await refusal(another)


async def test_a_key_of_another_record_opens_nothing(archive: Archive, tmp_path: Path) -> None:
    mine, other = await written(archive, TURN), await written(archive, TURN, session_id="sess-2")
    kept = tmp_path / "kept"
    (kept / f"{mine.name}.key").write_bytes((kept / f"{other.name}.key").read_bytes())
    assert "is another's" in await refusal(archive)


async def test_a_record_of_another_session_in_its_place_is_not_read(archive: Archive, tmp_path: Path) -> None:
    mine, other = await written(archive, TURN), await written(archive, TURN, session_id="sess-2")
    kept = tmp_path / "kept"
    records = await archive.find(SESSION)
    (kept / f"{mine.name}.parley").write_bytes((kept / f"{other.name}.parley").read_bytes())
    with pytest.raises(ParleyError, match="changed while"):
        async for _ in archive.read(records, Reading()):
            pass


async def test_a_file_that_is_no_record_any_more_is_refused(archive: Archive, tmp_path: Path) -> None:
    mine = await written(archive, TURN)
    records = await archive.find(SESSION)
    (tmp_path / "kept" / f"{mine.name}.parley").write_bytes(b"noise")
    with pytest.raises(ParleyError, match="no record"):
        async for _ in archive.read(records, Reading()):
            pass


# ---- letting go


async def test_a_purge_leaves_neither_record_nor_key(archive: Archive, tmp_path: Path) -> None:
    await written(archive, TURN, reason=CONTINUED)
    await written(archive, AUDIO)
    assert await archive.purge(SESSION) == 2
    assert files(tmp_path) == {}
    assert await archive.find(SESSION) == []


async def test_a_purged_record_can_not_be_read_from_its_data_that_somebody_copied(
    archive: Archive, tmp_path: Path
) -> None:
    part = await written(archive, TURN)
    data = tmp_path / "kept" / f"{part.name}.parley"
    copy = data.read_bytes()
    await archive.purge(SESSION)
    data.write_bytes(copy)
    data.chmod(0o600)
    assert await archive.find(SESSION) == []


async def test_nothing_is_added_to_a_purged_record(archive: Archive, tmp_path: Path) -> None:
    part = await written(archive, TURN, reason="")
    await archive.purge(SESSION)
    with pytest.raises(ParleyError, match="purged"):
        await archive.append(part, [encode_entry(TURN)])
    assert files(tmp_path) == {}


async def test_what_is_past_its_time_is_swept_at_once_and_again(archive: Archive, tmp_path: Path, clock: Clock) -> None:
    archive._sweep_interval_s = 0.001
    swept: list[int] = []
    twice = asyncio.Event()

    def on_sweep(records: int, error: ParleyError | None) -> None:
        assert error is None
        swept.append(records)
        if len(swept) == 2:
            twice.set()

    await written(archive, TURN)
    clock.now = HEADER.expires_s
    running = asyncio.create_task(archive.run(on_sweep))
    await bounded("it sweeps twice", twice.wait())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert swept[:2] == [1, 0]
    assert files(tmp_path) == {}


async def test_a_sweep_that_fails_is_told_and_tried_again(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "kept").rename(tmp_path / "elsewhere")
    told: asyncio.Future[ParleyError | None] = asyncio.get_running_loop().create_future()

    def on_sweep(_records: int, error: ParleyError | None) -> None:
        told.set_result(error)

    running = asyncio.create_task(archive.run(on_sweep))
    error = await bounded("it is told", told)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert error is not None
    assert error.code == "retention-unavailable"


# ---- what fails


async def test_a_part_that_another_process_began_first_is_not_taken(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, tries = archive._folder.create, 0

    def late_once(header: Header, head: bytes, wrapped: bytes) -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            create(header, head, wrapped)
        return create(header, head, wrapped)

    monkeypatch.setattr(archive._folder, "create", late_once)
    part = await archive.begin(HEADER)
    assert part.header.part == 2


async def test_a_session_that_others_write_all_the_time_is_given_up(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*_: object) -> str:
        raise FileExistsError

    monkeypatch.setattr(archive._folder, "create", late)
    with pytest.raises(ParleyError, match="Others write"):
        await archive.begin(HEADER)


async def test_a_disk_that_fails_says_so_without_a_name(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "/secret/name")

    part = await written(archive, TURN, reason="")
    monkeypatch.setattr(archive._folder, "append", fail)
    with pytest.raises(ParleyError, match="No space left") as caught:
        await archive.append(part, [b"x"])
    assert "secret" not in str(caught.value)


async def test_too_many_calls_are_refused_as_such(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any) -> None:
        raise ParleyError("store-unavailable", "It is too slow.")

    monkeypatch.setattr(archive._reader, "call", full)
    with pytest.raises(ParleyError, match="too slow") as caught:
        await archive.find(SESSION)
    assert caught.value.code == "retention-unavailable"


class Slow:
    """An envelope that does not answer."""

    async def wrap(self, key: bytes, context: bytes) -> bytes:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    unwrap = wrap


async def test_an_envelope_that_does_not_answer_is_given_up(tmp_path: Path, clock: Clock) -> None:
    with contextlib.closing(archive_in(tmp_path, clock, Slow(), wrap_timeout_s=0.01)) as archive:
        with pytest.raises(ParleyError, match=r"did not answer within 0.01 s"):
            await archive.begin(HEADER)
        assert files(tmp_path) == {}


async def test_neither_key_nor_cipher_shows(archive: Archive) -> None:
    part = await archive.begin(replace(HEADER))
    assert "cipher" not in repr(part)


def test_random_bytes_are_the_systems_unless_told_otherwise() -> None:
    default: Callable[[int], bytes] = os.urandom
    assert (Archive.__init__.__kwdefaults__ or {})["random"] is default
