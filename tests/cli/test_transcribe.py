import asyncio
import io
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from websockets.asyncio.server import ServerConnection

from parley.audio.wav import wav_header
from parley.cli import main, transcribing
from parley.cli.failure import Failure, Misuse
from parley.cli.transcribing import Job, Transcribing, run
from parley.cli.writing import Writer
from parley.client.microphone import MicrophoneSource
from parley.core.errors import ParleyError
from parley.wire.vllm import encode_failure
from tests.client.parley_server import ScriptedParley
from tests.client.vllm_server import ScriptedVllm, event, greet, listening
from tests.support.admin import free_port
from tests.support.waiting import bounded


@pytest.fixture
async def server() -> AsyncIterator[tuple[ScriptedVllm, str]]:
    vllm = ScriptedVllm()
    async with listening(vllm) as url:
        yield vllm, url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one.wav", "two.wav"):
        (tmp_path / name).write_bytes(wav_header(16_000) + bytes(32_000))
    (tmp_path / "broken.wav").write_bytes(wav_header(16_000) + bytes(100))
    return tmp_path


class Screen:
    def __init__(self, *, is_live: bool) -> None:
        self.file = io.StringIO()
        self.console = Console(file=self.file, force_terminal=is_live, width=100, color_system=None)


def job(url: str, *inputs: str | Path, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "inputs": tuple(map(str, inputs)),
        "uses_microphone": False,
        "urls": (url,),
        "model": "",
        "content_type": None,
        "is_paced": False,
        "needs_times": False,
        "is_quiet": False,
    }
    return Job(**{**values, **changes})


async def transcribed(asked: Job, form: str = "text", output: Path | None = None, *, is_live: bool = False) -> int:
    writer = Writer(form, output, asked.inputs or ("microphone",))
    return await Transcribing(asked, writer, Screen(is_live=is_live).console).run()


