"""The microphone, through PortAudio."""

import asyncio
import importlib
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

from parley.audio.decode import AudioDecoder
from parley.audio.pcm import Encoding, SampleFormat
from parley.client.failure import SourceError
from parley.core.content import SAMPLE_RATE

BLOCK_MS = 40
"""Audio that the device hands over at a time."""

BUFFER_MAX_S = 10
"""Audio that waits for a slow network; older audio is dropped, and counted in `dropped_s`."""

_BLOCKS_MAX = BUFFER_MAX_S * 1_000 // BLOCK_MS


def load_portaudio() -> Any:
    """The `sounddevice` module.

    Raises:
        SourceError: it, or the PortAudio library that it needs, is not installed.
    """
    try:
        return importlib.import_module("sounddevice")
    except ImportError:
        raise SourceError("microphone-missing", "Install it with: pip install 'parley[mic]'") from None
    except OSError:
        message = "The PortAudio library is missing. On Debian and Ubuntu: apt install libportaudio2"
        raise SourceError("microphone-missing", message) from None


class MicrophoneSource:
    """The default input device, until `stop` is called."""

    duration_s = None

    def __init__(self, portaudio: Any) -> None:
        self.dropped_s = 0.0
        self._portaudio = portaudio
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stream: Any = None
        self._decoder: AudioDecoder | None = None
        self._blocks: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._is_stopped = False

    def stop(self) -> None:
        """End the audio; what was recorded so far is still yielded."""
        self._is_stopped = True
        self._arrived.set()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        try:
            rate_hz = self._rate_hz()
            self._decoder = AudioDecoder.for_format(SampleFormat(Encoding.S16LE, rate_hz))
            self._stream = self._portaudio.RawInputStream(
                samplerate=rate_hz,
                channels=1,
                dtype="int16",
                blocksize=rate_hz * BLOCK_MS // 1_000,
                callback=self._recorded,
            )
            self._stream.start()
        except (self._portaudio.PortAudioError, ValueError) as error:
            message = f"No microphone can be opened ({error}). Check that one is connected and not in use."
            raise SourceError("microphone-missing", message) from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        assert self._decoder is not None
        while True:
            while self._blocks:
                if pcm := self._decoder.feed(self._blocks.popleft()):
                    yield pcm
            if self._is_stopped:
                break
            self._arrived.clear()
            await self._arrived.wait()

    def _rate_hz(self) -> int:
        try:
            self._portaudio.check_input_settings(channels=1, dtype="int16", samplerate=SAMPLE_RATE)
        except self._portaudio.PortAudioError:
            return int(self._portaudio.query_devices(kind="input")["default_samplerate"])
        return SAMPLE_RATE

    def _recorded(self, data: Any, _frames: int, _time: Any, _status: Any) -> None:
        """Called by PortAudio in its own thread; the buffer is its own as well, hence the copy."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._put, bytes(data))

    def _put(self, block: bytes) -> None:
        if self._is_stopped:
            return
        if len(self._blocks) >= _BLOCKS_MAX:
            self._blocks.popleft()
            self.dropped_s += BLOCK_MS / 1_000
        self._blocks.append(block)
        self._arrived.set()
