"""Measures the HTTP/2 listener beside hypercorn and granian in the same exchange. benchmarks/README.md says how."""

import argparse
import os
import platform
import signal
import sys
import time
from datetime import date
from pathlib import Path

from benchmarks.contestants import CACHE, ROOT, SESSIONS_MAX, BenchmarkError, Contestant, Server, model_server
from benchmarks.hotpath import Bench, Plan, take_priority, version_of
from benchmarks.probe import FOREIGN_SHARE_MAX, Duration, Reading, drive
from benchmarks.report import Pass, cautions, table, write

LOAD = CACHE / "http2-load"
PEERS = CACHE / "http2-venv" / "bin"
RESULTS = ROOT / "benchmarks" / "results"
APPEND_MS = 80
"""What Parley counts for a delta, so that the model server never seems to fall behind."""

KEYS = CACHE / "http2-keys.toml"
ACCESS_KEY_ID = "AKIDBENCH"
SECRET_ACCESS_KEY = "not-a-secret-but-long-enough"
SETTLE_TIMEOUT_S = 15.0

LOAD_SHARE_MAX = 0.9
"""Above this the load generator may have been the limit."""

# AWS's SDK for Python stalls with granian's default of 1 MiB, so nobody who serves it can use that.
GRANIAN_WINDOW_BYTES = 65_535


def contestants(first_port: int) -> dict[str, Contestant]:
    """All of them by name, in the order of the report."""
    found: dict[str, Contestant] = {}
    for verified in (False, True):
        suffix, what = ("-v", ", signatures verified") if verified else ("", "")
        for name, title, command in (
            ("own", "Parley's listener", _own),
            ("hypercorn", "hypercorn", _hypercorn),
            ("granian", "granian", _granian),
        ):
            port = first_port + len(found) - verified
            found[name + suffix] = Contestant(name + suffix, title + what, port, command(port, verified))
        found["parley" + suffix] = _parley(first_port + 6, verified)
    return found


def _parley(first_port: int, verified: bool) -> Contestant:
    """All of Parley, with sessions on the model server."""
    upstream, page, port = first_port, first_port + 1 + 2 * verified, first_port + 2 + 2 * verified
    settings = ["PARLEY_HTTP2_CLEARTEXT=true", *([f"PARLEY_HTTP2_CREDENTIALS_FILE={KEYS}"] if verified else [])]
    limit = str(SESSIONS_MAX)
    name, title = ("parley-v", "all of Parley, signatures verified") if verified else ("parley", "all of Parley")
    return Contestant(
        name,
        title,
        port,
        (
            *("env", *settings, str(ROOT / ".venv" / "bin" / "parley"), "serve", "--port", str(page)),
            *("--http2-port", str(port), "--max-sessions", limit, "--upstream-max-sessions", limit),
            *("--upstream", f"ws://127.0.0.1:{upstream}/v1/realtime", "--upstream-model", "bench"),
        ),
        ready="/ping",
        ready_port=page,
    )


def _write_keys() -> None:
    KEYS.write_text(f'[[key]]\naccess_key_id = "{ACCESS_KEY_ID}"\nsecret_access_key = "{SECRET_ACCESS_KEY}"\n')
    KEYS.chmod(0o600)


def _own(port: int, verified: bool) -> tuple[str, ...]:
    python = str(ROOT / ".venv" / "bin" / "python")
    command = (python, "-m", "benchmarks.peers.http2_own", "--port", str(port))
    return (*command, "--verify") if verified else command


def _hypercorn(port: int, verified: bool) -> tuple[str, ...]:
    bind = ("-k", "uvloop", "-b", f"127.0.0.1:{port}", "--log-level", "warning")
    return (*_with_parley("hypercorn"), *bind, _application(verified))


def _granian(port: int, verified: bool) -> tuple[str, ...]:
    bind = ("--interface", "asgi", "--http", "2", "--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop")
    window = ("--http2-initial-stream-window-size", str(GRANIAN_WINDOW_BYTES), "--backpressure", str(SESSIONS_MAX))
    return (*_with_parley("granian"), *bind, *window, "--log-level", "warning", _application(verified))


def _with_parley(program: str) -> tuple[str, ...]:
    # The peers use Parley's codec and, where they verify, its verification.
    return ("env", f"PYTHONPATH={ROOT / 'src'}:{ROOT}", str(PEERS / program))


def _application(verified: bool) -> str:
    return f"benchmarks.peers.http2_asgi:{'verified' if verified else 'plain'}"


