import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parley.audio.pcm import Encoding, SampleFormat
from parley.audio.wav import FMT_MAX_BYTES, HEADER_MAX_BYTES, WavReader, wav_header
from parley.core.errors import ParleyError

from .strategies import SUBTYPE_TAIL, TAGS, chunk, cut, cuts, fmt_body, fmt_chunk, format_and_samples, wav

MONO = SampleFormat(Encoding.S16LE)
SAMPLES = bytes(range(64))


def read(data: bytes) -> tuple[SampleFormat | None, bytes]:
    reader = WavReader()
    samples = b"".join(reader.feed(data) + reader.finish())
    return reader.format, samples


def refusal(data: bytes) -> str:
    with pytest.raises(ParleyError) as caught:
        read(data)
    assert caught.value.code == "invalid-wav"
    return caught.value.detail


@pytest.mark.parametrize("encoding", list(TAGS))
@pytest.mark.parametrize("extensible", [False, True], ids=["plain", "extensible"])
def test_every_encoding_is_read_plain_and_extensible(encoding: Encoding, extensible: bool) -> None:
    form = SampleFormat(encoding, 22_050, 2)
    assert read(wav(form, SAMPLES, extensible=extensible)) == (form, SAMPLES)


def test_chunks_before_the_samples_are_skipped_with_their_padding() -> None:
    before = [chunk(b"LIST", b"odd"), chunk(b"junk", b""), chunk(b"bext", bytes(602))]
    assert read(wav(MONO, SAMPLES, before=before)) == (MONO, SAMPLES)


def test_what_follows_the_samples_is_ignored() -> None:
    assert read(wav(MONO, SAMPLES, after=chunk(b"LIST", b"tags")))[1] == SAMPLES


@pytest.mark.parametrize("size", [0, 0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFDB, 0xFFFF_FFFF])
def test_a_length_that_a_pipe_could_not_know_means_until_the_end(size: int) -> None:
    reader = WavReader()
    assert b"".join(reader.feed(wav(MONO, SAMPLES, data_size=size)) + reader.finish()) == SAMPLES
    assert reader.frames_announced is None


def test_the_number_of_frames_is_known_once_the_header_is_read() -> None:
    reader = WavReader()
    reader.feed(wav(SampleFormat(Encoding.S16LE, channels=2), SAMPLES))
    assert reader.frames_announced == 16


@pytest.mark.parametrize("kind", [b"RF64", b"BW64"])
def test_a_64_bit_file_takes_its_length_from_its_own_chunk(kind: bytes) -> None:
    length = chunk(b"ds64", struct.pack("<QQQI", 1_000, len(SAMPLES), 32, 0))
    data = wav(MONO, SAMPLES, before=[length], data_size=0xFFFF_FFFF, after=b"more")
    assert read(kind + data[4:])[1] == SAMPLES


def test_a_64_bit_length_too_short_to_hold_one_is_left_out_of_account() -> None:
    data = wav(MONO, SAMPLES, before=[chunk(b"ds64", b"short")], data_size=0xFFFF_FFFF)
    assert read(data)[1] == SAMPLES


def test_samples_may_have_fewer_bits_than_their_bytes_hold() -> None:
    body = fmt_body(1, 1, 48_000, 4, 24)
    data = b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", body) + chunk(b"data", SAMPLES)
    assert read(data)[0] == SampleFormat(Encoding.S32LE, 48_000)


@given(format_and_samples(), st.booleans(), cuts)
def test_the_samples_do_not_depend_on_how_the_file_was_cut(
    drawn: tuple[SampleFormat, bytes], extensible: bool, places: list[int]
) -> None:
    form, samples = drawn
    data = wav(form, samples, extensible=extensible, before=[chunk(b"LIST", b"abc")], after=b"tail")
    reader = WavReader()
    pieces = [piece for part in cut(data, places) for piece in reader.feed(part)]
    assert (reader.format, b"".join(pieces)) == (form, samples)


