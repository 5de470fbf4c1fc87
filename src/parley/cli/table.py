"""Tables: drawn for a person on a terminal, plain and aligned elsewhere."""

import json
import sys
from collections.abc import Sequence
from typing import Any

_GAP = "  "


def print_json(answer: Any) -> None:
    """An answer for a program."""
    print(json.dumps(answer, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> None:
    """One row a line; columns named in `right` hold numbers."""
    if sys.stdout.isatty():
        _draw(header, rows, right)
        return
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ]
        print(_GAP.join(cells).rstrip())


def _draw(header: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in header:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        # Names are no markup.
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def span(seconds: float) -> str:
    """A duration for a person: 5 s, 12:04, 3:07:09."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
