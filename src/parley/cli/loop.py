"""The event loop that servers run on."""

from collections.abc import Coroutine
from typing import Any


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a program's coroutine to its end: on uvloop where there is one, else on asyncio's own loop."""
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    run(main)
