"""The options that choose settings, shared by `serve` and `check-config`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import click

from parley.cli.admin_options import DEFAULT_ADMIN_PORT
from parley.cli.failure import Misuse
from parley.server.settings.document import PRESETS, EngineKind, LogFormat, LogLevel
from parley.server.settings.sources import FlagValue, Loaded, SettingsError, load

# Flag, key, metavar or choices, help. Values go to the settings as text and are judged there, like all others.
_FLAGS: tuple[tuple[str, str, str | tuple[str, ...], str], ...] = (
    ("--host", "server.host", "ADDRESS", "Address to listen on."),
    ("--port", "server.port", "PORT", "Port to listen on; 0 takes a free one."),
    ("--http2-port", "http2.port", "PORT", "Port of SageMaker's endpoint, which it turns on; 0 takes a free one."),
    ("--max-sessions", "server.max_sessions", "N", "Live sessions that this node accepts."),
    ("--upstream", "upstream.url", "URL", "Model server to use, as ws://HOST:PORT/v1/realtime."),
    ("--upstream-model", "upstream.model", "NAME", "Its model; asked for when not given."),
    ("--upstream-max-sessions", "upstream.max_sessions", "N", "Streams to have open on it; vLLM's --max-num-seqs."),
    ("--launch", "launch.command", "COMMAND", "Model server to start and watch, as 'vllm serve MODEL --port {port}'."),
    ("--engine", "engine.kind", get_args(EngineKind), "Embedded engine, used without --upstream and --launch."),
    ("--log-level", "log.level", get_args(LogLevel), "Least severe records that are written."),
    ("--log-format", "log.format", get_args(LogFormat), "auto: text on a terminal, JSON elsewhere."),
)


def settings_options[F: Callable[..., Any]](function: F) -> F:
    """Add the options to a command; what they gather goes to `load_settings`."""
    function = click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting, as section.key=value."
    )(function)
    for flag, _, kind, text in reversed(_FLAGS):
        choices = click.Choice(kind) if isinstance(kind, tuple) else str
        function = click.option(flag, type=choices, metavar=kind if isinstance(kind, str) else None, help=text)(
            function
        )
    function = click.option(
        "--http2", "with_http2", is_flag=True, help="Be a SageMaker endpoint too: HTTP/2 streams, on port 8443."
    )(function)
    function = click.option(
        "--admin",
        "admin_port",
        is_flag=False,
        flag_value=str(DEFAULT_ADMIN_PORT),
        metavar="[PORT]",
        help=f"Open the admin API, on port {DEFAULT_ADMIN_PORT} of loopback.",
    )(function)
    function = click.option("--preset", type=click.Choice(list(PRESETS)), help="Defaults for a place to run in.")(
        function
    )
    return click.option(
        "--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings file in TOML; or PARLEY_CONFIG."
    )(function)


def load_settings(
    config: Path | None,
    preset: str | None,
    assignments: tuple[str, ...],
    with_http2: bool,
    admin_port: str | None,
    **flags: str | None,
) -> Loaded:
    """The settings of this process: options, environment, file, preset. Raises Misuse with every problem."""
    given = [
        FlagValue(dotted, text, flag)
        for flag, dotted, _, _ in _FLAGS
        if (text := flags[flag.removeprefix("--").replace("-", "_")]) is not None
    ]
    if with_http2 or flags["http2_port"] is not None:
        given.append(FlagValue("http2.enabled", "true", "--http2" if with_http2 else "--http2-port"))
    if admin_port is not None:
        given.append(FlagValue("admin.port", admin_port, "--admin"))
    try:
        return load(environ=os.environ, config=config, preset=preset, flags=given, assignments=assignments)
    except SettingsError as error:
        raise Misuse(*(f"{error.code}: {problem}" for problem in error.problems)) from None
