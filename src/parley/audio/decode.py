"""A body of declared type, as it arrives, to PCM16 little-endian at 16 kHz, mono.

```
bytes ──reader (WAV | raw | sniffed)──► samples' bytes ──► mono floats ──resampler──► PCM16
```
"""

from typing import Protocol

from parley.audio.media_type import MediaType
from parley.audio.pcm import Encoding, SampleFormat, decode_mono, encode_pcm16
from parley.audio.resample import Resampler
from parley.audio.wav import WavReader
from parley.core.content import SAMPLE_RATE
from parley.core.errors import ParleyError

_WAV_TYPES = frozenset({"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"})
_SNIFFED_TYPES = frozenset({"", "application/octet-stream"})
_TELEPHONE_TYPES = {"audio/basic": Encoding.ULAW, "audio/pcmu": Encoding.ULAW, "audio/pcma": Encoding.ALAW}
_TELEPHONE_RATE_HZ = 8_000
_RAW = SampleFormat(Encoding.S16LE)

_SIGNATURE_BYTES = 4
_WAV_SIGNATURES = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_FOREIGN_SIGNATURES = {
    b"OggS": "Ogg",
    b"fLaC": "FLAC",
    b"ID3\x02": "MP3",
    b"ID3\x03": "MP3",
    b"ID3\x04": "MP3",
    b"\x1aE\xdf\xa3": "WebM or Matroska",
    b"FORM": "AIFF",
    b"caff": "Apple CAF",
    b".snd": "Sun audio",
}


class _Reader(Protocol):
    """Finds the samples in a stream."""

    @property
    def format(self) -> SampleFormat | None: ...
    @property
    def frames_announced(self) -> int | None: ...
    def feed(self, data: bytes) -> list[bytes]: ...
    def finish(self) -> list[bytes]: ...


class _RawReader:
    """There is no header: every byte is a sample's."""

    def __init__(self, form: SampleFormat) -> None:
        self.format = form
        self.frames_announced = None

    def feed(self, data: bytes) -> list[bytes]:
        return [data]

    def finish(self) -> list[bytes]:
        return []


class _SniffingReader:
    """WAV when it begins like WAV, raw PCM16 at 16 kHz, mono, otherwise."""

    def __init__(self) -> None:
        self._head = b""
        self._reader: _Reader | None = None

    @property
    def format(self) -> SampleFormat | None:
        return self._reader.format if self._reader else None

    @property
    def frames_announced(self) -> int | None:
        return self._reader.frames_announced if self._reader else None

    def feed(self, data: bytes) -> list[bytes]:
        if self._reader is not None:
            return self._reader.feed(data)
        self._head += data
        if len(self._head) < _SIGNATURE_BYTES:
            return []
        return self._decide().feed(self._head)

    def finish(self) -> list[bytes]:
        if self._reader is None:
            # Too short for a signature, so it can't be anything but samples.
            self._reader = _RawReader(_RAW)
            return [self._head]
        return self._reader.finish()

    def _decide(self) -> _Reader:
        signature = self._head[:_SIGNATURE_BYTES]
        if kind := _FOREIGN_SIGNATURES.get(signature):
            raise ParleyError(
                "unsupported-media", f"It looks like {kind}; ffmpeg -i FILE -ac 1 -ar 16000 out.wav converts it."
            )
        self._reader = WavReader() if signature in _WAV_SIGNATURES else _RawReader(_RAW)
        return self._reader


