import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from parley.client.failure import SourceError
from parley.client.microphone import BUFFER_MAX_S, MicrophoneSource, load_portaudio


class PortAudioError(Exception):
    pass


class Device:
    """PortAudio, as far as it is used. `speak` is the device's own thread."""

    PortAudioError = PortAudioError

    def __init__(self, *, takes_16_khz: bool = True, is_there: bool = True) -> None:
        self.takes_16_khz = takes_16_khz
        self.is_there = is_there
        self.settings: dict[str, Any] = {}
        self.is_closed = False

    def check_input_settings(self, **settings: Any) -> None:
        if not self.takes_16_khz:
            raise PortAudioError("Invalid sample rate")

    def query_devices(self, kind: str) -> dict[str, float]:
        return {"default_samplerate": 48_000.0}

    def RawInputStream(self, **settings: Any) -> "Device":
        if not self.is_there:
            raise PortAudioError("no default input device")
        self.settings = settings
        return self

    def start(self) -> None:
        assert self.settings

    def close(self) -> None:
        self.is_closed = True

    def speak(self, block: bytes) -> None:
        callback: Callable[..., None] = self.settings["callback"]
        callback(memoryview(block), len(block) // 2, None, None)


async def test_what_is_spoken_arrives_in_order_until_it_is_stopped() -> None:
    device = Device()
    source = MicrophoneSource(device)
    heard = b""
    async with source:
        device.speak(b"\1\0" * 640)
        device.speak(b"\2\0" * 640)
        async for pcm in source:
            heard += pcm
            if len(heard) == 2_560:
                source.stop()
                device.speak(b"\3\0" * 640)
    assert heard == b"\1\0" * 640 + b"\2\0" * 640
    assert device.is_closed
    assert source.duration_s is None


async def test_a_device_of_another_rate_is_converted() -> None:
    device = Device(takes_16_khz=False)
    source = MicrophoneSource(device)
    async with source:
        assert device.settings["samplerate"] == 48_000
        for _ in range(25):
            device.speak(bytes(2 * 1_920))
        heard = 0
        async for pcm in source:
            heard += len(pcm)
            if heard > 25_000:
                source.stop()


async def test_audio_that_nobody_takes_is_dropped_and_counted() -> None:
    device = Device()
    source = MicrophoneSource(device)
    async with source:
        for number in range(BUFFER_MAX_S * 25 + 5):
            source._put(bytes([number % 256, 0]) * 640)
        source.stop()
        first = await anext(source.__aiter__())
    assert source.dropped_s == pytest.approx(0.2)
    assert first[0] == 5


async def test_a_missing_microphone_is_explained() -> None:
    with pytest.raises(SourceError, match="no default input device") as caught:
        async with MicrophoneSource(Device(is_there=False)):
            pass
    assert caught.value.code == "microphone-missing"


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(SourceError, match=r"pip install 'parley\[mic\]'"):
        load_portaudio()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_name: str) -> types.ModuleType:
        raise OSError("PortAudio library not found")

    monkeypatch.setattr("parley.client.microphone.importlib.import_module", fail)
    with pytest.raises(SourceError, match="libportaudio2"):
        load_portaudio()


def test_the_module_is_loaded_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("sounddevice")
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    assert load_portaudio() is module
