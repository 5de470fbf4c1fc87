"""How long more of the same takes."""

import pytest

from parley.core.throughput import Throughput


def counted(*times: float) -> Throughput:
    throughput = Throughput()
    for time in times:
        throughput.count(time)
    return throughput


@pytest.mark.parametrize("times", [(), (5.0,)])
def test_what_has_hardly_happened_tells_nothing(times: tuple[float, ...]) -> None:
    assert counted(*times).time_for_s(1, 10.0) is None


def test_more_of_it_takes_as_long_as_it_took() -> None:
    assert counted(0.0, 2.0, 4.0).time_for_s(3, 4.0) == 6.0


def test_what_has_stopped_happening_takes_longer_and_longer() -> None:
    assert counted(0.0, 2.0, 4.0).time_for_s(3, 8.0) == 12.0


def test_what_happened_all_at_once_is_taken_for_what_a_second_brings() -> None:
    assert counted(*[7.0] * 11).time_for_s(5, 7.0) == 0.5


def test_only_the_latest_count() -> None:
    times = [float(second) for second in range(100)]
    assert counted(*times, *(99.0 + step / 8 for step in range(32))).time_for_s(31, 102.875) == 3.875


def test_what_is_long_past_tells_nothing() -> None:
    assert counted(0.0, 1.0, 2.0).time_for_s(1, 903.0) is None
