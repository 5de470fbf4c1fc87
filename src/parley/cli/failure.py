"""How commands fail: one line on stderr, and an exit status that a script can act on."""

import sys

import click

FAILED = 1
"""The command did not do what was asked."""
MISUSED = 2
"""The command line or the settings are wrong."""
NOT_STARTED = 3
"""A server could not start: its port is in use, its model server or weights are missing."""
INTERRUPTED = 130
"""Ended by Ctrl-C, as shells count it."""


class Failure(click.ClickException):
    """An expected failure: `lines` go to stderr, each after "parley: ", and the exit status to the caller."""

    exit_code = FAILED

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines

    def show(self, file: object = None) -> None:
        """Print the lines."""
        for line in self.lines:
            print(f"parley: {line}", file=sys.stderr)


class Misuse(Failure):
    """The command line or the settings are wrong."""

    exit_code = MISUSED


class NotStarted(Failure):
    """A server could not start."""

    exit_code = NOT_STARTED
