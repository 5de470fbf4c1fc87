import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.audio.decode import AudioDecoder
from parley.audio.pcm import Encoding, SampleFormat
from parley.audio.wav import wav_header
from parley.core.errors import ParleyError

from .strategies import chunk, cut, cuts, format_and_samples, wav

SAMPLES = struct.pack("<4h", 1, -2, 300, -32768)


def decoded(content_type: str | None, *parts: bytes) -> bytes:
    decoder = AudioDecoder.for_content_type(content_type)
    return b"".join(map(decoder.feed, parts)) + decoder.flush()


def code_of(content_type: str | None, *parts: bytes) -> str:
    with pytest.raises(ParleyError) as caught:
        decoded(content_type, *parts)
    return caught.value.code


def outcome(content_type: str | None, *parts: bytes) -> bytes | str:
    try:
        return decoded(content_type, *parts)
    except ParleyError as error:
        return error.code


@pytest.mark.parametrize("content_type", ["audio/wav", "audio/x-wav", "audio/wave", "Audio/WAV; codecs=1"])
def test_wav_goes_by_all_its_names(content_type: str) -> None:
    assert decoded(content_type, wav_header(4) + SAMPLES) == SAMPLES


@pytest.mark.parametrize("content_type", [None, "", "application/octet-stream"])
def test_an_undeclared_body_that_begins_like_wav_is_wav(content_type: str | None) -> None:
    assert decoded(content_type, wav_header(4) + SAMPLES) == SAMPLES


@pytest.mark.parametrize("content_type", [None, "application/octet-stream"])
def test_any_other_undeclared_body_is_raw_pcm16(content_type: str | None) -> None:
    assert decoded(content_type, SAMPLES) == SAMPLES


def test_a_body_shorter_than_a_signature_is_raw_pcm16() -> None:
    assert decoded(None, b"\x01", b"\x02") == b"\x01\x02"


@pytest.mark.parametrize("magic", [b"OggS", b"fLaC", b"ID3\x03", b"\x1aE\xdf\xa3"])
def test_a_compressed_body_is_refused_with_the_way_to_convert_it(magic: bytes) -> None:
    with pytest.raises(ParleyError, match="ffmpeg") as caught:
        decoded(None, magic + bytes(100))
    assert caught.value.code == "unsupported-media"


def test_big_endian_wav_is_named_even_when_undeclared() -> None:
    assert code_of(None, b"RIFX\0\0\0\0WAVE") == "invalid-wav"


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("audio/pcm", SAMPLES),
        ("audio/pcm;rate=16000;channels=1", SAMPLES),
        ('audio/pcm; Rate="16000"; encoding=S16LE;', SAMPLES),
        ("audio/pcm;encoding=s16be", struct.pack(">4h", 1, -2, 300, -32768)),
        ("audio/l16;rate=16000", struct.pack(">4h", 1, -2, 300, -32768)),
        ("audio/L16;rate=16000;endianness=little-endian", SAMPLES),
        ("audio/pcm;channels=2", struct.pack("<8h", 1, 1, -4, 0, 200, 400, -32768, -32768)),
    ],
)
def test_raw_samples_are_read_as_declared(content_type: str, data: bytes) -> None:
    assert decoded(content_type, data) == SAMPLES


@pytest.mark.parametrize("content_type", ["audio/basic", "audio/PCMU", "audio/PCMA", "audio/pcmu;rate=8000"])
def test_telephone_audio_is_doubled_in_rate(content_type: str) -> None:
    assert len(decoded(content_type, bytes([0xD5, 0x55]) * 400)) == 2 * 1_600


