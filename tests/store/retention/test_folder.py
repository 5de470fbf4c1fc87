"""Records as files: whose they are, what is left over, what is shredded, and a disk that fails."""

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from parley.core.errors import ParleyError
from parley.store.retention import folder as module
from parley.store.retention.folder import RecordFolder, UnusableFolderError
from parley.store.retention.frames import Header, encode_head
from tests.store.retention.records import HEADER, NOW, SESSION, Clock

WRAPPED = b"wrapped key"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "kept"


def opened(path: Path, clock: Clock, *, bytes_max: int = 100_000) -> RecordFolder:
    return RecordFolder(path, clock=clock, random=os.urandom, bytes_max=bytes_max)


@pytest.fixture
def folder(path: Path, clock: Clock) -> RecordFolder:
    return opened(path, clock)


def created(folder: RecordFolder, part: int = 1, **changes: Any) -> str:
    header: Header = replace(HEADER, part=part, **changes)
    return folder.create(header, encode_head(header), WRAPPED)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


def any_header(_header: Header) -> bool:
    return True


# ---- the folder


def test_files_and_folder_are_this_users_alone(folder: RecordFolder, path: Path) -> None:
    created(folder)
    assert mode_of(path) == 0o700
    assert {mode_of(one) for one in path.iterdir()} == {0o600}


def test_the_name_of_a_record_is_a_hash_whatever_the_session_is_called(folder: RecordFolder, path: Path) -> None:
    name = created(folder, session_id="../../etc/passwd")
    assert names_in(path) == [f"{name}.key", f"{name}.parley"]
    assert module._NAME.match(f"{name}.key")


def test_a_session_that_nobody_can_have_has_no_records(folder: RecordFolder) -> None:
    assert folder.kept("sess-\ud800") == []


