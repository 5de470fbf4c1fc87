"""`parley serve`: the gateway, until SIGTERM or Ctrl-C."""

import sys
from typing import Any

import click

from parley.cli.failure import NotStarted
from parley.cli.loop import run_loop
from parley.cli.settings_options import load_settings, settings_options

_CLIENT_DEFAULT = "127.0.0.1:8080"
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


@click.command("serve")
@settings_options
def command(**options: Any) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Without --upstream and --launch it starts the embedded engine, which hears English on a CPU. Every setting may also
    come from a file or from PARLEY_SECTION_KEY; `parley check-config` shows them all with the same options.
    """
    settings = load_settings(**options).settings
    # The server's modules are loaded only now: wrong settings are reported in a moment.
    from parley.observe.log import configure, guard
    from parley.server.app import serve
    from parley.server.start import StartError

    configure(settings.log.level, settings.log.format)
    guard()
    try:
        run_loop(serve(settings, on_ready=_greet if sys.stdout.isatty() else None))
    except StartError as error:
        raise NotStarted(str(error)) from None


def _greet(host: str, port: int) -> None:
    print(greeting(host, port), flush=True)


def greeting(host: str, port: int) -> str:
    """What to do next, for the person who started the gateway."""
    shown = "127.0.0.1" if host in _ANY_ADDRESS else host
    address = f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}"
    option = "" if address == _CLIENT_DEFAULT else f" --url ws://{address}"
    return f"""
Parley is ready on http://{address}

  transcribe a recording   parley transcribe FILE.wav{option}
  the same with curl       curl -H 'Content-Type: audio/wav' --data-binary @FILE.wav http://{address}/invocations
  for your own client      ws://{address}/v1/realtime
  stop                     Ctrl-C
"""