class AudioDecoder:
    """One body's decoder. The output does not depend on how the input was cut."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader
        self._resampler: Resampler | None = None
        self._partial_frame = b""
        self._output_bytes = 0

    @classmethod
    def for_content_type(cls, content_type: str | None) -> "AudioDecoder":
        """The decoder for an HTTP Content-Type; None and application/octet-stream look at the first bytes.

        Raises:
            ParleyError: unsupported-media, when the type or one of its parameters is not known; invalid-audio, when
                its rate or channels are out of range.
        """
        media = MediaType.parse(content_type or "")
        if media.essence in _SNIFFED_TYPES:
            return cls(_SniffingReader())
        if media.essence in _WAV_TYPES:
            return cls(WavReader())
        return cls(_RawReader(_raw_format(media)))

    @classmethod
    def for_format(cls, form: SampleFormat) -> "AudioDecoder":
        """The decoder for raw samples of this format."""
        return cls(_RawReader(form))

    @property
    def format(self) -> SampleFormat | None:
        """What is being read; None until its header has arrived."""
        return self._reader.format

    @property
    def expected_s(self) -> float | None:
        """Seconds of audio that the header announces; None where it does not, or there is none."""
        form, frames = self._reader.format, self._reader.frames_announced
        return None if form is None or frames is None else frames / form.rate_hz

    def feed(self, data: bytes) -> bytes:
        """PCM16 LE, 16 kHz, mono, that these further bytes make available; may be empty.

        Raises:
            ParleyError: invalid-wav or unsupported-media, from the header.
        """
        return self._converted(self._reader.feed(data))

    def flush(self) -> bytes:
        """The rest of the output, at the end of the input. The decoder is spent afterwards.

        Raises:
            ParleyError: invalid-wav, when the file is cut short; invalid-audio, when it ends within a sample or holds
                none at all.
        """
        output = self._converted(self._reader.finish())
        if self._partial_frame:
            raise ParleyError(
                "invalid-audio", f"It ends with {len(self._partial_frame)} bytes of an incomplete sample."
            )
        if self._resampler is not None:
            tail = encode_pcm16(self._resampler.flush())
            self._output_bytes += len(tail)
            output += tail
        if self._output_bytes == 0:
            raise ParleyError("invalid-audio", "It holds no samples.")
        return output

    def _converted(self, pieces: list[bytes]) -> bytes:
        form = self._reader.format
        if form is None or not pieces:
            return b""
        data = self._partial_frame + b"".join(pieces)
        whole = len(data) - len(data) % form.frame_bytes
        self._partial_frame = data[whole:]
        output = data[:whole] if form == _RAW else self._resampled(data[:whole], form)
        self._output_bytes += len(output)
        return output

    def _resampled(self, frames: bytes, form: SampleFormat) -> bytes:
        if self._resampler is None:
            self._resampler = Resampler(form.rate_hz)
        return encode_pcm16(self._resampler.feed(decode_mono(frames, form)))


def _raw_format(media: MediaType) -> SampleFormat:
    if media.essence == "audio/pcm":
        name = media.parameters.get("encoding", Encoding.S16LE.value).lower()
        if name not in Encoding:
            raise ParleyError("unsupported-media", f"`encoding` is one of {', '.join(Encoding)}.")
        return SampleFormat(Encoding(name), media.number("rate", SAMPLE_RATE), media.number("channels", 1))
    if media.essence == "audio/l16":
        # RFC 2586 and RFC 3551 section 4.5.11: network byte order, and the rate is required.
        if "rate" not in media.parameters:
            raise ParleyError("unsupported-media", "audio/l16 needs its rate: audio/l16;rate=16000.")
        return SampleFormat(_l16_encoding(media), media.number("rate", 0), media.number("channels", 1))
    if encoding := _TELEPHONE_TYPES.get(media.essence):
        return SampleFormat(encoding, media.number("rate", _TELEPHONE_RATE_HZ), media.number("channels", 1))
    if media.essence == "application/x-www-form-urlencoded":
        raise ParleyError("unsupported-media", "curl names this type unless told: add -H 'Content-Type: audio/wav'.")
    raise ParleyError("unsupported-media")


def _l16_encoding(media: MediaType) -> Encoding:
    order = media.parameters.get("endianness", "big-endian").lower()
    encodings = {"big-endian": Encoding.S16BE, "little-endian": Encoding.S16LE}
    if order not in encodings:
        raise ParleyError("unsupported-media", "`endianness` is big-endian or little-endian.")
    return encodings[order]
