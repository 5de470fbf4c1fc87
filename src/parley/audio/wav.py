"""WAV files: an incremental reader that needs no file, and the header of a writer.

The header may arrive a byte at a time, chunks before the samples are skipped without being held, and the length of
the samples may be unknown, as it is when a program writes WAV into a pipe. RF64 and BW64 (ITU-R BS.2088) are read too.
"""

import struct

from parley.audio.pcm import Encoding, SampleFormat
from parley.core.content import SAMPLE_RATE
from parley.core.errors import ParleyError

HEADER_MAX_BYTES = 1 << 20
"""Bytes that may come before the samples: tags and cover pictures are skipped up to this much."""

FMT_MAX_BYTES = 4_096
"""Bytes of the longest `fmt ` or `ds64` chunk that is read."""

# Programs that cannot seek write no length, or one just below what 31 or 32 bits hold.
_UNKNOWN_LENGTHS = (range(1), range(0x7FFF_F000, 0x8000_0001), range(0xFFFF_F000, 0x1_0000_0000))

_PCM, _FLOAT, _ALAW, _ULAW, _EXTENSIBLE = 0x0001, 0x0003, 0x0006, 0x0007, 0xFFFE
_ENCODINGS = {
    (_PCM, 1): Encoding.U8,
    (_PCM, 2): Encoding.S16LE,
    (_PCM, 3): Encoding.S24LE,
    (_PCM, 4): Encoding.S32LE,
    (_FLOAT, 4): Encoding.F32LE,
    (_FLOAT, 8): Encoding.F64LE,
    (_ALAW, 1): Encoding.ALAW,
    (_ULAW, 1): Encoding.ULAW,
}
_FAMILIES = {_PCM: "PCM", _FLOAT: "floating-point", _ALAW: "A-law", _ULAW: "µ-law"}
_FOREIGN = {0x0002: "Microsoft ADPCM", 0x0011: "IMA ADPCM", 0x0031: "GSM 6.10", 0x0055: "MP3", 0x00FF: "AAC"}
# The tail of KSDATAFORMAT_SUBTYPE_*: a format tag in its first two bytes, and this.
_SUBTYPE_TAIL = bytes.fromhex("000000001000800000aa00389b71")


