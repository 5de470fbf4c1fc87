"""One run of a command below the reaper: started, its output forwarded to the log, ended within a bound."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast

from parley.upstream.child import reaper
from parley.upstream.child.lines import LineSplitter

_log = logging.getLogger("parley.upstream")
_output = logging.getLogger("parley.child")

_OUTPUT_END_TIMEOUT_S = 1.0
_REAPER_MARGIN_S = 2.0
_HURRY_TIMEOUT_S = 0.5
_HURRIES_MAX = 6


class ReapedProcess(asyncio.SubprocessProtocol):
    """A running command. Made by `running`, which also ends it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._splitter = LineSplitter()
        self._transport: asyncio.SubprocessTransport | None = None
        self._output_ended = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        """Done when the command, and with it the reaper, has ended."""

    @property
    def pid(self) -> int:
        """The reaper's process id."""
        return self.transport.get_pid()

    @property
    def status(self) -> int | None:
        """The command's exit status, 128 plus the number for a signal; None while it runs."""
        return self.transport.get_returncode()

    @property
    def transport(self) -> asyncio.SubprocessTransport:
        """What the event loop knows the process by."""
        assert self._transport is not None
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """See asyncio.SubprocessProtocol: the command printed something."""
        for line in self._splitter.feed(data):
            _output.info("%s", line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """See asyncio.SubprocessProtocol."""
        if fd == 1 and not self._output_ended.done():
            for line in self._splitter.end():
                _output.info("%s", line)
            self._output_ended.set_result(None)

    def process_exited(self) -> None:
        """See asyncio.SubprocessProtocol."""
        if not self.exited.done():
            self.exited.set_result(None)

    async def end(self, stop_timeout_s: float) -> None:
        """SIGTERM to the command's group, SIGKILL after `stop_timeout_s` or when cancelled; returns when it is gone."""
        try:
            self._terminate()
            await asyncio.wait([self.exited], timeout=stop_timeout_s + _REAPER_MARGIN_S)
            # A grandchild that left the group may hold the pipe open for ever.
            await asyncio.wait([self._output_ended], timeout=_OUTPUT_END_TIMEOUT_S)
        finally:
            # The reaper kills at the second SIGTERM. Two that come at once may count as one, hence the repetition.
            for _ in range(_HURRIES_MAX):
                if self.exited.done():
                    break
                self._terminate()
                await asyncio.wait([self.exited], timeout=_HURRY_TIMEOUT_S)
            else:
                _log.error("the reaper, process %d, does not end; it is killed", self.pid)

    def _terminate(self) -> None:
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                self.transport.terminate()


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str], *, stop_timeout_s: float, environment: Mapping[str, str] | None = None
) -> AsyncIterator[ReapedProcess]:
    """Run `command` below the reaper, with these variables beside this process's own; on the way out it is ended. What
    it prints goes to the logger "parley.child"."""
    transport, process = await asyncio.get_running_loop().subprocess_exec(
        ReapedProcess,
        sys.executable,
        *("-I", "-S", reaper.__file__, str(stop_timeout_s)),
        *command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        # Ctrl-C goes to the whole foreground group; whether and when the model server ends is decided here.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        try:
            await process.end(stop_timeout_s)
        finally:
            # Kills the reaper if it still runs.
            transport.close()


def describe_status(status: int | None) -> str:
    """An exit status in words: "exited with status 1", "was ended by SIGKILL"."""
    if status is None:
        return "ended"
    number = -status if status < 0 else status - reaper.SIGNAL_BASE
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(number).name}"
    return f"exited with status {status}"
