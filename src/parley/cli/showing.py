"""`parley sessions show`: one session, live or ended lately, in words and as a waterfall."""

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

from parley.cli.admin_client import AdminClient
from parley.cli.table import print_json, span
from parley.cli.waterfall import Style, Waterfall, drawn, places_line, scale, widths

_COLOURS: Mapping[Style, str] = {"good": "green", "wait": "yellow", "bad": "red", "plain": ""}
_COLUMNS = 100
"""Where there is no terminal."""


def show_session(client: AdminClient, session_id: str, *, is_live: bool, as_json: bool) -> None:
    """All that is known of one."""
    timeline = client.get(f"/sessions/{session_id}/timeline")
    one = client.get(f"/sessions/{session_id}") if is_live else None
    if as_json:
        print_json({"session": one, "timeline": timeline})
        return
    lines = _of_ended(timeline) if one is None else _of_live(one)
    where = places_line(timeline["places"])
    if where:
        lines["time goes to"] = where
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:<{width}}  {value}")
    print()
    _print_waterfall(timeline)


def _of_live(one: Mapping[str, Any]) -> dict[str, str]:
    return {
        "session": one["id"],
        "state": one["state"] + (f" ({one['recovering']})" if one["recovering"] else ""),
        "began": _date(one["began_s"]),
        "age": span(one["age_s"]),
        "tenant": one["tenant"] or "-",
        "attached": one["transport"] if one["attached"] else "no",
        "came back": _times(one["resumptions"]),
        "model": f"{one['model'] or 'any'} ({one['pool']})",
        "model server": ", ".join(one["members"]) or "-",
        "streams": str(one["legs"]),
        "audio": f"{one['received_s']:.1f} s came, {one['held_s']:.1f} s wait, {one['dropped_s']:.1f} s were dropped",
        "lag": f"{one['lag_s']:.1f} s",
        "turns": str(one["turns"]),
        "last event": str(one["seq"] or "-"),
        "memory": f"{one['held_bytes'] / 1024:.1f} KiB",
    }


def _of_ended(timeline: Mapping[str, Any]) -> dict[str, str]:
    session, totals = timeline["session"], timeline["totals"]
    return {
        "session": session["id"],
        "state": f"ended: {timeline['outcome']}",
        "began": _date(session["began_s"]),
        "lasted": span(timeline["age_s"]),
        "tenant": session["tenant"] or "-",
        "came by": session["transport"] or "-",
        "came back": _times(totals["resumptions"]),
        "model": f"{session['model'] or 'any'} ({session['pool']})",
        "streams": str(totals["legs"]),
        "audio": f"{totals['received_s']:.1f} s came, {totals['dropped_s']:.1f} s were dropped",
        "turns": str(totals["turns"]),
    }


def _times(resumptions: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in resumptions.items()) or "never"


def _date(unix_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(unix_s))


def _print_waterfall(timeline: Mapping[str, Any]) -> None:
    fall = Waterfall(timeline)
    lanes = fall.lanes
    columns = shutil.get_terminal_size((_COLUMNS, 24)).columns if sys.stdout.isatty() else _COLUMNS
    label, width, note = widths(columns, lanes)
    rows = [(lane.label, drawn(lane, fall.until_s, width), ", ".join(lane.notes)) for lane in lanes]
    axis = " " * label + scale(fall.until_s, width)
    left_out = timeline["left_out"]["count"]
    if not sys.stdout.isatty():
        print(axis)
        for name, cells, notes in rows:
            print(f"{name:<{label}}{''.join(glyph for glyph, _ in cells)}  {notes}".rstrip())
    else:
        _print_coloured(axis, rows, label, note)
    if left_out:
        print(f"({left_out} marks in the middle are not kept)")


def _print_coloured(axis: str, rows: list[tuple[str, list[tuple[str, Style]], str]], label: int, note: int) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(axis, style="dim"), no_wrap=True)
    for name, cells, notes in rows:
        line = Text(f"{name:<{label}}")
        for glyph, style in cells:
            line.append(glyph, style=_COLOURS[style])
        line.append(f"  {notes if len(notes) <= note else notes[: note - 1] + '…'}", style="dim")
        console.print(line, no_wrap=True, overflow="crop")
