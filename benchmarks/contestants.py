"""The servers under test: how each is started on its core, watched and stopped."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "bench"
PEERS = ROOT / "benchmarks" / "peers"
PEER_PYTHON = CACHE / "venv" / "bin" / "python"
LOAD = CACHE / "load"
SESSIONS_MAX = 4000

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 15.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchmarkError(Exception):
    """Something that keeps the benchmark from giving figures; the text is for the person who runs it."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server that takes WebSocket sessions on a port of its own and passes them to the model server."""

    name: str
    title: str
    port: int
    command: tuple[str, ...]
    path: str = "/v1/realtime"
    ready: str | None = None
    """Page that answers 200 when the server is up; without one, an open port is enough."""
    ready_port: int | None = None
    """Where that page is, if on another port."""
    opts_in: bool = False
    """Whether its sessions opt in to Parley's session contract: numbered events, acknowledgements both ways."""


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Processor time of a process and its children, in seconds."""

    user_s: float
    system_s: float

    def __sub__(self, other: "CpuTime") -> "CpuTime":
        return CpuTime(self.user_s - other.user_s, self.system_s - other.system_s)

    @property
    def total_s(self) -> float:
        return self.user_s + self.system_s


def contestants(upstream_port: int) -> dict[str, Contestant]:
    """All of them by name, in the order of the report."""
    own, nginx, splice, frames, contract, unwatched, plain = (upstream_port + offset for offset in range(1, 8))
    peer = ("--upstream-port", str(upstream_port))
    every = (
        Contestant("parley", "Parley, session core on", own, _parley(own, upstream_port), ready="/ping"),
        Contestant(
            "contract",
            "Parley, sessions that can be resumed",
            contract,
            _parley(contract, upstream_port),
            ready="/ping",
            opts_in=True,
        ),
        Contestant(
            "unwatched",
            "Parley, telemetry off",
            unwatched,
            _parley(unwatched, upstream_port, *_UNWATCHED),
            ready="/ping",
        ),
        Contestant(
            "contract-unwatched",
            "Parley, resumable, telemetry off",
            plain,
            _parley(plain, upstream_port, *_UNWATCHED),
            ready="/ping",
            opts_in=True,
        ),
        Contestant("nginx", "nginx, WebSocket reverse proxy", nginx, _nginx(nginx, upstream_port)),
        Contestant(
            "splice",
            "FastAPI + websockets splice",
            splice,
            (str(PEER_PYTHON), str(PEERS / "splice.py"), "--port", str(splice), *peer),
            ready="/ping",
        ),
        Contestant(
            "frames",
            "picows, frames passed on",
            frames,
            (str(PEER_PYTHON), str(PEERS / "frames.py"), "--port", str(frames), *peer),
        ),
    )
    return {contestant.name: contestant for contestant in every}


_UNWATCHED = ("--set", "telemetry.enabled=false")


def _parley(port: int, upstream_port: int, *options: str) -> tuple[str, ...]:
    limit = str(SESSIONS_MAX)
    command = (str(ROOT / ".venv" / "bin" / "parley"), "serve", "--host", "127.0.0.1", "--port", str(port))
    upstream = ("--upstream", f"ws://127.0.0.1:{upstream_port}/v1/realtime", "--upstream-model", "bench")
    return (*command, *upstream, "--upstream-max-sessions", limit, "--max-sessions", limit, *options)


def _nginx(port: int, upstream_port: int) -> tuple[str, ...]:
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return (program or "nginx", "-e", "stderr", "-p", f"{CACHE / 'nginx'}/", "-c", f"{port}-{upstream_port}.conf")


def _write_nginx_conf(contestant: Contestant) -> None:
    folder = CACHE / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    name = contestant.command[-1]
    port, upstream_port = re.findall(r"\d+", name)
    text = (PEERS / "nginx.conf").read_text()
    (folder / name).write_text(text.replace("LISTEN_PORT", port).replace("UPSTREAM_PORT", upstream_port))


class Server:
    """A started contestant, or the model server."""

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.port = port
        self._process = process
        self._log = log

    def cpu_time(self) -> CpuTime:
        """Of all its processes.

        Raises:
            BenchmarkError: it has ended.
        """
        self.check()
        user = system = 0
        for pid in _tree(self._process.pid):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except FileNotFoundError:
                continue
            user += int(fields[11])
            system += int(fields[12])
        return CpuTime(user / TICKS_PER_S, system / TICKS_PER_S)

    def check(self) -> None:
        """Raises BenchmarkError with the end of its log when it has ended."""
        if self._process.poll() is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
            raise BenchmarkError(f"{self.name} ended with status {self._process.returncode}:\n{tail}")

    def wait_until_ready(self, page: str | None, port: int | None = None) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            self.check()
            if _answers(port or self.port, page):
                return
            time.sleep(0.05)
        raise BenchmarkError(f"{self.name} was not ready within {_START_TIMEOUT_S:.0f} s; its log: {self._log}")

    def wait_until_idle(self, limit_s: float) -> bool:
        """Whether it used less than 5 % of its core for a quarter of a second, within the limit."""
        deadline = time.monotonic() + limit_s
        before = self.cpu_time()
        while time.monotonic() < deadline:
            time.sleep(0.25)
            after = self.cpu_time()
            if (after - before).total_s < 0.05 * 0.25 + 1 / TICKS_PER_S:
                return True
            before = after
        return False

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                for pid in _tree(self._process.pid):
                    os.kill(pid, signal.SIGKILL)
                self._process.wait()


def _tree(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(member for child in children for member in _tree(int(child)))]


def _answers(port: int, page: str | None) -> bool:
    try:
        if page is None:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextmanager
def started(contestant: Contestant, cpu: int) -> Iterator[Server]:
    """The contestant, pinned to one core and ready, stopped at the end."""
    if contestant.name == "nginx":
        _write_nginx_conf(contestant)
    with _process(contestant.name, contestant.port, contestant.command, cpu) as server:
        server.wait_until_ready(contestant.ready, contestant.ready_port)
        yield server


@contextmanager
def model_server(port: int, cpu: int, options: tuple[str, ...]) -> Iterator[Server]:
    """The stand-in for the model server, pinned to the load generator's core."""
    with _process("upstream", port, (str(LOAD), "upstream", "--port", str(port), *options), cpu) as server:
        server.wait_until_ready("/health")
        yield server


@contextmanager
def _process(name: str, port: int, command: tuple[str, ...], cpu: int) -> Iterator[Server]:
    if _answers(port, None):
        raise BenchmarkError(f"port {port}, meant for {name}, is taken; name another range with --port")
    log = CACHE / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(("taskset", "-c", str(cpu), *command), stdout=output, stderr=output, cwd=ROOT)
    server = Server(name, port, process, log)
    try:
        yield server
    finally:
        server.stop()
