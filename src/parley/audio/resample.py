"""Any sample rate to 16 kHz, as a stream."""

import numpy as np
import soxr

from parley.audio.pcm import Samples
from parley.core.content import SAMPLE_RATE


class Resampler:
    """Mono samples at `rate_hz` in, mono samples at 16 kHz out; nothing is done when they are the same.

    The output lags the input by the filter's length (some milliseconds) until `flush`, and does not depend on how the
    input was cut.
    """

    def __init__(self, rate_hz: int) -> None:
        self._stream = None
        if rate_hz != SAMPLE_RATE:
            self._stream = soxr.ResampleStream(rate_hz, SAMPLE_RATE, 1, dtype="float32", quality="HQ")

    def feed(self, samples: Samples) -> Samples:
        """The output that these further samples make available."""
        if self._stream is None or not len(samples):
            return samples
        return np.asarray(self._stream.resample_chunk(samples), np.float32)

    def flush(self) -> Samples:
        """The rest of the output. The resampler is spent afterwards."""
        nothing = np.empty(0, np.float32)
        if self._stream is None:
            return nothing
        return np.asarray(self._stream.resample_chunk(nothing, last=True), np.float32)
