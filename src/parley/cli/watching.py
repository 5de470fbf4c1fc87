"""`parley sessions watch`: the live sessions of a node, drawn anew every second."""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from parley.cli.admin_client import AdminClient
from parley.cli.failure import Failure, Misuse
from parley.cli.table import span

if TYPE_CHECKING:
    from rich.console import RenderableType

INTERVAL_S = 1.0

_SHOWN_CHARS = len("sess-") + 12
_SESSIONS_MAX = 500
_CHROME_LINES = 5
_STYLES = {
    "live": "green",
    "parked": "dim",
    "queued": "yellow",
    "detached": "yellow",
    "recovering": "red",
    "leaving": "magenta",
}
_LATE_S = 1.0


def watch(client: AdminClient, state: str) -> None:
    """Draw until the terminal says stop, or the node is gone.

    Raises:
        Misuse: there is no terminal.
    """
    if not sys.stdout.isatty():
        raise Misuse("wrong-usage: `sessions watch` needs a terminal; `parley sessions --json` is for programs.")
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_screen(client, state, console.height), refresh=True)
            time.sleep(INTERVAL_S)


def _screen(client: AdminClient, state: str, height: int) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    try:
        node = client.get("/node", window_s=10)
        found, _, _ = client.sessions(state, _SESSIONS_MAX)
    except Failure as error:
        return Text(f"{error} Trying again.", style="red")
    # Those that are worst off first; by age among equals.
    found.sort(key=lambda one: (-float(one["lag_s"]), one["began_s"]))
    rows = max(1, height - _CHROME_LINES)
    left_out = len(found) - rows
    foot = f"and {left_out} more" if left_out > 0 else ""
    return Group(Text(headline(node), style="bold"), Text(), _table(found[:rows]), Text(foot, style="dim"))


def headline(node: Mapping[str, Any]) -> str:
    """The node in a line."""
    memory = "" if node["rss_bytes"] is None else f", {node['rss_bytes'] / 2**20:.0f} MiB"
    queued = f", {node['queued']} queued" if node["queued"] else ""
    return (
        f"{node['state']}, up {span(node['uptime_s'])}: {node['live']} sessions of {node['live_max']} places{queued}; "
        f"loop late by {node['loop_lag']['p99_ms']:.1f} ms (p99){memory}"
    )


def _table(sessions: list[dict[str, Any]]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("SESSION", no_wrap=True)
    table.add_column("STATE", no_wrap=True)
    for name in ("AGE", "LAG", "HELD", "MEMORY", "TURNS"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("CAME BACK", "VIA", "MODEL SERVER"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for one in sessions:
        late = "red" if one["lag_s"] > _LATE_S else ""
        table.add_row(
            one["id"][:_SHOWN_CHARS],
            Text(one["state"], style=_STYLES.get(one["state"], "")),
            span(one["age_s"]),
            Text(f"{one['lag_s']:.1f} s", style=late),
            f"{one['held_s']:.1f} s",
            f"{one['held_bytes'] / 1024:.0f} KiB",
            str(one["turns"]),
            ", ".join(f"{count} {outcome}" for outcome, count in one["resumptions"].items()) or "-",
            one["transport"] or "-",
            # Names are no markup.
            Text(", ".join(one["members"]) or "-"),
        )
    return table
