"""`parley simulate`."""

import pytest
from click.testing import CliRunner

from parley.cli.failure import Misuse
from parley.cli.simulate import command
from parley.core.ledger import Ledger


def test_seeds_that_hold_are_summed_up() -> None:
    result = CliRunner().invoke(command, ["--seeds", "2", "--hours", "0.002"], standalone_mode=False)
    assert result.return_value == 0
    assert "2 runs" in result.output
    assert "everything held" in result.output


def test_one_seed_shows_its_last_events() -> None:
    result = CliRunner().invoke(command, ["--seed", "3", "--hours", "0.002"], standalone_mode=False)
    assert result.return_value == 0
    assert "the last events of seed 3" in result.output


def test_a_failure_is_printed_with_the_command_that_shows_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    after = Ledger.after
    monkeypatch.setattr(Ledger, "after", lambda self, seq: list(after(self, seq))[1:])
    result = CliRunner().invoke(command, ["--seeds", "30", "--no-minimise"], standalone_mode=False)
    assert result.return_value == 1
    assert "again: parley simulate --seed" in result.output
    assert "faults: " in result.output


def test_an_unknown_class_of_faults_is_refused_with_those_there_are() -> None:
    result = CliRunner().invoke(command, ["--without", "rain"], standalone_mode=False)
    assert isinstance(result.exception, Misuse)
    assert "crash_a_minute" in str(result.exception)
