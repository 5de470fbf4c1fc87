"""Many runs: what they add up to, and a failing one made as small as it still fails."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from parley.simulation.options import Options
from parley.simulation.run import Report, run

_SHORTEST_S = 5.0


@dataclass
class Totals:
    """What a number of runs add up to; of the broken ones the reports are kept."""

    runs: int = 0
    simulated_s: float = 0.0
    words: int = 0
    connections: int = 0
    losses: int = 0
    generations: int = 0
    most_held_bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[Report] = field(default_factory=list)

    def add(self, report: Report) -> None:
        """A further run."""
        self.runs += 1
        self.simulated_s += report.simulated_s
        self.words += report.words
        self.connections += report.connections
        self.losses += report.losses
        self.generations += report.generations
        self.most_held_bytes = max(self.most_held_bytes, report.most_held_bytes)
        self.outcomes.update(report.outcomes.values())
        self.faults.update(list(report.options.drawn.plan.active))
        if not report.is_ok:
            self.broken.append(report)


def sweep(
    runs: Iterable[Options],
    *,
    failures_max: int,
    goes_on: Callable[[], bool] = lambda: True,
    on_report: Callable[[Report], None] = lambda _report: None,
) -> Totals:
    """Run them in turn until so many have failed, or `goes_on` says no."""
    totals = Totals()
    for options in runs:
        if not goes_on():
            break
        report = run(options)
        totals.add(report)
        on_report(report)
        if len(totals.broken) >= failures_max:
            break
    return totals


def minimise(report: Report, *, runs_max: int = 60) -> Report:
    """A smaller run that fails too: without the faults it does not need, with fewer users and less speech.

    What it fails with may differ: any failure is worth seeing small.
    """
    best, runs = report, 0

    def fails(options: Options) -> Report | None:
        nonlocal runs
        if runs >= runs_max:
            return None
        runs += 1
        tried = run(options)
        return None if tried.is_ok else tried

    for users in range(1, best.options.drawn.users):
        if (tried := fails(replace(best.options, users=users))) is not None:
            best = tried
            break
    for name in report.options.drawn.plan.active:
        if name != "leg_faults" and (tried := fails(_without(best.options, name))) is not None:
            best = tried
    while best.options.speech_s / 2 >= _SHORTEST_S:
        if (tried := fails(replace(best.options, speech_s=best.options.speech_s / 2))) is None:
            break
        best = tried
    return best


def _without(options: Options, name: str) -> Options:
    return replace(options, without=(*options.without, name))
