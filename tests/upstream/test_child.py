import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from parley.core.errors import ParleyError
from parley.upstream.child import reaper
from parley.upstream.child.child import ChildOptions, ChildState, LaunchError, ModelServerChild, place
from tests.upstream.model_server import COMMAND

SERVING = ("port", "{port}", "serve")
SERVE = (*COMMAND, *SERVING)
QUICK = ChildOptions(backoff_initial_s=0.01, backoff_max_s=0.02, stop_timeout_s=5.0, probe_interval_max_s=0.1)
BOUND_S = 30.0


class Watch:
    """The states a child went through, and a bounded wait for one of them."""

    def __init__(self) -> None:
        self.states: list[ChildState] = []
        self._changed = asyncio.Event()

    def __call__(self, state: ChildState) -> None:
        self.states.append(state)
        self._changed.set()

    async def until(self, met: Callable[[list[ChildState]], bool]) -> None:
        async with asyncio.timeout(BOUND_S):
            while not met(self.states):
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def supervised(
    *command: str, options: ChildOptions = QUICK, watch: Watch | None = None
) -> AsyncIterator[ModelServerChild]:
    child = ModelServerChild(command, jitter=lambda: 0.5, options=options, on_change=watch)
    task = asyncio.create_task(child.run())
    try:
        yield child
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def ready(child: ModelServerChild) -> None:
    async with asyncio.timeout(BOUND_S):
        await child.wait_ready()


class RollCall:
    """Processes that reported here. Each holds its connection for life, so that its end is an event."""

    def __init__(self) -> None:
        self.port = 0
        self._arrived: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue(16)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator["RollCall"]:
        roll = cls()
        async with await asyncio.start_server(roll._greet, "127.0.0.1", 0) as server:
            roll.port = server.sockets[0].getsockname()[1]
            yield roll

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._arrived.put((reader, writer))

    async def next(self) -> "Member":
        async with asyncio.timeout(BOUND_S):
            reader, writer = await self._arrived.get()
            return Member(int(await reader.readline()), reader, writer)


class Member:
    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._reader = reader
        self._writer = writer

    async def gone(self) -> None:
        async with asyncio.timeout(BOUND_S):
            assert await self._reader.read() == b""
            self._writer.close()
            await self._writer.wait_closed()


@pytest.fixture
async def roll() -> AsyncIterator[RollCall]:
    async with RollCall.open() as roll:
        yield roll


async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_a_server_is_ready_once_its_health_answers() -> None:
    watch = Watch()
    async with supervised(*SERVE, watch=watch) as child:
        await ready(child)
        assert watch.states == [ChildState.STARTING, ChildState.READY]


async def test_a_ready_server_listens_where_its_url_says() -> None:
    async with supervised(*SERVE) as child:
        await ready(child)
        assert child.url == f"ws://127.0.0.1:{child.port}/v1/realtime"
        assert await accepts(child.port)


@pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])
async def test_cancelling_ends_the_server_before_it_returns() -> None:
    watch = Watch()
    async with supervised(*SERVE, watch=watch) as child:
        await ready(child)
    assert watch.states[-1] is ChildState.STOPPED
    assert not await accepts(child.port)


async def test_a_crash_is_followed_by_a_wait_and_a_restart(tmp_path: Path) -> None:
    watch = Watch()
    async with supervised(*COMMAND, "once", str(tmp_path / "marker"), *SERVING, watch=watch) as child:
        await ready(child)
        assert watch.states == [ChildState.STARTING, ChildState.BACKOFF, ChildState.STARTING, ChildState.READY]


@pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])
async def test_a_killed_server_comes_back_on_the_same_port(roll: RollCall) -> None:
    watch = Watch()
    async with supervised(*COMMAND, "report", str(roll.port), *SERVING, watch=watch) as child:
        await ready(child)
        url = child.url
        server = await roll.next()
        os.kill(server.pid, signal.SIGKILL)
        await server.gone()
        await watch.until(lambda states: states.count(ChildState.READY) == 2)
        assert child.url == url
        assert await accepts(child.port)
    await (await roll.next()).gone()


async def test_what_a_crashed_server_leaves_behind_is_killed(roll: RollCall) -> None:
    slow = ChildOptions(backoff_initial_s=60.0, backoff_max_s=60.0)
    port = str(roll.port)
    async with supervised(*COMMAND, "grandchild", port, "report", port, *SERVING, options=slow) as child:
        await ready(child)
        one, other = await roll.next(), await roll.next()
        server, grandchild = (one, other) if os.getpgid(one.pid) == one.pid else (other, one)
        os.kill(server.pid, signal.SIGKILL)
        await grandchild.gone()
        await server.gone()


