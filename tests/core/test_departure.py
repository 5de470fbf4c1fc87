"""When a session leaves its server."""

import pytest

from parley.core import events as ev
from parley.core.departure import Departure

DRAIN = ev.DrainStarted(deadline=10.0, move_at=2.0, move_by=9.0)


@pytest.fixture
def departure() -> Departure:
    one = Departure()
    one.announce(DRAIN, can_move=True)
    return one


def is_due(departure: Departure, now: float, *, is_quiet: bool = False, is_attached: bool = True) -> bool:
    return departure.is_due(now, is_quiet=is_quiet, is_attached=is_attached)


def test_without_a_drain_there_is_nothing_to_wait_for() -> None:
    departure = Departure()
    assert departure.next_deadline() is None
    assert not departure.may_move
    assert not is_due(departure, 1e9, is_quiet=True)
    assert not departure.is_over(1e9)


def test_it_goes_in_the_first_pause_after_its_moment(departure: Departure) -> None:
    assert not is_due(departure, 1.9, is_quiet=True)
    assert not is_due(departure, 2.0)
    assert is_due(departure, 2.1, is_quiet=True)


def test_it_goes_without_a_pause_at_the_last_moment(departure: Departure) -> None:
    assert not is_due(departure, 8.9)
    assert is_due(departure, 9.0)


def test_it_goes_at_once_when_nobody_is_there(departure: Departure) -> None:
    assert is_due(departure, 0.0, is_attached=False)


def test_without_a_last_moment_it_waits_for_a_pause() -> None:
    departure = Departure()
    departure.announce(ev.DrainStarted(10.0, 2.0), can_move=True)
    assert not is_due(departure, 9.9)
    assert is_due(departure, 9.9, is_quiet=True)


def test_it_is_looked_at_when_it_may_go_when_it_must_and_at_the_end(departure: Departure) -> None:
    assert departure.next_deadline() == 2.0
    is_due(departure, 2.0)
    assert departure.next_deadline() == 9.0
    departure.begin(client_reads=True)
    assert departure.next_deadline() == 10.0
    assert not departure.is_over(9.9)
    assert departure.is_over(10.0)


def test_it_goes_once(departure: Departure) -> None:
    departure.begin(client_reads=True)
    assert not is_due(departure, 9.0)


def test_one_that_can_not_go_stays_until_the_deadline(departure: Departure) -> None:
    departure.begin(client_reads=True)
    departure.refuse()
    assert not departure.is_under_way
    assert not is_due(departure, 9.5, is_quiet=True)
    assert departure.next_deadline() == 10.0


def test_a_session_that_nobody_could_find_elsewhere_does_not_go() -> None:
    departure = Departure()
    departure.announce(DRAIN, can_move=False)
    assert not departure.may_move
    assert departure.next_deadline() == 10.0


def test_a_drain_that_is_taken_back_leaves_nothing(departure: Departure) -> None:
    departure.cancel()
    assert departure.next_deadline() is None
    assert not is_due(departure, 9.5, is_quiet=True)
