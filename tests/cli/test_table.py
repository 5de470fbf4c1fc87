"""Tables on terminals of every width, and elsewhere."""

import re
import sys

import pytest

from parley.cli.table import print_table

HEADER = ("NAME", "STATE", "VIA", "WHY")
ROWS = (("127.0.0.1:36743", "draining", "websocket", "An operator drains it."),)
WIDTH = len("127.0.0.1:36743  draining  websocket  An operator drains it.")


def shown(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(HEADER, ROWS, spare=("VIA", "STATE"))
    return [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()]


def test_a_wide_terminal_has_every_column(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    header, row = shown(WIDTH, monkeypatch, capsys)
    assert header.split() == list(HEADER)
    assert row == "127.0.0.1:36743  draining  websocket  An operator drains it."


def test_a_narrow_one_does_without_spare_columns_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    header, row, note = shown(WIDTH - 1, monkeypatch, capsys)
    assert header.split() == ["NAME", "STATE", "WHY"]
    assert row == "127.0.0.1:36743  draining  An operator drains it."
    assert note == "(no room here for VIA)"


@pytest.mark.parametrize("width", [20, 30, 45, 60])
def test_what_a_person_copies_stays_in_one_piece(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert any(line.split()[:1] == ["127.0.0.1:36743"] for line in shown(width, monkeypatch, capsys))


def test_a_pipe_gets_every_column_however_narrow_the_terminal_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    print_table(HEADER, ROWS, spare=("VIA", "STATE"))
    assert capsys.readouterr().out.splitlines()[1] == "127.0.0.1:36743  draining  websocket  An operator drains it."
