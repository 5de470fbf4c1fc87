from parley.core.survey import TurnView
from parley.observe.turn_log import TurnLog


def view(item: int, *, closed: bool = False) -> TurnView:
    return TurnView(item, 0.0, 1.0, closed, False)


def test_each_turn_begins_once() -> None:
    log = TurnLog()
    assert [turn.item for turn in log.began([view(1)], 0.0)] == [1]
    assert [turn.item for turn in log.began([view(1), view(2)], 1.0)] == [2]


def test_audio_may_begin_a_turn_only_when_none_is_open() -> None:
    log = TurnLog()
    may_begin = [log.may_begin]
    list(log.began([view(1)], 0.0))
    may_begin.append(log.may_begin)
    list(log.closed([view(1, closed=True)], 1.0))
    assert [*may_begin, log.may_begin] == [True, False, True]


def test_a_turn_is_closed_once() -> None:
    log = TurnLog()
    list(log.began([view(1)], 0.0))
    closed = [view(1, closed=True)]
    assert [turn.item for turn, _ in log.closed(closed, 1.0)] == [1]
    assert not list(log.closed(closed, 2.0))


def test_turns_are_over_in_their_order_or_by_their_ordinal() -> None:
    log = TurnLog()
    list(log.began([view(1), view(2), view(3)], 0.0))
    assert [getattr(log.take(item), "item", None) for item in (2, 0, 0, 0, 7)] == [2, 1, 3, None, None]


def test_head_and_last_are_the_oldest_and_the_newest() -> None:
    log = TurnLog()
    assert log.head is log.last is None
    list(log.began([view(1), view(2)], 0.0))
    assert [getattr(turn, "item", None) for turn in (log.head, log.last)] == [1, 2]
