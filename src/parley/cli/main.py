"""The command `parley`. Commands are imported when they are used, so that help and completion answer at once.

Exit status: 0 done · 1 failed · 2 wrong usage or settings · 3 a server could not start · 130 interrupted.
"""

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module

import click

from parley import __version__
from parley.cli.failure import FAILED, INTERRUPTED, Failure
from parley.core.errors import ParleyError

COMMANDS = {
    "serve": "Run the gateway; with no model server named, over the embedded engine.",
    "engine": "Run the embedded engine alone: vLLM's realtime API on a CPU.",
    "transcribe": "Stream a recording to a gateway and print what it hears.",
    "demo": "Stream a recording through a gateway and engine of its own.",
    "node": "Show how a node is: its state, its load, its model servers.",
    "sessions": "List the live sessions of a node; show, end or move one.",
    "upstreams": "List the model servers behind a node; drain one or use it again.",
    "drain": "Empty a node before it is stopped, or take that back.",
    "keys": "Make, list, replace and revoke API keys.",
    "policy": "Show and try out the rules of who may do what.",
    "audit": "Check or show a node's audit log: who did what.",
    "simulate": "Run sessions with faults in virtual time, and check that nothing is lost.",
    "check-config": "Show every setting and its origin, or what is wrong.",
    "version": "Show the versions of Parley, Python and the main libraries.",
}
"""Each command's one-line help, kept here so that listing them imports none. Its module has a `command`."""


class LazyGroup(click.Group):
    """A group whose commands are modules of this package, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click.Group."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click.Group."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"parley.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click.Group; the standard one imports every command for its help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done, 1 failed, 2 wrong usage or settings, 3 a server could not start, 130 interrupted.",
)
@click.version_option(__version__, "-V", "--version", message="parley %(version)s")
def parley() -> None:
    """Live sessions in front of realtime speech models."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit status. Expected errors become one line on stderr."""
    try:
        status = parley.main(arguments, prog_name="parley", standalone_mode=False)
    except click.ClickException as failure:
        failure.show()
        return failure.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:
        Failure(*_report(error)).show()
        return FAILED
    return status if isinstance(status, int) else 0


def _report(error: Exception) -> Iterator[str]:
    """The lines for an error that a command let through: expected ones as they say, others without their text."""
    leaves = list(_leaves(error))
    if expected := [leaf for leaf in leaves if isinstance(leaf, ParleyError)]:
        yield str(expected[0])
        return
    from parley.observe.log import trace_exception

    yield "internal-error: this is a bug; please report the lines below."
    for what, places in trace_exception(error):
        yield f"  {what} at {', '.join(places) or 'an unknown place'}"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        yield error


def main() -> None:
    """The entry point of the command `parley`."""
    sys.exit(run())
