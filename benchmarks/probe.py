"""One measurement: so many paced sessions through one server, for so long."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.contestants import LOAD, TICKS_PER_S, BenchmarkError, Contestant, CpuTime, Server

LATE_P99_MAX_MS = 20.0
"""The load generator counts as the limit when its own sends were later than this."""

FOREIGN_SHARE_MAX = 0.03
"""Share of the server's core that others may take before a failed probe is repeated."""

_SETTLE_TIMEOUT_S = 15.0
_PROBE_CONNECTIONS_MAX = 8


@dataclass(frozen=True, slots=True)
class Pace:
    """What each session sends and what the model server answers."""

    append_ms: int
    unit_ms: int
    """Audio per delta."""
    text_every: int
    """One delta in so many has text; the others are empty."""
    ahead_us: int = 0
    """Audio beyond a delta's own that the model needs before it can say it."""

    def arguments(self) -> tuple[str, ...]:
        append = ("--append-ms", str(self.append_ms))
        unit = ("--unit-ms", str(self.unit_ms), *(("--ahead-us", str(self.ahead_us)) if self.ahead_us else ()))
        return (*append, *unit, "--text-every", str(self.text_every))


@dataclass(frozen=True, slots=True)
class Duration:
    """Of a probe: a part that is not measured, then one that is."""

    warm_s: int
    measure_s: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What one probe gave. A message is one append in, forwarded, and its answer back."""

    sessions: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    late_p99_ms: float
    lost: int
    errors: int
    first_error: str
    altered: int
    user_us: float
    system_us: float
    busy_share: float
    """Of the server's core, taken by the server."""
    foreign_share: float
    """Of the server's core, taken by anything else: the measurement's noise."""
    load_share: float = 0.0
    """Of its own core, taken by the load generator, where it says so."""

    @property
    def cpu_us(self) -> float:
        """Processor time per message."""
        return self.user_us + self.system_us

    def carried(self, bound_ms: float) -> bool:
        """Whether the server did its work: nothing lost, altered or cut, and in time."""
        sound = self.errors == 0 and self.lost == 0 and self.altered == 0
        return sound and self.p99_ms <= bound_ms and not self.generator_late

    @property
    def generator_late(self) -> bool:
        return self.late_p99_ms > LATE_P99_MAX_MS


def measure(
    contestant: Contestant, server: Server, upstream: Server, sessions: int, pace: Pace, duration: Duration, cpu: int
) -> Reading:
    """Runs the load generator once against a started server; `cpu` is the server's core."""
    before = _count(upstream)
    command = [str(LOAD), "run", "--port", str(contestant.port), "--path", contestant.path]
    command += ["--sessions", str(sessions), *pace.arguments(), *(("--contract", "1") if contestant.opts_in else ())]
    command += ["--warm-s", str(duration.warm_s), "--measure-s", str(duration.measure_s)]
    reading = drive(command, server, cpu)
    _settle(server, upstream)
    after = _count(upstream)
    return replace(reading, altered=after["altered"] - before["altered"])


def drive(command: Sequence[str], server: Server, cpu: int) -> Reading:
    """Runs a load generator once against a started server; `cpu` is the server's core."""
    started = ended = _Usage.of(server, cpu)
    result = ""
    # The load generator inherits this process's core.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
        assert load.stdout is not None
        for line in load.stdout:
            if line == "measuring\n":
                started = _Usage.of(server, cpu)
            elif line == "measured\n":
                ended = _Usage.of(server, cpu)
            else:
                result = line
    if load.returncode != 0 or not result:
        raise BenchmarkError(f"the load generator ended with status {load.returncode}")
    return _reading(json.loads(result), started, ended)


@dataclass(frozen=True, slots=True)
class _Usage:
    at_s: float
    server: CpuTime
    core_busy_ticks: int

    @classmethod
    def of(cls, server: Server, cpu: int) -> "_Usage":
        return cls(time.monotonic(), server.cpu_time(), _busy_ticks(cpu))


def _busy_ticks(cpu: int) -> int:
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{cpu}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            return user + nice + system + irq + softirq + steal
    raise BenchmarkError(f"/proc/stat has no line for cpu{cpu}")


def _reading(result: dict[str, float | int | str], started: _Usage, ended: _Usage) -> Reading:
    wall_s = max(ended.at_s - started.at_s, 1e-9)
    cpu = ended.server - started.server
    messages = max(int(result["appends"]), 1)
    busy_s = (ended.core_busy_ticks - started.core_busy_ticks) / TICKS_PER_S
    return Reading(
        sessions=int(result["sessions"]),
        p50_ms=float(result["p50_ms"]),
        p99_ms=float(result["p99_ms"]),
        max_ms=float(result["max_ms"]),
        late_p99_ms=float(result["late_p99_ms"]),
        lost=int(result["due"]) - int(result["answered"]),
        errors=int(result["errors"]),
        first_error=str(result["first_error"]),
        altered=0,
        user_us=cpu.user_s / messages * 1e6,
        system_us=cpu.system_s / messages * 1e6,
        busy_share=cpu.total_s / wall_s,
        foreign_share=max(0.0, busy_s - cpu.total_s) / wall_s,
        load_share=float(result.get("load_share", 0.0)),
    )


def _count(upstream: Server) -> dict[str, int]:
    with urllib.request.urlopen(f"http://127.0.0.1:{upstream.port}/count", timeout=10) as answer:
        count: dict[str, int] = json.load(answer)
    return count


def _settle(server: Server, upstream: Server) -> None:
    """Waits until the sessions of the last probe are gone, so that they don't burden the next one."""
    deadline = time.monotonic() + _SETTLE_TIMEOUT_S
    idle = server.wait_until_idle(_SETTLE_TIMEOUT_S)
    while (left := _count(upstream)["connected"]) > _PROBE_CONNECTIONS_MAX and time.monotonic() < deadline:
        time.sleep(0.1)
    if not idle or left > _PROBE_CONNECTIONS_MAX:
        state = "idle" if idle else "busy"
        print(f"  {server.name}: {left} connections left and {state} after {_SETTLE_TIMEOUT_S:.0f} s", file=sys.stderr)
