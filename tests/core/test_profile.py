import pytest

from parley.core.profile import VOXTRAL, ModelProfile

from .simulation import FIRST_DELTA_SAMPLES, FRAME_SAMPLES


def test_nothing_is_consumed_before_the_first_delta() -> None:
    assert VOXTRAL.consumed_samples(0) == 0


@pytest.mark.parametrize(("deltas", "samples"), [(1, 10_240), (2, 11_520), (50, 72_960)])
def test_each_delta_of_voxtral_tells_of_80_ms_and_the_first_of_seven_more(deltas: int, samples: int) -> None:
    assert VOXTRAL.consumed_samples(deltas) == samples


def test_another_model_has_its_own_frame_and_head() -> None:
    assert ModelProfile(frame_samples=100, head_frames=0).consumed_samples(3) == 300


@pytest.mark.parametrize("deltas", [1, 2, 100])
def test_the_clock_is_less_than_a_frame_ahead_of_the_audio_that_the_deltas_take(deltas: int) -> None:
    needed = FIRST_DELTA_SAMPLES + (deltas - 1) * FRAME_SAMPLES
    assert 0 <= VOXTRAL.consumed_samples(deltas) - needed < FRAME_SAMPLES
