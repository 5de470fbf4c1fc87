"""Rates with bursts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.token_bucket import TokenBucket


def test_a_burst_is_taken_at_once_and_no_more() -> None:
    bucket = TokenBucket(10.0, 3, 100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


def test_tokens_come_at_the_rate() -> None:
    bucket = TokenBucket(10.0, 1, 0.0)
    assert [bucket.take(now) for now in (0.0, 0.05, 0.125, 0.2, 0.25)] == [True, False, True, False, True]


def test_a_pause_saves_up_one_burst_and_no_more() -> None:
    bucket = TokenBucket(10.0, 2, 0.0)
    assert [bucket.take(60.0) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(("number", "wait_s"), [(1, 0.0), (2, 0.0), (3, 0.25), (6, 1.0)])
def test_how_long_tokens_take_is_known_before(number: int, wait_s: float) -> None:
    assert TokenBucket(4.0, 2, 0.0).wait_s(number, 0.0) == wait_s


@given(
    rate=st.floats(0.1, 1_000),
    burst=st.integers(1, 50),
    steps=st.lists(st.floats(0, 2), max_size=200),
)
def test_no_interval_has_more_than_a_burst_and_what_came_within_it(rate: float, burst: int, steps: list[float]) -> None:
    bucket, now = TokenBucket(rate, burst, 0.0), 0.0
    taken: list[float] = []
    for step in steps:
        now += step
        if bucket.take(now):
            taken.append(now)
    for first, begin in enumerate(taken):
        for count, end in enumerate(taken[first:], 1):
            assert count <= burst + rate * (end - begin) + 1e-6
