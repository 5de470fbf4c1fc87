"""What is spoken into the browser's microphone."""

import wave

from parley.cli.demonstration import bundled_recording
from tests.support.sound import SAMPLE_RATE, wav

_SILENCE_S = 0.5
"""Of nothing but zeros: what is between the recording's sentences."""
_LEAD_S = 3.0
"""Before the first: a microphone is open a while before the page hears it."""
_PAUSE_S = 1.4
"""Instead: longer than the silence that ends a turn of the captions page."""


def spaced_recording() -> bytes:
    """The recording that comes with Parley as a WAV, with longer pauses between its sentences."""
    with bundled_recording() as recording, wave.open(str(recording.path)) as file:
        assert file.getparams()[:3] == (1, 2, SAMPLE_RATE)
        audio = file.readframes(file.getnframes())
    silence = bytes(2 * int(_SILENCE_S * SAMPLE_RATE))
    sentences = []
    start = 0
    while (end := audio.find(silence, start)) >= 0:
        end += end % 2
        sentences.append(audio[start:end])
        start = end
        while audio[start : start + 2] == bytes(2):
            start += 2
    lead, pause = (bytes(2 * int(seconds * SAMPLE_RATE)) for seconds in (_LEAD_S, _PAUSE_S))
    return wav(lead + pause.join([*sentences, audio[start:]]))
