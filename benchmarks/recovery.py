"""How a session gets through cut connections and killed model servers: `.venv/bin/python -m benchmarks.recovery`.

Paced sessions run through a gateway with several model servers, all of them real processes. Connections between client
and gateway are cut at random, model servers are killed with SIGKILL and started again. In the end every transcript is
compared with the one that an undisturbed session got. benchmarks/README.md says what the figures mean.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from benchmarks.chaos import Engines, Gateway
from benchmarks.phrases import phrases, recording
from benchmarks.talk import Talk, talk
from tests.support.chaos_proxy import ChaosProxy

from parley.client.word_errors import word_error_rate

_WER_MAX = 0.02
"""Word error rate against the undisturbed transcript that still counts as the same, for a recogniser."""
_LEAD_IN_S = 2.0
"""Nothing is disturbed before the first words."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to the sessions."""

    engine: str
    engines: int
    sessions: int
    duration_s: float
    speed: float
    cuts: int
    kills: int
    seed: int


async def _disturb(
    plan: Plan, proxies: list[ChaosProxy], engines: Engines, killed_at: list[float]
) -> list[list[float]]:
    """Cuts and kills at random times; returns when each session's connection was cut."""
    source = random.Random(plan.seed)
    span_s = plan.duration_s / plan.speed - _LEAD_IN_S - 1.0
    cuts = [(source.uniform(0, span_s), index) for index in range(plan.sessions) for _ in range(plan.cuts)]
    kills = [((number + source.random()) * span_s / max(1, plan.kills), -1) for number in range(plan.kills)]
    cut_at: list[list[float]] = [[] for _ in proxies]
    began = time.monotonic() + _LEAD_IN_S
    for at, index in sorted(cuts + kills):
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        if index < 0:
            killed_at.append(time.monotonic())
            engines.kill_busiest()
        elif proxies[index].cut(with_reset=source.random() < 0.5):
            cut_at[index].append(time.monotonic())
    return cut_at


async def _run(plan: Plan) -> int:
    pcm = phrases(plan.duration_s, plan.seed) if plan.engine == "scripted" else recording(plan.duration_s)
    killed_at: list[float] = []
    with TemporaryDirectory() as folder:
        async with (
            Engines(plan.engine, plan.engines) as engines,
            Gateway(Path(folder), engines.urls) as gateway,
            contextlib.AsyncExitStack() as proxied,
            asyncio.TaskGroup() as tasks,
        ):
            reference = await talk(gateway.url, pcm, plan.speed * 4)
            if reference.failure or not reference.text:
                print(f"the undisturbed session failed: {reference.failure or 'no text'}", file=sys.stderr)
                return 1
            proxies = [await proxied.enter_async_context(ChaosProxy(gateway.url)) for _ in range(plan.sessions)]
            disturbing = tasks.create_task(_disturb(plan, proxies, engines, killed_at))
            talks = await asyncio.gather(*(talk(f"{proxy.url}/v1/realtime", pcm, plan.speed) for proxy in proxies))
            for one, cut_at in zip(talks, await disturbing, strict=True):
                one.cut_at = cut_at
    return _report(plan, reference, talks, killed_at)


def _report(plan: Plan, reference: Talk, talks: list[Talk], killed_at: list[float]) -> int:
    outcomes: Counter[str] = Counter()
    for one in talks:
        outcomes.update(one.outcomes)
    rates = [word_error_rate(reference.text, one.text) for one in talks if not one.failure]
    same = sum(one.text == reference.text for one in talks)
    cuts = [_wait(at, one.said_at) for one in talks for at in one.cut_at]
    kills = [_wait(at, one.said_at) for one in talks for at in one.lost_at]
    recoveries = [_wait(at, one.recovered_at) for one in talks for at in one.lost_at]
    print(f"{plan.engine}, {plan.engines} model servers, {plan.sessions} sessions of {plan.duration_s:.0f} s")
    print(f"  cut {sum(len(one.cut_at) for one in talks)} times, model servers killed {len(killed_at)} times")
    print(f"  outcomes: {', '.join(f'{count} {name}' for name, count in sorted(outcomes.items()))}")
    print(f"  same text as undisturbed: {same} of {len(talks)}; most word errors {max(rates, default=1.0):.2%}")
    _tell("connection cut to next new text", cuts)
    _tell("model server lost to next new text", kills)
    _tell("model server lost to recovered, replay included", recoveries)
    for one in talks:
        if one.failure:
            print(f"  failed: {one.failure}")
    is_good = all(not one.failure for one in talks) and (
        same == len(talks) if plan.engine == "scripted" else max(rates) <= _WER_MAX
    )
    return 0 if is_good else 1


def _wait(at: float, times: list[float]) -> float | None:
    return next((time_s - at for time_s in times if time_s > at), None)


def _tell(what: str, waits: list[float | None]) -> None:
    known = sorted(wait for wait in waits if wait is not None)
    if len(known) < 2:
        print(f"  {what}: {len(known)} cases")
        return
    p99 = quantiles(known, n=100, method="inclusive")[98]
    print(f"  {what}: median {median(known) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms ({len(known)} cases)")


def _plan() -> Plan:
    parser = argparse.ArgumentParser(prog="benchmarks.recovery", description=__doc__.split("\n")[0])
    parser.add_argument("--engine", choices=("scripted", "tiny-en"), default="scripted")
    parser.add_argument("--engines", type=int, default=2, help="model servers behind the gateway")
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=60.0, help="audio of each session")
    parser.add_argument("--speed", type=float, default=1.0, help="times the pace of speech")
    parser.add_argument("--cuts", type=int, default=20, help="cuts of each session's connection")
    parser.add_argument("--kills", type=int, default=5, help="kills of a model server, for all sessions together")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return Plan(
        options.engine,
        options.engines,
        options.sessions,
        options.seconds,
        options.speed,
        options.cuts,
        options.kills,
        options.seed,
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(_run(_plan())))
