"""Notices carry positions and codes, and what people said only in a type that does not print."""

import pytest

from parley.core.content import Text
from parley.core.errors import ParleyError
from parley.core.notices import (
    DropReason,
    Expiring,
    Gap,
    GoingAway,
    InputAcked,
    InputCleared,
    Lagging,
    Notice,
    Outcome,
    Queued,
    Recovered,
    Recovering,
    Resumed,
    TextRevised,
    TurnCancelled,
    TurnFailed,
)

CANARY = "canary-7d1f"

NOTICES: list[Notice] = [
    Resumed(Outcome.RESUMED, 3, 16_000, (), ()),
    InputAcked(3, 16_000),
    Recovering("upstream-closed"),
    Recovered(Outcome.RESTARTED, ((0, 16_000),), ((0, 1_280),)),
    TextRevised(1, 0, 4, Text.of(CANARY), (0, 16_000)),
    TurnFailed(1, ParleyError("turn-failed")),
    TurnCancelled(1),
    InputCleared(1),
    Gap((0, 16_000), DropReason.INPUT_OVERRUN),
    Queued(4, 2.5),
    Lagging(3.5),
    Expiring("idle-timeout", 30.0),
    GoingAway("shutting-down", 60.0, moves=True),
]


def test_the_list_below_holds_every_notice() -> None:
    assert {type(notice) for notice in NOTICES} == set(Notice.__args__)


@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: type(notice).__name__)
def test_a_notice_shows_no_content(notice: Notice) -> None:
    assert CANARY not in f"{notice} {notice!r}"


def test_an_outcome_is_the_word_that_clients_read() -> None:
    assert [str(outcome) for outcome in Outcome] == ["resumed", "rehydrated", "restarted"]
