import math

import pytest

from parley.core.effects import LegPurpose
from parley.core.errors import ParleyError
from parley.core.recovery import Recovery
from parley.core.turns import TurnQueue

from .builders import CLOSED, SECOND


def lost(position: int = 5 * SECOND, *, jitter: float = 0.0, begin: int = 0) -> Recovery:
    turn = TurnQueue().add(begin, started=True)
    return Recovery(turn, position, CLOSED, deadline=60.0, jitter=jitter)


def delays(recovery: Recovery, count: int) -> list[float]:
    seen = []
    for _ in range(count):
        recovery.schedule(100.0)
        assert recovery.retry_at is not None
        seen.append(round(recovery.retry_at - 100.0, 6))
    return seen


def test_attempts_come_at_once_then_after_50_ms_doubling_to_a_second() -> None:
    assert delays(lost(), 8) == [0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_jitter_shortens_the_wait_by_up_to_half() -> None:
    assert delays(lost(jitter=0.5), 4) == [0.0, 0.0375, 0.075, 0.15]


def test_nothing_is_replayed_or_lost_before_another_leg_begins() -> None:
    recovery = lost()
    assert (recovery.replayed, recovery.lost, recovery.had_leg, recovery.retry_at) == ((), (), False, None)


def test_what_is_decoded_again_is_told_on_the_sessions_cursor() -> None:
    recovery = lost(begin=SECOND)
    recovery.schedule(0.0)
    recovery.began(2 * SECOND, said=4 * SECOND)
    assert (recovery.replayed, recovery.lost) == (((3 * SECOND, 6 * SECOND),), ())
    assert (recovery.had_leg, recovery.retry_at) == (True, None)


@pytest.mark.parametrize("base", [5 * SECOND, 6 * SECOND])
def test_nothing_is_decoded_again_where_the_lost_leg_had_not_come_to(base: int) -> None:
    recovery = lost()
    recovery.began(base, said=base)
    assert recovery.replayed == ()


def test_words_may_be_missing_between_what_was_said_and_where_the_new_leg_begins() -> None:
    recovery = lost(begin=SECOND)
    recovery.began(3 * SECOND, said=2 * SECOND)
    assert recovery.lost == ((3 * SECOND, 4 * SECOND),)


def test_a_second_loss_has_to_reach_the_further_of_the_two() -> None:
    recovery = lost()
    error = ParleyError("upstream-stalled")
    recovery.failed(error, 2 * SECOND)
    assert (recovery.position, recovery.error) == (5 * SECOND, error)
    recovery.failed(error, 7 * SECOND)
    assert recovery.position == 7 * SECOND


def test_a_second_replay_adds_to_the_first() -> None:
    recovery = lost()
    recovery.began(2 * SECOND, said=SECOND)
    recovery.began(3 * SECOND, said=3 * SECOND)
    assert (recovery.replayed, recovery.lost) == (((2 * SECOND, 5 * SECOND),), ((SECOND, 2 * SECOND),))


def test_nothing_is_tried_while_it_is_held() -> None:
    recovery = lost()
    recovery.hold()
    assert (recovery.retry_at, recovery.deadline) == (math.inf, math.inf)
    recovery.schedule(7.0)
    assert recovery.retry_at == 7.0


def test_another_server_goes_on_with_it_and_asks_as_one_who_returns() -> None:
    recovery = lost()
    recovery.began(2 * SECOND, said=SECOND)
    other = Recovery.restored(recovery.state(), recovery.turn, jitter=0.0)
    assert other.state() == recovery.state()
    assert (other.error.code, other.position, other.had_leg) == (CLOSED.code, 5 * SECOND, True)
    assert (other.replayed, other.lost) == (recovery.replayed, recovery.lost)
    assert (other.purpose, other.retry_at) == (LegPurpose.RETURN, math.inf)


def test_a_loss_that_no_leg_was_had_for_goes_along_too() -> None:
    recovery = lost()
    other = Recovery.restored(recovery.state(), recovery.turn, jitter=0.0)
    assert (other.had_leg, other.replayed) == (False, ())
