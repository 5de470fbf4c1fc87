"""`parley check-config`: every setting with its value and origin, or everything that is wrong."""

from typing import Any

import click

from parley.cli.settings_options import load_settings, settings_options


@click.command("check-config")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(as_json: bool, **options: Any) -> None:
    """Show every setting and where it comes from, or what is wrong.

    Takes the same options as `parley serve` and reads the same file and environment, so it shows what serve would run
    with. Nothing is started. Keys and tokens in command lines are not shown.
    """
    from parley.server.settings import view as settings_view

    loaded = load_settings(**options)
    print(settings_view.as_json(loaded) if as_json else settings_view.as_text(loaded))
