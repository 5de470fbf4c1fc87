import pytest

from parley.core.content import SAMPLE_RATE
from parley.core.profile import EMBEDDED, QWEN3_ASR, VOXTRAL, ModelProfile, profile_of

from .simulation import FIRST_DELTA_SAMPLES, FRAME_SAMPLES


def test_a_frame_of_voxtral_is_80_ms() -> None:
    assert ModelProfile(frame_samples=SAMPLE_RATE * 80 // 1_000, head_frames=7) == VOXTRAL


@pytest.mark.parametrize("deltas", [1, 2, 100])
def test_voxtrals_clock_is_less_than_a_frame_ahead_of_the_audio_that_the_deltas_take(deltas: int) -> None:
    needed = FIRST_DELTA_SAMPLES + (deltas - 1) * FRAME_SAMPLES
    told = (deltas + VOXTRAL.head_frames) * VOXTRAL.frame_samples
    assert 0 <= told - needed < VOXTRAL.frame_samples


@pytest.mark.parametrize(
    ("model", "profile"),
    [
        ("mistralai/Voxtral-Mini-4B-Realtime", VOXTRAL),
        ("", VOXTRAL),
        ("something-else", VOXTRAL),
        ("Qwen/Qwen3-ASR-1.7B", QWEN3_ASR),
        ("tiny-en", EMBEDDED),
        ("parley-tiny-en", EMBEDDED),
        ("whisper-tiny-en", VOXTRAL),
    ],
)
def test_a_models_profile_is_known_by_its_name(model: str, profile: ModelProfile) -> None:
    assert profile_of(model) is profile


def test_words_of_the_embedded_engine_may_come_later() -> None:
    assert EMBEDDED.settle_frames > VOXTRAL.settle_frames
