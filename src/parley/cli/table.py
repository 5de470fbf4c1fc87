"""Tables: drawn for a person on a terminal, plain and aligned elsewhere."""

import json
import sys
from collections.abc import Sequence
from typing import Any

_GAP = "  "


def print_json(answer: Any) -> None:
    """An answer for a program."""
    print(json.dumps(answer, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: frozenset[str] = frozenset(),
    spare: Sequence[str] = (),
) -> None:
    """One row a line; columns named in `right` hold numbers. A terminal that is too narrow does without those named in
    `spare`, the first of them first, and is told so; elsewhere nothing is left out."""
    if sys.stdout.isatty():
        _draw(header, rows, right, spare)
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        print(_GAP.join(cells).rstrip())


def _draw(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str], spare: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    left_out = _left_out(header, rows, spare, console.width)
    shown = [number for number, name in enumerate(header) if name not in left_out]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number in shown:
        name = header[number]
        # What a person copies, and numbers, stay in one piece; the last column may hold a sentence.
        whole = number != len(header) - 1
        table.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        # Names are no markup.
        table.add_row(*(Text(row[number]) for number in shown))
    console.print(table)
    if left_out:
        console.print(f"(no room here for {', '.join(name for name in header if name in left_out)})", style="dim")


def _left_out(header: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str], width: int) -> frozenset[str]:
    """Which columns to do without, so that the others fit."""
    needed = {
        name: max(map(len, column)) + len(_GAP)
        for name, column in zip(header, zip(header, *rows, strict=True), strict=True)
    }
    left_out: list[str] = []
    for name in spare:
        if sum(needed.values()) - len(_GAP) <= width:
            break
        needed.pop(name)
        left_out.append(name)
    return frozenset(left_out)


def span(seconds: float) -> str:
    """A duration for a person: 5 s, 12:04, 3:07:09."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
