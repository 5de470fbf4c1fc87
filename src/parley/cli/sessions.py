"""`parley sessions`: what is live on a node; end one, or move it to another model server."""

from pathlib import Path

import click

from parley.cli.admin_options import admin_options, seconds_option
from parley.cli.failure import Misuse

STATES = ("queued", "live", "parked", "recovering", "detached", "leaving")


@click.command("sessions")
@click.argument("action", type=click.Choice(["ls", "show", "end", "move"]), default="ls", metavar="[ls|show|end|move]")
@click.argument("session", required=False, metavar="[ID]")
@click.option("--state", type=click.Choice(STATES), help="ls: only those of this state.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="ls: at the most.")
@seconds_option("--within", "move: without a pause, after so long. [30]")
@admin_options
def command(
    action: str,
    session: str | None,
    state: str | None,
    limit: int,
    within: float | None,
    url: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """List the live sessions of a node, show one, end one, or move one to another model server.

    The first characters of an ID will do. The node has to run with --admin.
    """
    if (action == "ls") != (session is None):
        raise Misuse(f"wrong-usage: `sessions {action}` takes {'no ID' if action == 'ls' else 'the ID of a session'}.")
    # Loaded only now, so that help and mistakes are answered at once.
    from parley.cli import operating
    from parley.cli.admin_client import AdminClient

    client = AdminClient(url, token_file)
    if session is None:
        operating.list_sessions(client, state or "", limit, as_json=as_json)
        return
    found = client.find(session)
    if action == "show":
        operating.show_session(client, found, as_json=as_json)
    elif action == "end":
        operating.end_session(client, found, as_json=as_json)
    else:
        operating.move_session(client, found, within, as_json=as_json)
