"""`parley drain`: empty a node before it is stopped, or take that back."""

from pathlib import Path

import click

from parley.cli.admin_options import admin_options, seconds_option
from parley.cli.failure import Misuse
from parley.cli.tls_options import TlsChoice


@click.command("drain")
@click.option("--undo", is_flag=True, help="Take the drain back: the node takes sessions again.")
@seconds_option("--timeout", "What sessions have to finish or to move; by default drain.timeout_s.")
@seconds_option(
    "--settle", "How long the node goes on before that, for balancers to see it; by default drain.settle_s."
)
@click.option("--wait", is_flag=True, help="Come back when the node is empty.")
@admin_options
def command(
    undo: bool,
    timeout: float | None,
    settle: float | None,
    wait: bool,
    url: str,
    token_file: Path | None,
    tls: TlsChoice,
    as_json: bool,
) -> None:
    """Have a node take no new sessions, and those that live finish or move.

    Its process goes on, so that this can be taken back; SIGTERM ends it. The node has to run with --admin.
    """
    if undo and (wait or timeout is not None or settle is not None):
        raise Misuse("wrong-usage: --undo takes no --wait, --timeout or --settle.")
    # Loaded only now, so that help and mistakes are answered at once.
    from parley.cli import operating
    from parley.cli.admin_client import AdminClient

    client = AdminClient(url, token_file, tls)
    if undo:
        operating.undrain_node(client, as_json=as_json)
    else:
        operating.drain_node(client, timeout, settle, waits=wait, as_json=as_json)
