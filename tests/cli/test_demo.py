import asyncio
import io
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from parley.audio.wav import wav_header
from parley.cli import main
from parley.cli.demonstration import WORD_ERROR_RATE_MAX, Demonstration, bundled_recording, run
from parley.cli.failure import Failure
from parley.cli.own_server import OwnServer, OwnServerError, OwnServerLimits
from parley.client.pacing import FullPace
from parley.client.source import open_file
from tests.support.waiting import bounded

FAKE = Path(__file__).with_name("fake_serve.py")


def fake(kind: str, limits: OwnServerLimits | None = None) -> Callable[[], OwnServer]:
    return lambda: OwnServer([sys.executable, str(FAKE), kind], limits)


def demonstration(
    kind: str, *, file: Path | None = None, is_live: bool = False, limits: OwnServerLimits | None = None
) -> tuple[Demonstration, io.StringIO]:
    screen = io.StringIO()
    console = Console(file=screen, width=100, force_terminal=is_live, color_system=None)
    return Demonstration(file, console=console, server=fake(kind, limits), pace=FullPace), screen


async def failure_of(kind: str, **options: OwnServerLimits) -> str:
    with pytest.raises(Failure) as caught:
        await demonstration(kind, **options)[0].run()  # type: ignore[arg-type]
    return "\n".join(caught.value.lines)


async def test_the_demo_shows_the_transcript_its_measures_and_what_to_do_next() -> None:
    demo, screen = demonstration("good")
    assert await demo.run() == 0
    shown = screen.getvalue()
    assert "Hello, and welcome to this short recording." in shown
    for measure in ("ready in", "first words", "real-time factor", "0% (0 of 37 words)", "demo FILE.wav"):
        assert measure in shown


async def test_on_a_terminal_the_words_are_shown_as_they_come() -> None:
    demo, screen = demonstration("good", is_live=True)
    assert await demo.run() == 0
    assert "welcome.wav" in screen.getvalue()
    assert "/ 13.7 s" in screen.getvalue()


async def test_a_recording_of_ones_own_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "mine.wav"
    path.write_bytes(wav_header(16_000) + bytes(32_000))
    demo, screen = demonstration("mute", file=path)
    assert await demo.run() == 0
    assert "(no words)" in screen.getvalue()
    assert "never" in screen.getvalue()
    assert "word error rate" not in screen.getvalue()


@pytest.mark.parametrize("kind", ["deaf", "mute"])
async def test_a_wrong_transcript_fails_the_demo(kind: str) -> None:
    told = await failure_of(kind)
    assert told.startswith("wrong-transcript: 100% of the words are wrong")


async def test_a_server_that_does_not_start_is_shown_with_its_log() -> None:
    told = await failure_of("dead")
    assert "ended by itself (status 3)" in told
    assert "no weights here" in told


async def test_a_server_that_says_nothing_is_said_to() -> None:
    assert "it logged nothing" in await failure_of("silent")


async def test_a_server_that_is_never_ready_is_given_up() -> None:
    told = await failure_of("unready", limits=OwnServerLimits(ready_timeout_s=3.0))
    assert "was not ready within 3 s" in told
    assert "listening" in told


async def test_a_server_that_dies_during_the_recording_is_shown_with_its_log() -> None:
    told = await failure_of("crashing")
    assert "ended by itself (status 7)" in told
    assert "something broke" in told


async def test_a_server_that_dies_is_not_waited_for_although_it_offered_to_resume() -> None:
    async with asyncio.timeout(20):
        told = await failure_of("dying")
    assert "ended by itself (status 7)" in told


async def test_a_connection_that_is_lost_in_the_demo_is_told() -> None:
    demo, screen = demonstration("dropping")
    assert await demo.run() == 0
    assert "connection lost, resuming ..." in screen.getvalue()
    assert "nothing lost" in screen.getvalue()


async def test_a_server_that_refuses_is_named_by_its_code() -> None:
    assert (await failure_of("refusing")).startswith("connection-lost: ")


