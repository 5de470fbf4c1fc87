"""A model server that this process starts, watches, restarts and ends.

```
            +--------------------------- 0.5 s, 1 s, 2 s ... ---------------------------+
            v                                                                            |
   run() STARTING --/health answers 200--> READY --process ends--> BACKOFF --wait--------+
            |  process ends, or no answer in health_timeout_s        ^
            +--------------------------------------------------------+        cancelled: STOPPED
```
The process runs below `reaper.py`, so that it and its own children end with this one even after SIGKILL.
"""

import asyncio
import contextlib
import logging
import re
import shlex
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import aiohttp

from parley.core.errors import ParleyError
from parley.upstream.child import reaper
from parley.upstream.child.process import describe_status, running

HOST = "127.0.0.1"
VLLM_PORT = 8000
"""Where vLLM listens when its command line does not say."""

_log = logging.getLogger("parley.upstream")

_PORT_OPTION = re.compile(r"(?:^|\s)--port[=\s]+(\d{1,5})(?=\s|$)")
_CONNECT_TIMEOUT_S = 1.0

Probe = Callable[[str], Awaitable[bool]]
"""Asks a URL whether the server behind it is ready; never raises but for a bug."""


class ChildState(StrEnum):
    """Where a supervised process stands."""

    STARTING = "starting"
    READY = "ready"
    BACKOFF = "backoff"
    STOPPED = "stopped"


class LaunchError(Exception):
    """The model server can't be started, and trying again would not change that."""

    code = "launch-failed"

    def __str__(self) -> str:
        return f"{self.code}: {super().__str__()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOptions:
    """How the process is watched.

    `give_up_statuses` are exit statuses that a restart can't mend as long as it was never ready: wrong arguments (2, by
    convention), not executable, not found. After `steady_after_s` of readiness earlier failures are forgotten.
    `environment` is what it gets beside this process's own variables; secrets come so, since every user of the machine
    may read a command line.
    """

    health_path: str = "/health"
    health_timeout_s: float = 480.0
    probe_interval_max_s: float = 1.0
    probe_timeout_s: float = 2.0
    backoff_initial_s: float = 0.5
    backoff_max_s: float = 30.0
    steady_after_s: float = 60.0
    stop_timeout_s: float = 10.0
    give_up_statuses: frozenset[int] = frozenset({2, reaper.NOT_RUNNABLE, reaper.NOT_FOUND})
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


