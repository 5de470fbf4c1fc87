"""Measures the gateway's hot path beside other servers that do its outer work. benchmarks/README.md says how."""

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from benchmarks.contestants import PEER_PYTHON, ROOT, SESSIONS_MAX, BenchmarkError, Contestant, Server, contestants
from benchmarks.contestants import model_server as start_model_server
from benchmarks.contestants import started as start_contestant
from benchmarks.probe import FOREIGN_SHARE_MAX, Duration, Pace, Reading, measure
from benchmarks.report import Pass, Record, cautions, table, write
from benchmarks.search import Search

RESULTS = ROOT / "benchmarks" / "results"
DIRECT_SESSIONS = 2500
"""What the load generator must be able to drive with nothing between it and the model server."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    passes: int
    fixed_sessions: int
    fixed: Duration
    trial: Duration
    growth: float
    resolution: float
    bound_ms: float
    search: bool


Measure = Callable[[Contestant, Server, int, Duration], Reading]
"""One probe of a started server with so many sessions for so long."""


class Bench:
    """A run: all servers up at the same time on one core, one of them under load at a time."""

    def __init__(self, plan: Plan, append_ms: int, server_cpu: int, measure: Measure) -> None:
        self._plan = plan
        self._append_ms = append_ms
        self._cpu = server_cpu
        self._measure = measure
        self._best: dict[str, int] = {}

    def run_pass(self, order: list[Contestant]) -> Pass:
        with ExitStack() as stack:
            servers = {each.name: stack.enter_context(start_contestant(each, self._cpu)) for each in order}
            records = {each.name: Record() for each in order}
            for each in order:
                self._measure_fixed(each, servers[each.name], records[each.name])
            if self._plan.search:
                self._search(order, servers, records)
        return records

    def _measure_fixed(self, contestant: Contestant, server: Server, record: Record) -> None:
        reading = self._probe(contestant, server, record, self._plan.fixed_sessions, self._plan.fixed)
        if reading.carried(self._plan.bound_ms):
            record.fixed = reading

    def _search(self, order: list[Contestant], servers: dict[str, Server], records: Pass) -> None:
        """All searches advance one trial at a time in turn, so that a slow minute of the machine hits all alike."""
        searches = {each.name: self._begin(each.name, records[each.name]) for each in order}
        open_ones = list(order)
        while open_ones:
            for each in list(open_ones):
                search, record = searches[each.name], records[each.name]
                sessions = search.next_sessions()
                if sessions is None:
                    record.sessions_max, record.limited = search.carried, search.limited
                    self._best[each.name] = search.carried
                    open_ones.remove(each)
                    continue
                reading = self._probe(each, servers[each.name], record, sessions, self._plan.trial)
                search.record(sessions, reading.carried(self._plan.bound_ms))

    def _begin(self, name: str, record: Record) -> Search:
        plan = self._plan
        if best := self._best.get(name):
            # An earlier pass has been near; the steps can be small.
            return Search(best, 1 + plan.resolution * 1.5, plan.resolution, SESSIONS_MAX)
        if record.fixed is None:
            return Search(plan.fixed_sessions, plan.growth, plan.resolution, SESSIONS_MAX)
        saturated = 1e6 / max(record.fixed.cpu_us, 1.0) * self._append_ms / 1000
        return Search(round(saturated), plan.growth, plan.resolution, SESSIONS_MAX)

    def _probe(
        self, contestant: Contestant, server: Server, record: Record, sessions: int, duration: Duration
    ) -> Reading:
        for attempt in (1, 2):
            reading = self._measure(contestant, server, sessions, duration)
            record.probes.append(reading)
            carried = reading.carried(self._plan.bound_ms)
            tell(contestant, reading, carried)
            disturbed = reading.foreign_share > FOREIGN_SHARE_MAX or reading.generator_late
            if carried or attempt == 2 or not disturbed:
                break
        return reading


def _calibrate(plan: Plan, upstream: Server, pace: Pace, load_cpu: int) -> Reading:
    """What the load generator and the model server reach by themselves, on their one core."""
    direct = Contestant("direct", "nothing between", upstream.port, ())
    for _attempt in range(2):
        reading = measure(direct, upstream, upstream, DIRECT_SESSIONS, pace, plan.trial, load_cpu)
        tell(direct, reading, reading.carried(plan.bound_ms))
        if reading.carried(plan.bound_ms):
            break
    return reading


def tell(contestant: Contestant, reading: Reading, carried: bool) -> None:
    verdict = "ok" if carried else "no"
    if reading.errors:
        verdict += f", {reading.errors} sessions failed: {reading.first_error}"
    elif reading.lost:
        verdict += f", {reading.lost} answers missing"
    elif reading.altered:
        verdict += f", {reading.altered} appends altered"
    elif reading.generator_late:
        verdict += f", the load generator was late (p99 {reading.late_p99_ms:.0f} ms)"
    load = f"  load {reading.load_share:4.0%}" if reading.load_share else ""
    print(
        f"  {contestant.name:11} {reading.sessions:5} sessions  p50 {reading.p50_ms:7.1f}  p99 {reading.p99_ms:7.1f} ms"
        f"  {reading.cpu_us:5.0f} us/message ({reading.user_us:.0f} user)  core {reading.busy_share:4.0%}"
        f"  others {reading.foreign_share:4.0%}{load}  {verdict}",
        flush=True,
    )


def version_of(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return "not found"
    return (done.stdout + done.stderr).strip()


def _environment(plan: Plan, pace: Pace, cpus: tuple[int, int], nginx: str) -> dict[str, object]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    packages = ("fastapi", "uvicorn", "websockets", "picows", "uvloop")
    code = "import importlib.metadata as m, platform; print('Python', platform.python_version()"
    code += "".join(f", '{name}', m.version('{name}')" for name in packages) + ")"
    return {
        "date": date.today().isoformat(),
        "cpu": models[0] if models else "unknown",
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "parley": version_of(str(ROOT / ".venv" / "bin" / "parley"), "--version"),
        "python": version_of(str(ROOT / ".venv" / "bin" / "python"), "--version"),
        "nginx": version_of(nginx, "-v"),
        "peers": version_of(str(PEER_PYTHON), "-c", code),
        "server_cpu": cpus[0],
        "load_cpu": cpus[1],
        "append_ms": pace.append_ms,
        "delta_ms": pace.unit_ms,
        "text_every": pace.text_every,
        "passes": plan.passes,
        "fixed_sessions": plan.fixed_sessions,
        "measure_s": plan.trial.measure_s,
        "p99_bound_ms": plan.bound_ms,
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one pass of short probes, 3-4 minutes")
    parser.add_argument("--passes", type=int, help="how often all is measured (default 3; with --quick 1)")
    parser.add_argument("--only", help="names of servers, with commas (default: all)")
    parser.add_argument("--no-search", action="store_true", help="CPU per message alone")
    parser.add_argument("--sessions", type=int, default=300, help="load for CPU per message (default 300)")
    parser.add_argument(
        "--bound-ms", type=float, default=100.0, help="p99 latency that a server must keep (default 100)"
    )
    parser.add_argument(
        "--deltas",
        choices=("append", "vllm"),
        default="append",
        help="what the model server answers: a word per append, or as vLLM a delta per 80 ms, three in four empty",
    )
    parser.add_argument("--results", default="latest", help="name of the files in benchmarks/results (default latest)")
    parser.add_argument("--append-ms", type=int, default=100, help="audio in each message of a client (default 100)")
    parser.add_argument("--port", type=int, default=9100, help="first of eight ports (default 9100)")
    parser.add_argument(
        "--nice", type=int, default=0, help="run all of it at this priority (as root, on a busy machine: -15)"
    )
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Plan:
    quick: bool = options.quick
    return Plan(
        passes=options.passes or (1 if quick else 3),
        fixed_sessions=options.sessions,
        fixed=Duration(2, 4 if quick else 6),
        trial=Duration(2, 3 if quick else 5),
        growth=1.25 if quick else 1.15,
        resolution=0.08 if quick else 0.04,
        bound_ms=options.bound_ms,
        search=not options.no_search,
    )


def _chosen(every: dict[str, Contestant], only: str | None) -> list[Contestant]:
    names = only.split(",") if only else list(every)
    if unknown := [name for name in names if name not in every]:
        raise BenchmarkError(f"no server is called {unknown[0]!r}; there are {', '.join(every)}")
    return [every[name] for name in names]


def _cautions(direct: Reading, passes: list[Pass], titles: dict[str, str], plan: Plan) -> list[str]:
    found = cautions(passes, titles, FOREIGN_SHARE_MAX)
    if not direct.carried(plan.bound_ms):
        found.append(
            f"By themselves, the load generator and the model server did not reach {DIRECT_SESSIONS} sessions "
            f"(p99 {direct.p99_ms:.0f} ms): figures near that are theirs."
        )
    return found


def _run(options: argparse.Namespace) -> None:
    plan = _plan(options)
    append_ms: int = options.append_ms
    pace = Pace(append_ms, 80, 4, ahead_us=2_500) if options.deltas == "vllm" else Pace(append_ms, append_ms, 1)
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise BenchmarkError("two cores are needed: one for the server, one for the load generator")
    server_cpu, load_cpu = cpus[0], cpus[1]
    os.sched_setaffinity(0, {load_cpu})
    chosen = _chosen(contestants(options.port), options.only)
    titles = {each.name: each.title for each in chosen}
    nginx = contestants(options.port)["nginx"].command[0]
    environment = _environment(plan, pace, (server_cpu, load_cpu), nginx)
    passes: list[Pass] = []
    text = ""
    began_s = time.monotonic()
    with start_model_server(options.port, load_cpu, pace.arguments()) as upstream:

        def probe(contestant: Contestant, server: Server, sessions: int, duration: Duration) -> Reading:
            return measure(contestant, server, upstream, sessions, pace, duration, server_cpu)

        bench = Bench(plan, pace.append_ms, server_cpu, probe)
        direct = _calibrate(plan, upstream, pace, load_cpu)
        environment["direct"] = asdict(direct)
        for index in range(plan.passes):
            turn = index % len(chosen)
            print(f"pass {index + 1} of {plan.passes}", flush=True)
            passes.append(bench.run_pass(chosen[turn:] + chosen[:turn]))
            text = "\n\n".join((table(passes, titles), *_cautions(direct, passes, titles, plan)))
            write(RESULTS, environment, passes, text, options.results)
    took_s = time.monotonic() - began_s
    print(f"\n{text}\n\n{took_s:.0f} s; every probe is in benchmarks/results/{options.results}.json")


def take_priority(nice: int) -> None:
    os.nice(nice)
    group = Path("/proc/self/autogroup")
    if group.exists():  # where the kernel groups by session, a process's own niceness counts only within its group
        group.write_text(str(nice))


def _end(_signal: int, _frame: object) -> None:
    sys.exit(143)


def main() -> int:
    signal.signal(signal.SIGTERM, _end)  # so that the servers are stopped on the way out
    options = _parse()
    try:
        if options.nice:
            take_priority(options.nice)
        _run(options)
    except PermissionError:
        print("bench: a negative --nice needs root", file=sys.stderr)
        return 1
    except BenchmarkError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
