"""Runs one command and takes it along when this process's parent goes, however the parent goes.

    python -I -S reaper.py STOP_TIMEOUT_S COMMAND [ARGUMENT ...]

A model server has children of its own (vLLM: an engine process for each GPU), and a parent that is killed with SIGKILL
can end none of them. So this small process stands between: its stdin is a pipe of which the parent alone holds the
other end, and the end of that pipe is the parent's end. Then, and on SIGTERM, the command's whole process group gets
SIGTERM and, STOP_TIMEOUT_S later or at a second SIGTERM, SIGKILL. What the command leaves behind when it ends by itself
gets SIGKILL too.

Exits with the command's status: its exit code, or 128 plus the signal that ended it; 127 if it was not found, 126 if it
could not be run. A file that runs by itself, with nothing but the standard library: it has to start in milliseconds.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
NOT_RUNNABLE: Final = 126
NOT_FOUND: Final = 127
SIGNAL_BASE: Final = 128
READ_MAX_BYTES: Final = 4096
PR_SET_PDEATHSIG: Final = 1


def main(arguments: Sequence[str]) -> int:
    """Run the command in `arguments[1:]` until it ends or has to; returns the exit status for this process."""
    stop_timeout_s, command = float(arguments[0]), list(arguments[1:])
    wake = _wake_on_signals()
    # Otherwise what a Python program prints reaches the log in blocks of 8 KiB, minutes late.
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    try:
        process = subprocess.Popen(  # noqa: S603 - running what the operator names is the purpose
            command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_reaper
        )
    except FileNotFoundError:
        return _refuse(f"{command[0]}: command not found", NOT_FOUND)
    except OSError as error:
        return _refuse(f"{command[0]}: {error.strerror}", NOT_RUNNABLE)
    _watch(process, wake, stop_timeout_s)
    # While the leader is not reaped its process id, which names the group, can't go to anyone else.
    _signal_group(process, signal.SIGKILL)
    status = process.wait()
    return status if status >= 0 else SIGNAL_BASE - status


def _watch(process: "subprocess.Popen[bytes]", wake: int, stop_timeout_s: float) -> None:
    """Wait until the command has ended or had its time to."""
    stdin = sys.stdin.fileno()
    deadline_s: float | None = None
    while not _has_ended(process):
        timeout_s = None if deadline_s is None else deadline_s - time.monotonic()
        if timeout_s is not None and timeout_s <= 0:
            return
        readable, _, _ = select.select([wake] if deadline_s is not None else [wake, stdin], [], [], timeout_s)
        signals = os.read(wake, READ_MAX_BYTES) if wake in readable else b""
        stops = sum(signals.count(number) for number in STOP_SIGNALS)
        if stdin in readable and _is_at_end(stdin):
            stops += 1
        if deadline_s is None and stops:
            deadline_s = time.monotonic() + stop_timeout_s
            _signal_group(process, signal.SIGTERM)
            stops -= 1
        if stops:
            return


def _is_at_end(descriptor: int) -> bool:
    try:
        return not os.read(descriptor, READ_MAX_BYTES)
    except OSError:
        # A socket in place of a pipe may report its peer's end as a reset.
        return True


def _has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Whether the command has ended; where the system can tell without reaping it, it is left to be reaped."""
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    # macOS answers PermissionError for a group of which only the ended leader is left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _wake_on_signals() -> int:
    """A descriptor that becomes readable with the number of each signal that matters here."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    # Handlers of our own, not SIG_IGN: the command must start with the defaults, and exec keeps ignored signals so.
    for number in (signal.SIGCHLD, *STOP_SIGNALS):
        signal.signal(number, lambda *_: None)
    return reader


def _die_with_reaper() -> None:
    """In the new process, on Linux: SIGKILL when this process is itself killed and can't pass anything on."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _refuse(message: str, status: int) -> int:
    sys.stderr.write(f"{message}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
