import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.access.sigv4.skew import SKEW_MAX_S, check_skew
from tests.access.sigv4.scene import NOW_S, outcome, why


@pytest.mark.parametrize("apart_s", [-300.0, -299.9, 0.0, 299.9, 300.0])
def test_five_minutes_on_either_side_are_taken(apart_s: float) -> None:
    check_skew(1_000_000.0 + apart_s, 1_000_000.0, SKEW_MAX_S, "The request")


def test_a_client_whose_clock_is_late_is_told_both_times_and_the_difference() -> None:
    assert why(check_skew, NOW_S - 612, NOW_S, SKEW_MAX_S, "The request") == (
        "clock-skew",
        "The request was signed at 2026-11-22T10:04:48Z; this server's clock says 2026-11-22T10:15:00Z: "
        "612 s later, 300 s are allowed.",
    )


def test_a_client_whose_clock_is_early_is_told_so() -> None:
    assert why(check_skew, NOW_S + 301, NOW_S, SKEW_MAX_S, "Event 7 of the stream") == (
        "clock-skew",
        "Event 7 of the stream was signed at 2026-11-22T10:20:01Z; this server's clock says 2026-11-22T10:15:00Z: "
        "301 s earlier, 300 s are allowed.",
    )


def test_a_difference_just_over_the_bound_does_not_read_as_the_bound() -> None:
    assert why(check_skew, NOW_S - 300.25, NOW_S, SKEW_MAX_S, "It")[1].endswith("301 s later, 300 s are allowed.")


@pytest.mark.parametrize("signed_at_s", [-1.0, 253_402_300_800.0, 2.0**63 / 1000, -(2.0**63) / 1000])
def test_a_time_that_no_calendar_has_is_refused_like_any_other(signed_at_s: float) -> None:
    code, detail = why(check_skew, signed_at_s, NOW_S, SKEW_MAX_S, "The request")
    assert (code, detail.partition(";")[0]) == ("clock-skew", "The request was signed at no time of this era")


@given(st.integers(-(2**63), 2**63 - 1), st.floats(0, 4e9))
def test_any_time_is_close_enough_or_refused(milliseconds: int, now_s: float) -> None:
    is_close = abs(milliseconds / 1000 - now_s) <= 300
    assert outcome(check_skew, milliseconds / 1000, now_s, 300.0, "It") == ("" if is_close else "clock-skew")
