"""Audio to disturb sessions with: phrases and pauses."""

import random
from importlib.resources import files

from parley.audio.decode import AudioDecoder
from parley.core.content import SAMPLE_RATE

_BYTES_PER_S = 2 * SAMPLE_RATE


def phrases(duration_s: float, seed: int) -> bytes:
    """PCM16, 16 kHz: noise for one to four seconds, digital silence for one to two, and so on."""
    source = random.Random(seed)
    pcm = bytearray()
    while len(pcm) < duration_s * _BYTES_PER_S:
        pcm += source.randbytes(2 * round(source.uniform(1.0, 4.0) * SAMPLE_RATE))
        pcm += bytes(2 * round(source.uniform(1.0, 2.0) * SAMPLE_RATE))
    return bytes(pcm[: round(duration_s * SAMPLE_RATE) * 2])


def recording(duration_s: float) -> bytes:
    """The packaged recording of speech, said again and again with pauses of a second."""
    wav = files("parley.client").joinpath("recordings/welcome.wav").read_bytes()
    decoder = AudioDecoder.for_content_type("audio/wav")
    spoken = decoder.feed(wav) + decoder.flush()
    whole = spoken + bytes(_BYTES_PER_S)
    return (whole * (int(duration_s * _BYTES_PER_S) // len(whole) + 1))[: round(duration_s * SAMPLE_RATE) * 2]
