"""The file of API keys while commands change it and a server reads it."""

import fcntl
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from parley.access.keys.api_key import ApiKey
from parley.access.keys.key_store import changing, open_keys
from parley.access.keys.key_table import KEYS_MAX
from parley.access.watched_file import FILE_MAX_BYTES, LOOK_INTERVAL_S, FileError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def key(number: int) -> ApiKey:
    return ApiKey(id=f"{number:012x}", salt=bytes(16), hash=bytes(32), name="captions", created_at_s=1.0)


def add(path: Path, number: int) -> None:
    with changing(path, may_begin=True) as keys:
        keys[key(number).id] = key(number)


def fail_to_change(path: Path) -> None:
    with changing(path) as keys:
        keys.clear()
        raise RuntimeError


def fill(path: Path) -> None:
    with changing(path) as keys:
        for number in range(KEYS_MAX):
            keys[key(number).id] = replace(key(number), description="x" * 256)


def names(path: Path) -> set[str]:
    return {each.name for each in path.parent.iterdir()}


@pytest.fixture
def given_to(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Which files were given to whom, without anybody being asked whether that may be."""
    given: list[tuple[str, int, int]] = []

    def give(descriptor: int, user: int, group: int) -> None:
        given.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, user, group))

    monkeypatch.setattr(os, "fchown", give)
    return given


@pytest.fixture
def nothing_may_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "canary")

    monkeypatch.setattr(os, "fchown", refuse)


def test_a_file_that_is_not_there_is_begun_and_others_can_not_read_it(path: Path) -> None:
    add(path, 1)
    assert list(open_keys(path).current) == [key(1).id]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_changes_at_the_same_time_lose_nothing(path: Path) -> None:
    threads = [threading.Thread(target=add, args=(path, number)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(open_keys(path).current) == 8


def test_a_change_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    add(path, 1)
    with pytest.raises(RuntimeError):
        fail_to_change(path)
    assert len(open_keys(path).current) == 1


def test_a_server_sees_a_change_within_a_second(path: Path) -> None:
    now_s = 100.0
    add(path, 1)
    keys = open_keys(path, clock=lambda: now_s)
    assert len(keys.current) == 1
    add(path, 2)
    assert len(keys.current) == 1
    now_s += LOOK_INTERVAL_S
    assert len(keys.current) == 2


def test_a_file_of_something_else_is_not_written_over(path: Path) -> None:
    path.write_text("[other]\n")
    path.chmod(0o600)
    with pytest.raises(FileError), changing(path):
        pass
    assert path.read_text() == "[other]\n"


def test_without_a_file_nothing_is_begun_unless_it_may_be(path: Path) -> None:
    with pytest.raises(FileNotFoundError), changing(path):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_file_keeps_its_mode(path: Path) -> None:
    add(path, 1)
    path.chmod(0o640)
    add(path, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_keeps_its_owner(path: Path) -> None:
    add(path, 1)
    os.chown(path, 1_234, 1_235)
    add(path, 2)
    assert (path.stat().st_uid, path.stat().st_gid) == (1_234, 1_235)


def test_a_link_stays_one_and_what_it_leads_to_is_changed(path: Path) -> None:
    add(path, 1)
    link = path.with_name("link.toml")
    link.symlink_to(path)
    add(link, 2)
    assert link.is_symlink()
    assert len(open_keys(path).current) == 2


def test_the_file_and_its_lock_are_for_whoever_had_the_file(path: Path, given_to: list[tuple[str, int, int]]) -> None:
    add(path, 1)
    assert given_to == []
    owner = path.stat()
    add(path, 2)
    assert given_to == [(each, owner.st_uid, owner.st_gid) for each in (".keys.toml.lock", ".keys.toml.new")]


def test_a_lock_that_is_another_file_too_is_given_to_nobody(path: Path, given_to: list[tuple[str, int, int]]) -> None:
    add(path, 1)
    os.link(path.with_name(".keys.toml.lock"), path.with_name("important"))
    add(path, 2)
    assert [name for name, _, _ in given_to] == [".keys.toml.new"]


@pytest.mark.usefixtures("nothing_may_be_given")
def test_a_file_that_could_not_keep_its_owner_stays_as_it_was(path: Path) -> None:
    add(path, 1)
    with pytest.raises(PermissionError):
        add(path, 2)
    assert len(open_keys(path).current) == 1


@pytest.mark.usefixtures("nothing_may_be_given")
def test_a_change_that_fails_leaves_nothing_but_the_lock(path: Path) -> None:
    add(path, 1)
    with pytest.raises(PermissionError):
        add(path, 2)
    assert names(path) == {"keys.toml", ".keys.toml.lock"}


def test_what_a_command_that_was_killed_has_left_is_in_nobodys_way(path: Path) -> None:
    path.with_name(".keys.toml.new").write_text("half of it")
    add(path, 1)
    assert names(path) == {"keys.toml", ".keys.toml.lock"}


def test_nothing_is_written_through_a_link_that_somebody_put_in_the_way(path: Path) -> None:
    important = path.with_name("important")
    important.write_text("important")
    path.with_name(".keys.toml.new").symlink_to(important)
    add(path, 1)
    assert important.read_text() == "important"


def test_a_lock_that_is_a_link_locks_nothing(path: Path) -> None:
    path.with_name(".keys.toml.lock").symlink_to("elsewhere")
    with pytest.raises(OSError, match=r"keys\.toml\.lock"):
        add(path, 1)
    assert names(path) == {".keys.toml.lock"}


def test_more_than_a_server_would_read_is_not_written(path: Path) -> None:
    add(path, 1)
    with pytest.raises(FileError, match=f"larger than {FILE_MAX_BYTES} bytes.*parley keys prune"):
        fill(path)
    assert len(open_keys(path).current) == 1


def test_a_file_that_went_away_while_it_was_waited_for_is_not_begun(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(path, 1)
    monkeypatch.setattr(fcntl, "flock", lambda *_: path.unlink())
    with pytest.raises(FileError), changing(path):
        pass
    assert not path.exists()
