"""The work of `parley demo`: start a gateway, speak to it, show and judge what comes back."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from parley.cli.display import LineDisplay, LiveDisplay, duration, is_live
from parley.cli.failure import Failure
from parley.cli.own_server import OwnServer, OwnServerError
from parley.client import SessionFailed, connect
from parley.client.failure import SourceError
from parley.client.pacing import Pace, RealTimePace
from parley.client.source import AudioSource, open_file
from parley.client.transcription import Transcription, transcribe
from parley.client.word_errors import word_error_rate, words_of
from parley.core.errors import ParleyError

WORD_ERROR_RATE_MAX = 0.35
"""More errors than this on the recording that comes with Parley mean that something is broken."""

DEATH_WAIT_S = 1.0
"""How long a gateway whose connection broke off may take to be gone, which is then the better explanation."""

WATCH_INTERVAL_S = 60.0
RECORDING = "welcome"
TEXT_COLUMNS = 88
TERMINATED = 143
"""Ended by SIGTERM, as shells count it."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What is played; `words` is what is said in it, where that is known."""

    path: Path
    words: str | None


@contextlib.contextmanager
def bundled_recording() -> Iterator[Recording]:
    """The recording that comes with Parley, as a file."""
    folder = resources.files("parley.client") / "recordings"
    words = (folder / f"{RECORDING}.txt").read_text(encoding="utf-8")
    with resources.as_file(folder / f"{RECORDING}.wav") as path:
        yield Recording(path, words)


class Demonstration:
    """One run of the command. `server` and `pace` are replaced in tests."""

    def __init__(
        self,
        file: Path | None,
        *,
        console: Console | None = None,
        server: Callable[[], OwnServer] = OwnServer,
        pace: Callable[[], Pace] = RealTimePace,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._console = console or Console(highlight=False)
        self._server = server
        self._pace = pace
        self._clock = clock

    async def run(self) -> int:
        """Show it; returns the exit status.

        Raises:
            Failure: something did not work, with what and why.
        """
        with self._recording() as recording:
            try:
                transcript = await self._transcribe(recording)
            except OwnServerError as error:
                log = [f"  | {line}" for line in error.log_tail] or ["  | (it logged nothing)"]
                raise Failure(f"demo-failed: {error.what} The end of its log:", *log) from None
            except (SessionFailed, SourceError, ParleyError) as error:
                raise Failure(f"{error.code}: {' '.join(error.message.split())}") from None
        return self._conclude(recording, transcript)

    def _recording(self) -> contextlib.AbstractContextManager[Recording]:
        if self._file is None:
            return bundled_recording()
        return contextlib.nullcontext(Recording(self._file, None))

    async def _transcribe(self, recording: Recording) -> Transcription:
        # Opened first: a wrong name should not have to wait for a server.
        source = open_file(recording.path)
        self._heading()
        async with self._server() as server:
            began_s = self._clock()
            with self._waiting("Starting a gateway and the embedded speech engine on this computer"):
                await server.until_ready()
            self._step(f"A gateway and a speech engine run on this computer, ready in {self._since(began_s)}.")
            self._step(f"{recording.path.name} is streamed to {server.url} as if it were spoken now.")
            self._step(f"Captions page, while this runs: {server.page_url}")
            try:
                async with asyncio.TaskGroup() as tasks:
                    watch = tasks.create_task(_watch(server))
                    transcript = await self._stream(recording, source, server.url)
                    watch.cancel()
            except BaseExceptionGroup as group:
                error = group.exceptions[0]
                if isinstance(error, SessionFailed) and (failure := await server.failure(DEATH_WAIT_S)):
                    raise failure from None
                raise error from None
        return transcript

    async def _stream(self, recording: Recording, source: AudioSource, url: str) -> Transcription:
        console, name = self._console, recording.path.name
        async with connect(url, timestamps=True) as session, source:
            display = LiveDisplay(console, name, source) if is_live(console) else LineDisplay(self._note)
            with display:
                return await transcribe(session, source, pace=self._pace(), observer=display)

    def _conclude(self, recording: Recording, transcript: Transcription) -> int:
        shown = Text(transcript.text.strip() or "(no words)", style="bold")
        self._console.print(Padding(shown, (1, 2), expand=False), width=min(self._console.width, TEXT_COLUMNS))
        self._console.print(Padding(_measures(recording, transcript), (0, 2), expand=False))
        if recording.words is not None:
            rate = word_error_rate(recording.words, transcript.text)
            if rate > WORD_ERROR_RATE_MAX:
                raise Failure(
                    f"wrong-transcript: {rate:.0%} of the words are wrong, and {WORD_ERROR_RATE_MAX:.0%} may be. "
                    "A computer that is too slow or too busy for live speech can do that: try again, or see "
                    "`parley version` for what to report."
                )
        self._console.print(Padding(_next_steps(), (1, 2), expand=False))
        return 0

    def _heading(self) -> None:
        self._console.print(
            Padding(Text("Parley: live speech to text, end to end", style="bold"), (1, 2), expand=False)
        )

    def _step(self, text: str) -> None:
        self._console.print(Text.assemble("  ", ("✓ ", "green"), text))

    def _note(self, text: str) -> None:
        self._console.print(Text(f"  {text}", style="yellow"))

    @contextlib.contextmanager
    def _waiting(self, text: str) -> Iterator[None]:
        if not is_live(self._console):
            yield
            return
        with self._console.status(f"{text} ...", spinner="dots"):
            yield

    def _since(self, began_s: float) -> str:
        return duration(self._clock() - began_s)


async def _watch(server: OwnServer) -> None:
    """Say at once that the gateway is gone; the client would try for half a minute to come back to it."""
    while (failure := await server.failure(WATCH_INTERVAL_S)) is None:
        pass
    raise failure


def run(demonstration: Demonstration) -> int:
    """Run it to its end; returns the exit status. Whatever ends it, its server is stopped first."""
    return asyncio.run(_until_told(demonstration))


async def _until_told(demonstration: Demonstration) -> int:
    # By default these end the process on the spot, and would leave the server behind.
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    told = asyncio.Event()

    def end() -> None:
        told.set()
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    try:
        return await demonstration.run()
    except asyncio.CancelledError:
        if told.is_set():
            return TERMINATED
        raise
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


def _measures(recording: Recording, transcript: Transcription) -> Table:
    table = Table.grid(padding=(0, 3))
    first_s = transcript.time_to_first_partial_s
    first = "never" if first_s is None else f"{duration(first_s)} after the recording began"
    table.add_row("first words", first)
    table.add_row("whole transcript", f"{duration(transcript.time_to_final_s)} after the recording ended")
    table.add_row("real-time factor", f"{transcript.real_time_factor:.2f} (1.00 is the pace of speech)")
    if recording.words is not None:
        said = len(words_of(recording.words))
        rate = word_error_rate(recording.words, transcript.text)
        table.add_row("word error rate", f"{rate:.0%} ({round(rate * said)} of {said} words)")
    return table


def _next_steps() -> Table:
    program = _program()
    table = Table.grid(padding=(0, 3))
    table.add_row(Text("Next", style="bold"))
    table.add_row("a recording of yours", f"{program} demo FILE.wav")
    table.add_row("a server that stays", f"{program} serve")
    table.add_row("then, beside it", f"{program} transcribe FILE.wav")
    table.add_row("or, as you speak", f"{program} transcribe --mic")
    return table


def _program() -> str:
    """What to type for this program here: its name, or the path that was used where the name would not be found."""
    name = Path(sys.argv[0]).name
    if name != "parley":
        return "python -m parley"
    return name if shutil.which(name) else os.path.relpath(sys.argv[0])
