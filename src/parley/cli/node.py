"""`parley node`: how a node is, in a few lines."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from parley.cli.admin_options import admin_options
from parley.cli.tls_options import TlsChoice


@click.command("node")
@admin_options
def command(url: str, token_file: Path | None, tls: TlsChoice, as_json: bool) -> None:
    """Show how a node is: its state, its load, its model servers.

    The node has to run with --admin.
    """
    # Loaded only now, so that help and mistakes are answered at once.
    from parley.cli.admin_client import AdminClient
    from parley.cli.table import print_json

    client = AdminClient(url, token_file, tls)
    node, upstreams = client.get("/node"), client.get("/upstreams")
    if as_json:
        print_json({"node": node, **upstreams})
        return
    lines = _lines(node, upstreams)
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:<{width}}  {value}")


def _lines(node: Mapping[str, Any], upstreams: Mapping[str, Any]) -> dict[str, str]:
    from parley.cli.table import span

    lag, refused = node["loop_lag"], node["refused"]
    lines = {
        "state": node["state"],
        "release": f"{node['version']}, up {span(node['uptime_s'])}",
        "sessions": f"{node['live']} live, {node['queued']} queued; {node['ended']} ended, {node['moved']} moved",
        "places": f"{node['places']} of {node['live_max']} in use, {node['opening']} streams being opened",
        "refused": ", ".join(f"{count} {code}" for code, count in refused.items()) or "none",
        "loop late by": f"{lag['p50_ms']:.1f} ms, p99 {lag['p99_ms']:.1f} ms, at worst {lag['max_ms']:.1f} ms",
    }
    if node["rss_bytes"] is not None:
        lines["memory"] = f"{node['rss_bytes'] / 2**20:.0f} MiB"
    for pool in upstreams["pools"]:
        members = [one for one in upstreams["upstreams"] if one["pool"] == pool["name"]]
        ready = sum(one["state"] == "ready" for one in members)
        lines[f"pool {pool['name']}"] = (
            f"{ready} of {len(members)} model servers ready, {pool['streams']} streams, "
            f"delay p95 {pool['lag_p95_s']:.1f} s"
        )
    return lines
