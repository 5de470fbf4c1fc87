"""Which server of several fails much more often than the others."""

from hypothesis import given
from hypothesis import strategies as st

from parley.upstream.pool.outliers import FAILURES_MIN, Outcomes, Tally, outlier

T = 1_000.0
GOOD = Tally(100, 0)
BAD = Tally(20, 20)


def test_a_server_that_fails_much_more_often_than_the_others_is_one() -> None:
    assert outlier([GOOD, BAD, GOOD]) == 1


def test_of_several_the_worst_comes_first() -> None:
    assert outlier([GOOD, BAD, Tally(1, 30), GOOD, GOOD]) == 2


def test_where_all_fail_the_cause_is_elsewhere() -> None:
    assert outlier([BAD, BAD, BAD, BAD]) is None


def test_a_few_failures_say_nothing() -> None:
    assert outlier([GOOD, Tally(0, FAILURES_MIN - 1), GOOD]) is None


def test_a_small_share_of_failures_is_none() -> None:
    assert outlier([GOOD, Tally(200, 10), GOOD]) is None


def test_a_single_server_is_none() -> None:
    assert outlier([BAD]) is None


def test_servers_that_nothing_is_known_of_are_nothing_to_compare_with() -> None:
    assert outlier([Tally(0, 0), BAD]) is None


def test_what_was_long_ago_is_forgotten() -> None:
    outcomes = Outcomes()
    for at in (0.0, 1.0, 30.0):
        outcomes.failed(T + at)
    outcomes.worked(T + 61.0)
    assert outcomes.tally(T + 61.0) == Tally(1, 1)


def test_what_is_cleared_is_forgotten() -> None:
    outcomes = Outcomes()
    outcomes.failed(T)
    outcomes.clear()
    assert outcomes.tally(T) == Tally(0, 0)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=12))
def test_never_more_than_half_of_a_pool_are_ejected(counts: list[tuple[int, int]]) -> None:
    tallies = [Tally(good, bad) for good, bad in counts]
    for _ in range(len(tallies) + 1):
        at = outlier(tallies)
        if at is None:
            break
        assert not tallies[at].is_ejected
        tallies[at] = Tally(0, 0, is_ejected=True)
    assert sum(one.is_ejected for one in tallies) <= len(tallies) // 2
