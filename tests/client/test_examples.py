import asyncio
import sys
from pathlib import Path

from parley.audio.wav import wav_header
from tests.support.waiting import bounded

from .parley_server import ScriptedParley, delta, revision
from .vllm_server import ScriptedVllm, listening

EXAMPLES = Path(__file__).parents[2] / "examples"


async def run(*arguments: str) -> tuple[int | None, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await bounded("the example ends", process.communicate())
    return process.returncode, output, errors


async def test_the_example_for_a_file_prints_its_words(tmp_path: Path) -> None:
    path = tmp_path / "some.wav"
    path.write_bytes(wav_header(16_000) + bytes(32_000))
    async with listening(ScriptedVllm()) as url:
        ended = await run(str(EXAMPLES / "transcribe_file.py"), str(path), url)
    assert ended == (0, b" Hello there.\n", b"")


async def test_the_example_for_the_microphone_prints_its_words(tmp_path: Path) -> None:
    # A device for the example to find, as machines that test have none; it speaks a second at once.
    (tmp_path / "sounddevice.py").write_text(
        "class PortAudioError(Exception):\n    pass\n"
        "def check_input_settings(**settings):\n    pass\n"
        "class RawInputStream:\n"
        "    def __init__(self, *, callback, **settings):\n        self.callback = callback\n"
        "    def start(self):\n        [self.callback(bytes(1280), 640, None, None) for _ in range(25)]\n"
        "    def close(self):\n        pass\n"
    )
    program = (
        f"import sys, runpy\nsys.path[:0] = [{str(tmp_path)!r}, {str(EXAMPLES)!r}]\n"
        "import asyncio, microphone\nmicrophone.DURATION_S = 0.2\nasyncio.run(microphone.main(sys.argv[1]))"
    )
    async with listening(ScriptedVllm()) as url:
        ended = await run("-c", program, url)
    assert ended == (0, b" Hello there.\n", b"")


async def test_the_example_for_resuming_says_what_happened(tmp_path: Path) -> None:
    path = tmp_path / "some.wav"
    path.write_bytes(wav_header(16_000) + bytes(32_000))
    script = [
        delta(" Hullo"),
        ("session.recovering", {"reason": "upstream-closed"}),
        revision(2, 3, "e"),
        ("session.recovered", {"outcome": "rehydrated", "replayed_ms": [[0, 80]], "lost": []}),
    ]
    async with listening(ScriptedParley(script, drops=1)) as url:
        status, output, errors = await run(str(EXAMPLES / "resume.py"), str(path), url)
    lines = output.decode().splitlines()
    assert (status, errors) == (0, b"")
    assert lines[0] == "this session outlives its connection"
    assert lines[1] == "connection lost (1006); so far: "
    assert lines[2].startswith("resumed after ")
    assert lines[2].endswith("lost: nothing")
    assert lines[3:] == [
        "the server lost its model server: upstream-closed",
        "rehydrated; heard again: ((0, 80),); lost: nothing",
        "Hello there.",
    ]


async def test_the_example_for_resuming_fails_where_nothing_can_be_resumed(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    status, output, errors = await run(
        str(EXAMPLES / "resume.py"), str(tmp_path / "some.wav"), f"ws://127.0.0.1:{unused_tcp_port}"
    )
    assert (status, output) == (1, b"")
    assert b"Nothing listens" in errors


async def test_the_example_for_several_turns_prints_them_in_their_order(tmp_path: Path) -> None:
    paths = []
    for number in range(3):
        path = tmp_path / f"{number}.wav"
        path.write_bytes(wav_header(16_000) + bytes(32_000))
        paths.append(str(path))
    async with listening(ScriptedVllm()) as url:
        ended = await run(str(EXAMPLES / "turns.py"), url, *paths)
    assert ended == (0, b"1: Hello there.\n2: Hello there.\n3: Hello there.\n", b"")
