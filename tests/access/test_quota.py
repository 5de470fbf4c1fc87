"""Connections in a minute and audio in a day: never more than allowed, and again when it is time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.access.quota import AudioQuota, ConnectQuota, day_ends_in_s

MIDNIGHT_S = 1_795_305_600.0


def test_a_minutes_connections_may_come_at_once() -> None:
    quota = ConnectQuota()
    assert [quota.take("a", 3, 0.0) for _ in range(3)] == [0.0] * 3


def test_one_more_waits_for_its_share_of_the_minute() -> None:
    quota = ConnectQuota()
    for _ in range(3):
        quota.take("a", 3, 0.0)
    assert quota.take("a", 3, 5.0) == pytest.approx(15.0)
    assert quota.take("a", 3, 20.0) == 0.0
    assert quota.take("a", 3, 20.0) > 0.0


def test_tenants_have_quotas_of_their_own() -> None:
    quota = ConnectQuota()
    quota.take("a", 1, 0.0)
    assert quota.take("a", 1, 0.0) == pytest.approx(60.0)
    assert quota.take("b", 1, 0.0) == 0.0


@given(st.integers(1, 50), st.lists(st.floats(0.0, 20.0), max_size=200))
def test_no_minute_ever_has_more_than_twice_the_quota_and_waiting_as_told_helps(
    per_minute: int, pauses: list[float]
) -> None:
    quota, now_s, taken = ConnectQuota(), 0.0, list[float]()
    for pause in pauses:
        now_s += pause
        wait_s = quota.take("a", per_minute, now_s)
        if wait_s:
            now_s += wait_s
            assert quota.take("a", per_minute, now_s) == 0.0
        taken.append(now_s)
        assert sum(at_s > now_s - 60.0 for at_s in taken) <= 2 * per_minute


def test_tenants_that_are_long_gone_are_forgotten_first() -> None:
    quota = ConnectQuota(tenants_max=2)
    quota.take("old", 60, 0.0)
    quota.take("busy", 1, 10.0)
    quota.take("new", 60, 10.0)
    assert len(quota) == 2
    assert quota.take("busy", 1, 10.0) > 0.0


def test_of_tenants_that_are_all_busy_the_one_that_used_least_is_forgotten() -> None:
    quota = ConnectQuota(tenants_max=2)
    quota.take("less", 60, 0.0)
    quota.take("more", 1, 0.0)
    quota.take("new", 60, 0.0)
    assert len(quota) == 2
    assert quota.take("more", 1, 0.0) > 0.0


def test_audio_of_a_day_adds_up_by_tenant() -> None:
    quota = AudioQuota()
    quota.use("a", 30.0, MIDNIGHT_S)
    assert quota.use("a", 30.0, MIDNIGHT_S + 10) == 60.0
    assert (quota.used_s("a", MIDNIGHT_S + 10), quota.used_s("b", MIDNIGHT_S + 10)) == (60.0, 0.0)


def test_a_new_day_begins_with_nothing_used() -> None:
    quota = AudioQuota()
    quota.use("a", 30.0, MIDNIGHT_S - 1)
    assert quota.used_s("a", MIDNIGHT_S) == 0.0


def test_a_clock_that_is_set_back_does_not_give_a_day_twice() -> None:
    quota = AudioQuota()
    quota.use("a", 30.0, MIDNIGHT_S)
    quota.use("a", 30.0, MIDNIGHT_S - 2)
    assert quota.used_s("a", MIDNIGHT_S) == 60.0


def test_a_day_ends_at_midnight() -> None:
    assert day_ends_in_s(MIDNIGHT_S - 1.5) == 1.5
    assert day_ends_in_s(MIDNIGHT_S) == 86_400
