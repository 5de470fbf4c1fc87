"""How much memory a model server has, and who is told when it is too much."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from parley.upstream.child.child import ModelServerChild
from parley.upstream.child.memory import MemoryWatch, resident_bytes
from tests.support.logs import LogWatch
from tests.support.waiting import Changes, bounded
from tests.upstream.model_server import COMMAND

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MIB = 2**20
TICK_S = 0.001


def process(proc: Path, pid: int | str, *, resident: int, shared: int, children: tuple[str, ...] = ()) -> None:
    """A process as /proc shows it: pages, and the children of each of its threads."""
    place = proc / str(pid)
    for number, text in enumerate(children or ("",)):
        thread = place / "task" / f"{pid}{number}"
        thread.mkdir(parents=True)
        (thread / "children").write_text(text)
    (place / "statm").write_text(f"999 {resident} {shared} 1 0 5 0\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    process(tmp_path, "self", resident=1, shared=1)
    return tmp_path


def test_the_memory_of_a_process_and_of_all_below_it_is_added_up(proc: Path) -> None:
    process(proc, 10, resident=5, shared=1, children=("11 ", "12 "))
    process(proc, 11, resident=100, shared=20, children=("13 ",))
    process(proc, 12, resident=200, shared=60)
    process(proc, 13, resident=300, shared=30)
    process(proc, 14, resident=10_000, shared=0)
    assert resident_bytes(10, proc) == (4 + 80 + 140 + 270 + 60) * PAGE_BYTES


def test_a_process_that_has_ended_has_no_memory(proc: Path) -> None:
    process(proc, 10, resident=5, shared=1, children=("11 ",))
    assert resident_bytes(10, proc) == 5 * PAGE_BYTES
    assert resident_bytes(12, proc) == 0


def test_where_the_system_does_not_tell_nothing_is_known(tmp_path: Path) -> None:
    assert resident_bytes(1, tmp_path) is None


def test_processes_that_name_each_other_are_counted_once(proc: Path) -> None:
    process(proc, 10, resident=5, shared=0, children=("11",))
    process(proc, 11, resident=5, shared=0, children=("10 11",))
    assert resident_bytes(10, proc) == 10 * PAGE_BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
async def test_a_launched_servers_memory_is_found_below_the_reaper_while_it_runs() -> None:
    child = ModelServerChild((*COMMAND, "hold", "64", "port", "{port}", "serve"), jitter=lambda: 0.5)
    task = asyncio.create_task(child.run())
    try:
        await bounded("the server is ready", child.wait_ready())
        assert child.pid is not None
        found = resident_bytes(child.pid)
        assert found is not None
        assert found > 64 * MIB
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert child.pid is None


class Server:
    """A process whose memory is what a test says."""

    def __init__(self, *found: int | None) -> None:
        self.found = list(found)
        self.pids: list[int] = []
        self.relieved_after: list[int] = []
        self.pid: int | None = 7
        self.changes = Changes()

    def measure(self, pid: int) -> int | None:
        self.pids.append(pid)
        return self.found[min(len(self.pids), len(self.found)) - 1]

    def relieve(self) -> None:
        self.relieved_after.append(len(self.pids))
        self.changes.notify()

    async def until_relieved(self, times: int) -> None:
        await self.changes.until(f"relief, {times} times", lambda: len(self.relieved_after) >= times)


@asynccontextmanager
async def watching(server: Server, *, patience_s: float = TICK_S) -> AsyncIterator[MemoryWatch]:
    watch = MemoryWatch(
        lambda: server.pid,
        server.relieve,
        limit_bytes=100 * MIB,
        interval_s=TICK_S,
        patience_s=patience_s,
        measure=server.measure,
    )
    task = asyncio.create_task(watch.run())
    try:
        yield watch
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_relief_is_called_for_once_there_is_more_than_the_limit(log: LogWatch) -> None:
    server = Server(50 * MIB, 100 * MIB, 101 * MIB, 50 * MIB)
    async with watching(server) as watch:
        await server.until_relieved(1)
        assert watch.resident_bytes == 101 * MIB
    assert server.relieved_after == [3]
    assert set(server.pids) == {7}
    assert "101 MiB" in log.everything


async def test_relief_is_given_time_to_work() -> None:
    server = Server(200 * MIB)
    async with watching(server, patience_s=600.0):
        await server.until_relieved(1)
    assert len(server.pids) == 1


async def test_relief_is_called_for_again_while_it_has_not_helped() -> None:
    server = Server(200 * MIB)
    async with watching(server):
        await server.until_relieved(3)
    assert server.relieved_after[:3] == [1, 2, 3]


async def test_a_server_that_does_not_run_is_not_looked_at() -> None:
    server = Server(200 * MIB)
    server.pid = None
    async with watching(server) as watch:
        await server.changes.until("a look", lambda: watch.resident_bytes is None)
        server.pid = 8
        await server.until_relieved(1)
    assert set(server.pids) == {8}


async def test_where_memory_cannot_be_told_that_is_said_once(log: LogWatch) -> None:
    server = Server(None, None, None, 200 * MIB)
    async with watching(server):
        await server.until_relieved(1)
    assert len([message for message in log.messages if "can't be told" in message]) == 1