def test_a_missing_file_is_named_before_anything_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["demo", "nothing-here.wav"]) == 1
    output = capsys.readouterr()
    assert output.err.startswith("parley: unreadable-file: nothing-here.wav can't be read")
    assert output.out == ""


async def test_a_server_that_does_not_stop_is_killed() -> None:
    limits = OwnServerLimits(stop_timeout_s=0.1)
    async with OwnServer([sys.executable, str(FAKE), "stubborn"], limits) as server:
        await server.until_ready()
    assert server._process is not None
    assert server._process.returncode == -signal.SIGKILL


async def test_a_server_has_no_failure_while_it_runs() -> None:
    async with OwnServer([sys.executable, str(FAKE), "good"]) as server:
        await server.until_ready()
        assert await server.failure() is None
        assert server.url == f"ws://127.0.0.1:{server.port}"


async def test_parleys_own_variables_do_not_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_UPSTREAM_URL", "ws://elsewhere")
    program = "import os; print([name for name in os.environ if name.startswith('PARLEY')]); raise SystemExit(1)"
    async with OwnServer([sys.executable, "-c", program]) as server:
        with pytest.raises(OwnServerError) as caught:
            await server.until_ready()
    assert caught.value.log_tail == ["[]"]


async def test_a_long_log_is_shown_from_its_end() -> None:
    program = "[print('line', number) for number in range(5000)]; raise SystemExit(1)"
    async with OwnServer([sys.executable, "-c", program]) as server:
        with pytest.raises(OwnServerError) as caught:
            await server.until_ready()
    assert caught.value.log_tail[-1] == "line 4999"
    assert len(caught.value.log_tail) == 15


async def test_a_program_that_is_not_there_leaves_nothing_behind() -> None:
    with pytest.raises(FileNotFoundError):
        async with OwnServer(["/nowhere/parley"]):
            pass


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGINT, 130)])
async def test_a_signal_ends_the_demo_and_its_server(number: signal.Signals, status: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sys; from pathlib import Path\n"
        "from parley.cli import demonstration, own_server\n"
        f"server = lambda: own_server.OwnServer([sys.executable, {str(FAKE)!r}, 'good'])\n"
        "demo = demonstration.Demonstration(None, server=server)\n"
        "try:\n    status = demonstration.run(demo)\nexcept KeyboardInterrupt:\n    status = 130\n"
        "sys.exit(status)",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    lines = [await bounded("the demo speaks", process.stdout.readline()) for _ in range(5)]
    address = next(line for line in lines if b"ws://" in line)
    process.send_signal(number)
    await bounded("the demo ends", process.stdout.read())
    assert await bounded("the demo ends", process.wait()) == status
    port = int(address.split(b"127.0.0.1:")[1].split()[0])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize(
    ("typed", "path", "shown"),
    [
        ("/somewhere/parley", "", "somewhere/parley demo FILE.wav"),
        ("/somewhere/parley", None, "  parley demo FILE.wav"),
        ("/somewhere/__main__.py", "", "python -m parley demo FILE.wav"),
    ],
)
async def test_the_next_steps_can_be_typed_as_they_are_shown(
    typed: str, path: str | None, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [typed])
    monkeypatch.setattr(shutil, "which", lambda name: None if path is not None else f"/bin/{name}")
    demo, screen = demonstration("good")
    await demo.run()
    assert shown in screen.getvalue()


def test_run_returns_the_demos_status() -> None:
    assert run(demonstration("good")[0]) == 0


async def test_the_bundled_recording_is_16_khz_mono_of_some_seconds() -> None:
    with bundled_recording() as recording:
        assert recording.words is not None
        assert len(recording.words.split()) > 30
        assert len(recording.path.read_bytes()) < 500_000
        async with open_file(recording.path) as source:
            size = sum([len(pcm) async for pcm in source])
    assert 12 < size / 32_000 < 16


async def test_the_embedded_engine_understands_the_bundled_recording() -> None:
    screen = io.StringIO()
    demo = Demonstration(None, console=Console(file=screen, width=100), pace=FullPace)
    assert await demo.run() == 0
    assert "word error rate" in screen.getvalue()
    assert WORD_ERROR_RATE_MAX < 0.5
