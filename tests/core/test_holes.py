import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.holes import Holes
from parley.core.invariants import check

ZONES_MAX = 32


def dug(*holes: tuple[int, int]) -> Holes:
    made = Holes()
    for position, samples in holes:
        made.add(position, samples)
    return made


def test_without_holes_positions_are_what_they_are() -> None:
    assert (Holes().begin(100), Holes().end(100), Holes().samples) == (100, 100, 0)


@pytest.mark.parametrize(
    ("position", "begin", "end"), [(0, 0, 0), (99, 99, 99), (100, 150, 100), (101, 151, 151), (300, 355, 350)]
)
def test_audio_begins_behind_a_hole_and_ends_before_it(position: int, begin: int, end: int) -> None:
    holes = dug((100, 50), (300, 5))
    assert (holes.begin(position), holes.end(position)) == (begin, end)


def test_what_is_dropped_at_the_same_place_is_one_hole() -> None:
    assert dug((100, 50), (100, 5)).zones == [(100, 100, 55)]


def test_holes_can_be_had_again_from_their_zones() -> None:
    holes = dug((100, 50), (300, 5))
    again = Holes(tuple(holes.zones))
    assert (again.zones, again.samples) == (holes.zones, 55)


def test_the_two_holes_closest_to_each_other_become_one_zone_where_there_are_too_many() -> None:
    far = [(1_000 * number, 10) for number in range(ZONES_MAX)]
    holes = dug(*far[:20], (19_100, 7), *far[20:])
    check(holes.invariants(1_000 * ZONES_MAX))
    assert len(holes.zones) == ZONES_MAX
    assert (19_000, 19_100, 17) in holes.zones


def test_within_a_zone_audio_begins_at_the_earliest_and_ends_at_the_latest_that_it_may() -> None:
    holes = Holes(((100, 200, 50),))
    assert (holes.begin(150), holes.end(150)) == (150, 200)
    assert (holes.begin(200), holes.end(100)) == (250, 100)


moves = st.lists(st.tuples(st.integers(0, 500), st.integers(1, 300)), max_size=90)


@given(moves, st.data())
def test_an_interval_holds_all_of_its_audio_however_many_holes_there_are(
    moves: list[tuple[int, int]], data: st.DataObject
) -> None:
    holes, position, cursor = Holes(), 0, 0
    places: list[int] = []
    for kept, dropped in moves:
        places += range(cursor, cursor + kept)
        position, cursor = position + kept, cursor + kept + dropped
        holes.add(position, dropped)
        check(holes.invariants(position))
    places += range(cursor, cursor + 10)
    assert holes.samples == sum(dropped for _, dropped in moves)
    begin = data.draw(st.integers(0, len(places) - 1))
    end = data.draw(st.integers(begin + 1, len(places)))
    assert holes.begin(begin) <= places[begin]
    assert holes.end(end) > places[end - 1]
    if len({place for place, _ in moves}) <= ZONES_MAX and len(moves) <= ZONES_MAX:
        assert (holes.begin(begin), holes.end(end)) == (places[begin], places[end - 1] + 1)


@pytest.mark.parametrize(
    ("zones", "why"),
    [
        (((200, 200, 1), (100, 100, 1)), "in order"),
        (((500, 500, 1),), "nothing is dropped that was sent"),
        (((-1, 100, 1),), "nothing is dropped that was sent"),
        (((100, 100, 0),), "extent"),
        (tuple((place, place, 1) for place in range(ZONES_MAX + 1)), "bounded"),
    ],
    ids=["order", "behind", "before", "empty", "many"],
)
def test_a_check_fails_when_holes_are_where_none_can_be(zones: tuple[tuple[int, int, int], ...], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        check(Holes(zones).invariants(400))


def test_a_check_fails_when_the_total_is_wrong() -> None:
    holes = dug((100, 50))
    holes.samples = 1
    with pytest.raises(AssertionError):
        check(holes.invariants(400))