@pytest.mark.parametrize(
    "content_type",
    [
        "audio/mpeg",
        "text/plain",
        "application/x-www-form-urlencoded",
        "audio/l16",
        "audio/l16;rate=16000;endianness=middle",
        "audio/pcm;encoding=mp3",
        "audio/pcm;rate=fast",
        "audio/pcm;rate=-1",
        "audio/pcm;rate=1234567890",
        "audio/pcm;rate",
    ],
)
def test_a_type_that_cannot_be_read_is_refused(content_type: str) -> None:
    assert code_of(content_type) == "unsupported-media"


def test_curls_own_default_type_is_refused_with_the_flag_to_add() -> None:
    with pytest.raises(ParleyError, match="-H 'Content-Type: audio/wav'"):
        AudioDecoder.for_content_type("application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("content_type", "data", "code"),
    [
        (None, b"", "invalid-audio"),
        ("audio/pcm", b"", "invalid-audio"),
        ("audio/pcm", b"abc", "invalid-audio"),
        ("audio/pcm;rate=500", b"", "invalid-audio"),
        ("audio/wav", b"", "invalid-wav"),
        ("audio/wav", wav_header(None), "invalid-audio"),
        ("audio/wav", wav_header(None) + b"a", "invalid-audio"),
        ("audio/wav", wav_header(4) + SAMPLES[:-2], "invalid-wav"),
    ],
)
def test_an_empty_or_incomplete_body_is_refused(content_type: str | None, data: bytes, code: str) -> None:
    assert code_of(content_type, data) == code


@settings(deadline=None)
@given(format_and_samples(), cuts)
def test_the_output_does_not_depend_on_how_the_input_was_cut(
    drawn: tuple[SampleFormat, bytes], places: list[int]
) -> None:
    data = wav(*drawn, before=[chunk(b"LIST", b"abc")])
    assert outcome("audio/wav", *cut(data, places)) == outcome("audio/wav", data)


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=300), cuts)
def test_undeclared_bytes_come_out_the_same_however_they_were_cut(data: bytes, places: list[int]) -> None:
    assert outcome(None, *cut(data, places)) == outcome(None, data)


@given(st.binary(min_size=2, max_size=400).map(lambda data: data[: len(data) // 2 * 2]))
def test_pcm16_at_16_khz_passes_bit_for_bit(samples: bytes) -> None:
    assert decoded("audio/pcm", samples) == samples
    assert decoded("audio/wav", wav_header(len(samples) // 2) + samples) == samples


def test_stereo_at_48_khz_becomes_a_third_as_many_mono_samples() -> None:
    time_s = np.arange(48_000) / 48_000
    left = (8_000 * np.sin(2 * np.pi * 440 * time_s)).astype("<i2")
    data = np.stack([left, left], axis=1).tobytes()
    output = np.frombuffer(decoded("audio/pcm;rate=48000;channels=2", data), "<i2")
    assert len(output) == 16_000
    assert np.abs(output[500:15_500]).max() == pytest.approx(8_000, abs=10)


def test_the_length_of_a_wav_body_is_known_from_its_header() -> None:
    decoder = AudioDecoder.for_content_type("audio/wav")
    assert (decoder.expected_s, decoder.format) == (None, None)
    decoder.feed(wav_header(8_000, 8_000))
    assert decoder.expected_s == 1.0
    assert decoder.format == SampleFormat(Encoding.S16LE, 8_000)


def test_the_length_of_a_piped_wav_body_is_not_known() -> None:
    decoder = AudioDecoder.for_content_type("audio/wav")
    decoder.feed(wav_header(None))
    assert decoder.expected_s is None


def test_the_length_of_an_undeclared_wav_body_is_known_too() -> None:
    decoder = AudioDecoder.for_content_type(None)
    decoder.feed(wav_header(8_000, 8_000))
    assert decoder.expected_s == 1.0


def test_a_decoder_for_raw_samples_expects_no_length() -> None:
    decoder = AudioDecoder.for_format(SampleFormat(Encoding.U8, 8_000))
    assert decoder.expected_s is None
    assert len(decoder.feed(bytes(800)) + decoder.flush()) == 2 * 1_600
