"""The audit log of a node: in order, on the disk when it is closed, and loud when it can't be written."""

import errno
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from parley.access.audit_chain import Link, verify
from parley.access.audit_file import AuditFile, lines_of
from parley.access.caller import Caller
from parley.core.errors import ParleyError
from parley.server.auditing import AuditLog, open_audit
from parley.server.settings.trust import AuditSettings
from parley.server.start import StartError
from tests.support.logs import LogWatch

WAIT_S = 10.0


class StuckFile(AuditFile):
    """A file on a disk that is full until a test says otherwise."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_full = True
        self.was_tried = threading.Event()
        self.has_room = threading.Event()

    def append(self, entries: list[Mapping[str, object]]) -> None:
        if self.is_full:
            self.was_tried.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        super().append(entries)
        self.has_room.set()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines_of(path)]


def test_what_was_done_is_there_in_its_order_when_the_log_is_closed(path: Path) -> None:
    log = AuditLog(AuditFile(path), clock=lambda: 1_795_342_500.25)
    for number in range(2_000):
        log.record("start", session_id=f"s{number}")
    log.close()
    found = entries(path)
    assert [entry.get("session") for entry in found[1:-1]] == [f"s{number}" for number in range(2_000)]
    assert [found[0]["action"], found[-1]["action"]] == ["audit-opened", "audit-closed"]
    assert verify(lines_of(path), after=Link()).fault is None


def test_a_line_says_who_did_what_when_and_how_it_went(path: Path) -> None:
    log = AuditLog(AuditFile(path), clock=lambda: 1_795_342_500.25)
    caller = Caller("1" * 64, "key:captions", "acme", method="api-key")
    log.record("end", caller, session_id="s1", tenant="acme", outcome="expired", facts={"duration_s": 1.5})
    log.close()
    line = {name: value for name, value in entries(path)[1].items() if name not in ("prev", "hash")}
    assert line == {
        "seq": 2,
        "time": "2026-11-22T10:15:00.250Z",
        "action": "end",
        "actor": "key:captions",
        "principal": "1" * 64,
        "method": "api-key",
        "tenant": "acme",
        "session": "s1",
        "outcome": "expired",
        "facts": {"duration_s": 1.5},
    }


def test_what_somebody_else_chose_is_cut(path: Path) -> None:
    log = AuditLog(AuditFile(path))
    log.record("x", Caller(name="n" * 9_000), session_id="s" * 9_000, facts={"a": "f" * 9_000})
    log.close()
    assert len(path.read_bytes().splitlines()[1]) < 2_000


def full_disk(path: Path, log: LogWatch, **options: object) -> tuple[StuckFile, AuditLog]:
    log.expect_errors("parley.audit")
    file = StuckFile(path)
    audit = AuditLog(file, **options)  # type: ignore[arg-type]
    assert file.was_tried.wait(WAIT_S)
    return file, audit


def until(condition: Callable[[], bool], event: threading.Event) -> None:
    while not condition():
        assert event.wait(WAIT_S)
        event.clear()


def test_while_it_can_not_be_written_no_session_begins(path: Path, log: LogWatch) -> None:
    file, audit = full_disk(path, log)
    until(lambda: any("can't be written" in one for one in log.messages), file.was_tried)
    with pytest.raises(ParleyError, match="audit-unavailable"):
        audit.check()
    file.is_full = False
    assert file.has_room.wait(WAIT_S)
    audit.close()
    audit.check()
    assert entries(path)[0]["action"] == "audit-opened"


def test_whoever_chose_to_goes_on_without_it(path: Path, log: LogWatch) -> None:
    file, audit = full_disk(path, log, refuses=False)
    audit.check()
    file.is_full = False
    audit.close()


def test_what_found_no_room_is_counted(path: Path, log: LogWatch) -> None:
    file, audit = full_disk(path, log, waiting_max=4)
    for _ in range(10):
        audit.record("start")
    with pytest.raises(ParleyError):
        audit.check()
    file.is_full = False
    assert file.has_room.wait(WAIT_S)
    audit.close()
    lost = [entry["facts"] for entry in entries(path) if entry["action"] == "audit-lost"]
    assert lost[0] == {"entries": 6}


def test_a_log_that_can_not_be_written_to_its_end_does_not_hold_up_the_stop(path: Path, log: LogWatch) -> None:
    _, audit = full_disk(path, log)
    audit.close()
    assert not entries(path)


def test_an_unfinished_line_is_told_of(path: Path) -> None:
    AuditLog(AuditFile(path)).close()
    with path.open("ab") as torn:
        torn.write(b"{")
    AuditLog(AuditFile(path)).close()
    assert entries(path)[2]["facts"] == {"torn_bytes": 1}


class TestTheSettings:
    def test_may_name_none(self) -> None:
        assert open_audit(AuditSettings()) is None

    def test_bind_the_lines_with_a_key(self, path: Path) -> None:
        key = path.with_name("key")
        key.write_text("a key of sixteen\n")
        log = open_audit(AuditSettings(file=str(path), key_file=str(key)))
        assert log is not None
        log.close()
        assert verify(lines_of(path), b"a key of sixteen", Link()).fault is None

    def test_may_name_a_file_that_can_not_be_used(self, path: Path) -> None:
        with pytest.raises(StartError, match="audit-unusable"):
            open_audit(AuditSettings(file=str(path / "none")))

    def test_may_name_a_key_that_is_not_there(self, path: Path) -> None:
        with pytest.raises(StartError, match="key-unreadable"):
            open_audit(AuditSettings(file=str(path), key_file=str(path / "none")))

    def test_may_name_a_key_that_is_none(self, path: Path) -> None:
        path.with_name("key").write_text("short")
        with pytest.raises(StartError, match="key-unusable"):
            open_audit(AuditSettings(file=str(path), key_file=str(path.with_name("key"))))
