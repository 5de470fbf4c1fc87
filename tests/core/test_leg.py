import pytest

from parley.core.leg import Leg, LegState
from parley.core.profile import VOXTRAL, ModelProfile
from parley.core.turns import Turn

FRAME = 1_280
SECOND = 16_000


def started(profile: ModelProfile = VOXTRAL) -> Leg:
    leg = Leg(1, profile, 0.0)
    leg.start(Turn(started=True), 0.0)
    return leg


def test_a_new_leg_is_connecting_since_now() -> None:
    leg = Leg(7, VOXTRAL, 3.0)
    assert (leg.id, leg.state, leg.progress_at, leg.turn) == (7, LegState.CONNECTING, 3.0, None)
    assert (leg.blocked, leg.lag_samples, leg.deltas) == (False, 0, 0)


def test_a_turn_begins_with_the_clock_at_zero() -> None:
    leg = started()
    leg.sent(SECOND, SECOND, 1.0)
    leg.moved(2.0)
    turn = Turn(started=True)
    leg.start(turn, 5.0)
    assert (leg.state, leg.turn, leg.progress_at) == (LegState.RUNNING, turn, 5.0)
    assert (leg.sent_samples, leg.consumed_samples, leg.deltas) == (0, 0, 0)


def test_a_transcribed_turn_leaves_the_leg_ready() -> None:
    leg = started()
    leg.finish()
    assert (leg.state, leg.turn) == (LegState.READY, None)


def test_lag_is_what_was_sent_and_not_consumed() -> None:
    leg = started()
    leg.sent(2 * SECOND, SECOND, 1.0)
    leg.moved(1.0)
    leg.moved(1.0)
    assert leg.lag_samples == 2 * SECOND - 9 * FRAME


@pytest.mark.parametrize(("deltas", "samples"), [(0, 0), (1, 10_240), (2, 11_520), (50, 72_960)])
def test_each_delta_of_voxtral_tells_of_80_ms_and_the_first_of_seven_more(deltas: int, samples: int) -> None:
    leg = started()
    leg.sent(100 * SECOND, SECOND, 1.0)
    for _ in range(deltas):
        leg.moved(1.0)
    assert leg.consumed_samples == samples


def test_another_model_has_its_own_frame_and_head() -> None:
    leg = started(ModelProfile(frame_samples=100, head_frames=0))
    leg.sent(SECOND, SECOND, 1.0)
    leg.moved(1.0)
    assert leg.consumed_samples == 100


def test_a_model_never_consumes_more_than_it_was_sent() -> None:
    leg = started()
    leg.sent(FRAME, SECOND, 1.0)
    leg.moved(1.0)
    assert (leg.consumed_samples, leg.lag_samples) == (FRAME, 0)


def test_a_delta_is_progress() -> None:
    leg = started()
    leg.moved(4.0)
    assert leg.progress_at == 4.0


def test_audio_for_a_leg_that_had_caught_up_gives_it_time_from_then() -> None:
    leg = started()
    leg.sent(SECOND, SECOND, 1.0)
    leg.sent(SECOND, SECOND, 2.0)
    assert leg.progress_at == 2.0


def test_what_was_consumed_does_not_count_as_lag_when_more_audio_comes() -> None:
    leg = started()
    leg.sent(SECOND + 8 * FRAME, SECOND, 1.0)
    leg.moved(1.0)
    leg.sent(SECOND, SECOND, 2.0)
    assert leg.progress_at == 2.0


def test_audio_for_a_leg_that_lags_gives_it_no_more_time() -> None:
    leg = started()
    leg.sent(SECOND + 1, SECOND, 1.0)
    leg.sent(SECOND, SECOND, 2.0)
    assert (leg.progress_at, leg.sent_samples) == (1.0, 2 * SECOND + 1)