async def test_waits_before_restarts_double_up_to_the_bound(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()
    options = ChildOptions(backoff_initial_s=0.02, backoff_max_s=0.06)
    with caplog.at_level(logging.INFO, logger="parley.upstream"):
        child = ModelServerChild(
            (*COMMAND, "exit", "1"), jitter=lambda: 1.0, options=options, on_change=watch, probe=never
        )
        task = asyncio.create_task(child.run())
        await watch.until(lambda states: states.count(ChildState.BACKOFF) == 4)
        task.cancel()
        await asyncio.wait([task])
    waits = [record.args[1] for record in caplog.records if "started again" in record.msg and record.args]  # type: ignore[index,unused-ignore]
    assert waits[:3] == [0.02, 0.04, 0.06]
    assert child.starts >= 3


async def never(url: str) -> bool:
    return False


async def test_a_server_that_is_never_healthy_is_started_anew() -> None:
    watch = Watch()
    options = ChildOptions(health_timeout_s=0.2, backoff_initial_s=0.01, backoff_max_s=0.01)
    async with supervised(*COMMAND, "serve", options=options, watch=watch):
        await watch.until(lambda states: states.count(ChildState.BACKOFF) == 2)
        assert ChildState.READY not in watch.states


async def test_a_server_that_ignores_sigterm_is_killed_at_the_bound(roll: RollCall) -> None:
    stubborn = ChildOptions(stop_timeout_s=0.2)
    async with supervised(*COMMAND, "stubborn", "report", str(roll.port), *SERVING, options=stubborn) as child:
        await ready(child)
        server = await roll.next()
    await server.gone()


@pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])
async def test_a_second_cancellation_kills_at_once(roll: RollCall) -> None:
    stubborn = ChildOptions(stop_timeout_s=600.0)
    command = (*COMMAND, "stubborn", "report", str(roll.port), *SERVING)
    child = ModelServerChild(command, jitter=lambda: 0.5, options=stubborn)
    task = asyncio.create_task(child.run())
    await ready(child)
    server = await roll.next()
    task.cancel()
    await asyncio.wait([task], timeout=0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.gone()


async def test_what_the_server_prints_is_logged_line_by_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="parley.child"):
        async with supervised(*COMMAND, "print", "one\ntwo", *SERVING) as child:
            await ready(child)
    assert [record.getMessage() for record in caplog.records if record.name == "parley.child"] == ["one", "two"]


async def test_a_long_line_of_the_server_is_cut_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="parley.child"):
        async with supervised(*COMMAND, "flood", "1000000", *SERVING) as child:
            await ready(child)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "parley.child"]
    assert line == "x" * 4096 + " [995904 bytes more]"


async def test_an_unknown_command_is_refused_by_name() -> None:
    child = ModelServerChild("no-such-model-server serve", jitter=lambda: 0.5)
    with pytest.raises(LaunchError, match="no-such-model-server: command not found"):
        await child.run()


async def test_wrong_arguments_are_not_tried_again() -> None:
    child = ModelServerChild((*COMMAND, "exit", "2"), name="it", jitter=lambda: 0.5, probe=never)
    with pytest.raises(LaunchError, match="it exited with status 2 before it was ready"):
        await child.run()


async def test_a_port_of_another_program_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        child = ModelServerChild((*COMMAND, "serve", "--port", str(port)), jitter=lambda: 0.5)
        with pytest.raises(LaunchError, match=f"Port {port}, .* in use by another program"):
            await child.run()


async def test_waiting_for_a_server_that_was_stopped_fails() -> None:
    child = ModelServerChild("no-such-model-server", jitter=lambda: 0.5)
    waiting = asyncio.create_task(child.wait_ready())
    with pytest.raises(LaunchError):
        await child.run()
    with pytest.raises(ParleyError, match="no-such-model-server is not running"):
        await waiting


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_the_server_and_its_children_die_with_a_killed_parent(roll: RollCall, loop: str) -> None:
    command = (*COMMAND, "grandchild", str(roll.port), "report", str(roll.port), *SERVING)
    program = (
        f"import asyncio, {loop}\n"
        "from parley.upstream.child.child import ModelServerChild\n"
        "async def main():\n"
        f"    await ModelServerChild({command!r}, jitter=lambda: 0.5).run()\n"
        f"{loop}.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    try:
        family = [await roll.next(), await roll.next()]
    finally:
        parent.kill()
        await parent.wait()
    for member in family:
        await member.gone()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
async def test_the_server_dies_with_a_killed_reaper(roll: RollCall) -> None:
    command = (*COMMAND, "report", str(roll.port), "serve")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", reaper.__file__, "5", *command, stdin=subprocess.PIPE
    )
    try:
        server = await roll.next()
    finally:
        process.kill()
        await process.communicate()
    await server.gone()


def run_reaper(*command: str) -> int:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", reaper.__file__, "5", *command], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        return process.wait(BOUND_S)
    finally:
        process.communicate()


def test_the_reaper_passes_an_exit_status_on() -> None:
    assert run_reaper(*COMMAND, "exit", "7") == 7


def test_the_reaper_tells_a_signal_as_a_shell_does() -> None:
    assert run_reaper(sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 9)") == 128 + 9


def test_the_reaper_tells_that_a_command_was_not_found() -> None:
    assert run_reaper("no-such-model-server") == reaper.NOT_FOUND


def test_the_reaper_tells_that_a_file_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a program")
    assert run_reaper(str(tmp_path / "text")) == reaper.NOT_RUNNABLE


@pytest.mark.parametrize(
    ("command", "port"),
    [
        ("vllm serve model", 8000),
        ("vllm serve model --port 8123", 8123),
        ("vllm serve model --port=8123 --host 0.0.0.0", 8123),
        ("sh -c 'exec vllm serve model --port 8123'", 8123),
        ("vllm serve model --data-parallel-rpc-port 9000", 8000),
        (("serve", "--port", "1", "--port", "2"), 2),
    ],
)
def test_the_port_is_read_from_the_command(command: str | tuple[str, ...], port: int) -> None:
    assert place(command)[1] == port


def test_a_free_port_takes_the_place_of_its_mark() -> None:
    words, port = place("serve --port {port} --url http://127.0.0.1:{port}/")
    assert words == ("serve", "--port", str(port), "--url", f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("command", ["", "  ", "serve 'unclosed"])
def test_a_command_without_words_is_refused(command: str) -> None:
    with pytest.raises(LaunchError):
        place(command)
