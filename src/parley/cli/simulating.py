"""What `parley simulate` does: runs seeds, and shows what came of them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import count, islice

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from parley.cli.failure import FAILED, Misuse
from parley.simulation.faults import FaultPlan
from parley.simulation.options import SPEECH_S, Options
from parley.simulation.run import Report
from parley.simulation.sweep import Totals, minimise, sweep

_EVENTS_SHOWN = 60
_PROGRESS_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Simulating:
    """The options of the command; see there."""

    seeds: int
    first: int
    is_verbose: bool
    hours: float | None
    minutes: float | None
    users: int | None
    plain_users: int | None
    diverges: bool | None
    without: tuple[str, ...]
    failures: int
    minimises: bool

    def runs(self) -> Iterator[Options]:
        """The runs in order: endless when a time is given."""
        seeds = count(self.first) if self.minutes is not None else islice(count(self.first), self.seeds)
        speech_s = self.hours * 3600 if self.hours is not None else SPEECH_S
        for seed in seeds:
            yield Options(
                seed,
                speech_s=speech_s,
                users=self.users,
                plain_users=self.plain_users,
                diverges=self.diverges,
                without=self.without,
            )


def simulate(asked: Simulating) -> int:
    """Run what was asked for, print what came of it, and return the exit status."""
    classes = {field.name for field in fields(FaultPlan)}
    if unknown := sorted(set(asked.without) - classes):
        raise Misuse(f"there is no class of faults {', '.join(unknown)}; there are {', '.join(sorted(classes))}")
    console = Console(highlight=False, soft_wrap=True)
    began_at = time.monotonic()
    ends_at = began_at + asked.minutes * 60 if asked.minutes is not None else float("inf")
    progress = _Progress(console, began_at)
    totals = sweep(
        asked.runs(),
        failures_max=asked.failures,
        goes_on=lambda: time.monotonic() < ends_at,
        on_report=progress.show,
    )
    for report in totals.broken:
        show_failure(console, minimise(report) if asked.minimises else report)
    if asked.is_verbose and not totals.broken:
        show_events(console, progress.last)
    show_totals(console, totals, time.monotonic() - began_at)
    return FAILED if totals.broken else 0


class _Progress:
    """A line now and then; nothing when the output is no terminal."""

    def __init__(self, console: Console, began_at: float) -> None:
        self._console = console
        self._shown_at = began_at
        self._count = 0
        self.last: Report | None = None

    def show(self, report: Report) -> None:
        """A run is over."""
        self.last = report
        self._count += 1
        now = time.monotonic()
        if self._console.is_terminal and now - self._shown_at > _PROGRESS_EVERY_S:
            self._shown_at = now
            self._console.print(f"[dim]{self._count} runs, seed {report.options.seed}[/dim]")


def show_failure(console: Console, report: Report) -> None:
    """A broken run: its end as a table, what broke, its options, and how to see it again."""
    show_events(console, report)
    drawn = report.options.drawn
    console.print(f"[bold red]seed {report.options.seed}:[/] {escape(report.broken)}")
    if report.trace:
        console.print(escape(report.trace))
    faults = ", ".join(f"{name}={value}" for name, value in drawn.plan.active.items()) or "none"
    console.print(f"faults: {escape(faults)}")
    console.print(f"model: {drawn.model}", f"network: {drawn.quality}", f"limits: {drawn.limits}", sep="\n")
    console.print(f"again: [bold]{escape(report.options.command)}[/]")


def show_events(console: Console, report: Report | None) -> None:
    """The last events of a run."""
    if report is None:
        return
    table = Table(title=f"the last events of seed {report.options.seed}", title_justify="left")
    table.add_column("s", justify="right", no_wrap=True)
    table.add_column("who", no_wrap=True)
    table.add_column("what")
    for event in report.events[-_EVENTS_SHOWN:]:
        table.add_row(f"{event.at_s:.3f}", escape(event.actor), escape(event.what))
    console.print(table)


def show_totals(console: Console, totals: Totals, real_s: float) -> None:
    """What the runs add up to."""
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in totals.outcomes.most_common())
    console.print(
        f"{totals.runs} runs, {totals.simulated_s / 3600:.2f} h simulated in {real_s:.1f} s: {totals.words} words, "
        f"{totals.connections} connections, {totals.generations} generations, {totals.losses} legs lost, "
        f"at most {totals.most_held_bytes / 1e6:.1f} MB held by a session."
    )
    console.print(f"sessions: {outcomes}")
    verdict = f"[bold red]{len(totals.broken)} broken[/]" if totals.broken else "[bold green]everything held[/]"
    console.print(verdict)
