"""The file of API keys while commands change it and a server reads it."""

import os
import stat
import threading
from pathlib import Path

import pytest

from parley.access.keys.api_key import ApiKey
from parley.access.keys.key_store import changing, open_keys
from parley.access.watched_file import LOOK_INTERVAL_S, FileError


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
