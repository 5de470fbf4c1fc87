"""What a test may not leave behind, and how to name it to the person who has to find it."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

_DESCRIPTORS = Path("/proc/self/fd")
_THREADS = Path("/proc/self/task")
_SOCKET_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"), Path("/proc/self/net/unix"))
_SETTLE_S = 1.0
_LOOK_AGAIN_S = 0.01
_CLOSING_TURNS = 5
"""Turns of the loop that a transport takes from its close to the end of its descriptor."""


def open_descriptors() -> Mapping[int, str]:
    """Every open descriptor but the standard streams, which are the test runner's to redirect, and what it refers to.

    Nothing where the system does not tell.
    """
    if not _DESCRIPTORS.is_dir():
        return {}
    found = {}
    for entry in os.listdir(_DESCRIPTORS):
        if int(entry) <= 2:
            continue
        try:
            found[int(entry)] = os.readlink(_DESCRIPTORS / entry)
        except FileNotFoundError:
            # The descriptor of the listing itself.
            continue
    return found


def left_open(before: Mapping[int, str]) -> Mapping[int, str]:
    """The descriptors that are open now and were not `before`, after a while for what closes by itself.

    Looking up a name runs in a thread that nobody can cancel: it has /etc/hosts open for a moment, perhaps after the
    test that asked has ended.
    """
    until = time.monotonic() + _SETTLE_S
    while (left := dict(open_descriptors().items() - before.items())) and time.monotonic() < until:
        time.sleep(_LOOK_AGAIN_S)
    return left


def child_processes() -> Mapping[int, str]:
    """Every child of this process and its command line; nothing where the system does not tell."""
    found = {}
    for listing in _THREADS.glob("*/children"):
        # A thread may end while it is looked at, and has no children then.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for pid in listing.read_text().split():
                found[int(pid)] = _command_of(int(pid))
    return found


def describe_descriptors(leaked: Mapping[int, str]) -> list[str]:
    """A line for each, with the addresses of those that are sockets."""
    sockets = _sockets() if leaked else {}
    return [f"descriptor {number}: {target} {sockets.get(target, '')}".rstrip() for number, target in leaked.items()]


def describe_tasks(leaked: Iterable[asyncio.Task[object]]) -> list[str]:
    """A line for each: its coroutine and where it waits."""
    lines = []
    for task in leaked:
        stack = task.get_stack(limit=1)
        where = f" at {stack[-1].f_code.co_filename}:{stack[-1].f_lineno}" if stack else ""
        coroutine = task.get_coro()
        lines.append(f"task {getattr(coroutine, '__qualname__', coroutine)}{where}")
    return lines


async def stray_tasks() -> set[asyncio.Task[object]]:
    """Tasks that go on although nobody has a reason to. One that was cancelled may take its turn to end."""
    for _ in range(_CLOSING_TURNS):
        await asyncio.sleep(0)
    current = asyncio.current_task()
    others = {task for task in asyncio.all_tasks() if task is not current}
    if not others:
        return set()
    _, pending = await asyncio.wait(others, timeout=_SETTLE_S if any(task.cancelling() for task in others) else 0)
    return pending


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip() or "(ended, not waited for)"
    except OSError:
        return "(gone)"


def _sockets() -> Mapping[str, str]:
    """Addresses by the name that a socket's descriptor has."""
    found = {}
    for table in _SOCKET_TABLES:
        if not table.is_file():
            continue
        for line in table.read_text().splitlines()[1:]:
            words = line.split()
            if table.name == "unix":
                found[f"socket:[{words[6]}]"] = f"unix {words[7] if len(words) > 7 else '(unnamed)'}"
            else:
                found[f"socket:[{words[9]}]"] = f"{_address(words[1])} -> {_address(words[2])}"
    return found


def _address(text: str) -> str:
    host, _, port = text.partition(":")
    return f"{'.'.join(str(part) for part in reversed(bytes.fromhex(host)[:4]))}:{int(port, 16)}"
