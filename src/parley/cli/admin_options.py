"""The options that say which node's admin API a command asks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from parley.cli.tls_options import tls_options

DEFAULT_ADMIN_PORT = 9901
DEFAULT_ADMIN_URL = f"http://127.0.0.1:{DEFAULT_ADMIN_PORT}"


def admin_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add them to a command, as `url`, `token_file`, `tls` (a TlsChoice) and `as_json`."""
    function = click.option("--json", "as_json", is_flag=True, help="Print the admin API's answer.")(function)
    function = tls_options(function)
    function = click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        envvar="PARLEY_ADMIN_TOKEN_FILE",
        metavar="FILE",
        help="Holds the token; or PARLEY_ADMIN_TOKEN_FILE.",
    )(function)
    return click.option(
        "--admin",
        "url",
        default=DEFAULT_ADMIN_URL,
        show_default=True,
        envvar="PARLEY_ADMIN_URL",
        metavar="URL",
        help="Admin API; or PARLEY_ADMIN_URL.",
    )(function)


def seconds_option[F: Callable[..., Any]](name: str, help_text: str) -> Callable[[F], F]:
    """An option of a time, of a day at the most; None where it is not given."""
    return click.option(name, type=click.FloatRange(0, 86_400), metavar="SECONDS", help=help_text)
