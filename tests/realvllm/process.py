"""Servers as child processes: started with a log file, waited for, and ended for sure with everything they started."""

import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache" / "vllm"
MODEL = "voxtral-tiny"

START_TIMEOUT_S = 600.0
"""vLLM takes 40 s to start on two idle cores; a busy machine has been seen to need ten times that."""
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.25
_HTTP_TIMEOUT_S = 5.0

MAX_MODEL_LEN = 512
"""Tokens: a turn longer than 37.8 s is truncated, one of 20 s is not."""
PROMPT_TOKENS = 39
MAX_NUM_SEQS = 4

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def http_get(url: str) -> tuple[int, bytes] | None:
    """The status and body of a GET; None where nothing answers."""
    try:
        with _OPENER.open(url, timeout=_HTTP_TIMEOUT_S) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return None


def http_status(url: str) -> int | None:
    """The status of a GET; None where nothing answers."""
    answer = http_get(url)
    return answer and answer[0]


@dataclass(frozen=True)
class Member:
    """A process, told from a later one of the same number by when it started (clock ticks since boot)."""

    pid: int
    started: int


def family(pid: int) -> set[Member]:
    """A process and all its descendants, in whatever group or session they put themselves."""
    members, parents = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The second field, the name, may itself hold spaces and parentheses.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        number = int(stat.parent.name)
        parents[number] = int(fields[1])
        members[number] = Member(number, int(fields[19]))
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {members[number] for number in found if number in members}


def _state(member: Member) -> str | None:
    try:
        fields = Path(f"/proc/{member.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0] if int(fields[19]) == member.started else None


def is_alive(member: Member) -> bool:
    return _state(member) not in (None, "Z")


def wait_gone(members: set[Member], timeout_s: float = _STOP_TIMEOUT_S) -> set[Member]:
    """Wait for processes to exit, though they be no children of ours; returns those that did not."""
    assert sys.platform == "linux"
    deadline = time.monotonic() + timeout_s
    for member in members:
        try:
            descriptor = os.pidfd_open(member.pid)
        except ProcessLookupError:
            continue
        try:
            if is_alive(member):
                select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        finally:
            os.close(descriptor)
    return {member for member in members if is_alive(member)}


def _own_environment() -> dict[str, str]:
    """Ours, without settings that somebody made for gateways of their own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}


class Server:
    """A running server process, in a process group of its own."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._log_path = CACHE / f"{name}.log"
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**_own_environment(), **(environment or {})},
                cwd=REPOSITORY,
                start_new_session=True,
            )
        self._members: set[Member] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        return self._process.pid

    def members(self) -> set[Member]:
        """This process and its descendants now."""
        now = family(self.pid)
        self._members |= now
        return now

    def until(self, condition: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> None:
        """Ask until the condition holds. Raises AssertionError when the process exits or the time is up."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"not in {timeout_s:.0f} s; see {self._log_path}"
            try:
                # A pause between two questions that ends at once when there will be no answer.
                status = self._process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"exited with {status}; see {self._log_path}")
        self.members()

    def until_ok(self, url: str) -> None:
        """Wait until a GET gives 200."""
        self.until(lambda: http_status(url) == 200)

    def signal_descendant(self, name: str, number: signal.Signals) -> None:
        """To the one descendant of this name alone; Linux cuts names to 15 characters."""
        [member] = [one for one in self.members() if _name(one) == name]
        os.kill(member.pid, number)

    def signal(self, number: signal.Signals) -> None:
        """To the first process alone."""
        self.members()
        self._process.send_signal(number)

    def kill_all(self) -> None:
        """SIGKILL to every process at once, so that none gets to say goodbye for another."""
        self.members()
        os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> None:
        """SIGTERM, then SIGKILL to whatever is left."""
        self.members()
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_TIMEOUT_S)
        for member in self._members:
            _kill(member)
        assert not wait_gone(self._members), "a process cannot be killed"


def _name(member: Member) -> str:
    try:
        return Path(f"/proc/{member.pid}/comm").read_text().strip()
    except OSError:
        return ""


def _kill(member: Member) -> None:
    if is_alive(member):
        os.kill(member.pid, signal.SIGKILL)


def vllm_command(port: int | str) -> list[str]:
    """The real `vllm serve` with the tiny model, sized so that its limits can be reached in seconds."""
    return [
        str(CACHE / "venv" / "bin" / "vllm"),
        *("serve", str(CACHE / "tiny"), "--served-model-name", MODEL),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--tokenizer-mode", "mistral", "--config-format", "mistral", "--load-format", "mistral"),
        *("--dtype", "float32", "--enforce-eager", "--kv-cache-memory-bytes", str(128 << 20)),
        *("--max-model-len", str(MAX_MODEL_LEN), "--max-num-seqs", str(MAX_NUM_SEQS)),
    ]


VLLM_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
}


class Vllm(Server):
    """A real vLLM. It is not ready before `until_ready` says so."""

    def __init__(self, name: str, port: int | None = None) -> None:
        self.port = port or free_port()
        super().__init__(name, vllm_command(self.port), VLLM_ENVIRONMENT)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    @property
    def health_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/health"

    def until_ready(self) -> None:
        self.until_ok(self.health_url)


class Gateway(Server):
    """`parley serve`, as a user starts it."""

    def __init__(self, name: str, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        command = [str(Path(sys.executable).parent / "parley"), "serve", "--port", str(self.port), *options]
        super().__init__(name, command, environment)

    @classmethod
    def in_front_of(
        cls, name: str, upstream_url: str, *options: str, environment: Mapping[str, str] | None = None
    ) -> Self:
        return cls(name, "--upstream", upstream_url, *options, environment=environment)

    @classmethod
    def launching_vllm(cls, name: str, *, environment: Mapping[str, str] | None = None) -> Self:
        """A gateway that starts vLLM itself."""
        command = shlex.join(vllm_command("{port}"))
        return cls(name, "--launch", command, environment={**VLLM_ENVIRONMENT, **(environment or {})})

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    @property
    def ping_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ping"

    def until_ready(self) -> None:
        self.until_ok(self.ping_url)
