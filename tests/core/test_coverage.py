import pytest

from parley.core.coverage import Coverage
from parley.core.leg import Leg
from parley.core.profile import VOXTRAL
from parley.core.turns import Turn

from .builders import FRAME, NO_WORDS, SECOND, pcm


def a_turn() -> Turn:
    return Turn(1, 0, started=True, text_max_bytes=1_000)


def a_leg(turn: Turn, *, frames: int, samples: int = SECOND) -> Leg:
    """A leg that was sent so much of a turn, and answered with so many deltas."""
    turn.journal.append(pcm(samples))
    leg = Leg(1, VOXTRAL, 0.0)
    leg.start(turn, 0, 0.0)
    leg.sent(samples, 0, 0.0)
    for _ in range(frames):
        leg.moved(NO_WORDS, 0.0)
    return leg


def test_deltas_that_cover_the_audio_end_a_turn() -> None:
    turn = a_turn()
    assert Coverage(VOXTRAL).is_whole(a_leg(turn, frames=15), turn)


def test_a_leg_that_falls_short_has_not_ended_its_turn() -> None:
    turn = a_turn()
    assert not Coverage(VOXTRAL).is_whole(a_leg(turn, frames=14), turn)


def test_a_second_leg_that_falls_short_by_the_same_share_has() -> None:
    turn, coverage = a_turn(), Coverage(VOXTRAL)
    coverage.is_whole(a_leg(turn, frames=9), turn)
    assert coverage.is_whole(a_leg(turn, frames=9), turn)


def test_a_second_leg_that_falls_short_by_another_share_has_not() -> None:
    turn, coverage = a_turn(), Coverage(VOXTRAL)
    coverage.is_whole(a_leg(turn, frames=9), turn)
    assert not coverage.is_whole(a_leg(turn, frames=5), turn)


def test_what_two_legs_fall_short_by_holds_for_the_turns_after() -> None:
    turn, later, coverage = a_turn(), a_turn(), Coverage(VOXTRAL)
    for _ in range(2):
        coverage.is_whole(a_leg(turn, frames=9), turn)
    assert coverage.is_whole(a_leg(later, frames=7), later)


def test_legs_that_say_nothing_at_all_do_not_show_how_their_server_counts() -> None:
    turn, coverage = a_turn(), Coverage(VOXTRAL)
    assert not any(coverage.is_whole(a_leg(turn, frames=0), turn) for _ in range(3))


def test_legs_that_break_at_the_same_point_are_not_believed_of_a_server_that_covered_a_turn_before() -> None:
    whole, turn, coverage = a_turn(), a_turn(), Coverage(VOXTRAL)
    coverage.is_whole(a_leg(whole, frames=15), whole)
    assert not any(coverage.is_whole(a_leg(turn, frames=9), turn) for _ in range(3))


@pytest.mark.parametrize("samples", [1, FRAME, SECOND - 1])
def test_a_short_turn_that_is_covered_does_not_show_how_its_server_counts(samples: int) -> None:
    short, turn, coverage = a_turn(), a_turn(), Coverage(VOXTRAL)
    coverage.is_whole(a_leg(short, frames=15, samples=samples), short)
    coverage.is_whole(a_leg(turn, frames=9), turn)
    assert coverage.is_whole(a_leg(turn, frames=9), turn)


def test_a_server_that_counts_otherwise_stays_believed_when_a_turn_is_covered() -> None:
    turn, later, coverage = a_turn(), a_turn(), Coverage(VOXTRAL)
    for _ in range(2):
        coverage.is_whole(a_leg(turn, frames=9), turn)
    coverage.is_whole(a_leg(later, frames=15), later)
    assert coverage.is_whole(a_leg(a_turn(), frames=9), a_turn())
