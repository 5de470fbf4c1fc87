"""`parley engine`: the embedded speech engine by itself, until SIGTERM or Ctrl-C."""

import os
import sys
from pathlib import Path
from typing import Literal, get_args

import click

from parley.cli.failure import NotStarted
from parley.cli.loop import run_loop
from parley.engine.clock import tokens_of
from parley.engine.options import KEY_VARIABLE, EngineName, EngineOptions
from parley.server.settings.document import LogFormat, LogLevel
from parley.server.start import cannot_listen

CONTEXT_LEAST_S = 2.0
CONTEXT_MOST_S = 1_000_000.0

_DEFAULTS = EngineOptions()


@click.command("engine")
@click.option("--host", default=_DEFAULTS.host, show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=_DEFAULTS.port,
    show_default=True,
    metavar="PORT",
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--engine",
    "kind",
    type=click.Choice(get_args(EngineName)),
    default=_DEFAULTS.engine,
    show_default=True,
    help="tiny-en hears English, scripted answers from rules.",
)
@click.option(
    "--model-name",
    default="",
    metavar="NAME",
    help="Name that clients ask for; the engine's own, tiny-en or scripted, when not given.",
)
@click.option(
    "--model-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Weights to use instead of the packaged ones.",
)
@click.option(
    "--max-sessions",
    type=click.IntRange(1, 1_000_000),
    default=_DEFAULTS.max_sessions,
    show_default=True,
    metavar="N",
    help="Connections open at once.",
)
@click.option(
    "--decode-threads",
    type=click.IntRange(0, 256),
    default=_DEFAULTS.decode_threads,
    show_default=True,
    metavar="N",
    help="Threads that decode; 0 is one for each core.",
)
@click.option(
    "--context-s",
    type=click.FloatRange(CONTEXT_LEAST_S, CONTEXT_MOST_S),
    metavar="SECONDS",
    help="Audio after which a turn ends unasked, as at vLLM's --max-model-len; 2 h 54 min when not given.",
)
@click.option("--log-level", type=click.Choice(get_args(LogLevel)), default="info", show_default=True)
@click.option("--log-format", type=click.Choice([*get_args(LogFormat), "bare"]), default="auto", show_default=True)
def command(
    host: str,
    port: int,
    kind: EngineName,
    model_name: str,
    model_dir: Path | None,
    max_sessions: int,
    decode_threads: int,
    context_s: float | None,
    log_level: LogLevel,
    log_format: Literal["auto", "text", "json", "bare"],
) -> None:
    """Run the embedded speech engine by itself, until SIGTERM or Ctrl-C.

    It speaks vLLM's realtime protocol, so a gateway takes it for a model server: parley serve --upstream
    ws://127.0.0.1:8000/v1/realtime. `parley serve` alone starts one by itself. With VLLM_API_KEY set, only who sends
    that key as a bearer token is answered.
    """
    options = EngineOptions(
        host=host,
        port=port,
        engine=kind,
        model_name=model_name,
        max_sessions=max_sessions,
        decode_threads=decode_threads,
        model_dir=model_dir,
        max_model_len=_DEFAULTS.max_model_len if context_s is None else tokens_of(context_s),
        api_key=os.environ.get(KEY_VARIABLE, ""),
    )
    from parley.engine.server import serve_engine
    from parley.engine.weights import WeightsError
    from parley.observe.log import configure, guard
    from parley.server.crash_dumps import forbid_crash_dumps

    configure(log_level, log_format)
    guard()
    forbid_crash_dumps()
    try:
        run_loop(serve_engine(options, on_ready=lambda bound: _greet(host, bound)))
    except WeightsError as error:
        raise NotStarted(f"engine-not-loaded: {error}") from None
    except OSError as error:
        raise NotStarted(str(cannot_listen(host, port, error))) from None


def _greet(host: str, port: int) -> None:
    if sys.stdout.isatty():
        print(f"The engine listens on ws://{host}:{port}/v1/realtime. Ctrl-C ends it.", flush=True)
