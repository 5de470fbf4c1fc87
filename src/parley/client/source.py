"""Where audio comes from: a file, a pipe, or whatever ffmpeg can read.

Each source is an async context manager that yields PCM16 little-endian, 16 kHz, mono, piece by piece.
"""

import asyncio
import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from parley.audio.decode import AudioDecoder
from parley.client.failure import SourceError

READ_BYTES = 32_768
"""Bytes read at a time; a second of what is sent."""

ERROR_TEXT_MAX_BYTES = 4_096
"""Bytes kept of what ffmpeg complains."""

_WAV_SIGNATURES = (b"RIFF", b"RIFX", b"RF64", b"BW64")


class AudioSource(Protocol):
    """Audio, once entered. `duration_s` is None while it is not known how much there is."""

    @property
    def duration_s(self) -> float | None:
        """Seconds of audio that there will be."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __aiter__(self) -> AsyncIterator[bytes]: ...


def open_file(path: Path, content_type: str | None = None) -> AudioSource:
    """The source for a file: WAV, or raw samples when `content_type` says so, is read here, all else by ffmpeg.

    Raises:
        SourceError: the file can't be read, or only ffmpeg could read it and is not installed.
        ParleyError: unsupported-media, when the content type is not known.
    """
    try:
        if stat.S_ISFIFO(path.stat().st_mode):
            # As in `<(command)`: what is read of it to look at is gone.
            return NamedPipeSource(path, AudioDecoder.for_content_type(content_type))
        with path.open("rb") as file:
            signature = file.read(4)
    except OSError as error:
        raise SourceError("unreadable-file", f"{path} can't be read: {error.strerror}.") from None
    if content_type is not None:
        return FileSource(path, AudioDecoder.for_content_type(content_type))
    if signature in _WAV_SIGNATURES:
        return FileSource(path, AudioDecoder.for_content_type("audio/wav"))
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise SourceError(
            "ffmpeg-missing",
            f"{path} is not a WAV file. Install ffmpeg to read other formats, or say what raw samples it holds, "
            "as in --content-type 'audio/pcm;rate=8000'.",
        )
    return FfmpegSource(path, ffmpeg)


class FileSource:
    """A file on disk."""

    def __init__(self, path: Path, decoder: AudioDecoder) -> None:
        self._path = path
        self._decoder = decoder
        self._file: IO[bytes] | None = None
        self._first = b""

    @property
    def duration_s(self) -> float | None:
        """Seconds that the header, or else the file's size, says there are."""
        if self._decoder.expected_s is not None or self._decoder.format is None:
            return self._decoder.expected_s
        form = self._decoder.format
        return self._path.stat().st_size / form.frame_bytes / form.rate_hz

    async def __aenter__(self) -> Self:
        self._file = await asyncio.to_thread(self._path.open, "rb")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        file = self._file
        assert file is not None
        while data := await asyncio.to_thread(file.read, READ_BYTES):
            if pcm := self._decoder.feed(data):
                yield pcm
        if pcm := self._decoder.flush():
            yield pcm


class PipeSource:
    """Standard input or another pipe: WAV, or raw samples of a declared type. The stream is left open."""

    def __init__(self, stream: IO[bytes], decoder: AudioDecoder) -> None:
        self._stream = stream
        self._decoder = decoder
        self._can_wait = False

    @property
    def duration_s(self) -> float | None:
        """What the header says; pipes rarely know."""
        return self._decoder.expected_s

    async def __aenter__(self) -> Self:
        if self._stream.isatty():
            raise SourceError(
                "no-input", "Standard input is a terminal. Pipe audio into it, or use --mic for the microphone."
            )
        mode = os.fstat(self._stream.fileno()).st_mode
        self._can_wait = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was opened."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._read():
            if pcm := self._decoder.feed(data):
                yield pcm
        if pcm := self._decoder.flush():
            yield pcm

    async def _read(self) -> bytes:
        if self._can_wait:
            return await _read_pipe(self._stream.fileno())
        # A file, or /dev/null: always readable, and event loops refuse to watch it.
        return await asyncio.to_thread(os.read, self._stream.fileno(), READ_BYTES)


class NamedPipeSource:
    """A pipe that has a path."""

    def __init__(self, path: Path, decoder: AudioDecoder) -> None:
        self._path = path
        self._decoder = decoder
        self._stack = contextlib.AsyncExitStack()
        self._pipe: PipeSource | None = None

    @property
    def duration_s(self) -> float | None:
        """What the header says; pipes rarely know."""
        return self._decoder.expected_s

    async def __aenter__(self) -> Self:
        # In a thread, as opening a pipe waits for somebody to write.
        stream = await asyncio.to_thread(self._path.open, "rb", buffering=0)
        self._pipe = PipeSource(self._stack.enter_context(stream), self._decoder)
        await self._stack.enter_async_context(self._pipe)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def __aiter__(self) -> AsyncIterator[bytes]:
        assert self._pipe is not None
        return self._pipe.__aiter__()


class FfmpegSource:
    """A file in any format that ffmpeg reads."""

    duration_s = None

    def __init__(self, path: Path, ffmpeg: str) -> None:
        self._path = path
        self._ffmpeg = ffmpeg
        self._process: subprocess.Popen[bytes] | None = None
        self._complaint = bytearray()

    async def __aenter__(self) -> Self:
        # A URL: a path that begins with a dash would be an option, one with a colon a protocol.
        url = f"file:{self._path.absolute()}"
        arguments = ["-nostdin", "-v", "error", "-i", url, "-vn", "-f", "s16le", "-ac", "1", "-ar", "16000", "-"]
        # Not asyncio's: uvloop leaves a pipe open that is full when its process is killed.
        self._process = subprocess.Popen(  # noqa: ASYNC220, S603 (it returns at once; no shell, and the path is a URL)
            [self._ffmpeg, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        complaints = self._descriptor(self._process.stderr)
        os.set_blocking(complaints, False)
        asyncio.get_running_loop().add_reader(complaints, self._listen, complaints)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        assert process is not None
        asyncio.get_running_loop().remove_reader(self._descriptor(process.stderr))
        process.kill()
        with process:
            await asyncio.to_thread(process.wait)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        process = self._process
        assert process is not None
        odd = b""
        has_audio = False
        while data := await _read_pipe(self._descriptor(process.stdout)):
            data = odd + data
            whole = len(data) & ~1
            odd = data[whole:]
            if whole:
                has_audio = True
                yield data[:whole]
        status = await asyncio.to_thread(process.wait)
        if status != 0 or not has_audio:
            self._listen(self._descriptor(process.stderr))
            raise SourceError("unreadable-audio", f"ffmpeg can't read {self._path}: {self._reason()}")

    def _listen(self, descriptor: int) -> None:
        """Take what ffmpeg has to say, so that it never waits; keep the beginning."""
        with contextlib.suppress(BlockingIOError):
            while text := os.read(descriptor, READ_BYTES):
                self._complaint += text[: ERROR_TEXT_MAX_BYTES - len(self._complaint)]
            asyncio.get_running_loop().remove_reader(descriptor)

    def _reason(self) -> str:
        lines = self._complaint.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it holds no audio."

    @staticmethod
    def _descriptor(pipe: IO[bytes] | None) -> int:
        assert pipe is not None
        return pipe.fileno()


async def _read_pipe(descriptor: int) -> bytes:
    """Some bytes of a pipe, or none at its end.

    Unlike a thread that reads, this can be cancelled. Unlike a loop's pipe transport it changes no flags of a
    descriptor that others share, and closes nothing; uvloop's closes twice.
    """
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, READ_BYTES)
