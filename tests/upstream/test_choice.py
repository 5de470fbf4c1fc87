"""Where a leg goes, from how things stand with each server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.upstream.pool.choice import UNBOUNDED, Access, Standing, best, streams_left

OPEN, TRIAL, BROKEN, SHUT = Access.OPEN, Access.TRIAL, Access.BROKEN, Access.SHUT

standings = st.lists(
    st.builds(
        Standing,
        st.sampled_from(Access),
        room=st.integers(0, 3),
        load=st.floats(0, 100),
        weight=st.floats(0.1, 10),
        delay_s=st.floats(0, 20),
        free_in_s=st.floats(0, 30),
        is_left=st.booleans(),
    ),
    max_size=6,
)


@pytest.mark.parametrize(
    ("choices", "at"),
    [
        ([], None),
        ([Standing(OPEN, load=2.0), Standing(OPEN, load=1.0)], 1),
        ([Standing(OPEN, load=3.0, weight=2.0), Standing(OPEN, load=2.0)], 0),
        ([Standing(OPEN, load=0.0, delay_s=3.0), Standing(OPEN, load=2.0)], 1),
        ([Standing(OPEN, room=0), Standing(OPEN, load=9.0)], 1),
        ([Standing(OPEN, is_left=True), Standing(OPEN, load=9.0)], 1),
        ([Standing(OPEN, is_left=True), Standing(BROKEN)], 0),
        ([Standing(BROKEN), Standing(OPEN, load=9.0)], 1),
        ([Standing(SHUT), Standing(OPEN, load=9.0)], 1),
        ([Standing(TRIAL), Standing(OPEN, load=1.0)], 0),
        ([Standing(BROKEN, free_in_s=2.0), Standing(BROKEN, free_in_s=1.0)], 1),
        ([Standing(BROKEN, room=0), Standing(BROKEN, free_in_s=1.0)], 1),
        ([Standing(SHUT), Standing(SHUT)], None),
        ([Standing(OPEN, room=0), Standing(BROKEN)], None),
        ([Standing(BROKEN), Standing(TRIAL, load=9.0)], 1),
        ([Standing(BROKEN), Standing(TRIAL, room=0)], 0),
    ],
)
def test_a_leg_goes_where_it_is_best_placed(choices: list[Standing], at: int | None) -> None:
    assert best(choices) == at


@pytest.mark.parametrize(
    ("choices", "left"),
    [
        ([], 0),
        ([Standing(OPEN, room=3), Standing(OPEN, room=4)], 7),
        ([Standing(OPEN), Standing(OPEN)], UNBOUNDED),
        ([Standing(OPEN, room=3), Standing(TRIAL, room=4)], 4),
        ([Standing(OPEN, room=3), Standing(BROKEN, room=4), Standing(SHUT, room=5)], 3),
        ([Standing(BROKEN, room=4), Standing(SHUT, room=5)], 4),
        ([Standing(BROKEN, room=4), Standing(TRIAL, room=5)], 9),
    ],
)
def test_the_streams_left_are_those_that_a_leg_could_have(choices: list[Standing], left: int) -> None:
    assert streams_left(choices) == left


@given(standings)
def test_a_leg_finds_a_server_exactly_where_there_are_streams_left(choices: list[Standing]) -> None:
    assert (best(choices) is not None) is (streams_left(choices) > 0)


@given(standings)
def test_no_server_without_room_or_shut_gets_a_leg_nor_a_broken_one_beside_others(choices: list[Standing]) -> None:
    at = best(choices)
    if at is None:
        return
    assert choices[at].room > 0
    assert choices[at].access is not SHUT
    if choices[at].access is BROKEN:
        assert not any(one.access is OPEN or (one.access is TRIAL and one.room > 0) for one in choices)


@given(st.integers(1, 8), st.integers(1, 100))
def test_with_equal_weights_loads_differ_by_one_at_most(servers: int, legs: int) -> None:
    choices = [Standing(OPEN)] * servers
    for _ in range(legs):
        at = best(choices)
        assert at is not None
        choices[at] = choices[at]._replace(load=choices[at].load + 1.0)
    loads = [one.load for one in choices]
    assert max(loads) - min(loads) <= 1.0


@given(st.lists(st.integers(1, 5), min_size=2, max_size=5), st.integers(50, 200))
def test_loads_are_shared_by_weight(weights: list[int], legs: int) -> None:
    choices = [Standing(OPEN, weight=float(weight)) for weight in weights]
    for _ in range(legs):
        at = best(choices)
        assert at is not None
        choices[at] = choices[at]._replace(load=choices[at].load + 1.0)
    for one in choices:
        assert abs(one.load - legs * one.weight / sum(weights)) <= len(weights)