@pytest.mark.parametrize("mode", [0o750, 0o705])
def test_a_folder_that_is_open_to_others_is_refused_with_the_fix(tmp_path: Path, clock: Clock, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(UnusableFolderError, match="chmod 700"):
        opened(tmp_path, clock)


def test_a_folder_that_can_not_be_made_is_refused(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnusableFolderError, match="can't be used"):
        opened(tmp_path / "file" / "kept", clock)


# ---- writing


def test_parts_are_numbered_from_one(folder: RecordFolder) -> None:
    assert folder.next_part(SESSION) == 1
    created(folder)
    assert folder.next_part(SESSION) == 2
    assert folder.next_part("sess-2") == 1


def test_a_session_has_a_bounded_number_of_parts(folder: RecordFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PARTS_MAX", 1)
    created(folder)
    with pytest.raises(ParleyError, match="1 parts already"):
        folder.next_part(SESSION)


def test_a_part_that_is_there_is_not_written_over(folder: RecordFolder) -> None:
    created(folder)
    with pytest.raises(FileExistsError):
        created(folder)


def test_a_record_whose_key_can_not_be_written_is_not_there(
    folder: RecordFolder, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "utime", fail)
    with pytest.raises(OSError, match="No space"):
        created(folder)
    assert names_in(path) == []


def test_what_is_appended_stands_behind_the_head(folder: RecordFolder) -> None:
    name = created(folder)
    folder.append(name, b"one")
    folder.append(name, b"two")
    with folder.open(name) as file:
        assert file.read() == encode_head(replace(HEADER, part=1)) + b"onetwo"


def test_nothing_is_appended_to_a_record_that_was_shredded(folder: RecordFolder, path: Path) -> None:
    name = created(folder)
    folder.shred(name)
    with pytest.raises(FileNotFoundError):
        folder.append(name, b"one")
    assert names_in(path) == []


def test_a_link_is_not_written_through(folder: RecordFolder, path: Path, tmp_path: Path) -> None:
    name = created(folder)
    (path / f"{name}.parley").unlink()
    (path / f"{name}.parley").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        folder.append(name, b"one")


def test_a_full_folder_takes_nothing_more(path: Path, clock: Clock) -> None:
    folder = opened(path, clock, bytes_max=len(encode_head(replace(HEADER, part=1))) + len(WRAPPED) + 10)
    name = created(folder)
    folder.append(name, b"0123456789")
    for write in (lambda: folder.append(name, b"x"), lambda: created(folder, 2)):
        with pytest.raises(ParleyError, match="full"):
            write()
    folder.shred(name)
    created(folder)


def test_what_is_there_already_counts(path: Path, clock: Clock, folder: RecordFolder) -> None:
    created(folder)
    assert opened(path, clock).bytes == folder.bytes > 0


# ---- reading


def test_the_records_of_a_session_are_found_the_first_part_first(folder: RecordFolder) -> None:
    names = [created(folder, part) for part in (1, 2)]
    created(folder, session_id="sess-2")
    assert [kept.name for kept in folder.kept(SESSION)] == names
    assert folder.kept(SESSION)[0].header == replace(HEADER, part=1)


def test_all_records_are_listed_by_when_they_began(folder: RecordFolder) -> None:
    created(folder, session_id="later", began_s=9)
    created(folder, session_id="sooner", began_s=5)
    assert [kept.header.session_id for kept in folder.all(any_header, 10)] == ["sooner", "later"]
    assert len(folder.all(any_header, 1)) == 1
    assert [kept.header.began_s for kept in folder.all(lambda header: header.began_s > 5, 10)] == [9]


def test_a_record_past_its_time_is_not_found_though_it_was_not_swept_yet(folder: RecordFolder, clock: Clock) -> None:
    created(folder)
    clock.now = HEADER.expires_s
    assert folder.kept(SESSION) == folder.all(any_header, 10) == []


def test_a_record_without_its_key_is_not_found(folder: RecordFolder, path: Path) -> None:
    name = created(folder)
    (path / f"{name}.key").unlink()
    assert folder.kept(SESSION) == []


def test_a_record_under_another_sessions_name_is_not_found(folder: RecordFolder, path: Path) -> None:
    mine, other = created(folder), created(folder, session_id="sess-2")
    for kind in (".parley", ".key"):
        (path / f"{other}{kind}").replace(path / f"{mine}{kind}")
    assert folder.kept(SESSION) == []


def test_a_file_that_is_no_record_is_passed_over(folder: RecordFolder, path: Path) -> None:
    name = created(folder)
    (path / f"{name}.parley").write_bytes(b"noise")
    (path / "README").write_text("not a record")
    assert folder.all(any_header, 10) == []


def test_a_wrapped_key_is_read_as_it_was_written(folder: RecordFolder) -> None:
    assert folder.wrapped_key(created(folder)) == WRAPPED


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_record_that_is_open_to_others_is_not_read(folder: RecordFolder, path: Path, mode: int) -> None:
    name = created(folder)
    (path / f"{name}.parley").chmod(mode)
    with pytest.raises(ParleyError, match="open to others"):
        folder.open(name)


# ---- letting go


def test_shredding_overwrites_the_key_before_it_removes_anything(
    folder: RecordFolder, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = created(folder)
    seen: list[tuple[str, bool, bool]] = []
    unlink = Path.unlink

    def note(self: Path, missing_ok: bool = False) -> None:
        key = path / f"{name}.key"
        seen.append((self.suffix, key.exists() and key.read_bytes() != WRAPPED, (path / f"{name}.parley").exists()))
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", note)
    folder.shred(name)
    assert seen == [(".key", True, True), (".parley", False, True)]
    assert names_in(path) == []


def test_the_overwritten_key_is_on_the_disk_before_it_is_removed(
    folder: RecordFolder, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = created(folder)
    flushed: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda _: flushed.append((path / f"{name}.key").exists()))
    folder.shred(name)
    assert flushed == [True, False]


def test_shredding_what_is_gone_does_nothing(folder: RecordFolder) -> None:
    name = created(folder)
    folder.shred(name)
    folder.shred(name)
    assert folder.bytes == 0


def test_a_sweep_shreds_what_is_past_its_time(folder: RecordFolder, path: Path, clock: Clock) -> None:
    created(folder)
    kept = created(folder, session_id="forever", expires_s=0.0)
    clock.now = HEADER.expires_s
    assert folder.sweep() == 1
    assert names_in(path) == [f"{kept}.key", f"{kept}.parley"]


def test_a_sweep_shreds_what_a_crash_left(folder: RecordFolder, path: Path, clock: Clock) -> None:
    alone, keyless = created(folder), created(folder, session_id="sess-2")
    (path / f"{alone}.parley").unlink()
    (path / f"{keyless}.key").unlink()
    os.utime(path / f"{keyless}.parley", (NOW, NOW))
    assert folder.sweep() == 1
    assert names_in(path) == [f"{keyless}.parley"]
    clock.now += module._LEFT_OVER_S
    assert folder.sweep() == 1
    assert names_in(path) == []


def test_a_sweep_is_bounded(folder: RecordFolder, clock: Clock) -> None:
    for number in range(3):
        created(folder, session_id=f"sess-{number}")
    clock.now = HEADER.expires_s
    assert [folder.sweep(2), folder.sweep(2)] == [2, 1]


def test_a_file_that_others_remove_meanwhile_is_passed_over(
    folder: RecordFolder, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = created(folder)

    class Gone:
        def __init__(self) -> None:
            self.name = f"{name}.key"

        def stat(self, *, follow_symlinks: bool) -> os.stat_result:
            raise FileNotFoundError

    class Entries:
        def __enter__(self) -> list[Gone]:
            return [Gone()]

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", lambda _: Entries())
    assert folder.sweep() == 0
