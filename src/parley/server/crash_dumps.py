"""No crash leaves what was in memory behind: neither the kernel nor another user's debugger gets to see it."""

import ctypes
import logging
import resource
import sys

_log = logging.getLogger("parley.server")

# linux/prctl.h
_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4


def forbid_crash_dumps() -> bool:
    """Have no core written of this process or of those that it starts, and, on Linux, its memory and its files in /proc
    closed to all but root. Whether all of that is so.

    Programs that it starts have the limit too, but may be dumped by whoever raises it again; `dumpable` is not handed
    down to them.
    """
    is_limited = _limit()
    is_closed = _close() if sys.platform == "linux" else True
    if not (is_limited and is_closed):
        _log.warning("a crash may leave what was in memory behind: core dumps can't be turned off here")
    return is_limited and is_closed


def _limit() -> bool:
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        return False
    return True


def _close() -> bool:
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return False
    # A core_pattern that is a pipe is handed cores whatever the limit says; only this keeps it from being called.
    return bool(prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 and prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) == 0)
