"""Outputs as data: all kinds there are go through unchanged, and what is none is refused."""

import pytest

from parley.core.content import Text
from parley.core.effects import SendDelta, SendDone, SendError, SendNotice
from parley.core.ledger import Output
from parley.core.notices import (
    DropReason,
    Gap,
    InputAcked,
    InputCleared,
    Notice,
    Outcome,
    Recovered,
    Recovering,
    TextRevised,
    TurnCancelled,
    TurnFailed,
)
from parley.core.outputs import UnknownOutputError, output_of, output_state
from parley.core.snapshot import OutputKind, OutputState

from .builders import USAGE, AnError

HELLO = Text.of(" hello")
NOTICES: list[Notice] = [
    Recovering("upstream-closed"),
    Recovered(Outcome.RESTARTED, ((0, 1_280),), ((1_280, 2_560),)),
    TextRevised(3, 1, 4, HELLO, (0, 1_280)),
    TurnCancelled(3),
    InputCleared(3),
    Gap((0, 16_000), DropReason.SLOW_CLIENT),
]
OUTPUTS: list[Output] = [
    SendDelta(HELLO, 1, 2),
    SendDone(HELLO, USAGE, 1, 2),
    SendDone(HELLO, USAGE, 1, 2, 0),
    *(SendNotice(notice, 1) for notice in NOTICES),
]


@pytest.mark.parametrize("output", OUTPUTS, ids=str)
def test_an_output_is_the_same_afterwards(output: Output) -> None:
    assert output_of(output_state(output)) == output


def test_an_error_is_the_same_afterwards() -> None:
    error = AnError("at-capacity", "Detail.", retry_after_s=2.0)
    again = output_of(output_state(SendError(error, 7)))
    assert isinstance(again, SendError)
    assert (again.seq, again.error) == (7, error)


def test_the_error_of_a_turn_is_the_same_afterwards() -> None:
    error = AnError("turn-failed", "Detail.")
    again = output_of(output_state(SendNotice(TurnFailed(3, error), 7)))
    assert isinstance(again, SendNotice)
    assert isinstance(again.notice, TurnFailed)
    assert (again.seq, again.notice.item, again.notice.error) == (7, 3, error)


def test_what_only_states_where_things_stand_is_never_kept() -> None:
    with pytest.raises(AssertionError, match="is not kept"):
        output_state(SendNotice(InputAcked(1, 2)))


@pytest.mark.parametrize(
    "state",
    [
        OutputState(OutputKind.DELTA),
        OutputState(OutputKind.DONE, text=HELLO),
        OutputState(OutputKind.DONE, numbers=(1, 2, 3)),
        OutputState(OutputKind.ERROR, code="unheard-of"),
        OutputState(OutputKind.RECOVERING, code="unheard-of"),
        OutputState(OutputKind.RECOVERED, code="unheard-of"),
        OutputState(OutputKind.REVISED, numbers=(1, 2), replayed=((0, 1),)),
        OutputState(OutputKind.REVISED, text=HELLO, numbers=(1,), replayed=((0, 1),)),
        OutputState(OutputKind.GAP, code="input-overrun"),
        OutputState(OutputKind.GAP, code="unheard-of", lost=((0, 1),)),
    ],
    ids=str,
)
def test_what_is_no_output_is_refused(state: OutputState) -> None:
    with pytest.raises(UnknownOutputError):
        output_of(state)