class WavReader:
    """Takes a WAV stream as it arrives and gives back the bytes of its samples.

    `format` is None until the header has been read. Whatever follows the samples is ignored.
    """

    def __init__(self) -> None:
        self.format: SampleFormat | None = None
        self.frames_announced: int | None = None
        """Frames that the header says there are; None while unknown."""
        self._buffer = bytearray()
        self._skip_bytes = 0
        self._header_bytes = 0
        self._is_opened = False
        self._is_in_data = False
        self._long_length: int | None = None
        self._left_bytes: int | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Further bytes of the stream; returns the samples' bytes among them.

        Raises:
            ParleyError: invalid-wav, naming what is wrong with the header.
        """
        if self._is_in_data:
            return self._samples(data)
        self._buffer += data
        while self._step():
            pass
        return self._samples(self._take_buffer()) if self._is_in_data else []

    def finish(self) -> list[bytes]:
        """The stream has ended; no samples are held back, so the list is empty.

        Raises:
            ParleyError: invalid-wav, when it ended within its header or before all of its samples.
        """
        if not self._is_in_data:
            raise _invalid(
                "It ends before its samples begin." if self._header_bytes or self._buffer else "It is empty."
            )
        if self._left_bytes:
            raise _invalid(f"It is cut short: {self._left_bytes} bytes of its samples are missing.")
        return []

    def _take_buffer(self) -> bytes:
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _samples(self, data: bytes) -> list[bytes]:
        if self._left_bytes is not None:
            data = data[: self._left_bytes]
            self._left_bytes -= len(data)
        return [data] if data else []

    def _step(self) -> bool:
        """Reads one more part of the header; False when it needs more bytes, or is complete."""
        if self._skip_bytes:
            skipped = min(self._skip_bytes, len(self._buffer))
            self._consume(skipped)
            self._skip_bytes -= skipped
            return self._skip_bytes == 0
        if not self._is_opened:
            return self._open()
        if len(self._buffer) < 8:
            return False
        kind, size = struct.unpack_from("<4sI", self._buffer)
        if kind == b"data":
            self._begin_data(size)
            return False
        if self._header_bytes + 8 + size > HEADER_MAX_BYTES:
            raise _invalid(f"No samples begin within its first {HEADER_MAX_BYTES} bytes.")
        if kind in (b"fmt ", b"ds64"):
            return self._read_chunk(kind, size)
        self._skip(8 + size + (size & 1))
        return True

    def _open(self) -> bool:
        head = bytes(self._buffer[:12])
        if not any(form.startswith(head[:4]) for form in (b"RIFF", b"RF64", b"BW64")):
            if head[:4] == b"RIFX":
                raise _invalid("It is big-endian (RIFX).")
            raise _invalid("It does not begin with RIFF.")
        if not b"WAVE".startswith(head[8:]):
            raise _invalid("It is a RIFF file of another kind than WAVE.")
        if len(head) < 12:
            return False
        self._is_opened = True
        self._consume(12)
        return True

    def _read_chunk(self, kind: bytes, size: int) -> bool:
        if size > FMT_MAX_BYTES:
            raise _invalid(f"Its `{kind.decode()}` chunk has {size} bytes.")
        if len(self._buffer) < 8 + size:
            return False
        body = bytes(self._buffer[8 : 8 + size])
        self._skip(8 + size + (size & 1))
        if kind == b"fmt ":
            self.format = _parse_format(body)
        elif size >= 16:
            # Sizes of the whole and of the samples, 64 bits each; both are 0xFFFFFFFF where they usually stand.
            self._long_length = struct.unpack_from("<Q", body, 8)[0]
        return True

    def _begin_data(self, size: int) -> None:
        if self.format is None:
            raise _invalid("Its samples come before their format.")
        if size == 0xFFFF_FFFF and self._long_length:
            self._left_bytes = self._long_length
        elif not any(size in lengths for lengths in _UNKNOWN_LENGTHS):
            self._left_bytes = size
        if self._left_bytes is not None:
            self.frames_announced = self._left_bytes // self.format.frame_bytes
        self._consume(8)
        self._is_in_data = True

    def _skip(self, size: int) -> None:
        skipped = min(size, len(self._buffer))
        self._consume(skipped)
        self._skip_bytes = size - skipped

    def _consume(self, size: int) -> None:
        self._header_bytes += size
        del self._buffer[:size]


def wav_header(samples: int | None, rate_hz: int = SAMPLE_RATE) -> bytes:
    """The header of a mono PCM16 WAV file of that many samples; None when the number is not known yet.

    Raises:
        ValueError: when so many samples do not fit the format's 4 GiB.
    """
    size = 0xFFFF_FFFF if samples is None else samples * 2
    if samples is not None and size + 36 > 0xFFFF_FFFF:
        raise ValueError(f"{samples} samples do not fit into a WAV file")
    whole = size if samples is None else size + 36
    form = struct.pack("<HHIIHH", _PCM, 1, rate_hz, rate_hz * 2, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", whole)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + struct.pack("<4sI", b"data", size)
    )


def _parse_format(body: bytes) -> SampleFormat:
    if len(body) < 16:
        raise _invalid(f"Its `fmt ` chunk has {len(body)} bytes instead of 16 or more.")
    tag, channels, rate_hz, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE:
        if len(body) < 40:
            raise _invalid("Its extensible format is incomplete.")
        if body[26:40] != _SUBTYPE_TAIL:
            raise _invalid("Its extensible format names no known encoding.")
        tag = struct.unpack_from("<H", body, 24)[0]
    if tag not in _FAMILIES:
        raise _invalid(f"Its encoding is {_FOREIGN.get(tag, 'unknown')} (format tag 0x{tag:04x}).")
    if channels == 0 or frame_bytes % channels:
        raise _invalid(f"Its frames of {frame_bytes} bytes do not divide into {channels} channels.")
    sample_bytes = frame_bytes // channels
    encoding = _ENCODINGS.get((tag, sample_bytes))
    if encoding is None or not 0 < bits <= sample_bytes * 8:
        raise _invalid(f"Its {_FAMILIES[tag]} samples have {bits} bits in {sample_bytes} bytes.")
    try:
        return SampleFormat(encoding, rate_hz, channels)
    except ParleyError as error:
        raise _invalid(error.detail) from None


def _invalid(detail: str) -> ParleyError:
    return ParleyError("invalid-wav", detail)
