"""`parley demo`: a recording through a gateway and engine of its own, from nothing to a transcript."""

from pathlib import Path

import click


@click.command("demo")
@click.argument("file", required=False, type=click.Path(path_type=Path), metavar="[FILE]")
def command(file: Path | None) -> int:
    """Start a gateway with the embedded engine, stream FILE through it as if it were spoken now, and show the words.

    Without FILE it plays a recording that comes with Parley, and checks what was heard against what was said. Needs no
    network, no graphics card and no model server; everything that it starts has ended when it ends.
    """
    # Loaded only now, so that help is answered at once.
    from parley.cli.demonstration import Demonstration, run

    return run(Demonstration(file))
