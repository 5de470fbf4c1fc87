"""Sweeps: totals, and a failing run made smaller."""

import pytest

from parley.core.ledger import Ledger
from parley.simulation import Options, run
from parley.simulation.sweep import minimise, sweep


def test_a_sweep_adds_up_its_runs() -> None:
    totals = sweep((Options(seed, speech_s=10.0) for seed in range(5)), failures_max=1)
    assert totals.runs == 5
    assert totals.words > 0
    assert not totals.broken


def test_a_sweep_stops_when_it_is_told_to() -> None:
    calls = iter([True, True, False])
    totals = sweep((Options(seed, speech_s=5.0) for seed in range(5)), failures_max=1, goes_on=lambda: next(calls))
    assert totals.runs == 2


def test_a_failing_run_is_made_smaller_and_still_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    after = Ledger.after
    monkeypatch.setattr(Ledger, "after", lambda self, seq: list(after(self, seq))[1:])
    totals = sweep((Options(seed) for seed in range(30)), failures_max=8)
    report = max(totals.broken, key=lambda broken: len(broken.options.drawn.plan.active))
    small = minimise(report)
    assert not small.is_ok
    assert len(small.options.drawn.plan.active) < len(report.options.drawn.plan.active)
    assert not run(small.options).is_ok
    assert small.options.command.startswith(f"parley simulate --seed {report.options.seed} ")
