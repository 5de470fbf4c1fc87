import pytest

from parley.core.effects import Effect, SendNotice
from parley.core.limits import SessionLimits
from parley.core.notices import Expiring, GoingAway, Lagging, Queued
from parley.core.outlet import Outlet
from parley.core.standing import Standing


class Told:
    """A session's standing and what its client gets of it."""

    def __init__(self, *, is_opted_in: bool = True) -> None:
        self.out: list[Effect] = []
        self.outlet = Outlet(SessionLimits(), self.out)
        if is_opted_in:
            self.outlet.begin_numbers()
        self.standing = Standing(self.outlet)

    def new(self) -> list[object]:
        """What was said since the last time."""
        said = [effect.notice for effect in self.out if isinstance(effect, SendNotice) and not effect.seq]
        assert len(said) == len(self.out), "nothing of it has a number"
        self.out.clear()
        return list(said)


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_place_in_the_queue_is_told_until_it_is_left(told: Told) -> None:
    standing = told.standing
    standing.queued(3, 4.0, now=10.0)
    waits = [standing.is_queued]
    standing.queued(1, None, now=11.0)
    standing.admitted()
    waits.append(standing.is_queued)
    assert waits == [True, False]
    assert told.new() == [Queued(3, 4.0), Queued(1, None), Queued(0, None)]


def test_the_wait_that_is_left_counts_from_when_it_is_told(told: Told) -> None:
    told.standing.queued(3, 4.0, now=10.0)
    told.standing.tell(13.0)
    told.standing.tell(15.0)
    assert told.new() == [Queued(3, 4.0), Queued(3, 1.0), Queued(3, 0.0)]


def test_a_lag_is_told_until_it_is_caught_up(told: Told) -> None:
    told.standing.lagging(5.0, 10.0)
    told.standing.tell(11.0)
    told.standing.lagging(0.0, 12.0)
    told.standing.tell(13.0)
    assert told.new() == [Lagging(5.0), Lagging(5.0), Lagging(0.0)]


def test_an_end_that_is_spared_is_not_told_again(told: Told) -> None:
    told.standing.expiring("input", "idle-timeout", 40.0, now=10.0)
    told.standing.expiring("duration", "duration-limit", 60.0, now=10.0)
    told.standing.spared("input")
    told.standing.spared("speech")
    told.standing.tell(20.0)
    assert told.new() == [
        Expiring("idle-timeout", 30.0),
        Expiring("duration-limit", 50.0),
        Expiring("duration-limit", 40.0),
    ]


def test_a_server_that_goes_is_told_to_who_comes_meanwhile_and_not_once_it_stays(told: Told) -> None:
    told.standing.leaving(100.0, 40.0, moves=True)
    told.standing.tell(70.0)
    told.standing.tell(110.0)
    told.standing.stays()
    told.standing.tell(120.0)
    assert told.new() == [
        GoingAway("shutting-down", 60.0, moves=True),
        GoingAway("shutting-down", 30.0, moves=True),
        GoingAway("shutting-down", 0.0, moves=True),
    ]


def test_who_does_not_read_is_told_the_latest_once_it_reads_again(told: Told) -> None:
    told.outlet.shut()
    told.standing.queued(3, None, 10.0)
    told.standing.queued(2, None, 11.0)
    assert told.new() == []
    told.outlet.open()
    told.standing.reads_again(12.0)
    told.standing.reads_again(13.0)
    assert told.new() == [Queued(2, None)]


def test_who_has_not_opted_in_is_told_nothing_before_it_does() -> None:
    told = Told(is_opted_in=False)
    told.standing.queued(3, None, 10.0)
    assert told.new() == []
    told.outlet.begin_numbers()
    told.standing.tell(11.0)
    assert told.new() == [Queued(3, None)]
