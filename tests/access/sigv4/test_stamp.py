from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.access.sigv4.stamp import describe_time, format_stamp, parse_stamp

LAST_SECOND_OF_9999 = 253_402_300_799


def test_a_stamp_is_utc_without_separators() -> None:
    assert format_stamp(1_795_342_500) == "20261122T101500Z"


def test_a_time_for_people_has_separators_and_no_fraction() -> None:
    assert describe_time(1_795_342_500.75) == "2026-11-22T10:15:00Z"


@given(st.integers(0, LAST_SECOND_OF_9999))
def test_a_stamp_means_the_second_that_it_was_made_of(seconds: int) -> None:
    assert parse_stamp(format_stamp(seconds)) == seconds
    assert describe_time(seconds) == datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20261122",
        "20261122T101500",
        "20261122T101500z",
        "20261122T101500Z ",
        "20261122T101500Z\n",
        "2026-11-22T10:15:00Z",
        "20261122T101500.5Z",
        "+0261122T101500Z",
        "20261322T101500Z",
        "20260230T101500Z",
        "20261122T241500Z",
        "20261122T101560Z",
        "00001122T101500Z",
        "２０２６1122T101500Z",  # noqa: RUF001 - digits that are none of ASCII's
        "Sun, 22 Nov 2026 10:15:00 GMT",
    ],
)
def test_what_is_no_such_time_is_none(text: str) -> None:
    assert parse_stamp(text) is None


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_none(text: str) -> None:
    seconds = parse_stamp(text)
    assert seconds is None or format_stamp(seconds).lstrip("0") == text.lstrip("0")
