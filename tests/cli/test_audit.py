"""`parley audit`: a log that holds, one that was tampered with, and who did what in it."""

import json
from pathlib import Path

import pytest

from parley.access.audit_file import AuditFile
from parley.cli import main

KEY = "a key of sixteen"


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """A log of three lines, bound with a key."""
    path = tmp_path / "audit.jsonl"
    (tmp_path / "key").write_text(KEY + "\n")
    file = AuditFile(path, key=KEY.encode())
    file.append(
        [
            {"time": "2026-11-22T10:15:00.250Z", "action": action, "actor": actor, "session": session, "outcome": "ok"}
            for action, actor, session in (
                ("start", "key:captions", "sess-1"),
                ("read", "operator", "sess-1"),
                ("start", "key:captions", "sess-2"),
            )
        ]
    )
    file.close()
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main.run(["audit", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out, said.err


def key_of(log_file: Path) -> Path:
    return log_file.parent / "key"


def last_hash(log_file: Path) -> str:
    return str(json.loads(log_file.read_bytes().splitlines()[-1])["hash"])


def test_a_log_that_holds_is_said_to(log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "verify", log_file, "--key-file", key_of(log_file))
    assert (status, out) == (0, f"3 lines hold; the last is number 3: {last_hash(log_file)}\n")


def test_a_line_that_was_changed_is_told_and_what_holds_before_it(
    log_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_file.write_bytes(log_file.read_bytes().replace(b"operator", b"somebody"))
    status, _, err = run(capsys, "verify", log_file, "--key-file", key_of(log_file))
    assert status == 1
    assert "line 2: it is not as it was written" in err
    assert "The 1 lines before it hold" in err


def test_a_missing_key_is_asked_for(log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "verify", log_file)
    assert status == 1
    assert "--key-file" in err


def test_a_log_that_was_cut_off_is_seen_by_its_last_hash(log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = last_hash(log_file)
    log_file.write_bytes(b"".join(log_file.read_bytes().splitlines(keepends=True)[:2]))
    status, _, err = run(capsys, "verify", log_file, "--key-file", key_of(log_file), "--head", head)
    assert status == 1
    assert "log-cut-off: All 2 lines hold" in err


def test_a_log_that_has_grown_since_still_has_the_hash(log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = str(json.loads(log_file.read_bytes().splitlines()[1])["hash"])
    assert run(capsys, "verify", log_file, "--key-file", key_of(log_file), "--head", head)[0] == 0


def test_a_hash_that_is_none_is_misuse(log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "verify", log_file, "--head", "abc")[0] == 2


def test_a_log_whose_beginning_is_kept_elsewhere_holds_and_says_so(
    log_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log_file.write_bytes(b"".join(log_file.read_bytes().splitlines(keepends=True)[1:]))
    status, out, _ = run(capsys, "verify", log_file, "--key-file", key_of(log_file))
    assert status == 0
    assert "begins at number 2" in out


@pytest.mark.parametrize("what", ["verify", "show"])
def test_a_file_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str) -> None:
    status, _, err = run(capsys, what, tmp_path / "none")
    assert status == 1
    assert "No such file" in err


def test_who_did_what_is_a_table(log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "show", log_file)
    assert [line.split()[1:3] for line in out.splitlines()[1:]] == [
        ["key:captions", "start"],
        ["operator", "read"],
        ["key:captions", "start"],
    ]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--session", "sess-1"], 2),
        (["--actor", "operator"], 1),
        (["--action", "start"], 2),
        (["--last", "1"], 1),
        (["--session", "sess-1", "--action", "start"], 1),
    ],
)
def test_what_is_shown_can_be_chosen(
    log_file: Path, capsys: pytest.CaptureFixture[str], options: list[str], count: int
) -> None:
    _, out, _ = run(capsys, "show", log_file, "--json", *options)
    assert len(out.splitlines()) == count


def test_nothing_that_fits_is_said(log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "show", log_file, "--actor", "nobody")[1] == "Nothing in it fits.\n"


def test_a_line_that_is_none_is_passed_over_and_none_is_forged(
    log_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with log_file.open("ab") as file:
        file.write(b'broken\n{"actor":"a\\u001b[31m\\nx","action":"start"}\n')
    _, out, _ = run(capsys, "show", log_file)
    assert len(out.splitlines()) == 5
    assert "\x1b" not in out


def test_a_caller_that_is_a_tenant_of_its_own_is_not_shown_by_a_hash(
    log_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with log_file.open("ab") as file:
        file.write(json.dumps({"action": "start", "principal": "1" * 64, "tenant": "1" * 64}).encode() + b"\n")
    _, out, _ = run(capsys, "show", log_file)
    assert "own" in out.splitlines()[-1]
    assert "1111" not in out
