import pytest

from parley.core.leg import Leg, LegState
from parley.core.limits import SessionLimits
from parley.core.profile import VOXTRAL
from parley.core.turns import Turn, TurnQueue
from parley.core.watchdog import Watchdog

from .builders import NO_WORDS, SECOND, AnError, audio

LIMITS = SessionLimits(connect_timeout_s=5, first_delta_timeout_s=7, stall_timeout_s=11, flush_timeout_s=13)
PACED = Watchdog(LIMITS, is_paced=True)
UNPACED = Watchdog(LIMITS, is_paced=False)


def leg_at(state: LegState, *, sent: int = 0, held: int = 0, deltas: int = 0) -> Leg:
    """A leg in its first turn, so far, since second 100."""
    queue = TurnQueue()
    turn: Turn = queue.add(0, started=True)
    leg = Leg(1, VOXTRAL, 100.0)
    leg.start(turn, 0, 100.0)
    if sent:
        queue.keep(turn, audio(samples=sent))
        leg.sent(sent, 0, 100.0)
    if held:
        queue.hold(turn, audio(samples=held))
    for _ in range(deltas):
        leg.moved(NO_WORDS, 100.0)
    leg.state = state
    return leg


@pytest.mark.parametrize(
    ("state", "deltas", "deadline"),
    [
        (LegState.READY, 0, None),
        (LegState.CONNECTING, 0, 105.0),
        (LegState.FLUSHING, 3, 113.0),
        (LegState.RUNNING, 0, 107.0),
        (LegState.RUNNING, 1, 111.0),
    ],
)
def test_each_state_of_a_leg_has_its_time(state: LegState, deltas: int, deadline: float | None) -> None:
    assert PACED.deadline(leg_at(state, sent=100, deltas=deltas)) == deadline


def test_silence_says_nothing_of_a_model_without_a_clock() -> None:
    assert UNPACED.deadline(leg_at(LegState.RUNNING)) is None


def test_a_connection_that_takes_nothing_more_is_watched_without_a_clock_too() -> None:
    leg = leg_at(LegState.RUNNING)
    leg.blocked = True
    assert UNPACED.deadline(leg) == 107.0


@pytest.mark.parametrize(("state", "now"), [(LegState.READY, 10_000.0), (LegState.FLUSHING, 112.9)])
def test_nothing_is_wrong_before_its_time(state: LegState, now: float) -> None:
    assert PACED.bite(leg_at(state), now) is None


def test_a_leg_that_does_not_open_is_unavailable() -> None:
    expected = AnError("upstream-unavailable", "It did not accept the connection in time.")
    assert PACED.bite(leg_at(LegState.CONNECTING), 105.0) == expected


def test_a_leg_that_does_not_answer_the_end_is_stalled() -> None:
    assert PACED.bite(leg_at(LegState.FLUSHING), 113.0) == AnError("upstream-stalled", "It was silent for 13 s.")


@pytest.mark.parametrize(
    ("sent", "deltas"), [(11_200, 0), (2 * SECOND, 0), (SECOND + 10_240, 1)], ids=["first", "much", "later"]
)
def test_a_leg_that_owes_a_delta_is_stalled(sent: int, deltas: int) -> None:
    error = PACED.bite(leg_at(LegState.RUNNING, sent=sent, deltas=deltas), 200.0)
    assert error == AnError("upstream-stalled", "It was silent for 100 s.")


def test_a_leg_that_does_not_take_what_is_held_for_it_is_stalled() -> None:
    leg = leg_at(LegState.RUNNING, sent=100, held=100)
    leg.blocked = True
    assert PACED.bite(leg, 107.0) is not None


def test_a_leg_that_was_not_given_what_is_held_owes_nothing() -> None:
    assert PACED.bite(leg_at(LegState.RUNNING, sent=100, held=100), 107.0) is None


@pytest.mark.parametrize(("sent", "deltas"), [(11_199, 0), (SECOND + 10_239, 1)])
def test_a_leg_that_has_had_all_there_is_owes_nothing_and_gets_its_time_anew(sent: int, deltas: int) -> None:
    leg = leg_at(LegState.RUNNING, sent=sent, deltas=deltas)
    assert PACED.bite(leg, 120.0) is None
    assert leg.progress_at == 120.0