def test_the_file_may_arrive_byte_by_byte() -> None:
    reader = WavReader()
    data = wav(MONO, SAMPLES, before=[chunk(b"LIST", bytes(40))])
    assert b"".join(b"".join(reader.feed(data[at : at + 1])) for at in range(len(data))) == SAMPLES


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "It is empty"),
        (b"RI", "ends before its samples"),
        (b"RIFF\0\0\0\0WAVE", "ends before its samples"),
        (b"ID3\x03", "does not begin with RIFF"),
        (b"RIFX\0\0\0\0WAVE", "big-endian"),
        (b"RIFF\0\0\0\0AVI ", "another kind than WAVE"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"data", SAMPLES), "before their format"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", b"short"), "has 5 bytes instead of 16"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", fmt_body(0xFFFE, 1, 16_000, 2, 16)), "extensible format is incomplete"),
        (
            b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", fmt_body(0xFFFE, 1, 16_000, 2, 16) + bytes(24)),
            "names no known encoding",
        ),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", fmt_body(0x11, 1, 16_000, 2, 4)), "IMA ADPCM"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", fmt_body(0x1234, 1, 16_000, 2, 16)), "0x1234"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", fmt_body(1, 0, 16_000, 2, 16)), "into 0 channels"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", fmt_body(1, 2, 16_000, 3, 16)), "3 bytes do not divide into 2 channels"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", fmt_body(1, 1, 16_000, 5, 40)), "40 bits in 5 bytes"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", fmt_body(3, 1, 16_000, 2, 16)), "floating-point"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", fmt_body(1, 1, 16_000, 2, 0)), "0 bits in 2 bytes"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", fmt_body(1, 1, 16_000, 2, 17)), "17 bits in 2 bytes"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", fmt_body(1, 1, 0, 2, 16)), "rate is 0 Hz"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", b"", size=FMT_MAX_BYTES + 1), "chunk has 4097 bytes"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"LIST", b"", size=HEADER_MAX_BYTES), "No samples begin"),
        (wav(MONO, SAMPLES)[:-4], "4 bytes of its samples are missing"),
    ],
)
def test_a_broken_file_is_refused_with_what_is_wrong(data: bytes, named: str) -> None:
    assert named in refusal(data)


def test_many_small_chunks_cannot_stretch_the_header_without_end() -> None:
    chunks = chunk(b"junk", bytes(1_000)) * (HEADER_MAX_BYTES // 1_000)
    assert "No samples begin" in refusal(b"RIFF\0\0\0\0WAVE" + chunks)


HEAD = b"RIFF\x24\0\0\0WAVE"


@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=200).map(lambda tail: HEAD + tail),
        st.binary(min_size=16, max_size=60).map(lambda body: HEAD + chunk(b"fmt ", body) + chunk(b"data", SAMPLES)),
        st.binary(min_size=2, max_size=2).map(
            lambda tag: HEAD + chunk(b"fmt ", fmt_body(0xFFFE, 1, 8_000, 2, 16) + bytes(8) + tag + SUBTYPE_TAIL)
        ),
    ),
    cuts,
)
@example(HEAD + fmt_chunk(MONO) + chunk(b"data", b""), [])
def test_no_bytes_raise_anything_but_a_typed_error(data: bytes, places: list[int]) -> None:
    reader = WavReader()
    try:
        for part in cut(data, places):
            reader.feed(part)
        reader.finish()
    except ParleyError as error:
        assert error.code == "invalid-wav"  # noqa: PT017


@given(st.binary(max_size=400).map(lambda data: data[: len(data) // 2 * 2]), st.sampled_from([8_000, 16_000, 48_000]))
def test_what_the_writer_writes_the_reader_reads(samples: bytes, rate_hz: int) -> None:
    assert read(wav_header(len(samples) // 2, rate_hz) + samples) == (SampleFormat(Encoding.S16LE, rate_hz), samples)


def test_a_header_of_unknown_length_reads_until_the_end() -> None:
    assert read(wav_header(None) + SAMPLES) == (MONO, SAMPLES)


def test_the_writer_refuses_what_the_format_cannot_hold() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        wav_header(1 << 31)