def measure(
    contestant: Contestant, server: Server, sessions: int, duration: Duration, streams: int, cpu: int
) -> Reading:
    """One probe, `streams` sessions on each connection."""
    command = [str(LOAD), "--port", str(contestant.port), "--sessions", str(sessions), "--streams", str(streams)]
    command += ["--key", ACCESS_KEY_ID, "--secret", SECRET_ACCESS_KEY]
    command += ["--append-ms", str(APPEND_MS), "--warm-s", str(duration.warm_s)]
    reading = drive([*command, "--measure-s", str(duration.measure_s)], server, cpu)
    if not server.wait_until_idle(SETTLE_TIMEOUT_S):
        print(f"  {contestant.name}: busy {SETTLE_TIMEOUT_S:.0f} s after the load ended", file=sys.stderr)
    return reading


def _near_the_limit(passes: list[Pass], titles: dict[str, str]) -> list[str]:
    found = []
    for name, title in titles.items():
        best = [
            reading for each in passes for reading in each[name].probes if reading.sessions == each[name].sessions_max
        ]
        if any(reading.load_share > LOAD_SHARE_MAX for reading in best):
            found.append(f"{title}: the load generator's core was nearly full; the server may carry more.")
    return found


def _environment(plan: Plan, streams: int, cpus: tuple[int, int]) -> dict[str, object]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    code = "import importlib.metadata as m, platform; print('Python', platform.python_version()"
    code += "".join(f", '{name}', m.version('{name}')" for name in ("hypercorn", "granian", "h2", "uvloop")) + ")"
    return {
        "date": date.today().isoformat(),
        "cpu": models[0] if models else "unknown",
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "peers": version_of(str(PEERS / "python"), "-c", code),
        "server_cpu": cpus[0],
        "load_cpu": cpus[1],
        "append_ms": APPEND_MS,
        "streams_per_connection": streams,
        "passes": plan.passes,
        "fixed_sessions": plan.fixed_sessions,
        "measure_s": plan.trial.measure_s,
        "p99_bound_ms": plan.bound_ms,
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="sh benchmarks/http2.sh", description=__doc__)
    parser.add_argument("--passes", type=int, default=3, help="how often all is measured (default 3)")
    parser.add_argument("--only", help="names of servers, with commas (default: all)")
    parser.add_argument("--no-search", action="store_true", help="CPU per event alone")
    parser.add_argument("--sessions", type=int, default=100, help="load for CPU per event (default 100)")
    parser.add_argument("--streams", type=int, default=1, help="sessions on each connection (default 1)")
    parser.add_argument(
        "--bound-ms", type=float, default=100.0, help="p99 latency that a server must keep (default 100)"
    )
    parser.add_argument("--measure-s", type=int, default=4, help="how long a probe measures (default 4)")
    parser.add_argument("--port", type=int, default=9200, help="first of eleven ports (default 9200)")
    parser.add_argument("--nice", type=int, default=0, help="run all of it at this priority (as root: -15)")
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        passes=options.passes,
        fixed_sessions=options.sessions,
        fixed=Duration(2, options.measure_s),
        trial=Duration(2, options.measure_s),
        growth=1.25,
        resolution=0.08,
        bound_ms=options.bound_ms,
        search=not options.no_search,
    )


def _chosen(options: argparse.Namespace) -> list[Contestant]:
    every = contestants(options.port)
    names = options.only.split(",") if options.only else list(every)
    if unknown := [name for name in names if name not in every]:
        raise BenchmarkError(f"no server is called {unknown[0]!r}; there are {', '.join(every)}")
    return [every[name] for name in names]


def _run(options: argparse.Namespace) -> None:
    plan = _plan(options)
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise BenchmarkError("two cores are needed: one for the server, one for the load generator")
    server_cpu, load_cpu = cpus[0], cpus[1]
    os.sched_setaffinity(0, {load_cpu})
    chosen = _chosen(options)
    titles = {each.name: each.title for each in chosen}
    environment = _environment(plan, options.streams, (server_cpu, load_cpu))

    def probe(contestant: Contestant, server: Server, sessions: int, duration: Duration) -> Reading:
        return measure(contestant, server, sessions, duration, options.streams, server_cpu)

    bench = Bench(plan, APPEND_MS, server_cpu, probe)
    passes: list[Pass] = []
    text = ""
    began_s = time.monotonic()
    pace = ("--append-ms", str(APPEND_MS), "--unit-ms", str(APPEND_MS))
    _write_keys()
    with model_server(options.port + 6, load_cpu, pace):
        for index in range(plan.passes):
            turn = index % len(chosen)
            print(f"pass {index + 1} of {plan.passes}", flush=True)
            passes.append(bench.run_pass(chosen[turn:] + chosen[:turn]))
            figures = table(passes, titles, ("own", "hypercorn"), "event")
            warnings = (*cautions(passes, titles, FOREIGN_SHARE_MAX), *_near_the_limit(passes, titles))
            text = "\n\n".join((figures, *warnings))
            write(RESULTS, environment, passes, text, "http2")
    print(f"\n{text}\n\n{time.monotonic() - began_s:.0f} s; every probe is in benchmarks/results/http2.json")


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
