"""The work of `parley transcribe`: each input through a session of its own, with what is shown meanwhile."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from parley.audio.decode import AudioDecoder
from parley.cli.display import LineDisplay, LiveDisplay, NoDisplay, duration, is_live
from parley.cli.failure import FAILED, Misuse
from parley.cli.interruption import places
from parley.cli.tls_options import TlsChoice
from parley.cli.writing import Writer
from parley.client import SessionFailed, connect
from parley.client.endpoint import check_url
from parley.client.failure import SourceError
from parley.client.microphone import MicrophoneSource, load_portaudio
from parley.client.pacing import FullPace, Pace, RealTimePace
from parley.client.source import AudioSource, PipeSource, open_file
from parley.client.transcription import Transcription, transcribe
from parley.core.errors import ParleyError

MICROPHONE = "microphone"

_OVER_TLS = ("wss://", "https://")

_HOPELESS = frozenset(
    {
        "access-denied",
        "aws-misconfigured",
        "connect-failed",
        "connect-refused",
        "endpoint-not-found",
        "expired-credentials",
        "invalid-signature",
        "not-authenticated",
        "sdk-missing",
        "unknown-credentials",
    }
)
"""What is wrong with the server, or with how this machine is set up, and not with a recording."""


@dataclass(frozen=True, slots=True)
class Job:
    """What the command line asks for."""

    inputs: tuple[str, ...]
    uses_microphone: bool
    urls: tuple[str, ...]
    model: str
    content_type: str | None
    is_paced: bool
    needs_times: bool
    is_quiet: bool
    tls: TlsChoice = field(default_factory=TlsChoice)


class Transcribing:
    """One run of the command."""

    def __init__(self, job: Job, writer: Writer, console: Console | None = None) -> None:
        self._job = job
        self._writer = writer
        self._console = console or _console()
        try:
            for url in job.urls:
                check_url(url)
        except ValueError as error:
            raise Misuse(f"wrong-usage: {error}") from None
        if job.tls.is_given and not all(url.lower().startswith(_OVER_TLS) for url in job.urls):
            # Whoever names certificates does not expect a key to go in the clear.
            raise Misuse("wrong-usage: --tls-ca-file and the like are for servers at a wss:// or https:// URL.")
        self._tls = job.tls.context()

    async def run(self) -> int:
        """Transcribe everything; returns the exit status."""
        status = 0
        for name in self._job.inputs or (MICROPHONE,):
            try:
                if not await self._one(name):
                    status = FAILED
            except (SessionFailed, SourceError, ParleyError) as error:
                status = FAILED
                self._report(name, error)
                if _is_hopeless(error):
                    break
        return status

    async def _one(self, name: str) -> bool:
        """Transcribe one input; whether all of it is in the result."""
        job = self._job
        source = self._source(name)
        shows = not job.is_quiet and is_live(self._console)
        api_key = os.environ.get("PARLEY_API_KEY")
        async with (
            connect(
                job.urls, model=job.model, api_key=api_key, timestamps=job.needs_times, ssl_context=self._tls
            ) as session,
            source,
        ):
            shown = {"-": "standard input", MICROPHONE: "microphone (Ctrl-C ends)"}.get(name, Path(name).name)
            display = self._display(shown, source, shows=shows)
            pace: Pace = RealTimePace() if job.is_paced else FullPace()
            with display, _stopped_by_ctrl_c(source):
                transcript = await transcribe(session, source, pace=pace, observer=display)
        self._writer.write(name, transcript)
        self._comment(shown, source, transcript, shows=shows)
        return not transcript.lost_ms

    def _display(self, shown: str, source: AudioSource, *, shows: bool) -> LiveDisplay | NoDisplay:
        if shows:
            return LiveDisplay(self._console, shown, source)
        return NoDisplay() if self._job.is_quiet else LineDisplay(_complain)

    def _source(self, name: str) -> AudioSource:
        if self._job.uses_microphone:
            return MicrophoneSource(load_portaudio())
        if name == "-":
            return PipeSource(sys.stdin.buffer, AudioDecoder.for_content_type(self._job.content_type))
        return open_file(Path(name), self._job.content_type)

    def _comment(self, shown: str, source: AudioSource, transcript: Transcription, *, shows: bool) -> None:
        """What a person wants to know besides the text."""
        if isinstance(source, MicrophoneSource) and source.dropped_s:
            _complain(f"audio-dropped: {source.dropped_s:.1f} s of speech were not sent; the network was too slow.")
        if transcript.lost_ms:
            _complain(f"words-missing: {shown}: words may be missing at {places(transcript.lost_ms)}.")
        if self._job.needs_times and not transcript.has_exact_times and transcript.deltas:
            _complain("times-estimated: the server did not send every step, so the times are only roughly right.")
        if shows:
            first_s = transcript.time_to_first_partial_s
            first = "no words" if first_s is None else f"first words after {duration(first_s)}"
            took = f"{duration(transcript.duration_s)} of audio in {duration(transcript.elapsed_s)}"
            self._console.print(f"  {shown}: {took}, {first}", style="dim", highlight=False, markup=False)

    def _report(self, name: str, error: SessionFailed | SourceError | ParleyError) -> None:
        # The table's words are for whoever speaks the protocol; what is wrong with a file is in the detail.
        message = (isinstance(error, ParleyError) and error.detail) or " ".join(error.message.split())
        several = f"{name}: " if len(self._job.inputs) > 1 and name not in message else ""
        later = ""
        after_s = error.retry_after_s if isinstance(error, SessionFailed | ParleyError) else None
        # Some servers' messages name it.
        if after_s is not None and f"after {after_s:g} s" not in message:
            later = f" (Retry in {duration(after_s)}.)"
        _complain(f"{error.code}: {several}{message}{later}")
        self._writer.write_failure(name, {"code": error.code, "message": message})


def run(transcribing: Transcribing) -> int:
    """Run it to its end; returns the exit status. Ctrl-C leaves as KeyboardInterrupt, with everything closed."""
    try:
        return asyncio.run(transcribing.run())
    except BrokenPipeError:
        # As in `parley transcribe ... | head -1`. What is still buffered must not be tried again at exit.
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        return FAILED


def _console() -> Console:
    """Where progress is shown: standard error, so that standard output holds transcripts and nothing else."""
    errors = Console(stderr=True)
    return errors if errors.is_terminal else Console()


def _complain(line: str) -> None:
    print(f"parley: {line}", file=sys.stderr, flush=True)


def _is_hopeless(error: Exception) -> bool:
    """Whether the next recording would meet the same fate."""
    return isinstance(error, SessionFailed) and error.code in _HOPELESS


@contextlib.contextmanager
def _stopped_by_ctrl_c(source: AudioSource) -> Iterator[None]:
    """The first Ctrl-C ends the microphone's turn, whose transcript is still to come; the second one ends all."""
    if not isinstance(source, MicrophoneSource):
        yield
        return
    loop = asyncio.get_running_loop()

    def stop() -> None:
        source.stop()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
