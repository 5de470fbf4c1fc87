"""Figures of all passes to a table and a file."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.probe import Reading

RIVALS = ("nginx", "splice")


@dataclass(slots=True)
class Record:
    """One server's figures in one pass."""

    fixed: Reading | None = None
    """At the load that is the same for all servers; None when the server did not keep up with it, since work put off
    until after the measurement would be missing."""
    sessions_max: int = 0
    limited: bool = False
    """Whether the search ended at its limit rather than the server's."""
    probes: list[Reading] = field(default_factory=list)


Pass = dict[str, Record]


def _spread(values: Sequence[float], form: str) -> str:
    if not values:
        return "-"
    middle = format(median(values), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({format(min(values), form)} to {format(max(values), form)})"


def _values(passes: Sequence[Pass], name: str, figure: Callable[[Record], float | None]) -> list[float]:
    records = (each[name] for each in passes if name in each)
    return [value for record in records if (value := figure(record)) is not None]


def _ratios(passes: Sequence[Pass], name: str, rival: str, figure: Callable[[Record], float | None]) -> list[float]:
    """Pass by pass, so that what slows the whole machine for a while cancels out."""
    ratios = []
    for each in passes:
        own, other = (figure(each[key]) if key in each else None for key in (name, rival))
        if own and other:
            ratios.append(own / other)
    return ratios


def _sessions_max(record: Record) -> float | None:
    return record.sessions_max or None


def _cpu_us(record: Record) -> float | None:
    return record.fixed.cpu_us if record.fixed else None


def _user_us(record: Record) -> float | None:
    return record.fixed.user_us if record.fixed else None


def _p99_ms(record: Record) -> float | None:
    return record.fixed.p99_ms if record.fixed else None


def table(passes: Sequence[Pass], titles: dict[str, str], of: Sequence[str] = RIVALS, unit: str = "message") -> str:
    """A Markdown table of medians over the passes, with the least and the greatest in brackets; ratios to `of`."""
    names = [name for name in titles if any(name in each for each in passes)]
    rivals = [rival for rival in of if rival in names]
    head = ["", "sessions on one core", *(f"÷ {rival}" for rival in rivals)]
    head += [f"CPU µs per {unit}", "of it user", *(f"÷ {rival}" for rival in rivals), "p99 ms"]
    rows = [head, ["---", *("---:" for _ in head[1:])]]
    for name in names:
        row = [titles[name], _spread(_values(passes, name, _sessions_max), ",.0f")]
        row += [_spread(_ratios(passes, name, rival, _sessions_max), ".2f") for rival in rivals]
        row += [_spread(_values(passes, name, _cpu_us), ".0f"), _spread(_values(passes, name, _user_us), ".0f")]
        row += [_spread(_ratios(passes, name, rival, _cpu_us), ".2f") for rival in rivals]
        row.append(_spread(_values(passes, name, _p99_ms), ".1f"))
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def cautions(passes: Sequence[Pass], titles: dict[str, str], quiet_share: float) -> list[str]:
    """What a reader must know before trusting the figures."""
    found = []
    readings = [reading for each in passes for record in each.values() for reading in record.probes]
    foreign = median([reading.foreign_share for reading in readings]) if readings else 0.0
    if foreign > quiet_share:
        found.append(
            f"Other processes took {foreign:.0%} of the server's core (median over all probes): read the ratios, "
            "and repeat the run on a quiet machine."
        )
    for name, title in titles.items():
        records = [each[name] for each in passes if name in each]
        if any(record.limited for record in records):
            found.append(f"{title}: the search ended at its limit; the server carries more.")
        if missing := sum(record.fixed is None for record in records):
            found.append(f"{title}: no CPU figure from {missing} of {len(records)} passes, as it did not keep up.")
        broken = {
            reading.first_error
            for record in records
            for reading in record.probes
            if reading.errors and reading.first_error
        }
        found += [f"{title}: sessions failed in at least one probe: {error}" for error in sorted(broken)]
        if any(reading.altered for record in records for reading in record.probes):
            found.append(f"{title}: audio reached the model server other than it was sent.")
    return found


def write(folder: Path, environment: dict[str, Any], passes: Sequence[Pass], text: str, name: str = "latest") -> None:
    """NAME.json with every probe and NAME.md with the table."""
    folder.mkdir(parents=True, exist_ok=True)
    every = [{name: asdict(record) for name, record in each.items()} for each in passes]
    figures = json.dumps({"environment": environment, "passes": every}, indent=1)
    (folder / f"{name}.json").write_text(figures + "\n")
    (folder / f"{name}.md").write_text(text + "\n")
