"""`parley upstreams`: the model servers behind a node; drain one, or use it again."""

from pathlib import Path

import click

from parley.cli.admin_options import admin_options, seconds_option
from parley.cli.failure import Misuse
from parley.cli.tls_options import TlsChoice


@click.command("upstreams")
@click.argument("action", type=click.Choice(["ls", "drain", "undrain"]), default="ls", metavar="[ls|drain|undrain]")
@click.argument("name", required=False, metavar="[NAME]")
@seconds_option("--timeout", "drain: sessions wait for a pause for half of it; by default upstream.drain_timeout_s.")
@click.option("--wait", is_flag=True, help="drain: come back when it has no streams any more.")
@admin_options
def command(
    action: str,
    name: str | None,
    timeout: float | None,
    wait: bool,
    url: str,
    token_file: Path | None,
    tls: TlsChoice,
    as_json: bool,
) -> None:
    """List the model servers behind a node, drain one before it is restarted, or use it again.

    The node has to run with --admin.
    """
    if (action == "ls") != (name is None):
        raise Misuse(f"wrong-usage: `upstreams {action}` takes {'no NAME' if action == 'ls' else 'the NAME of one'}.")
    # Loaded only now, so that help and mistakes are answered at once.
    from parley.cli import operating
    from parley.cli.admin_client import AdminClient

    client = AdminClient(url, token_file, tls)
    if name is None:
        operating.list_upstreams(client, as_json=as_json)
    elif action == "drain":
        operating.drain_upstream(client, name, timeout, waits=wait, as_json=as_json)
    else:
        operating.undrain_upstream(client, name, as_json=as_json)
