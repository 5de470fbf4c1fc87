import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.access.sigv4.replay import ReplayMemory
from tests.access.sigv4.scene import outcome, refusal

WINDOW_S = 600.0


def memory(**options: float) -> ReplayMemory:
    return ReplayMemory(window_s=WINDOW_S, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("after_s", [0.0, 1.0, 600.0])
def test_a_request_that_no_other_can_equal_is_taken_once(after_s: float) -> None:
    requests = memory()
    requests.take("a", 1000.0, is_unique=True)
    assert refusal(requests.take, "a", 1000.0 + after_s, is_unique=True).code == "request-replayed"


def test_other_requests_are_taken_meanwhile() -> None:
    requests = memory()
    for signature in "abc":
        requests.take(signature, 1000.0, is_unique=True)
    assert len(requests) == 3


def test_requests_signed_alike_within_a_second_are_taken_when_they_come_together() -> None:
    requests = memory()
    for late_s in (0.0, 0.5, 10.0):
        requests.take("a", 1000.0 + late_s, is_unique=False)
    assert len(requests) == 1


@pytest.mark.parametrize("after_s", [10.1, 300.0, 600.0, -10.1])
def test_one_that_comes_long_behind_its_twin_is_a_replay(after_s: float) -> None:
    requests = memory()
    requests.take("a", 1000.0, is_unique=False)
    requests.take("a", 1009.0, is_unique=False)
    assert refusal(requests.take, "a", 1000.0 + after_s, is_unique=False).code == "request-replayed"


def test_what_is_out_of_the_window_is_forgotten() -> None:
    requests = memory()
    for second in range(3):
        requests.take(str(second), 1000.0 + second, is_unique=True)
    requests.take("new", 1600.5, is_unique=True)
    assert len(requests) == 3
    requests.take("newer", 9999.0, is_unique=True)
    assert len(requests) == 1


def test_what_is_out_of_the_window_is_forgotten_a_few_at_a_time() -> None:
    requests = memory()
    for number in range(100):
        requests.take(str(number), 1000.0, is_unique=True)
    requests.take("new", 9999.0, is_unique=True)
    assert len(requests) == 100 - 64 + 1
    requests.take("newer", 9999.0, is_unique=True)
    assert len(requests) == 2


def test_a_full_memory_refuses_rather_than_forgetting_and_says_when_there_is_room() -> None:
    requests = memory(entries_max=2)
    requests.take("a", 1000.0, is_unique=True)
    requests.take("b", 1100.0, is_unique=True)
    error = refusal(requests.take, "c", 1200.0, is_unique=True)
    assert (error.code, error.retry_after_s) == ("at-capacity", 400.0)
    assert error.detail == (
        "2 signed requests were taken in the last 600 s, which is as many as can be told from a replay."
    )
    assert refusal(requests.take, "a", 1200.0, is_unique=True).code == "request-replayed"
    requests.take("c", 1600.1, is_unique=True)


def test_a_full_memory_is_worth_a_retry_in_a_second_at_the_earliest() -> None:
    requests = memory(entries_max=1)
    requests.take("a", 1000.0, is_unique=True)
    assert refusal(requests.take, "b", 1600.0, is_unique=True).retry_after_s == 1.0


def test_a_twin_of_a_remembered_request_is_taken_by_a_full_memory() -> None:
    requests = memory(entries_max=1)
    requests.take("a", 1000.0, is_unique=False)
    requests.take("a", 1001.0, is_unique=False)


def test_a_clock_set_back_a_little_brings_no_request_back() -> None:
    requests = memory()
    requests.take("a", 1000.0, is_unique=True)
    assert refusal(requests.take, "a", 500.0, is_unique=True).code == "request-replayed"


def test_a_clock_set_back_for_long_does_not_fill_the_memory_for_as_long() -> None:
    requests = memory(entries_max=1)
    requests.take("a", 1_000_000.0, is_unique=True)
    requests.take("b", 1000.0, is_unique=True)
    assert len(requests) == 1


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 200), st.booleans()), max_size=60))
def test_whatever_comes_is_bounded_and_nothing_unique_is_taken_twice_within_the_window(
    steps: list[tuple[str, float, bool]],
) -> None:
    requests = memory(entries_max=4)
    now_s, taken_at_s = 0.0, dict[str, float]()
    for signature, pause_s, is_unique in steps:
        now_s += pause_s
        seen_s = taken_at_s.get(signature)
        is_remembered = seen_s is not None and now_s - seen_s <= WINDOW_S
        code = outcome(requests.take, signature, now_s, is_unique=is_unique)
        assert code in ({"", "request-replayed"} if is_remembered else {"", "at-capacity"})
        if not code and is_remembered and seen_s is not None:
            assert not is_unique
            assert now_s - seen_s <= 10
        elif not code:
            taken_at_s[signature] = now_s
        assert len(requests) <= 4
