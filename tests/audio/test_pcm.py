import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.audio.pcm import Encoding, SampleFormat, decode_mono, encode_pcm16, pcm_duration_s, split_pcm
from parley.core.errors import ParleyError


def decoded(data: bytes, encoding: Encoding, channels: int = 1) -> list[float]:
    return [float(sample) for sample in decode_mono(data, SampleFormat(encoding, channels=channels))]


@pytest.mark.parametrize(
    ("encoding", "layout", "values"),
    [
        (Encoding.U8, "<3B", (0, 128, 192)),
        (Encoding.S16LE, "<3h", (-32768, 0, 16384)),
        (Encoding.S16BE, ">3h", (-32768, 0, 16384)),
        (Encoding.S32LE, "<3i", (-(2**31), 0, 2**30)),
        (Encoding.F32LE, "<3f", (-1.0, 0.0, 0.5)),
        (Encoding.F64LE, "<3d", (-1.0, 0.0, 0.5)),
    ],
)
def test_full_scale_zero_and_half_scale_decode_alike_in_every_linear_encoding(
    encoding: Encoding, layout: str, values: tuple[float, ...]
) -> None:
    assert decoded(struct.pack(layout, *values), encoding) == [-1.0, 0.0, 0.5]


def test_24_bit_samples_keep_their_sign() -> None:
    data = b"".join(value.to_bytes(3, "little", signed=True) for value in (-(2**23), 0, 2**22, -1))
    assert decoded(data, Encoding.S24LE) == [-1.0, 0.0, 0.5, -(2.0**-23)]


def test_a_law_decodes_to_the_values_of_g711() -> None:
    # The smallest and the largest step of either sign, on the 16-bit scale.
    values = [round(value * 32768) for value in decoded(bytes([0xD5, 0x55, 0xAA, 0x2A, 0xC5]), Encoding.ALAW)]
    assert values == [8, -8, 32256, -32256, 264]


def test_mu_law_decodes_to_the_values_of_g711() -> None:
    values = [round(value * 32768) for value in decoded(bytes([0xFF, 0x7F, 0x80, 0x00, 0xFE]), Encoding.ULAW)]
    assert values == [0, 0, 32124, -32124, 8]


@pytest.mark.parametrize("encoding", [Encoding.ALAW, Encoding.ULAW])
def test_every_g711_step_is_above_the_one_below(encoding: Encoding) -> None:
    values = sorted(decoded(bytes(range(256)), encoding))
    assert values == [-value for value in reversed(values)]
    # µ-law has two zeros, A-law none.
    assert len(set(values)) == (255 if encoding is Encoding.ULAW else 256)


def test_channels_are_averaged() -> None:
    assert decoded(struct.pack("<6h", 300, 600, 900, -300, -600, -900), Encoding.S16LE, channels=3) == [
        600 / 32768,
        -600 / 32768,
    ]


@given(st.lists(st.integers(-32768, 32767)))
def test_mono_pcm16_survives_the_round_trip(values: list[int]) -> None:
    data = struct.pack(f"<{len(values)}h", *values)
    assert encode_pcm16(decode_mono(data, SampleFormat(Encoding.S16LE))) == data


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.0, 32767), (2.5, 32767), (-7.0, -32768), (np.inf, 32767), (-np.inf, -32768), (np.nan, 0), (0.5, 16384)],
)
def test_what_does_not_fit_16_bits_is_clipped_and_what_is_no_number_is_silent(value: float, expected: int) -> None:
    assert struct.unpack("<h", encode_pcm16(np.array([value], np.float32))) == (expected,)


@pytest.mark.parametrize("encoding", [Encoding.F32LE, Encoding.F64LE])
def test_floats_that_are_no_numbers_do_not_reach_the_resampler(encoding: Encoding) -> None:
    layout = "<3f" if encoding is Encoding.F32LE else "<3d"
    assert decoded(struct.pack(layout, np.nan, np.inf, -np.inf), encoding) == [0.0, 1.0, -1.0]


@pytest.mark.parametrize("rate_hz", [0, 3_999, 384_001])
def test_a_rate_that_cannot_be_converted_is_refused_by_name(rate_hz: int) -> None:
    with pytest.raises(ParleyError, match=f"rate is {rate_hz} Hz") as caught:
        SampleFormat(Encoding.S16LE, rate_hz)
    assert caught.value.code == "invalid-audio"


@pytest.mark.parametrize("channels", [0, 65_536])
def test_an_impossible_number_of_channels_is_refused(channels: int) -> None:
    with pytest.raises(ParleyError, match=f"has {channels} channels"):
        SampleFormat(Encoding.S16LE, channels=channels)


@given(st.binary(max_size=4_000), st.integers(1, 50))
def test_pieces_join_to_the_whole_and_none_is_longer_than_asked(pcm: bytes, piece_ms: int) -> None:
    pieces = list(split_pcm(pcm, piece_ms))
    assert b"".join(pieces) == pcm
    assert all(len(piece) == piece_ms * 32 for piece in pieces[:-1])
    assert all(0 < len(piece) <= piece_ms * 32 for piece in pieces)


def test_a_second_of_audio_has_32000_bytes() -> None:
    assert pcm_duration_s(32_000) == 1.0
