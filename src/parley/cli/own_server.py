"""A gateway as a child process: started on a free port, awaited, and stopped whatever happens."""

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

SERVE_OPTIONS = ("--engine", "tiny-en", "--log-format", "text")

LOG_TAIL_MAX_LINES = 15
LOG_TAIL_MAX_BYTES = 8_192


@dataclass(frozen=True, slots=True)
class OwnServerLimits:
    """How long the child may take to be ready, and to stop before it is killed."""

    ready_timeout_s: float = 60.0
    stop_timeout_s: float = 10.0
    poll_interval_s: float = 0.1
    request_timeout_s: float = 2.0


class OwnServerError(Exception):
    """The gateway did not become ready. `log_tail` is the end of what it logged, which holds no content."""

    def __init__(self, what: str, log_tail: Sequence[str]) -> None:
        super().__init__(what)
        self.what = what
        self.log_tail = log_tail


class OwnServer:
    """`parley serve` on loopback with the embedded engine. Entering starts it, leaving stops it."""

    def __init__(self, command: Sequence[str] | None = None, limits: OwnServerLimits | None = None) -> None:
        self._command = command or (sys.executable, "-m", "parley", "serve", *SERVE_OPTIONS)
        self._limits = limits or OwnServerLimits()
        self._process: asyncio.subprocess.Process | None = None
        self._log: IO[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def page_url(self) -> str:
        """Where its captions page is."""
        return f"http://127.0.0.1:{self.port}/"

    async def __aenter__(self) -> Self:
        self.port = _free_port()
        arguments = [*self._command, "--host", "127.0.0.1", "--port", str(self.port)]
        with contextlib.ExitStack() as undo:
            self._log = undo.enter_context(tempfile.TemporaryFile(prefix="parley-demo-"))
            self._process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=_environment(os.environ),
                # Ctrl-C is for the command in the foreground, which then stops this one in its turn.
                start_new_session=True,
            )
            undo.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._stop()
        finally:
            if self._log is not None:
                self._log.close()

    async def until_ready(self) -> None:
        """Wait until a session would be accepted.

        Raises:
            OwnServerError: it ended, or was not ready in time.
        """
        limits = self._limits
        try:
            async with asyncio.timeout(limits.ready_timeout_s):
                while True:
                    if await self._is_ready():
                        return
                    await asyncio.sleep(limits.poll_interval_s)
        except TimeoutError:
            raise self._failed(f"The gateway was not ready within {limits.ready_timeout_s:.0f} s.") from None

    async def failure(self, wait_s: float = 0.0) -> OwnServerError | None:
        """Why it is not there any more, if it is not; a process takes a moment longer to end than its connections."""
        assert self._process is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._process.wait()
        status = self._process.returncode
        return None if status is None else self._failed(f"The gateway ended by itself (status {status}).")

    async def _is_ready(self) -> bool:
        if failure := await self.failure():
            raise failure
        return await asyncio.to_thread(_answers_ping, self.port, self._limits.request_timeout_s)

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._limits.stop_timeout_s):
                await process.wait()
        except TimeoutError:
            # With its engine, which is in the same session.
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    def _failed(self, what: str) -> OwnServerError:
        assert self._log is not None
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - LOG_TAIL_MAX_BYTES))
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        return OwnServerError(what, lines[-LOG_TAIL_MAX_LINES:])


def _free_port() -> int:
    """A port that nobody listens on. Somebody may take it before the child does; it then says so in its log."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _environment(own: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: none of Parley's variables, so that it is the same for everybody."""
    return {name: value for name, value in own.items() if not name.startswith("PARLEY_")}


def _answers_ping(port: int, timeout_s: float) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
