"""How a gateway stands what it should not have to: `.venv/bin/python -m benchmarks.storms`.

Each storm runs against a gateway of its own, pinned to a core, with real model servers behind it: three times the
sessions that there are streams (`overload`), a thousand connections at once (`herd`), connections that never say what
they want (`half-open`), clients that never read (`deaf`), a model server that never answers (`silent`), and many
sessions in which nothing happens (`idle`). Beside some of them people go on talking, and should not notice.
benchmarks/README.md says what the figures mean.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from benchmarks.callers import Call, Caller, deaf_call, half_open, persistent_calls
from benchmarks.chaos import Engines, Gateway
from benchmarks.phrases import phrases
from benchmarks.talk import Talk, lateness_s, talk
from tests.support.chaos_proxy import ChaosProxy

_LOOP_LAG_MAX_MS = 20.0
_LATE_MAX_S = 1.0
_LOOK_S = 0.2
_CPUS = sorted(os.sched_getaffinity(0))
_GATEWAY_CPU, _OTHER_CPUS = _CPUS[0], _CPUS[1:] or _CPUS
"""Clients and model servers are not to take the gateway's time."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MIB = 2**20
_WINDOW_MIN_S = 5.0


@dataclass(slots=True)
class Finding:
    """What came of a storm. Each check is a sentence and whether it held."""

    name: str
    lines: list[str] = field(default_factory=list)
    checks: dict[str, bool] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether all checks held."""
        return all(self.checks.values())

    def tell(self) -> None:
        """Print it."""
        print(f"{self.name}")
        for line in self.lines:
            print(f"  {line}")
        for check, held in self.checks.items():
            print(f"  {'yes' if held else 'NO '}  {check}")


@dataclass(slots=True)
class Stage:
    """A gateway under a storm, and what is watched of it."""

    gateway: Gateway
    engines: Engines
    undisturbed_url: str
    rss_before: int
    rss_most: int = 0
    lags_ms: list[float] = field(default_factory=list)
    storm_lag_ms: float = 0.0
    taken_by_others: float = 0.0
    _began_at: float = field(default_factory=time.monotonic)
    _core_before_s: float = field(default_factory=lambda: busy_s(_GATEWAY_CPU))
    _own_before_s: float = 0.0

    @property
    def grown_mib(self) -> float:
        """By how much its memory has grown at the most."""
        return (self.rss_most - self.rss_before) / _MIB

    def begin(self) -> None:
        """The storm begins."""
        self.lags_ms.clear()
        self._began_at = time.monotonic()
        self._core_before_s, self._own_before_s = busy_s(_GATEWAY_CPU), processor_s(self.gateway.pid)

    async def end(self) -> None:
        """The storm is over: how late the loop was all the while, for five seconds at least."""
        await asyncio.sleep(max(0.0, self._began_at + _WINDOW_MIN_S - time.monotonic()))
        took_s = time.monotonic() - self._began_at
        node = await self.gateway.admin("GET", f"node?window_s={min(60.0, took_s):.1f}")
        self.storm_lag_ms = node["loop_lag"]["p99_ms"]
        own_s = processor_s(self.gateway.pid) - self._own_before_s
        self.taken_by_others = max(0.0, busy_s(_GATEWAY_CPU) - self._core_before_s - own_s) / took_s

    async def watch(self) -> None:
        """Sample its memory and its loop's lag until cancelled."""
        while True:
            self.rss_most = max(self.rss_most, resident_bytes(self.gateway.pid))
            with contextlib.suppress(OSError):
                node = await self.gateway.admin("GET", "node?window_s=1")
                self.lags_ms.append(node["loop_lag"]["p99_ms"])
            await asyncio.sleep(_LOOK_S)

    def tell(self, finding: Finding) -> None:
        """Add what was watched."""
        finding.lines.append(
            f"the gateway's loop was late by {self.storm_lag_ms:.1f} ms (p99 of the storm),"
            f" in the worst second by {max(self.lags_ms, default=0.0):.1f} ms (its p99);"
            f" others took {self.taken_by_others:.0%} of its core"
        )
        finding.lines.append(f"its memory grew by {self.grown_mib:.1f} MiB at the most")
        finding.checks[f"loop lag p99 below {_LOOP_LAG_MAX_MS:.0f} ms"] = self.storm_lag_ms < _LOOP_LAG_MAX_MS


