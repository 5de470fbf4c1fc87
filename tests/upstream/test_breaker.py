"""The breaker: when a server is left alone, for how long, and what lets it back in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.upstream.pool.breaker import OPEN_MAX_S, Breaker, BreakerState

T = 1_000.0


def failing(breaker: Breaker, times: int) -> list[float]:
    """How long the breaker is open after each failure, each at the end of the time before."""
    now, waits = T, []
    for _ in range(times):
        breaker.failed(now)
        waits.append(breaker.open_for_s(now))
        now += waits[-1]
    return waits


def test_a_server_that_never_failed_is_not_left_alone() -> None:
    breaker = Breaker()
    assert (breaker.state(T), breaker.open_for_s(T), breaker.failures) == (BreakerState.CLOSED, 0.0, 0)


def test_a_server_that_failed_is_left_alone_and_then_tried() -> None:
    breaker = Breaker()
    assert breaker.failed(T)
    assert [breaker.state(T + s) for s in (0.0, 0.49, 0.5, 100.0)] == [
        BreakerState.OPEN,
        BreakerState.OPEN,
        BreakerState.HALF_OPEN,
        BreakerState.HALF_OPEN,
    ]


def test_failures_that_follow_each_other_are_waited_out_for_longer_within_a_bound() -> None:
    assert failing(Breaker(), 9) == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 30])


def test_failures_far_apart_do_not_follow_each_other() -> None:
    breaker = Breaker()
    failing(breaker, 5)
    breaker.failed(T + 200.0)
    assert (breaker.failures, breaker.open_for_s(T + 200.0)) == (1, 0.5)


def test_what_fails_together_is_one_failure() -> None:
    breaker = Breaker()
    assert [breaker.failed(T + 0.001 * n) for n in range(50)] == [True] + [False] * 49
    assert breaker.failures == 1


def test_one_trial_at_a_time_is_begun_and_only_when_its_time_has_come() -> None:
    breaker = Breaker()
    begun = [breaker.begin_trial(T)]
    breaker.failed(T)
    begun += [breaker.begin_trial(T + s) for s in (0.1, 0.6, 0.7)]
    breaker.abandon_trial()
    begun.append(breaker.begin_trial(T + 0.8))
    assert begun == [False, False, True, False, True]


def test_a_trial_that_works_closes_the_breaker_and_ends_the_row() -> None:
    breaker = Breaker()
    failing(breaker, 4)
    breaker.begin_trial(T + 10.0)
    assert breaker.worked(T + 10.0)
    assert (breaker.state(T + 10.0), breaker.failures, breaker.has_trial) == (BreakerState.CLOSED, 0, False)
    breaker.failed(T + 11.0)
    assert breaker.open_for_s(T + 11.0) == 0.5


def test_a_trial_that_fails_opens_it_for_longer() -> None:
    breaker = Breaker()
    breaker.failed(T)
    breaker.begin_trial(T + 0.5)
    breaker.failed(T + 0.7)
    assert (breaker.open_for_s(T + 0.7), breaker.has_trial) == (1.0, False)


def test_what_began_before_the_failure_says_nothing_when_it_works() -> None:
    breaker = Breaker()
    breaker.failed(T)
    assert not breaker.worked(T - 5.0)
    assert breaker.state(T) is BreakerState.OPEN


def test_an_ejected_server_is_left_alone_for_as_long_as_was_said() -> None:
    breaker = Breaker()
    breaker.eject(T, 30.0)
    assert (breaker.open_for_s(T), breaker.state(T + 30.0)) == (30.0, BreakerState.HALF_OPEN)


@given(st.lists(st.tuples(st.sampled_from(["failed", "trial", "worked", "abandon", "eject"]), st.floats(0.0, 40.0))))
def test_a_breaker_is_never_open_for_longer_than_its_bound_and_has_a_trial_only_when_half_open(
    steps: list[tuple[str, float]],
) -> None:
    breaker, now = Breaker(), T
    for what, wait_s in steps:
        now += wait_s
        before = breaker.state(now)
        if what == "failed":
            assert breaker.failed(now) is (before is not BreakerState.OPEN)
        elif what == "trial":
            had = breaker.has_trial
            assert breaker.begin_trial(now) is (before is BreakerState.HALF_OPEN and not had)
        elif what == "worked":
            breaker.worked(now - wait_s)
        elif what == "abandon":
            breaker.abandon_trial()
        else:
            breaker.eject(now, OPEN_MAX_S)
        # Where time makes waits, rounding does too.
        assert 0.0 <= breaker.open_for_s(now) <= OPEN_MAX_S + 1e-6
        assert (breaker.open_for_s(now) > 0.0) is (breaker.state(now) is BreakerState.OPEN)
        assert not breaker.has_trial or breaker.state(now) is BreakerState.HALF_OPEN
