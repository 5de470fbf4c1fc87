import asyncio
import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from parley.audio.decode import AudioDecoder
from parley.audio.wav import wav_header
from parley.client import source as module
from parley.client.failure import SourceError
from parley.client.source import AudioSource, FfmpegSource, FileSource, PipeSource, open_file
from parley.core.errors import ParleyError

SAMPLES = bytes(range(256)) * 400


async def all_of(source: AudioSource) -> bytes:
    async with source:
        return b"".join([piece async for piece in source])


def becomes(converter: Path, script: str) -> None:
    converter.write_text(script)


def said(converter: Path) -> str:
    return converter.with_name("ffmpeg.arguments").read_text()


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "some.wav"
    path.write_bytes(wav_header(len(SAMPLES) // 2) + SAMPLES)
    return path


@pytest.fixture
def converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in ffmpeg's place, which does what the test writes into it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return program


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "-some:song.mp3"
    path.write_bytes(b"ID3\x03")
    return path


async def test_a_wav_file_yields_its_samples(wav: Path) -> None:
    assert await all_of(open_file(wav)) == SAMPLES


async def test_the_length_of_a_wav_file_is_known_once_reading_has_begun(wav: Path) -> None:
    known = []
    async with open_file(wav) as source:
        known.append(source.duration_s)
        known += [source.duration_s async for _ in source]
    assert known[:2] == [None, len(SAMPLES) / 32_000]


async def test_the_length_of_a_raw_file_comes_from_its_size(tmp_path: Path) -> None:
    path = tmp_path / "some.raw"
    path.write_bytes(bytes(8_000))
    source = open_file(path, "audio/basic")
    assert source.duration_s == 1.0
    assert len(await all_of(source)) == 32_000


async def test_a_named_pipe_is_read_once_and_only_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    keeper = os.open(path, os.O_RDWR)
    os.write(keeper, SAMPLES[:32_000])
    async with open_file(path) as source:
        os.close(keeper)
        assert b"".join([piece async for piece in source]) == SAMPLES[:32_000]
        assert source.duration_s is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.wav can't be read: No such file") as caught:
        open_file(tmp_path / "nothing.wav")
    assert caught.value.code == "unreadable-file"


def test_a_directory_is_no_audio(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Is a directory"):
        open_file(tmp_path)


def test_an_unknown_content_type_is_refused(wav: Path) -> None:
    with pytest.raises(ParleyError) as caught:
        open_file(wav, "audio/mystery")
    assert caught.value.code == "unsupported-media"


def test_without_ffmpeg_other_formats_are_refused_with_the_way_out(
    other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="Install ffmpeg") as caught:
        open_file(other)
    assert caught.value.code == "ffmpeg-missing"


async def test_other_formats_go_through_ffmpeg(converter: Path, other: Path) -> None:
    becomes(converter, '#!/bin/sh\nprintf \'%s|\' "$@" >"$0.arguments"\nhead -c 100000 /dev/zero\n')
    assert await all_of(open_file(other)) == bytes(100_000)
    arguments = said(converter)
    assert f"-i|file:{other}|" in arguments
    assert "|-f|s16le|-ac|1|-ar|16000|-|" in arguments


async def test_what_ffmpeg_says_of_a_broken_file_is_passed_on(converter: Path, other: Path) -> None:
    becomes(converter, "#!/bin/sh\necho first >&2\necho 'Invalid data found' >&2\nexit 1\n")
    with pytest.raises(SourceError, match="Invalid data found") as caught:
        await all_of(open_file(other))
    assert caught.value.code == "unreadable-audio"
    assert "first" not in caught.value.message


async def test_a_video_without_sound_is_refused(converter: Path, other: Path) -> None:
    with pytest.raises(SourceError, match="holds no audio"):
        await all_of(open_file(other))


async def test_half_a_sample_from_ffmpeg_is_dropped(converter: Path, other: Path) -> None:
    becomes(converter, "#!/bin/sh\nprintf abc\n")
    assert await all_of(open_file(other)) == b"ab"


async def test_a_flood_of_complaints_is_not_kept(converter: Path, other: Path) -> None:
    becomes(converter, "#!/bin/sh\nhead -c 1000000 /dev/zero | tr '\\0' x >&2\nexit 1\n")
    with pytest.raises(SourceError) as caught:
        await all_of(open_file(other))
    assert len(caught.value.message) < module.ERROR_TEXT_MAX_BYTES + 200


async def test_leaving_early_ends_ffmpeg(converter: Path, other: Path) -> None:
    becomes(converter, "#!/bin/sh\nexec cat /dev/zero\n")
    source = open_file(other)
    assert isinstance(source, FfmpegSource)
    async with source:
        async for _ in source:
            break
    assert source._process is not None
    assert source._process.returncode == -9


@pytest.fixture
def pipe() -> Iterator[tuple[PipeSource, IO[bytes]]]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as writer:
        yield PipeSource(stream, AudioDecoder.for_content_type(None)), writer


async def test_a_pipe_yields_what_is_written_until_it_is_closed(pipe: tuple[PipeSource, IO[bytes]]) -> None:
    source, writer = pipe
    async with source:
        writer.write(wav_header(None) + SAMPLES[:2_000])
        writer.close()
        assert b"".join([piece async for piece in source]) == SAMPLES[:2_000]
        assert source.duration_s is None


async def test_waiting_for_a_pipe_can_be_cancelled(pipe: tuple[PipeSource, IO[bytes]]) -> None:
    task = asyncio.create_task(all_of(pipe[0]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_socket_is_read_like_a_pipe() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(SAMPLES[:1_000])
    with os.fdopen(ours.detach(), "rb") as stream:
        assert await all_of(PipeSource(stream, AudioDecoder.for_content_type("audio/pcm"))) == SAMPLES[:1_000]


async def test_a_file_as_standard_input_is_read_too(wav: Path) -> None:
    with wav.open("rb") as file:
        assert await all_of(PipeSource(file, AudioDecoder.for_content_type(None))) == SAMPLES


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_a_terminal_is_no_audio() -> None:
    controlling, terminal = os.openpty()
    with os.fdopen(terminal, "rb") as stream, pytest.raises(SourceError, match="is a terminal"):
        await all_of(PipeSource(stream, AudioDecoder.for_content_type(None)))
    os.close(controlling)


async def test_a_file_cut_short_is_refused_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    path.write_bytes(wav_header(1_000) + bytes(100))
    source = open_file(path)
    assert isinstance(source, FileSource)
    with pytest.raises(ParleyError, match="cut short"):
        await all_of(source)
