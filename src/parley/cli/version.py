"""`parley version`: what a report of a problem should name."""

import platform
from importlib import metadata

import click

from parley import __version__

LIBRARIES = ("aiohttp", "picows", "uvloop", "msgspec", "numpy", "soxr", "onnxruntime", "moonshine-voice")


@click.command("version")
def command() -> None:
    """Show the versions of Parley, Python and the main libraries."""
    python = f"{platform.python_version()} ({platform.python_implementation()})"
    versions = {"parley": __version__, "python": python, "platform": platform.platform(terse=True)}
    versions |= {library: _version(library) for library in LIBRARIES}
    for name, version in versions.items():
        print(f"{name:<16} {version}")


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"
