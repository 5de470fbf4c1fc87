"""`parley serve`: the gateway, until SIGTERM or Ctrl-C."""

import shlex
import sys
from typing import Any

import click

from parley.cli.admin_options import DEFAULT_ADMIN_URL
from parley.cli.failure import NotStarted
from parley.cli.loop import run_loop
from parley.cli.settings_options import load_settings, settings_options
from parley.server.ready import Ready

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
    from parley.server.crash_dumps import forbid_crash_dumps
    from parley.server.start import StartError

    configure(settings.log.level, settings.log.format)
    guard()
    forbid_crash_dumps()
    try:
        run_loop(serve(settings, on_ready=_greet if sys.stdout.isatty() else None))
    except StartError as error:
        raise NotStarted(*str(error).splitlines()) from None


def _greet(ready: Ready) -> None:
    print(greeting(ready), flush=True)


def greeting(ready: Ready) -> str:
    """What to do next, for the person who started the gateway."""
    shown = "127.0.0.1" if ready.host in _ANY_ADDRESS else ready.host
    address = f"[{shown}]:{ready.port}" if ":" in shown else f"{shown}:{ready.port}"
    ws, http = ("wss", "https") if ready.has_tls else ("ws", "http")
    option = "" if f"{ws}://{address}" == f"ws://{_CLIENT_DEFAULT}" else f" --url {ws}://{address}"
    return f"""
Parley is ready on {http}://{address}

{_page_line(ready, f"{http}://{address}/")}  transcribe a recording   parley transcribe FILE.wav{option}
  the same with curl       curl -H 'Content-Type: audio/wav' --data-binary @FILE.wav {http}://{address}/invocations
  for your own client      {ws}://{address}/v1/realtime
{_admin_lines(ready)}{_sagemaker_lines(ready)}  stop                     Ctrl-C
"""


def _page_line(ready: Ready, url: str) -> str:
    """Where a person begins."""
    return f"  live captions page       {url}\n" if ready.has_page else ""


def _admin_lines(ready: Ready) -> str:
    """What the operator can do."""
    if not ready.admin_url:
        return ""
    option = "" if ready.admin_url == DEFAULT_ADMIN_URL else f" --admin {ready.admin_url}"
    return f"  operator console         {ready.admin_url}/console\n  see what is live         parley sessions{option}\n"


def _sagemaker_lines(ready: Ready) -> str:
    """The change that makes an AWS client a client of this gateway."""
    http2 = ready.http2
    if http2 is None:
        return ""
    lines = [
        "",
        "  for a SageMaker client, in place of its region's endpoint:",
        f'    in Python              endpoint_uri="{http2.url}"',
        f'    in Node                endpoint: "{http2.url}"',
        f'    either way             EndpointName "{ready.endpoint}"',
    ]
    if http2.authorities_file is not None:
        path = shlex.quote(str(http2.authorities_file))
        lines += [
            f"    its certificate        export SSL_CERT_FILE={path}         # Python",
            f"                           export NODE_EXTRA_CA_CERTS={path}   # Node",
        ]
    if not http2.is_verified:
        lines.append("    credentials            any, as signatures are not verified here")
    return "\n".join((*lines, "", ""))
