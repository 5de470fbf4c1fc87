import pytest

from parley.core.content import SAMPLE_RATE
from parley.core.profile import VOXTRAL, ModelProfile

from .simulation import FIRST_DELTA_SAMPLES, FRAME_SAMPLES


def test_a_frame_of_voxtral_is_80_ms() -> None:
    assert ModelProfile(frame_samples=SAMPLE_RATE * 80 // 1_000, head_frames=7) == VOXTRAL


@pytest.mark.parametrize("deltas", [1, 2, 100])
def test_voxtrals_clock_is_less_than_a_frame_ahead_of_the_audio_that_the_deltas_take(deltas: int) -> None:
    needed = FIRST_DELTA_SAMPLES + (deltas - 1) * FRAME_SAMPLES
    told = (deltas + VOXTRAL.head_frames) * VOXTRAL.frame_samples
    assert 0 <= told - needed < VOXTRAL.frame_samples
