"""The file of access keys, at the start and while it changes."""

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from parley.access.sigv4.access_key import AccessKeys
from parley.access.sigv4.credentials import CredentialsError, KeyFile
from parley.access.watched_file import FILE_MAX_BYTES, LOOK_INTERVAL_S, FileError
from tests.access.sigv4.scene import Clock

SECRET = "canary-secret-of-somebody"


def key(access_key_id: str, secret: str = SECRET) -> str:
    return f'[[key]]\naccess_key_id = "{access_key_id}"\nsecret_access_key = "{secret}"\n'


class Place:
    """A folder with a file of access keys in it, and a clock to read it by."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "access keys.toml"
        self.clock = Clock(1000.0)
        self._written = 0
        self.write(key("AKID1"))

    def write(self, text: str, mode: int = 0o600) -> None:
        """Replace the file, as it would be at a later time."""
        replacement = self.path.with_suffix(".new")
        replacement.write_text(text)
        replacement.chmod(mode)
        replacement.rename(self.path)

    def open(self) -> KeyFile:
        return KeyFile(self.path, clock=self.clock)

    def pass_time(self, seconds: float = LOOK_INTERVAL_S) -> None:
        self.clock.now_s += seconds

    def why(self) -> str:
        with pytest.raises(CredentialsError) as caught:
            self.open()
        assert "canary" not in str(caught.value)
        assert caught.value.__context__ is None or caught.value.__suppress_context__
        return str(caught.value).replace(str(self.path), "PATH")


@pytest.fixture
def place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Place:
    caplog.set_level(logging.DEBUG)
    return Place(tmp_path)


def test_keys_are_found_by_their_ids(place: Place) -> None:
    keys: AccessKeys = place.open()
    found = keys.find("AKID1")
    assert found is not None
    assert found.secret_access_key == SECRET
    assert keys.find("AKID2") is None


def test_it_says_how_many_keys_there_are(place: Place) -> None:
    place.write(key("AKID1") + key("AKID2"))
    assert len(place.open()) == 2


# ---- at the start


def test_without_the_file_nothing_starts(place: Place) -> None:
    place.path.unlink()
    assert place.why() == "The file of access keys, 'PATH', can't be read: No such file or directory."


def test_every_problem_of_the_file_is_told_with_its_name(place: Place) -> None:
    place.write("[[key]]\n[[key]]\n")
    assert place.why().splitlines() == [
        "'PATH': key 1: access_key_id is missing.",
        "'PATH': key 1: secret_access_key is missing.",
        "'PATH': key 2: access_key_id is missing.",
        "'PATH': key 2: secret_access_key is missing.",
    ]


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o602, 0o601, 0o666])
def test_a_file_that_others_may_read_or_change_is_refused_with_what_to_run(place: Place, mode: int) -> None:
    place.write(key("AKID1"), mode)
    assert place.why() == (
        "Others than its owner may read or change 'PATH', which holds secrets. Run: chmod 600 'PATH'"
    )


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_file_that_its_group_may_read_is_taken(place: Place, mode: int) -> None:
    place.write(key("AKID1"), mode)
    assert len(place.open()) == 1


def test_a_file_that_may_not_be_read_is_told_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(*_: object) -> int:
        raise PermissionError(13, "canary")

    monkeypatch.setattr(os, "open", deny)
    assert place.why() == "The file of access keys, 'PATH', can't be read: Permission denied."


def test_a_folder_is_no_file_of_access_keys(place: Place) -> None:
    place.path.unlink()
    place.path.mkdir()
    assert place.why() == "'PATH' is not a regular file; name a file of access keys."


def test_a_pipe_is_not_waited_for(place: Place) -> None:
    place.path.unlink()
    os.mkfifo(place.path, 0o600)
    assert place.why() == "'PATH' is not a regular file; name a file of access keys."


def test_a_file_of_the_bound_is_read_and_a_larger_one_is_not(place: Place) -> None:
    text = key("AKID1")
    place.write(text + "#" * (FILE_MAX_BYTES - len(text)))
    assert len(place.open()) == 1
    place.write(text + "#" * (FILE_MAX_BYTES - len(text) + 1))
    assert place.why() == "'PATH' is larger than 262144 bytes."


# ---- while it runs


def test_a_changed_file_is_read_again(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    keys = place.open()
    place.write(key("AKID2") + key("AKID3"))
    place.pass_time()
    assert keys.find("AKID1") is None
    assert keys.find("AKID2") is not None
    assert caplog.messages == ["read the access keys anew: 2"]


def test_the_file_is_looked_at_once_a_second_at_most(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    look = Path.stat

    def count(path: Path, **options: bool) -> os.stat_result:
        nonlocal looks
        looks += path == place.path
        return look(path, **options)

    monkeypatch.setattr(Path, "stat", count)
    keys = place.open()
    assert looks == 1
    for _ in range(10):
        place.pass_time(0.25)
        keys.find("AKID1")
    assert looks == 3


def test_a_file_that_did_not_change_is_not_read_again(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    keys = place.open()
    for _ in range(5):
        place.pass_time(100.0)
        assert keys.find("AKID1") is not None
    assert caplog.messages == []


def test_a_change_of_nothing_but_the_secret_is_seen(place: Place) -> None:
    keys = place.open()
    place.write(key("AKID1", SECRET[::-1]))
    place.pass_time()
    found = keys.find("AKID1")
    assert found is not None
    assert found.secret_access_key == SECRET[::-1]


def test_a_file_that_was_mounted_anew_behind_a_link_is_read(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir(mode=0o700)
        (tmp_path / name / "keys.toml").write_text(key(f"AKID{name}"))
        (tmp_path / name / "keys.toml").chmod(0o600)
    link = tmp_path / "current"
    link.symlink_to("old")
    clock = Clock(0.0)
    keys = KeyFile(link / "keys.toml", clock=clock)
    link.unlink()
    link.symlink_to("new")
    clock.now_s += LOOK_INTERVAL_S
    assert keys.find("AKIDnew") is not None


@pytest.mark.parametrize(
    ("break_file", "problem"),
    [
        (lambda place: place.write("[[key]]\nsecret_access_key = 'canary"), "It is not TOML"),
        (lambda place: place.write(""), "There is no key in it"),
        (lambda place: place.write(key("AKID2"), 0o644), "Others than its owner may read"),
        (lambda place: place.path.unlink(), "No such file or directory"),
    ],
    ids=["broken", "empty", "open", "gone"],
)
def test_a_file_that_broke_leaves_the_keys_as_they_were_and_is_reported_once(
    place: Place,
    caplog: pytest.LogCaptureFixture,
    break_file: Callable[[Place], object],
    problem: str,
) -> None:
    keys = place.open()
    break_file(place)
    for _ in range(5):
        place.pass_time()
        assert keys.find("AKID1") is not None
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    assert problem in caplog.messages[0]
    assert caplog.messages[0].startswith("the access keys stay as they were: ")
    assert "canary" not in caplog.text
    assert "AKID" not in caplog.text


def test_a_file_that_was_mended_is_read(place: Place) -> None:
    keys = place.open()
    place.write("broken")
    place.pass_time()
    assert keys.find("AKID2") is None
    place.write(key("AKID2"))
    place.pass_time()
    assert keys.find("AKID2") is not None


def test_a_file_whose_mode_was_mended_is_read(place: Place) -> None:
    keys = place.open()
    place.write(key("AKID2"), 0o644)
    place.pass_time()
    assert keys.find("AKID2") is None
    place.path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    place.pass_time()
    assert keys.find("AKID2") is not None


def test_its_error_is_one_of_files() -> None:
    assert issubclass(CredentialsError, FileError)


def test_neither_keys_nor_secrets_are_shown(place: Place) -> None:
    assert "AKID1" not in repr(place.open())
