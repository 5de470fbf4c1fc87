"""`parley sessions`: what is live on a node; end one, or move it; and what is kept of those that were."""

from pathlib import Path

import click

from parley.cli.admin_options import admin_options, seconds_option
from parley.cli.failure import Misuse

STATES = ("queued", "live", "parked", "recovering", "detached", "leaving")
ACTIONS = ("ls", "show", "end", "move", "kept", "read", "purge")


@click.command("sessions")
@click.argument("action", type=click.Choice(ACTIONS), default="ls", metavar=f"[{'|'.join(ACTIONS)}]")
@click.argument("session", required=False, metavar="[ID]")
@click.option("--state", type=click.Choice(STATES), help="ls: only those of this state.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="ls: at the most.")
@seconds_option("--within", "move: without a pause, after so long. [30]")
@click.option("--audio", type=click.Path(path_type=Path), metavar="FILE", help="read: write the audio to this WAV.")
@click.option("--tenant", metavar="NAME", help="purge: all that is kept of this tenant's sessions.")
@click.option("--expired", is_flag=True, help="purge: all that is past its time.")
@admin_options
def command(
    action: str,
    session: str | None,
    state: str | None,
    limit: int,
    within: float | None,
    audio: Path | None,
    tenant: str | None,
    expired: bool,
    url: str,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """List the live sessions of a node, show one, end one, or move one to another model server.

    `kept` lists the sessions of which something is kept, `read` shows what was said in one, and `purge` shreds it.

    The first characters of an ID will do. The node has to run with --admin.
    """
    _check(action, session, tenant, expired=expired)
    # Loaded only now, so that help and mistakes are answered at once.
    from parley.cli import operating, retaining
    from parley.cli.admin_client import AdminClient

    client = AdminClient(url, token_file)
    if action in ("kept", "read", "purge"):
        found = None if session is None else retaining.find_kept(client, session)
        if action == "purge":
            retaining.purge(client, found, tenant, as_json=as_json)
        elif found is None:
            retaining.list_kept(client, as_json=as_json)
        elif audio is not None:
            retaining.save_audio(client, found, audio)
        else:
            retaining.read_transcript(client, found, as_json=as_json)
        return
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


def _check(action: str, session: str | None, tenant: str | None, *, expired: bool) -> None:
    if action == "purge":
        if (session is not None) + (tenant is not None) + expired != 1:
            raise Misuse(
                "wrong-usage: `sessions purge` takes one of these: the ID of a session, --tenant or --expired."
            )
        return
    if tenant is not None or expired:
        raise Misuse("wrong-usage: --tenant and --expired are for `sessions purge`.")
    if (action in ("ls", "kept")) != (session is None):
        wanted = "no ID" if action in ("ls", "kept") else "the ID of a session"
        raise Misuse(f"wrong-usage: `sessions {action}` takes {wanted}.")
