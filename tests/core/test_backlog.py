import pytest

from parley.core.backlog import Backlog
from parley.core.effects import Effect, SendNotice
from parley.core.invariants import check
from parley.core.limits import SessionLimits
from parley.core.notices import DropReason, Gap
from parley.core.outlet import Outlet
from parley.core.tally import Tally
from parley.core.turns import Turn, TurnQueue

from .builders import SECOND, audio

HALF = SECOND // 2
LIMITS = SessionLimits(held_audio_max_s=3.0)


class Waiting:
    """A backlog of up to 3 s, and what is told of it."""

    def __init__(self, limits: SessionLimits = LIMITS, *, is_numbered: bool = True) -> None:
        self.out: list[Effect] = []
        outlet = Outlet(limits, self.out)
        outlet.is_numbered = is_numbered
        self.turns = TurnQueue()
        self.tally = Tally()
        self.backlog = Backlog(limits, self.turns, outlet, self.tally)
        self._cursor = 0

    def turn(self, *, closed: bool = True) -> Turn:
        """Another turn, for now without audio."""
        made = self.turns.add(self._cursor, started=True)
        made.closed = closed
        return made

    def hold(self, turn: Turn, count: int, samples: int = HALF, payload_bytes: int = 1) -> None:
        """As many pieces of a turn that wait."""
        for _ in range(count):
            self.turns.hold(turn, audio("x" * payload_bytes, samples))
            self._cursor += samples

    def feed(self, turn: Turn, count: int) -> None:
        """The model is sent as many."""
        for _ in range(count):
            index, _ = turn.journal.locate(turn.fed)
            self.turns.feed(turn, turn.journal.piece(index))

    def shed(self) -> list[tuple[int, int]]:
        """What is dropped, on the cursor."""
        self.backlog.shed()
        check(self.turns.invariants())
        told = [effect.notice for effect in self.out if isinstance(effect, SendNotice)]
        assert all(isinstance(notice, Gap) and notice.reason is DropReason.INPUT_OVERRUN for notice in told)
        return [notice.interval for notice in told if isinstance(notice, Gap)]


def test_more_than_the_bound_is_too_much_and_not_the_bound_itself() -> None:
    waiting = Waiting()
    turn = waiting.turn()
    waiting.hold(turn, 6)
    assert not waiting.backlog.is_over
    waiting.hold(turn, 1, 1)
    assert waiting.backlog.is_over


def test_very_small_pieces_are_too_much_by_their_bytes() -> None:
    waiting = Waiting()
    turn = waiting.turn()
    waiting.hold(turn, LIMITS.held_bytes_max // 161, 1)
    assert not waiting.backlog.is_over
    waiting.hold(turn, 1, 1)
    assert waiting.backlog.is_over


@pytest.mark.parametrize(("count", "has_margin"), [(4, True), (5, False)])
def test_a_second_is_the_margin(count: int, has_margin: bool) -> None:
    waiting = Waiting()
    waiting.hold(waiting.turn(), count)
    assert waiting.backlog.has_margin is has_margin


def test_where_less_than_a_second_may_be_held_there_is_a_margin_when_nothing_is() -> None:
    waiting = Waiting(SessionLimits(held_audio_max_s=0.5))
    assert waiting.backlog.has_margin
    waiting.hold(waiting.turn(), 1, 1)
    assert not waiting.backlog.has_margin


def test_the_most_that_was_held_is_remembered() -> None:
    waiting = Waiting()
    turn = waiting.turn()
    waiting.hold(turn, 3)
    waiting.backlog.note()
    waiting.feed(turn, 2)
    waiting.backlog.note()
    assert (waiting.tally.held_samples_most, waiting.tally.held_bytes_most) == (3 * HALF, 3 * 161)


def test_the_oldest_audio_that_no_model_was_sent_goes_until_a_second_is_free() -> None:
    waiting = Waiting()
    turn = waiting.turn(closed=False)
    waiting.hold(turn, 8)
    waiting.feed(turn, 1)
    assert waiting.shed() == [(HALF, 4 * HALF)]
    assert (turn.fed, turn.received_samples, turn.holes.zones) == (HALF, 5 * HALF, [(HALF, HALF, 3 * HALF)])
    assert (waiting.tally.dropped_samples, waiting.tally.dropped_intervals) == (3 * HALF, 1)


def test_by_their_bytes_a_sixteenth_goes() -> None:
    waiting = Waiting()
    turn = waiting.turn(closed=False)
    waiting.hold(turn, LIMITS.held_bytes_max // 161 + 1, 1)
    ((begin, end),) = waiting.shed()
    assert begin == 0
    assert end * 161 == pytest.approx(LIMITS.held_bytes_max / 16, abs=2 * 161)


def test_what_is_dropped_of_turns_that_follow_each_other_is_one_interval() -> None:
    waiting = Waiting()
    first, second, third = (waiting.turn() for _ in range(3))
    waiting.hold(first, 2)
    second.begin = third.begin = 2 * HALF
    waiting.hold(second, 2)
    third.begin = 4 * HALF
    waiting.hold(third, 4)
    waiting.feed(first, 1)
    assert waiting.shed() == [(HALF, 4 * HALF)]
    assert [turn.held_samples for turn in (first, second, third)] == [0, 0, 4 * HALF]
    assert waiting.tally.dropped_intervals == 1


def test_a_turn_that_may_have_begun_without_audio_keeps_its_last_piece() -> None:
    waiting = Waiting()
    first, second = waiting.turn(), waiting.turn()
    waiting.hold(first, 2)
    second.begin = 2 * HALF
    waiting.hold(second, 5)
    assert waiting.shed() == [(0, HALF), (2 * HALF, 4 * HALF)]
    assert (first.held_samples, waiting.tally.dropped_intervals) == (HALF, 2)


def test_what_came_last_stays_however_large_it_is() -> None:
    waiting = Waiting()
    turn = waiting.turn(closed=False)
    waiting.hold(turn, 1)
    waiting.feed(turn, 1)
    waiting.hold(turn, 1)
    waiting.hold(turn, 1, 9 * SECOND)
    assert waiting.shed() == [(HALF, 2 * HALF)]
    assert turn.held_samples == 9 * SECOND


def test_nothing_is_told_where_nothing_can_go() -> None:
    waiting = Waiting()
    waiting.hold(waiting.turn(closed=False), 1, 9 * SECOND)
    assert (waiting.shed(), waiting.tally.dropped_intervals) == ([], 0)


def test_a_plain_client_is_not_told() -> None:
    waiting = Waiting(is_numbered=False)
    waiting.hold(waiting.turn(closed=False), 8)
    assert waiting.shed() == []
    assert waiting.tally.dropped_samples == 4 * HALF
