"""Sealed states as files: whose they are, what is left over, and a disk that fails."""

import asyncio
import hashlib
import os
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parley.core.errors import ParleyError
from parley.store.directory import DirectoryStore, UnusableFolderError

KEY = b"k" * 32
NAME = hashlib.sha256(KEY).hexdigest() + ".session"
NOW = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "sessions"


@pytest.fixture
async def store(folder: Path, clock: Clock) -> AsyncIterator[DirectoryStore]:
    store = DirectoryStore(folder, clock=clock, state_max_bytes=1_000, sweep_interval_s=0.01)
    yield store
    store.close()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def remove(folder: Path) -> None:
    folder.rmdir()


async def code_of_take(store: DirectoryStore) -> str:
    with pytest.raises(ParleyError) as caught:
        await store.take(KEY)
    return caught.value.code


async def test_files_and_folder_are_this_users_alone(store: DirectoryStore, folder: Path) -> None:
    await store.put(KEY, b"state", 30.0)
    assert mode_of(folder) == 0o700
    assert mode_of(folder / NAME) == 0o600


async def test_a_files_name_is_the_hash_of_the_key_and_its_time_when_it_expires(
    store: DirectoryStore, folder: Path
) -> None:
    await store.put(KEY, b"state", 30.0)
    assert names_in(folder) == [NAME]
    assert (folder / NAME).stat().st_mtime == NOW + 30.0


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_a_folder_that_is_open_to_others_is_refused_with_the_fix(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(UnusableFolderError, match="chmod 700"):
        DirectoryStore(tmp_path)


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableFolderError, match="can't be used"):
        DirectoryStore(tmp_path / "file")


async def test_two_servers_share_a_folder(store: DirectoryStore, folder: Path, clock: Clock) -> None:
    other = DirectoryStore(folder, clock=clock)
    await store.put(KEY, b"state", 30.0)
    first, second = await asyncio.gather(store.take(KEY), other.take(KEY))
    other.close()
    assert [one.sealed for one in (first, second) if one is not None] == [b"state"]
    assert names_in(folder) == []


async def test_a_file_that_others_may_read_is_no_state_of_ours(store: DirectoryStore, folder: Path) -> None:
    await store.put(KEY, b"state", 30.0)
    (folder / NAME).chmod(0o644)
    assert await code_of_take(store) == "state-unreadable"


async def test_a_folder_that_is_full_takes_nothing_more_until_something_is_taken_and_put_back(
    folder: Path, clock: Clock
) -> None:
    store = DirectoryStore(folder, clock=clock, states_max=1)
    await store.put(KEY, b"state", 30.0)
    with pytest.raises(ParleyError, match="It is full"):
        await store.put(b"other", b"state", 30.0)
    taken = await store.take(KEY)
    assert taken is not None
    clock.now += 2.0
    await store.put_back(KEY, taken)
    assert names_in(folder) == [NAME]
    store.close()


async def test_a_file_that_is_too_large_is_not_read(store: DirectoryStore) -> None:
    await store.put(KEY, b"x" * 1_001, 30.0)
    assert await code_of_take(store) == "state-unreadable"


async def test_a_link_is_not_followed(store: DirectoryStore, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"state")
    (folder / NAME).symlink_to(tmp_path / "elsewhere")
    assert await code_of_take(store) == "store-unavailable"


async def test_a_folder_that_is_gone_is_told_without_its_name(store: DirectoryStore, folder: Path) -> None:
    remove(folder)
    with pytest.raises(ParleyError) as caught:
        await store.put(KEY, b"state", 30.0)
    assert caught.value.code == "store-unavailable"
    assert str(folder) not in str(caught.value)


async def test_nothing_is_left_of_a_state_that_could_not_be_written(
    store: DirectoryStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "utime", full)
    with pytest.raises(ParleyError, match="No space left"):
        await store.put(KEY, b"state", 30.0)
    assert names_in(folder) == []


async def test_what_has_expired_is_removed_and_nothing_else(store: DirectoryStore, folder: Path, clock: Clock) -> None:
    await store.put(KEY, b"state", 30.0)
    await store.put(b"other", b"state", 90.0)
    for name, age_s in (("dead.new", 120.0), ("young.new", 10.0), ("taken.taken", 1.0), ("notes.txt", 999.0)):
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (NOW - age_s, NOW - age_s))
    clock.now += 31.0
    assert store.sweep() == 3
    left = {Path(name).suffix for name in names_in(folder)}
    assert left == {".session", ".new", ".txt"}


async def test_a_sweep_is_bounded(store: DirectoryStore, folder: Path, clock: Clock) -> None:
    for number in range(1_001):
        (folder / f"{number}.taken").touch()
    clock.now = NOW + 10e9
    assert [store.sweep(), store.sweep(), store.sweep()] == [1_000, 1, 0]


async def test_files_that_others_take_meanwhile_are_no_matter(
    store: DirectoryStore, folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "one.taken").touch()
    clock.now = NOW + 10e9

    def gone(*_: object) -> None:
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", gone)
        assert store.sweep() == 1
    assert store.sweep() == 1


class Watched(DirectoryStore):
    """Says when it has swept, and fails the first time."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(folder, clock=clock, sweep_interval_s=0.001)
        self.swept = threading.Semaphore(0)
        self._fails = True

    def sweep(self) -> int:
        try:
            if self._fails:
                self._fails = False
                raise OSError(5, "Input/output error")
            return super().sweep()
        finally:
            self.swept.release()


async def test_it_sweeps_by_itself_again_and_again_also_after_a_failure(folder: Path, clock: Clock) -> None:
    store = Watched(folder, clock)
    await store.put(KEY, b"state", 30.0)
    clock.now += 31.0
    running = asyncio.create_task(store.run())
    for _ in range(3):
        assert await asyncio.to_thread(store.swept.acquire, timeout=20.0)
    assert names_in(folder) == []
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    store.close()
