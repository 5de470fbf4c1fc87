"""A file that is read at the start, and again when it has changed."""

import logging
import os
from pathlib import Path

import pytest

from parley.access.watched_file import FILE_MAX_BYTES, LOOK_INTERVAL_S, FileError, WatchedFile


class OtherError(FileError):
    """An error that a user of the file wants."""


class Place:
    """A folder with a file of texts in it, and a clock to read it by."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "some texts"
        self.now_s = 100.0
        self.write("one")

    def write(self, text: str, mode: int = 0o600) -> None:
        replacement = self.path.with_suffix(".new")
        replacement.write_text(text)
        replacement.chmod(mode)
        replacement.rename(self.path)

    def open(self, *, is_secret: bool = True) -> WatchedFile[str]:
        return WatchedFile(
            self.path, self.parse, "texts", is_secret=is_secret, error=OtherError, clock=lambda: self.now_s
        )

    def parse(self, document: bytes) -> str:
        if document == b"wrong":
            raise FileError("It is wrong.", "Twice.")
        return document.decode()

    def why(self, *, is_secret: bool = True) -> str:
        with pytest.raises(OtherError) as caught:
            self.open(is_secret=is_secret)
        return str(caught.value).replace(str(self.path), "PATH")


@pytest.fixture
def place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Place:
    caplog.set_level(logging.DEBUG)
    return Place(tmp_path)


def test_it_holds_what_the_file_does(place: Place) -> None:
    assert place.open().current == "one"


def test_a_change_is_seen_at_the_next_look_and_said(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    file = place.open()
    place.write("two")
    assert file.current == "one"
    place.now_s += LOOK_INTERVAL_S
    assert file.current == "two"
    assert caplog.messages == ["read the texts anew"]


def test_how_many_there_are_is_said_where_they_can_be_counted(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    file = WatchedFile(place.path, lambda document: dict.fromkeys(document), "bytes", clock=lambda: place.now_s)
    place.write("four")
    place.now_s += LOOK_INTERVAL_S
    assert len(file.current) == 4
    assert caplog.messages == ["read the bytes anew: 4"]


def test_a_change_is_told_to_whoever_wants_to_know_and_a_failing_one_is_not(place: Place) -> None:
    told: list[str] = []
    file = WatchedFile(
        place.path, place.parse, "texts", clock=lambda: place.now_s, on_change=lambda: told.append("changed")
    )
    for text in ("two", "wrong"):
        place.write(text)
        place.now_s += LOOK_INTERVAL_S
        assert file.current == "two"
    assert told == ["changed"]


def test_a_file_that_has_not_changed_is_not_read(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    file = place.open()
    place.now_s += LOOK_INTERVAL_S
    assert file.current == "one"
    assert not caplog.messages


@pytest.mark.parametrize("change", ["wrong", "gone", "readable"])
def test_what_goes_wrong_later_leaves_all_as_it_was_and_is_said_once(
    place: Place, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    file = place.open()
    if change == "gone":
        place.path.unlink()
    else:
        place.write("wrong" if change == "wrong" else "two", mode=0o644 if change == "readable" else 0o600)
    for _ in range(3):
        place.now_s += LOOK_INTERVAL_S
        assert file.current == "one"
    (message,) = caplog.messages
    assert message.startswith("the texts stay as they were: ")


def test_a_file_that_is_mended_is_read(place: Place) -> None:
    file = place.open()
    for text in ("wrong", "two"):
        place.write(text)
        place.now_s += LOOK_INTERVAL_S
        assert file.current == ("one" if text == "wrong" else "two")


def test_every_problem_of_its_content_is_told_with_its_place(place: Place) -> None:
    place.write("wrong")
    assert place.why() == "'PATH': It is wrong.\n'PATH': Twice."


def test_a_file_that_is_not_there_is_said(place: Place) -> None:
    place.path.unlink()
    assert place.why() == "The file of texts, 'PATH', can't be read: No such file or directory."


@pytest.mark.parametrize("mode", [0o644, 0o620, 0o604, 0o602])
def test_secrets_that_others_can_read_or_change_are_refused_with_the_fix(place: Place, mode: int) -> None:
    place.write("one", mode)
    assert place.why() == "Others than its owner may read or change 'PATH', which holds secrets. Run: chmod 600 'PATH'"


def test_secrets_may_be_read_by_their_group(place: Place) -> None:
    place.write("one", 0o640)
    assert place.open().current == "one"


def test_what_is_no_secret_may_be_read_by_all(place: Place) -> None:
    place.write("one", 0o644)
    assert place.open(is_secret=False).current == "one"


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_what_is_no_secret_may_still_not_be_changed_by_others(place: Place, mode: int) -> None:
    place.write("one", mode)
    assert place.why(is_secret=False) == "Others than its owner may change 'PATH'. Run: chmod 644 'PATH'"


def test_a_pipe_is_not_waited_for(place: Place) -> None:
    place.path.unlink()
    os.mkfifo(place.path, 0o600)
    assert place.why() == "'PATH' is not a regular file; name a file of texts."


def test_a_file_that_is_too_large_is_refused(place: Place) -> None:
    place.write("x" * (FILE_MAX_BYTES + 1))
    assert place.why() == f"'PATH' is larger than {FILE_MAX_BYTES} bytes."