class ModelServerChild:
    """One supervised model server, listening on this machine's loopback interface.

    `command` is a list of words, or a line that is split as a shell would; `{port}` in it becomes a free port, chosen
    once, so that `url` never changes. `jitter` gives numbers in [0, 1) that keep the restarts of many nodes apart.
    `name` is what messages call it, the program's own by default. `on_change` is called with each new state.
    Raises LaunchError for a command that has no words.
    """

    def __init__(
        self,
        command: Sequence[str] | str,
        *,
        jitter: Callable[[], float],
        name: str = "",
        options: ChildOptions | None = None,
        probe: Probe | None = None,
        on_change: Callable[[ChildState], None] | None = None,
    ) -> None:
        self._options = options or ChildOptions()
        self._jitter = jitter
        self._probe = probe
        self._on_change = on_change
        self._command, self.port = place(command)
        self._name = name or Path(self._command[0]).name
        self._failures = 0
        self._was_ready = False
        self._settled = asyncio.Event()
        self.state = ChildState.STOPPED
        self.pid: int | None = None
        """The process at the root of its tree while it runs: the reaper, which has little memory itself."""
        self.starts = 0
        """How often it was started."""

    @property
    def url(self) -> str:
        """Its realtime endpoint."""
        return f"ws://{HOST}:{self.port}/v1/realtime"

    @property
    def health_url(self) -> str:
        """Where its health is asked for."""
        return f"http://{HOST}:{self.port}{self._options.health_path}"

    async def wait_ready(self) -> None:
        """Return when it is ready. Raises ParleyError upstream-unavailable when it has been stopped."""
        while self.state is not ChildState.READY:
            await self._settled.wait()
            if self.state is ChildState.STOPPED:
                raise ParleyError("upstream-unavailable", f"{self._name} is not running.")

    async def run(self) -> None:
        """Keep the process running until cancelled; it has ended when this returns.

        Raises LaunchError when it can't be started at all: the command or its arguments are wrong, or its port is
        another program's.
        """
        self._set(ChildState.STARTING)
        try:
            await self._check_launch()
            async with self._http_probe() as probe:
                while True:
                    await self._run_once(probe)
                    await self._back_off()
        finally:
            self._set(ChildState.STOPPED)

    async def _check_launch(self) -> None:
        if shutil.which(self._command[0]) is None:
            raise LaunchError(f"{self._command[0]}: command not found; install it, or give its full path.")
        if await self._port_is_taken():
            raise LaunchError(f"Port {self.port}, where {self._name} would listen, is in use by another program.")

    async def _run_once(self, probe: Probe) -> None:
        """One life of the process, from start to end."""
        self._set(ChildState.STARTING)
        if await self._port_is_taken():
            # Its health would be that of a stranger.
            _log.error("%s is not restarted: port %d is in use by another program", self._name, self.port)
            return
        ready_at: float | None = None
        clock = asyncio.get_running_loop().time
        async with running(
            self._command, stop_timeout_s=self._options.stop_timeout_s, environment=self._options.environment
        ) as process:
            _log.info("%s is starting (process %d)", self._name, process.pid)
            self.pid = process.pid
            self.starts += 1
            try:
                if await self._wait_healthy(process.exited, probe):
                    ready_at = clock()
                    self._was_ready = True
                    self._set(ChildState.READY)
                    await asyncio.wait([process.exited])
            finally:
                self.pid = None
            self._set(ChildState.BACKOFF)
        self._account(process.status, clock() - ready_at if ready_at is not None else None)

    def _account(self, status: int | None, ready_for_s: float | None) -> None:
        """Say how a life ended, and count it towards the wait before the next one."""
        text = describe_status(status)
        if not self._was_ready and status in self._options.give_up_statuses:
            raise LaunchError(
                f"{self._name} {text} before it was ready; its own output, logged at level info, says why."
            )
        _log.error("%s %s", self._name, text)
        if ready_for_s is not None and ready_for_s >= self._options.steady_after_s:
            self._failures = 0

    async def _wait_healthy(self, exited: asyncio.Future[None], probe: Probe) -> bool:
        """Whether the server became healthy; if not, it has exited or used up its time."""
        interval_s = 0.05
        try:
            async with asyncio.timeout(self._options.health_timeout_s):
                while not exited.done():
                    if await probe(self.health_url):
                        return not exited.done()
                    await asyncio.wait([exited], timeout=interval_s)
                    interval_s = min(interval_s * 2, self._options.probe_interval_max_s)
        except TimeoutError:
            _log.error("%s is not healthy after %.0f s", self._name, self._options.health_timeout_s)
        return False

    async def _back_off(self) -> None:
        options = self._options
        wait_s = min(options.backoff_max_s, options.backoff_initial_s * 2 ** min(self._failures, 32))
        wait_s *= 0.5 + 0.5 * self._jitter()
        self._failures += 1
        self._set(ChildState.BACKOFF)
        _log.info("%s is started again in %.1f s", self._name, wait_s)
        await asyncio.sleep(wait_s)

    @contextlib.asynccontextmanager
    async def _http_probe(self) -> AsyncIterator[Probe]:
        """The probe that was injected, or plain HTTP GET."""
        if self._probe is not None:
            yield self._probe
            return
        timeout = aiohttp.ClientTimeout(total=self._options.probe_timeout_s)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:

            async def answers(url: str) -> bool:
                try:
                    async with http.get(url, allow_redirects=False) as response:
                        return response.status == 200
                except (aiohttp.ClientError, TimeoutError, OSError):
                    return False

            yield answers

    async def _port_is_taken(self) -> bool:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, writer = await asyncio.open_connection(HOST, self.port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    def _set(self, state: ChildState) -> None:
        if state is self.state:
            return
        self.state = state
        if state in (ChildState.READY, ChildState.STOPPED):
            self._settled.set()
        else:
            self._settled.clear()
        if self._on_change is not None:
            self._on_change(state)


def place(command: Sequence[str] | str) -> tuple[tuple[str, ...], int]:
    """The words of a command with `{port}` filled in, and the port that the server will listen on.

    Without `{port}` it is the last `--port` of the command, else vLLM's 8000. Raises LaunchError for no words.
    """
    try:
        words = tuple(shlex.split(command)) if isinstance(command, str) else tuple(command)
    except ValueError as error:
        raise LaunchError(f"The command can't be split into words: {error}.") from None
    if not words:
        raise LaunchError("The command is empty.")
    if any("{port}" in word for word in words):
        port = _free_port()
        return tuple(word.replace("{port}", str(port)) for word in words), port
    named = _PORT_OPTION.findall(" ".join(words))
    return words, int(named[-1]) if named else VLLM_PORT


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
