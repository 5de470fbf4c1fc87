"""What model servers are probed with."""

from parley.audio.speech import speech_samples
from parley.core.profile import EMBEDDED, QWEN3_ASR, VOXTRAL
from parley.server.probing import probe_options, probe_speech
from parley.server.settings.document import Settings, UpstreamSettings
from parley.wire.vllm import pcm_of


def test_the_probes_speech_is_speech_from_its_beginning_on() -> None:
    speech = probe_speech()
    assert speech.samples == 19_200
    assert all(piece.samples == 1_600 for piece in speech.pieces)
    pcm = b"".join(pcm_of(piece) for piece in speech.pieces)
    assert speech_samples(pcm) > 0.9 * speech.samples


def test_probes_obey_the_settings() -> None:
    upstream = UpstreamSettings(probe_turn_interval_s=30.0, probe_turn_timeout_s=4.0)
    options = probe_options(Settings(upstream=upstream))
    assert (options.interval_s, options.timeout_s) == (30.0, 4.0)
    names = ("Voxtral-Mini", "tiny-en", "Qwen/Qwen3-ASR-0.6B")
    assert [options.profile(name) for name in names] == [VOXTRAL, EMBEDDED, QWEN3_ASR]


def test_the_operators_profile_outranks_the_models_name() -> None:
    upstream = UpstreamSettings(profile="qwen3-asr")
    assert probe_options(Settings(upstream=upstream)).profile("Voxtral-Mini") is QWEN3_ASR
