"""What sessions see of a deploy: `.venv/bin/python -m benchmarks.deploys`.

Paced sessions run through real processes while model servers are drained and restarted one after another (`engines`),
and while one of two gateways that share a store gets SIGTERM (`gateways`). In the end every transcript is compared with
that of a session that nothing happened to. benchmarks/README.md says what the figures mean.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

from benchmarks.chaos import Engines, Gateway
from benchmarks.phrases import phrases
from benchmarks.talk import Talk, longest_pause_s, talk
from tests.support.chaos_proxy import ChaosProxy

_LOOK_S = 0.1
_LEAD_IN_S = 3.0
"""Nothing is disturbed before the first words."""
_STEP_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done."""

    sessions: int
    duration_s: float
    drain_timeout_s: float
    seed: int


@dataclass(slots=True)
class Deploy:
    """What came of one."""

    name: str
    reference: Talk
    talks: list[Talk]
    took_s: float

    @property
    def is_good(self) -> bool:
        """Whether every session has the whole transcript."""
        return all(not one.failure and one.text == self.reference.text for one in self.talks)

    def tell(self) -> None:
        """Print it."""
        same = sum(one.text == self.reference.text for one in self.talks)
        outcomes = sum((one.outcomes for one in self.talks), Counter[str]())
        pauses = sorted(longest_pause_s(one, self.reference) for one in self.talks)
        p99 = quantiles(pauses, n=100, method="inclusive")[98]
        print(f"{self.name}: {len(self.talks)} live sessions, done in {self.took_s:.1f} s")
        print(f"  same text as undisturbed: {same} of {len(self.talks)}")
        print(f"  outcomes told: {', '.join(f'{count} {name}' for name, count in sorted(outcomes.items())) or 'none'}")
        print(f"  longest pause of each session: median {median(pauses) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms")
        for failure, count in Counter(one.failure for one in self.talks if one.failure).items():
            print(f"  failed, {count} times: {failure}")


async def _under_load(
    name: str, plan: Plan, url: str, undisturbed_url: str, disturb: Callable[[], Awaitable[None]]
) -> Deploy:
    """Sessions at `url` while something is done, and one at `undisturbed_url` beside them."""
    pcm = phrases(plan.duration_s, plan.seed)
    async with asyncio.TaskGroup() as tasks:
        reference = tasks.create_task(talk(undisturbed_url, pcm))
        talks = [tasks.create_task(talk(url, pcm)) for _ in range(plan.sessions)]
        await asyncio.sleep(_LEAD_IN_S)
        began = time.monotonic()
        await disturb()
        took_s = time.monotonic() - began
    return Deploy(name, reference.result(), [one.result() for one in talks], took_s)


async def _until(what: str, reached: Callable[[], Awaitable[bool]]) -> None:
    try:
        async with asyncio.timeout(_STEP_TIMEOUT_S):
            while True:
                if await reached():
                    return
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise SystemExit(f"deploys: it took more than {_STEP_TIMEOUT_S:.0f} s until {what}") from None


async def _engines(plan: Plan) -> Deploy:
    """Three model servers are drained, restarted and put to use again, one after another."""
    with TemporaryDirectory() as folder:
        async with Engines("scripted", 4, "--max-sessions", str(plan.sessions)) as engines:
            *behind, apart = engines.urls
            async with Gateway(Path(folder), behind) as gateway:

                async def member(name: str) -> dict[str, object]:
                    for one in (await gateway.admin("GET", "upstreams"))["upstreams"]:
                        if one["name"] == name:
                            return dict(one)
                    raise SystemExit(f"deploys: the gateway does not list {name}")

                async def roll() -> None:
                    for index, name in enumerate(engines.names[:3]):
                        await gateway.admin("POST", f"upstreams/{name}/drain", timeout_s=plan.drain_timeout_s)

                        async def is_empty(name: str = name) -> bool:
                            return (await member(name))["streams"] == 0

                        async def is_ready(name: str = name) -> bool:
                            return (await member(name))["state"] == "ready"

                        await _until(f"{name} is empty", is_empty)
                        await engines.restart(index)
                        await gateway.admin("POST", f"upstreams/{name}/undrain")
                        await _until(f"{name} is ready again", is_ready)

                return await _under_load("rolling restart of 3 model servers", plan, gateway.url, apart, roll)


async def _gateways(plan: Plan) -> Deploy:
    """One of two gateways gets SIGTERM; its sessions move to the other through the store."""
    with TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        sections: dict[str, dict[str, object]] = {
            "store": {"kind": "directory", "directory": str(store)},
            "drain": {"timeout_s": plan.drain_timeout_s, "settle_s": 1.0},
        }
        async with (
            Engines("scripted", 4, "--max-sessions", str(plan.sessions)) as engines,
            contextlib.AsyncExitStack() as stack,
        ):
            *behind, apart = engines.urls
            leaving, staying = [
                await stack.enter_async_context(Gateway(Path(folder), behind, **sections)) for _ in range(2)
            ]
            proxy = await stack.enter_async_context(ChaosProxy(leaving.url))

            async def is_unready() -> bool:
                return not await leaving.is_ready()

            async def stop() -> None:
                leaving.terminate()
                await _until("the gateway says that it is not ready", is_unready)
                # What a balancer does.
                proxy.urls = [staying.url]
                await leaving.ended()

            return await _under_load("SIGTERM of one of 2 gateways", plan, f"{proxy.url}/v1/realtime", apart, stop)


_DEPLOYS = {"engines": _engines, "gateways": _gateways}


async def _run() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.deploys", description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=sorted(_DEPLOYS))
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60.0, help="audio of each session")
    parser.add_argument("--drain-timeout-s", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    plan = Plan(options.sessions, options.seconds, options.drain_timeout_s, options.seed)
    is_good = True
    for name, deploy in _DEPLOYS.items():
        if options.only in (None, name):
            done = await deploy(plan)
            done.tell()
            is_good = is_good and done.is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_run()))
