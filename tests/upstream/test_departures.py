"""Which model server a session has left last, and which one it is to leave."""

from parley.upstream.health.health import PassiveHealth
from parley.upstream.pool.departures import Departures
from parley.upstream.pool.member import PoolMember
from tests.support.legs import Sink
from tests.upstream.fleet import Server, spec


def member() -> PoolMember:
    return PoolMember(Server(), PassiveHealth("a server"), spec(0))


def test_a_session_that_never_left_has_left_nothing() -> None:
    departures = Departures()
    assert departures.recent(Sink(), 0.0) is None
    assert departures.given_up(Sink(), 0.0) is None


def test_a_member_that_is_to_be_left_counts_as_left_from_now_until_a_while_after_it() -> None:
    departures, session, one = Departures(), Sink(), member()
    departures.avoid(session, one, until=130.0)
    seen = [departures.recent(session, now) for now in (100.0, 130.0, 139.9, 140.0)]
    assert seen == [one, one, one, None]


def test_a_member_that_is_to_be_left_is_not_held_to_have_failed() -> None:
    departures, session = Departures(), Sink()
    departures.avoid(session, member(), until=130.0)
    assert departures.given_up(session, 130.0) is None


def test_the_member_that_is_to_be_left_is_the_one_that_was_named_last() -> None:
    departures, session, one, other = Departures(), Sink(), member(), member()
    departures.avoid(session, one, until=130.0)
    departures.avoid(session, other, until=130.0)
    assert departures.recent(session, 100.0) is other


def test_sessions_are_told_apart() -> None:
    departures, session = Departures(), Sink()
    departures.avoid(session, member(), until=130.0)
    assert departures.recent(Sink(), 100.0) is None
