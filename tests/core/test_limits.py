from dataclasses import fields

import pytest

from parley.core.limits import BYTES_PER_SAMPLE, AtBound, SessionLimits

UNITS = ("_s", "_max", "_bytes")
OFF = {
    "idle_release_s",
    "input_idle_timeout_s",
    "speech_idle_timeout_s",
    "duration_max_s",
    "lag_notice_s",
    "lag_max_s",
}
"""What a session is not bounded by unless the operator says so."""


def test_limits_in_seconds_are_counted_in_samples() -> None:
    limits = SessionLimits(pace_window_s=1.5, held_audio_max_s=0.25)
    assert (limits.pace_window_samples, limits.held_samples_max) == (24_000, 4_000)


def test_held_audio_may_take_twice_the_memory_of_its_base64() -> None:
    limits = SessionLimits(held_audio_max_s=3.0)
    assert limits.held_bytes_max == 48_000 * 2 * 4 // 3 * 2 == int(48_000 * BYTES_PER_SAMPLE * 2)


def test_without_pacing_the_window_is_more_than_any_turn_is_long() -> None:
    # A turn of a year.
    assert SessionLimits(pace_window_s=0).pace_window_samples > 365 * 24 * 3_600 * 16_000


@pytest.mark.parametrize("field", [field for field in fields(SessionLimits) if field.type not in (bool, AtBound)])
def test_every_limit_is_named_with_its_unit_and_above_zero_unless_it_is_off(field: object) -> None:
    name = getattr(field, "name", "")
    assert name.endswith(UNITS)
    assert (getattr(SessionLimits(), name) == 0) == (name in OFF)


def test_a_session_holds_no_more_than_a_few_megabytes_by_default() -> None:
    limits = SessionLimits()
    assert limits.held_bytes_max + limits.output_max_bytes < 12 * 2**20


def test_the_journal_is_counted_in_samples_and_may_take_twice_the_memory_of_its_base64() -> None:
    limits = SessionLimits(journal_max_s=3.0)
    assert (limits.journal_samples_max, limits.journal_bytes_max) == (48_000, 48_000 * 2 * 4 // 3 * 2)
