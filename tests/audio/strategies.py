"""What the audio tests draw from."""

import itertools
import struct
from collections.abc import Sequence

from hypothesis import strategies as st

from parley.audio.pcm import Encoding, SampleFormat

TAGS = {
    Encoding.U8: (1, 8),
    Encoding.S16LE: (1, 16),
    Encoding.S24LE: (1, 24),
    Encoding.S32LE: (1, 32),
    Encoding.F32LE: (3, 32),
    Encoding.F64LE: (3, 64),
    Encoding.ALAW: (6, 8),
    Encoding.ULAW: (7, 8),
}
"""Format tag and bits of every encoding that WAV can hold."""

SUBTYPE_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def chunk(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    """A RIFF chunk, padded to an even length."""
    return struct.pack("<4sI", kind, len(body) if size is None else size) + body + b"\0" * (len(body) & 1)


def fmt_body(tag: int, channels: int, rate_hz: int, frame_bytes: int, bits: int) -> bytes:
    return struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * frame_bytes & 0xFFFFFFFF, frame_bytes, bits)


def fmt_chunk(form: SampleFormat, *, extensible: bool = False) -> bytes:
    tag, bits = TAGS[form.encoding]
    body = fmt_body(0xFFFE if extensible else tag, form.channels, form.rate_hz, form.frame_bytes, bits)
    if extensible:
        body += struct.pack("<HHIH", 22, bits, 0, tag) + SUBTYPE_TAIL
    return chunk(b"fmt ", body)


def wav(
    form: SampleFormat,
    samples: bytes,
    *,
    extensible: bool = False,
    before: Sequence[bytes] = (),
    after: bytes = b"",
    data_size: int | None = None,
) -> bytes:
    """A WAV file with these chunks before the samples and these bytes after them."""
    data = chunk(b"data", samples, data_size)
    body = b"WAVE" + b"".join(before) + fmt_chunk(form, extensible=extensible) + data + after
    return b"RIFF" + struct.pack("<I", min(len(body), 0xFFFFFFFF)) + body


formats = st.builds(
    SampleFormat,
    st.sampled_from(list(TAGS)),
    st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000]),
    st.integers(1, 3),
)


@st.composite
def format_and_samples(draw: st.DrawFn, max_frames: int = 400) -> tuple[SampleFormat, bytes]:
    form = draw(formats)
    frames = draw(st.integers(1, max_frames))
    size = frames * form.frame_bytes
    # Random bytes of a float format include infinities and what is not a number.
    return form, draw(st.binary(min_size=size, max_size=size))


def cut(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The bytes, cut at these places, each taken modulo the length."""
    places = sorted({place % (len(data) + 1) for place in cuts})
    edges = [0, *places, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


cuts = st.lists(st.integers(0, 1 << 20), max_size=30)
