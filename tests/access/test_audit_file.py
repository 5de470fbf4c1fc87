"""The audit log's file: taken up where it was left, closed when it is large, never with half a line."""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from parley.access.audit_chain import LINE_MAX_BYTES, Link, bind, verify
from parley.access.audit_file import AuditFile, AuditFileError, closed_files, lines_of

KEY = b"a key of sixteen"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def opened(path: Path) -> Iterator[list[AuditFile]]:
    files: list[AuditFile] = []
    yield files
    for file in files:
        file.close()


def entries(*actions: str) -> list[Mapping[str, object]]:
    return [{"action": action} for action in actions]


def write(path: Path, *actions: str, max_bytes: int = 1_000_000) -> Link:
    file = AuditFile(path, key=KEY, max_bytes=max_bytes)
    try:
        file.append(entries(*actions))
        return file.end
    finally:
        file.close()


def test_what_was_written_is_a_chain(path: Path) -> None:
    end = write(path, "one", "two")
    verdict = verify(lines_of(path), KEY, Link())
    assert (verdict.lines, verdict.end, verdict.fault) == (2, end, None)


def test_others_can_not_read_it(path: Path) -> None:
    write(path, "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_chain_goes_on_where_it_was_left(path: Path) -> None:
    write(path, "one")
    write(path, "two")
    assert verify(lines_of(path), KEY, Link()).lines == 2


def test_half_a_line_of_a_crash_is_taken_away_and_told(path: Path, opened: list[AuditFile]) -> None:
    write(path, "one")
    with path.open("ab") as torn:
        torn.write(b'{"seq":2,"act')
    opened.append(AuditFile(path, key=KEY))
    opened[0].append(entries("two"))
    assert opened[0].torn_bytes == 13
    assert verify(lines_of(path), KEY, Link()).lines == 2


def test_half_a_first_line_leaves_an_empty_log(path: Path, opened: list[AuditFile]) -> None:
    path.write_bytes(b'{"seq":1')
    opened.append(AuditFile(path, key=KEY))
    assert (opened[0].end, opened[0].torn_bytes) == (Link(), 8)


def test_a_file_that_is_large_is_closed_and_the_chain_goes_on_in_the_next(path: Path) -> None:
    for action in ("one", "two", "three"):
        write(path, action, max_bytes=100)
    assert [one.name for one in closed_files(path)] == ["audit.jsonl.000000000001", "audit.jsonl.000000000002"]
    assert verify(lines_of(path), KEY, Link()).lines == 3


def test_a_chain_goes_on_behind_the_newest_closed_file(path: Path) -> None:
    write(path, "one", "two")
    path.rename(path.with_name("audit.jsonl.000000000001"))
    write(path, "three", max_bytes=100)
    write(path, "four", max_bytes=100)
    assert closed_files(path)[-1].name == "audit.jsonl.000000000003"
    assert verify(lines_of(path), KEY, Link()).lines == 4


def test_two_processes_can_not_write_the_same(path: Path, opened: list[AuditFile]) -> None:
    opened.append(AuditFile(path))
    with pytest.raises(AuditFileError, match="Another process writes it"):
        AuditFile(path)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(AuditFileError, match="can't be opened: No such file or directory"):
        AuditFile(tmp_path / "none" / "audit.jsonl")


def test_a_chain_does_not_go_on_behind_a_line_that_can_not_be_trusted(path: Path) -> None:
    write(path, "one")
    path.write_bytes(path.read_bytes().replace(b"one", b"two"))
    with pytest.raises(AuditFileError, match="not as it was written"):
        AuditFile(path, key=KEY)


def test_a_write_that_fails_leaves_whole_lines_alone(
    path: Path, opened: list[AuditFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.append(AuditFile(path, key=KEY))
    opened[0].append(entries("one"))
    real = os.write

    def half(file: int, data: memoryview) -> int:
        if len(data) < 30:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data[: len(data) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space"):
            opened[0].append(entries("two"))
    opened[0].append(entries("two"))
    assert verify(lines_of(path), KEY, Link()).lines == 2


def test_a_next_file_that_can_not_be_begun_leaves_this_one(
    path: Path, opened: list[AuditFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.append(AuditFile(path, key=KEY, max_bytes=10))
    opened[0].append(entries("one"))
    real = os.open

    def refuse(*args: object, **options: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        with pytest.raises(OSError, match="can't be opened"):
            opened[0].append(entries("two"))
    assert os.open is real
    opened[0].append(entries("two"))
    assert verify(lines_of(path), KEY, Link()).lines == 2


def test_a_line_is_never_read_without_bound(path: Path) -> None:
    path.write_bytes(b"x" * (3 * LINE_MAX_BYTES))
    assert max(map(len, lines_of(path))) == LINE_MAX_BYTES + 1


def test_a_first_line_that_is_not_one_is_refused(path: Path) -> None:
    write(path, "one", "two")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"one", b"two", 1))
    with pytest.raises(AuditFileError, match="not as it was written"):
        AuditFile(path, key=KEY)


def test_lines_bound_by_hand_are_taken_up(path: Path, opened: list[AuditFile]) -> None:
    line, link = bind({"action": "one"}, Link(), KEY)
    path.write_bytes(line)
    opened.append(AuditFile(path, key=KEY))
    assert opened[0].end == link
