"""The engine server as a process of its own: how it ends."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncGenerator

import pytest

from .talk import WAIT_S, connected

PROGRAM = """
import asyncio, sys
from parley.engine.options import EngineOptions, FaultPlan
from parley.engine.server import serve_engine
faults = FaultPlan(die_after_deltas=int(sys.argv[1]) or None)
options = EngineOptions(port=0, engine="scripted", model_name="test-model", faults=faults)
asyncio.run(serve_engine(options, lambda port: print(port, flush=True)))
"""


@contextlib.asynccontextmanager
async def running(die_after_deltas: int = 0) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(die_after_deltas), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), WAIT_S))
        yield process, f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_with_status_0(number: signal.Signals) -> None:
    async with running() as (process, address), connected(address) as client:
        await client.start()
        process.send_signal(number)
        code = await client.close_code()
        assert (code, await asyncio.wait_for(process.wait(), WAIT_S)) == (1012, 0)


async def test_a_death_can_be_planned_and_leaves_no_farewell() -> None:
    async with running(die_after_deltas=3) as (process, address), connected(address) as client:
        await client.start()
        await client.append(bytes(64_000))
        deltas = [(await client.event())["type"] for _ in range(3)]
        code = await client.close_code()
        assert (deltas, code) == (["transcription.delta"] * 3, 1006)
        assert await asyncio.wait_for(process.wait(), WAIT_S) == 1