def resident_bytes(pid: int) -> int:
    """The resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def processor_s(pid: int) -> float:
    """The processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def busy_s(cpu: int) -> float:
    """How long a core has been at work, for this machine or for another one that it is shared with."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{cpu} "))
    user, nice, system, _idle, _wait, interrupts, soft, steal = map(int, line.split()[1:9])
    return (user + nice + system + interrupts + soft + steal) / _TICKS_PER_S


@contextlib.asynccontextmanager
async def _stage(engines_max: int = 256, **sections: Mapping[str, object]) -> AsyncIterator[Stage]:
    """A gateway before a scripted engine of so many streams, another engine that nobody else uses, and a watch."""
    with TemporaryDirectory() as folder:
        async with Engines("scripted", 2, "--max-sessions", str(engines_max)) as engines:
            behind, apart = engines.urls
            async with Gateway(Path(folder), [behind], **sections) as gateway:
                os.sched_setaffinity(gateway.pid, {_GATEWAY_CPU})
                stage = Stage(gateway, engines, apart, resident_bytes(gateway.pid))
                watching = asyncio.create_task(stage.watch())
                try:
                    yield stage
                finally:
                    watching.cancel()
                    await asyncio.gather(watching, return_exceptions=True)


async def _beside(stage: Stage, talkers: int, seconds: float, storm: Callable[[], Awaitable[None]]) -> Finding:
    """People talk while it storms: how late their words were, and whether they came."""
    pcm = phrases(seconds, 1)
    async with asyncio.TaskGroup() as tasks:
        reference = tasks.create_task(talk(stage.undisturbed_url, pcm))
        talks = [tasks.create_task(talk(stage.gateway.url, pcm)) for _ in range(talkers)]
        await asyncio.sleep(2.0)
        stage.begin()
        await storm()
        await stage.end()
    finding = Finding("")
    _judge(finding, reference.result(), [one.result() for one in talks], "sessions that were live before")
    stage.tell(finding)
    return finding


def _judge(finding: Finding, reference: Talk, talks: list[Talk], who: str) -> None:
    """Whether the transcripts are whole, and in time."""
    late = sorted(at for one in talks for at in lateness_s(one, reference))
    p99 = quantiles(late, n=100, method="inclusive")[98] if len(late) > 1 else float("inf")
    finding.lines.append(f"{len(talks)} {who}: their text came {p99 * 1000:.0f} ms later than undisturbed (p99)")
    finding.checks[f"{who}: every transcript whole"] = all(one.text == reference.text for one in talks)
    finding.checks[f"{who}: text at most {_LATE_MAX_S:g} s late (p99)"] = p99 <= _LATE_MAX_S


# ---- the storms


async def _overload(count: int) -> Finding:
    """Three times the sessions that there are streams; as many may wait as there are streams. Who is refused comes back
    when told to."""
    streams = max(1, count // 3)
    admission = {"queue_max": streams, "queue_timeout_s": 60.0}
    async with _stage(upstream={"max_sessions": streams}, admission=admission) as stage:
        pcm = phrases(12.0, 1)
        began = time.monotonic()
        stage.begin()
        async with asyncio.TaskGroup() as tasks:
            reference = tasks.create_task(talk(stage.undisturbed_url, pcm))
            callers = [tasks.create_task(persistent_calls(stage.gateway.url, pcm, 50.0)) for _ in range(count)]
        took_s = time.monotonic() - began
        await stage.end()
        finding = Finding(f"overload: {count} sessions for {streams} streams")
        _judge_overload(finding, reference.result(), [one.result() for one in callers], streams)
        finding.lines.append(f"all were done in {took_s:.0f} s")
        stage.tell(finding)
        return finding


def _judge_overload(finding: Finding, reference: Talk, callers: list[list[Call]], streams: int) -> None:
    firsts = [calls[0] for calls in callers]
    straight = [one.talk for one in firsts if not one.refusal and not one.positions]
    queued = [one for one in firsts if not one.refusal and one.positions]
    refused = [calls for calls in callers if calls[0].refusal]
    refusals = [one for calls in callers for one in calls if one.refusal]
    _judge(finding, reference, straight, "sessions admitted at once")
    finding.lines.append(f"{len(queued)} were queued and served, {len(refused)} refused at first")
    for refusal, times in Counter(one.refusal for one in refusals).items():
        hints = [one.retry_after_s for one in refusals if one.refusal == refusal]
        finding.lines.append(f"refused with {refusal}, {times} times in all; told to retry after {_range(hints)}")
    finding.checks["as many admitted at once as there are streams"] = len(straight) == streams
    finding.checks["queued sessions: every transcript whole"] = all(one.talk.text == reference.text for one in queued)
    finding.checks["every refusal is at-capacity with a time to retry after"] = all(
        one.refusal == "at-capacity" and one.retry_after_s for one in refusals
    )
    finding.checks["who was refused and came back when told was served, whole"] = all(
        calls[-1].talk.text == reference.text for calls in refused
    )


def _range(values: list[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    return f"{known[0]:.1f} to {known[-1]:.1f} s" if known else "no time"


async def _herd(count: int) -> Finding:
    """So many clients at once, as after a cut line."""
    sections: dict[str, dict[str, object]] = {
        "server": {"max_sessions": count + 100},
        "session": {"idle_release_s": 5.0},
    }
    async with _stage(engines_max=count + 100, **sections) as stage:
        answered: list[Caller] = []
        took: list[float] = []

        async def storm() -> None:
            began = time.monotonic()

            async def one() -> None:
                answered.append(await Caller.open(stage.gateway.url))
                took.append(time.monotonic() - began)

            await asyncio.gather(*(one() for _ in range(count)))
            for caller in answered:
                await caller.close()

        finding = await _beside(stage, 20, 15.0, storm)
        finding.name = f"herd: {count} connections at once"
        codes = Counter(caller.refusal or "accepted" for caller in answered)
        finding.lines.append(f"answers: {', '.join(f'{times} {code}' for code, times in sorted(codes.items()))}")
        finding.lines.append(f"all were answered within {max(took):.1f} s, half of them within {median(took):.1f} s")
        finding.checks["everybody was answered"] = len(answered) == count
        return finding


async def _half_open(count: int) -> Finding:
    """Connections that send half a request, and nothing more."""
    async with _stage(server={"head_timeout_s": 5.0}) as stage:
        ended: list[bool] = []

        async def storm() -> None:
            ended.extend(await asyncio.gather(*(half_open(stage.gateway.port) for _ in range(count))))

        finding = await _beside(stage, 20, 15.0, storm)
        finding.name = f"half-open: {count} connections that never say what they want"
        finding.checks["all were ended by the gateway"] = sum(ended) == count
        finding.checks["memory grew by less than 64 MiB"] = stage.grown_mib < 64
        return finding


async def _deaf(count: int) -> Finding:
    """Clients that send as fast as they can and never read."""
    async with _stage(session={"forward_empty_deltas": True}) as stage:

        async def storm() -> None:
            pcm = phrases(60.0, 2)
            await asyncio.gather(*(deaf_call(stage.gateway.port, pcm, 12.0) for _ in range(count)))

        finding = await _beside(stage, 10, 20.0, storm)
        finding.name = f"deaf: {count} clients that send and never read"
        finding.checks["memory grew by less than 8 MiB for each of them"] = stage.grown_mib < 8 * count
        return finding


async def _silent(count: int) -> Finding:
    """A model server that takes connections and audio, and says nothing from some time on."""
    # What is held is bounded long before the audio ends.
    session = {"held_audio_max_s": 10.0, "journal_max_s": 10.0, "stall_timeout_s": 60.0, "first_delta_timeout_s": 60.0}
    with TemporaryDirectory() as folder:
        async with Engines("scripted", 1, "--max-sessions", str(count)) as engines, ChaosProxy(*engines.urls) as proxy:
            url = f"{proxy.url}/v1/realtime"
            async with Gateway(Path(folder), [url], session=session) as gateway:
                os.sched_setaffinity(gateway.pid, {_GATEWAY_CPU})
                stage = Stage(gateway, engines, engines.urls[0], resident_bytes(gateway.pid))
                watching = asyncio.create_task(stage.watch())
                stage.begin()
                callers = await asyncio.gather(*(Caller.open(gateway.url) for _ in range(count)))
                proxy.down.is_stalled = True
                pcm = phrases(60.0, 3)
                sending = [asyncio.create_task(caller.push(pcm, pieces_per_s=100)) for caller in callers]
                await asyncio.sleep(15.0)
                held = stage.rss_most
                await asyncio.sleep(5.0)
                await stage.end()
                watching.cancel()
                for task in sending:
                    task.cancel()
                await asyncio.gather(watching, *sending, return_exceptions=True)
                finding = Finding(f"silent: {count} sessions on a model server that never answers")
                stage.tell(finding)
                bound_mib = count * 10.0 * 2 * 2 * 16_000 * 4 / 3 / _MIB
                finding.lines.append(
                    f"20 s of audio in at ten times the pace; bound for what is held {bound_mib:.0f} MiB"
                )
                finding.checks["memory stays below the bound"] = stage.grown_mib < bound_mib
                finding.checks["memory does not grow any more"] = stage.rss_most < held * 1.05 + _MIB
                for caller in callers:
                    await caller.close()
                return finding


async def _idle(count: int) -> Finding:
    """Sessions in which nothing happens: half of them with their streams; then all of them without.

    Memory that was used once stays with the process. So what a session takes without its stream shows in the second
    half, whose streams have what those of the first half have given back.
    """
    half = max(1, count // 2)
    sections: dict[str, dict[str, object]] = {"server": {"max_sessions": count}, "session": {"idle_release_s": 8.0}}
    async with _stage(engines_max=count + 10, **sections) as stage:
        before = resident_bytes(stage.gateway.pid)
        stage.begin()
        callers = await _idlers(stage, half)
        with_streams = resident_bytes(stage.gateway.pid)
        await _parked(stage)
        first = resident_bytes(stage.gateway.pid)
        callers += await _idlers(stage, half)
        await _parked(stage)
        parked = resident_bytes(stage.gateway.pid) - first
        await stage.end()
        finding = Finding(f"idle: {2 * half} attached sessions")
        finding.lines.append(f"memory a session with its stream: {(with_streams - before) / half / 1024:.1f} KiB")
        finding.lines.append(f"memory a session without it: {parked / half / 1024:.1f} KiB")
        finding.checks["everybody has a session"] = not any(caller.refusal for caller in callers)
        stage.tell(finding)
        for caller in callers:
            await caller.close()
        return finding


async def _idlers(stage: Stage, count: int) -> list[Caller]:
    callers = [await Caller.open(stage.gateway.url) for _ in range(count)]
    for caller in callers:
        caller.name_model(resume=True)
    await asyncio.sleep(1.0)
    return callers


async def _parked(stage: Stage) -> None:
    """Wait until no session holds a stream."""
    async with asyncio.timeout(60):
        while True:
            (member,) = (await stage.gateway.admin("GET", "upstreams"))["upstreams"]
            if not member["streams"]:
                return
            await asyncio.sleep(_LOOK_S)


_STORMS: dict[str, tuple[Callable[[int], Awaitable[Finding]], int]] = {
    "overload": (_overload, 60),
    "herd": (_herd, 1_000),
    "half-open": (_half_open, 500),
    "deaf": (_deaf, 20),
    "silent": (_silent, 50),
    "idle": (_idle, 2_000),
}


async def _run() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.storms", description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=sorted(_STORMS))
    parser.add_argument("--count", type=int, help="how many, instead of the usual number")
    options = parser.parse_args()
    os.sched_setaffinity(0, _OTHER_CPUS)
    is_good = True
    for name, (storm, usual) in _STORMS.items():
        if options.only in (None, name):
            finding = await storm(options.count or usual)
            finding.tell()
            is_good = is_good and finding.is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_run()))