async def test_one_recording_becomes_its_text(
    server: tuple[ScriptedVllm, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await transcribed(job(server[1], folder / "one.wav", model="tiny")) == 0
    assert capsys.readouterr() == ("Hello there.\n", "")
    assert server[0].models == ["tiny"]


async def test_several_servers_are_tried_in_turn(
    server: tuple[ScriptedVllm, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = (f"ws://127.0.0.1:{free_port()}", server[1])
    assert (
        await asyncio.to_thread(main.run, ["transcribe", "--url", urls[0], "--url", urls[1], str(folder / "one.wav")])
        == 0
    )
    assert capsys.readouterr() == ("Hello there.\n", "")


async def test_the_environment_names_several_servers_too(
    server: tuple[ScriptedVllm, str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PARLEY_URL", f"ws://127.0.0.1:{free_port()} {server[1]}")
    assert await asyncio.to_thread(main.run, ["transcribe", str(folder / "one.wav")]) == 0
    assert capsys.readouterr() == ("Hello there.\n", "")


async def test_on_a_terminal_the_text_is_wrapped(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "41")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    async with listening(ScriptedVllm({1: " word" * 20})) as url:
        assert await transcribed(job(url, folder / "one.wav")) == 0
    assert capsys.readouterr().out.splitlines() == [" ".join(["word"] * 8)] * 2 + [" ".join(["word"] * 4)]


async def test_several_recordings_have_a_session_each_and_their_names(
    server: tuple[ScriptedVllm, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = folder / "one.wav", folder / "two.wav"
    assert await transcribed(job(server[1], *paths)) == 0
    assert capsys.readouterr().out == f"{paths[0]}: Hello there.\n{paths[1]}: Hello there.\n"
    assert len(server[0].paths) == 2


async def test_a_recording_that_fails_does_not_keep_the_next_one_back(
    server: tuple[ScriptedVllm, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = folder / "none.wav", folder / "broken.wav", folder / "one.wav"
    assert await transcribed(job(server[1], *paths)) == 1
    output = capsys.readouterr()
    assert output.out == f"{paths[2]}: Hello there.\n"
    first, second = output.err.splitlines()
    assert first == f"parley: unreadable-file: {paths[0]} can't be read: No such file or directory."
    assert second.startswith(f"parley: invalid-wav: {paths[1]}: It is cut short")


async def test_without_a_server_the_first_failure_is_the_only_one(
    unused_tcp_port: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = folder / "one.wav", folder / "two.wav"
    assert await transcribed(job(f"ws://127.0.0.1:{unused_tcp_port}", *paths)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("parley: connect-failed: ")
    assert "parley serve" in line


@pytest.mark.parametrize(
    ("detail", "once"),
    [("", "(Retry in 3.0 s.)"), ("All streams are in use; retry after 3 s.", "retry after 3 s.")],
)
async def test_a_full_server_is_reported_with_when_to_retry_once(
    detail: str, once: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def full(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.send(encode_failure(ParleyError("at-capacity", detail, retry_after_s=3)).decode())
        await socket.close(1013)

    async with listening(full) as url:
        assert await transcribed(job(url, folder / "one.wav")) == 1
    told = capsys.readouterr().err
    assert told.startswith("parley: at-capacity: ")
    assert once in told
    assert told.count(" 3") == 1


async def test_json_holds_times_counts_and_measures(
    server: tuple[ScriptedVllm, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await transcribed(job(server[1], folder / "one.wav", needs_times=True), "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["file"] == str(folder / "one.wav")
    assert document["text"] == "Hello there."
    assert document["duration_s"] == 1.0
    assert document["deltas"] == [
        {"text": " Hello", "audio_end_s": 0.32},
        {"text": " there.", "audio_end_s": 0.56},
    ]
    assert document["has_exact_times"] is True
    assert document["time_to_first_partial_s"] > 0
    assert document["outcomes"] == []
    assert document["usage"] == {"prompt_tokens": 39, "completion_tokens": 29, "total_tokens": 68}


async def test_a_lost_connection_is_told_in_two_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with listening(ScriptedParley(drops=1)) as url:
        assert await transcribed(job(url, folder / "one.wav")) == 0
    output = capsys.readouterr()
    assert output.out == "Hello there.\n"
    lost, back = output.err.splitlines()
    assert lost == "parley: connection lost, resuming ..."
    assert back.startswith("parley: resumed after ")
    assert back.endswith(", nothing lost")


async def test_a_quiet_run_says_nothing_of_what_was_made_good(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with listening(ScriptedParley(drops=1)) as url:
        assert await transcribed(job(url, folder / "one.wav", is_quiet=True)) == 0
    assert capsys.readouterr().err == ""


async def test_words_that_may_be_missing_make_the_run_fail(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = {"outcome": "restarted", "replayed_ms": [], "lost": [[200, 400]]}
    async with listening(ScriptedParley(drops=1, outcome=lost)) as url:
        assert await transcribed(job(url, folder / "one.wav", is_quiet=True)) == 1
    output = capsys.readouterr()
    assert output.out == "Hello there.\n"
    assert output.err == "parley: words-missing: one.wav: words may be missing at 0.2 to 0.4 s.\n"


async def test_json_holds_what_became_of_lost_connections_and_model_servers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recovered = ("session.recovered", {"outcome": "rehydrated", "replayed_ms": [[0, 80]], "lost": []})
    async with listening(ScriptedParley([recovered], drops=1)) as url:
        assert await transcribed(job(url, folder / "one.wav", needs_times=True), "json") == 0
    first, second = json.loads(capsys.readouterr().out)["outcomes"]
    assert first.pop("downtime_s") >= 0
    assert first == {"of": "session", "outcome": "resumed", "replayed_ms": [], "lost_ms": [], "attempts": 1}
    assert second == {"of": "model-server", "outcome": "rehydrated", "replayed_ms": [[0, 80]], "lost_ms": []}


async def test_on_a_terminal_a_lost_connection_is_shown(folder: Path) -> None:
    screen = Screen(is_live=True)
    async with listening(ScriptedParley(drops=1)) as url:
        asked = job(url, folder / "one.wav")
        assert await Transcribing(asked, Writer("text", None, asked.inputs), screen.console).run() == 0
    assert "connection lost, resuming" in screen.file.getvalue()
    assert "nothing lost" in screen.file.getvalue()


async def test_json_of_silence_has_no_first_partial(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with listening(ScriptedVllm(pieces={})) as url:
        await transcribed(job(url, folder / "one.wav", needs_times=True), "json")
    assert json.loads(capsys.readouterr().out)["time_to_first_partial_s"] is None


async def test_every_recording_has_its_json_object_also_when_it_failed(
    server: tuple[ScriptedVllm, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = folder / "broken.wav", folder / "one.wav"
    assert await transcribed(job(server[1], *paths, needs_times=True), "json") == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["error"]["code"] == "invalid-wav"
    assert second["text"] == "Hello there."


async def test_captions_are_timed(
    server: tuple[ScriptedVllm, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await transcribed(job(server[1], folder / "one.wav", needs_times=True), "srt") == 0
    assert capsys.readouterr().out.startswith("1\n00:00:00,000 --> 00:00:01,000\nHello there.\n")
    assert await transcribed(job(server[1], folder / "one.wav", needs_times=True), "vtt") == 0
    assert capsys.readouterr().out.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nHello there.\n")
    assert server[0].paths[0].endswith("?empty_deltas=true")


async def test_times_that_are_only_estimates_are_said_to_be(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def joining(socket: ServerConnection) -> None:
        await greet(socket)
        async for message in socket:
            if json.loads(message).get("final"):
                await socket.send(event("transcription.delta", delta=" Hello."))
                await socket.send(event("transcription.done", text=" Hello.", usage=None))

    async with listening(joining) as url:
        assert await transcribed(job(url, folder / "one.wav", needs_times=True), "srt") == 0
    assert "times-estimated" in capsys.readouterr().err


async def test_several_captions_go_into_a_directory(server: tuple[ScriptedVllm, str], folder: Path) -> None:
    output = folder / "out"
    output.mkdir()
    asked = job(server[1], folder / "one.wav", folder / "two.wav", needs_times=True)
    assert await transcribed(asked, "vtt", output) == 0
    assert sorted(os.listdir(output)) == ["one.vtt", "two.vtt"]


async def test_one_text_goes_into_the_file_named(server: tuple[ScriptedVllm, str], folder: Path) -> None:
    output = folder / "text.txt"
    output.write_text("what was there before, which was longer")
    assert await transcribed(job(server[1], folder / "one.wav"), output=output) == 0
    assert output.read_text() == "Hello there.\n"


async def test_several_texts_share_the_file_named(server: tuple[ScriptedVllm, str], folder: Path) -> None:
    output = folder / "text.txt"
    assert await transcribed(job(server[1], folder / "one.wav", folder / "two.wav"), output=output) == 0
    assert len(output.read_text().splitlines()) == 2


async def test_a_file_that_cannot_be_written_is_named(server: tuple[ScriptedVllm, str], folder: Path) -> None:
    writer = Writer("text", folder / "text.txt", ["one.wav"])
    (folder / "text.txt").mkdir()
    with pytest.raises(Failure, match=r"unwritable-output: .*text\.txt can't be written: Is a directory"):
        await Transcribing(job(server[1], folder / "one.wav"), writer).run()


@pytest.mark.parametrize(
    ("form", "output", "inputs", "named"),
    [
        ("srt", None, ["a", "b"], "needs a directory"),
        ("vtt", Path("x.vtt"), ["a", "b"], "needs a directory"),
        ("text", Path("no/where/x.txt"), ["a"], "no directory"),
        ("text", Path(), ["x/a.wav", "y/a.wav"], "the same name"),
    ],
)
def test_an_output_that_cannot_hold_the_result_is_refused_first(
    form: str, output: Path | None, inputs: list[str], named: str
) -> None:
    with pytest.raises(Misuse, match=named):
        Writer(form, output, inputs)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--srt", "--json", "a.wav"], "exclude each other"),
        (["--mic", "a.wav"], "one of them"),
        (["--quiet"], "one of them"),
        (["-", "-"], "read once"),
        (["--url", "ftp://host", "a.wav"], "not one of a WebSocket server"),
        (["--url", "sagemaker://x?regoin=1", "a.wav"], "variant, region, path"),
    ],
)
def test_a_mistaken_command_line_is_explained(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["transcribe", *arguments]) == 2
    line = capsys.readouterr().err
    assert line.startswith("parley: wrong-usage: ")
    assert named in line


async def test_on_a_terminal_progress_and_measures_are_shown(
    server: tuple[ScriptedVllm, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen(is_live=True)
    asked = job(server[1], folder / "one.wav")
    assert await Transcribing(asked, Writer("text", None, asked.inputs), screen.console).run() == 0
    assert "/ 1.0 s" in screen.file.getvalue()
    assert "one.wav: 1.0 s of audio in" in screen.file.getvalue()
    assert capsys.readouterr().out == "Hello there.\n"


async def test_silence_on_a_terminal_is_said_to_be(folder: Path) -> None:
    screen = Screen(is_live=True)
    async with listening(ScriptedVllm(pieces={})) as url:
        asked = job(url, folder / "one.wav")
        await Transcribing(asked, Writer("text", None, asked.inputs), screen.console).run()
    assert "no words" in screen.file.getvalue()


async def test_a_quiet_run_shows_nothing(server: tuple[ScriptedVllm, str], folder: Path) -> None:
    screen = Screen(is_live=True)
    asked = job(server[1], folder / "one.wav", is_quiet=True)
    await Transcribing(asked, Writer("text", None, asked.inputs), screen.console).run()
    assert screen.file.getvalue() == ""


async def test_the_key_comes_from_the_environment(
    server: tuple[ScriptedVllm, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_API_KEY", "k3y")
    await transcribed(job(server[1], folder / "one.wav"))
    assert server[0].headers[0]["authorization"] == "Bearer k3y"


class Device:
    """PortAudio with somebody who says a second and then presses Ctrl-C."""

    class PortAudioError(Exception):
        pass

    def check_input_settings(self, **_: object) -> None:
        pass

    def RawInputStream(self, *, callback: Any, **_: object) -> "Device":
        self.callback = callback
        return self

    def start(self) -> None:
        for _ in range(25):
            self.callback(bytes(1_280), 640, None, None)
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)

    def close(self) -> None:
        pass


async def test_ctrl_c_ends_the_microphones_turn_with_its_transcript(
    server: tuple[ScriptedVllm, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(transcribing, "load_portaudio", Device)
    assert await transcribed(job(server[1], uses_microphone=True)) == 0
    assert capsys.readouterr().out == "Hello there.\n"


async def test_speech_that_was_dropped_is_admitted(
    server: tuple[ScriptedVllm, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Slow(MicrophoneSource):
        def stop(self) -> None:
            self.dropped_s = 2.0
            super().stop()

    monkeypatch.setattr(transcribing, "load_portaudio", Device)
    monkeypatch.setattr(transcribing, "MicrophoneSource", Slow)
    assert await transcribed(job(server[1], uses_microphone=True)) == 0
    assert "audio-dropped: 2.0 s" in capsys.readouterr().err


async def command(*arguments: str, stdin: int | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "parley", "transcribe", *arguments),
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_the_program_reads_standard_input_and_writes_text_alone(server: tuple[ScriptedVllm, str]) -> None:
    process = await command("--url", server[1], "-", stdin=asyncio.subprocess.PIPE)
    output = await bounded("the program ends", process.communicate(wav_header(None) + bytes(32_000)))
    assert output == (b"Hello there.\n", b"")
    assert process.returncode == 0


async def test_at_the_pace_of_speech_every_piece_is_awaited(
    server: tuple[ScriptedVllm, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[float] = []

    class Pace:
        async def reach(self, audio_s: float) -> None:
            reached.append(audio_s)

    monkeypatch.setattr(transcribing, "RealTimePace", Pace)
    assert await transcribed(job(server[1], folder / "one.wav", is_paced=True)) == 0
    assert reached[:2] == [0.08, 0.16]
    assert reached[-1] == 1.0


async def test_ctrl_c_ends_the_program_without_a_traceback() -> None:
    heard = asyncio.Event()

    async def silent(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.recv()
        heard.set()
        await socket.wait_closed()

    async with listening(silent) as url:
        process = await command("--url", url, "-", stdin=asyncio.subprocess.PIPE)
        await bounded("the program connects", heard.wait())
        process.send_signal(signal.SIGINT)
        output = await bounded("the program ends", process.communicate())
    # After the terminal's own ^C, a line of its own for what comes next.
    assert output == (b"", b"\n")
    assert process.returncode == 130


def test_a_reader_that_has_gone_is_no_crash(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    class Gone(Transcribing):
        async def run(self) -> int:
            raise BrokenPipeError

    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert run(Gone(job("ws://host", "a.wav"), Writer("text", None, ["a.wav"]))) == 1
