"""How model servers are probed: what is said to them, how often, and how long they may take."""

from importlib import resources

import numpy as np

from parley.audio.wav import WavReader
from parley.core.content import SAMPLE_RATE
from parley.server.launch import model_profile
from parley.server.settings.document import Settings
from parley.upstream.health.probe_turn import Speech
from parley.upstream.health.prober import ProbeOptions
from parley.wire.vllm import encode_audio

_SPEECH_S = 1.2
_PIECE_BYTES = SAMPLE_RATE // 10 * 2
_READ_MAX_BYTES = 262_144
_LOUD = 1_000
"""Of 32 767: the recording's own noise is far below it, and its speech far above."""
_LEAD_SAMPLES = SAMPLE_RATE // 20


def probe_speech() -> Speech:
    """The beginning of the recording that comes with Parley, from its first word on, in pieces of 100 ms."""
    # Not by the package it is in, which would be imported for it.
    recording = resources.files("parley") / "client" / "recordings" / "welcome.wav"
    with recording.open("rb") as file:
        pcm = b"".join(WavReader().feed(file.read(_READ_MAX_BYTES)))
    samples = np.frombuffer(pcm, "<i2").astype(np.int32)
    first = max(0, int(np.argmax(np.abs(samples) > _LOUD)) - _LEAD_SAMPLES)
    speech = pcm[2 * first : 2 * (first + int(_SPEECH_S * SAMPLE_RATE))]
    return Speech([encode_audio(speech[at : at + _PIECE_BYTES]) for at in range(0, len(speech), _PIECE_BYTES)])


def probe_options(settings: Settings) -> ProbeOptions:
    """What the pools of this node do."""
    upstream = settings.upstream
    return ProbeOptions(
        speech=probe_speech(),
        profile=lambda model: model_profile(upstream, model),
        timeout_s=upstream.probe_turn_timeout_s,
        interval_s=upstream.probe_turn_interval_s,
    )
