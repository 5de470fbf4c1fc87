import pytest

from parley.core.limits import SessionLimits
from parley.core.profile import QWEN3_ASR, VOXTRAL
from parley.core.rotation import Rotation

LIMITS = SessionLimits(rotate_after_s=80.0, rotate_force_s=160.0)
PAUSE = VOXTRAL.settle_frames


def rotation(context_s: float = 0.0) -> Rotation:
    return Rotation(LIMITS, VOXTRAL, context_s=context_s)


@pytest.mark.parametrize(
    ("frames", "silent", "is_due"),
    [
        (999, PAUSE, False),
        (1_000, PAUSE - 1, False),
        (1_000, PAUSE, True),
        (1_999, 0, False),
        (2_000, 0, True),
    ],
)
def test_a_leg_is_replaced_at_a_pause_and_later_without_one(frames: int, silent: int, is_due: bool) -> None:
    assert rotation().is_due(frames, silent) is is_due


@pytest.mark.parametrize(
    ("context_s", "frames", "silent", "is_due"),
    [
        (120.0, 749, PAUSE, False),
        (120.0, 750, PAUSE, True),
        (120.0, 1_274, 0, False),
        (120.0, 1_275, 0, True),
        (1_000.0, 999, PAUSE, False),
        (1_000.0, 1_999, 0, False),
    ],
)
def test_the_models_context_counts_where_it_is_shorter(
    context_s: float, frames: int, silent: int, is_due: bool
) -> None:
    assert rotation(context_s).is_due(frames, silent) is is_due


def test_common_deltas_need_not_be_looked_at_until_a_leg_is_due() -> None:
    assert rotation().due_frames == 1_000


def test_a_leg_whose_limit_is_below_its_age_at_a_pause_is_due_from_the_limit() -> None:
    tight = Rotation(SessionLimits(rotate_after_s=80.0, rotate_force_s=40.0), VOXTRAL, context_s=0.0)
    assert (tight.due_frames, tight.is_due(500, 0)) == (500, True)


def test_a_leg_asked_for_is_replaced_at_its_next_pause() -> None:
    asked = rotation()
    asked.ask()
    assert (asked.due_frames, asked.is_due(20, PAUSE - 1), asked.is_due(20, PAUSE)) == (0, False, True)


def test_after_an_attempt_the_next_waits_5_s() -> None:
    tried = rotation()
    tried.tried(2_000)
    assert (tried.is_due(2_061, 0), tried.is_due(2_062, 0)) == (False, True)


def test_a_new_leg_is_of_its_own_age() -> None:
    replaced = rotation()
    replaced.ask()
    replaced.tried(2_000)
    replaced.replaced(0)
    assert (replaced.due_frames, replaced.is_due(999, PAUSE), replaced.is_due(1_000, PAUSE)) == (1_000, False, True)


def test_a_model_without_a_clock_is_not_replaced_for_its_age() -> None:
    never = Rotation(LIMITS, QWEN3_ASR, context_s=100.0)
    assert not never.is_due(10**9, 10**9)


def test_a_model_without_a_clock_is_not_replaced_when_that_is_asked_for() -> None:
    never = Rotation(LIMITS, QWEN3_ASR, context_s=0.0)
    never.ask()
    assert not never.is_due(10**9, 10**9)


def test_what_was_tried_on_another_leg_does_not_hold_the_next_one_back() -> None:
    replaced = rotation()
    replaced.tried(2_000)
    replaced.began(0)
    assert replaced.is_due(1_000, PAUSE)


def test_what_a_leg_hears_again_does_not_make_it_older() -> None:
    replaced = rotation()
    replaced.replaced(900)
    assert (replaced.is_due(1_899, PAUSE), replaced.is_due(1_900, PAUSE)) == (False, True)
    assert (replaced.is_due(2_899, 0), replaced.is_due(2_900, 0)) == (False, True)


def test_what_a_leg_hears_again_fills_the_models_context_all_the_same() -> None:
    replaced = rotation(context_s=120.0)
    replaced.replaced(600)
    assert (replaced.is_due(749, PAUSE), replaced.is_due(750, PAUSE)) == (False, True)
    assert (replaced.is_due(1_274, 0), replaced.is_due(1_275, 0)) == (False, True)


def test_a_leg_asked_for_before_it_begins_is_replaced_at_its_next_pause() -> None:
    asked = rotation()
    asked.ask()
    asked.began(0)
    assert asked.is_due(20, PAUSE)


def test_from_a_time_on_a_leg_asked_for_is_replaced_without_a_pause() -> None:
    asked = rotation()
    asked.ask(9.0)
    asked.look(8.9)
    assert (asked.is_due(20, 0), asked.at_once_at) == (False, 9.0)
    asked.look(9.0)
    assert (asked.is_due(20, 0), asked.at_once_at, asked.must_break) == (True, None, False)
    asked.ask(12.0)
    assert asked.at_once_at is None


def test_a_leg_without_a_clock_is_given_up_from_that_time_on() -> None:
    asked = Rotation(LIMITS, QWEN3_ASR, context_s=0.0)
    asked.ask(9.0)
    asked.look(9.0)
    assert (asked.must_break, asked.is_due(20, PAUSE)) == (True, False)


def test_who_asks_again_asks_for_another_attempt() -> None:
    asked = rotation()
    asked.ask()
    asked.tried(20)
    assert not asked.is_due(20, PAUSE)
    asked.ask()
    assert asked.is_due(20, PAUSE)


def test_what_was_asked_of_a_leg_that_is_gone_is_not_asked_of_the_next() -> None:
    asked = rotation()
    asked.ask(9.0)
    asked.withdraw()
    asked.began(0)
    assert (asked.is_asked, asked.at_once_at, asked.is_due(20, PAUSE)) == (False, None, False)


def test_a_leg_past_its_limit_can_not_go_on() -> None:
    assert (rotation().is_forced(1_999), rotation().is_forced(2_000)) == (False, True)
