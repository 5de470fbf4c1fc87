"""`parley sessions`: what is live on a node; end one, or move it; and what is kept of those that were."""

from pathlib import Path

import click

from parley.cli.admin_options import admin_options, seconds_option
from parley.cli.failure import Misuse
from parley.cli.tls_options import TlsChoice

STATES = ("queued", "live", "parked", "recovering", "detached", "leaving")
ACTIONS = ("ls", "show", "watch", "ended", "end", "move", "kept", "read", "purge")
_OF_MANY = ("ls", "watch", "ended", "kept")


@click.command("sessions")
@click.argument("action", type=click.Choice(ACTIONS), default="ls", metavar=f"[{'|'.join(ACTIONS)}]")
@click.argument("session", required=False, metavar="[ID]")
@click.option("--state", type=click.Choice(STATES), help="ls, watch: only those of this state.")
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
    tls: TlsChoice,
    as_json: bool,
) -> None:
    """List the live sessions of a node, show one, end one, or move one to another model server.

    `show` draws what happened in a session, and says where its time goes; it knows those that `ended` lists as well.
    `watch` draws all that live, every second. `kept` lists the sessions of which something is kept, `read` shows what
    was said in one, and `purge` shreds it.

    The first characters of an ID will do. The node has to run with --admin.
    """
    _check(action, session, tenant, expired=expired)
    # Loaded only now, so that help and mistakes are answered at once.
    from parley.cli import operating, retaining, showing, watching
    from parley.cli.admin_client import AdminClient

    client = AdminClient(url, token_file, tls)
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
        if action == "watch":
            watching.watch(client, state or "")
        elif action == "ended":
            operating.list_ended(client, as_json=as_json)
        else:
            operating.list_sessions(client, state or "", limit, as_json=as_json)
        return
    if action == "show":
        shown, is_live = client.find_any(session)
        showing.show_session(client, shown, is_live=is_live, as_json=as_json)
        return
    found = client.find(session)
    if action == "end":
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
    if (action in _OF_MANY) != (session is None):
        wanted = "no ID" if action in _OF_MANY else "the ID of a session"
        raise Misuse(f"wrong-usage: `sessions {action}` takes {wanted}.")
