"""Outputs as plain data, for `core/snapshot`, and back.

| kind | text | numbers | code, detail | intervals |
|---|---|---|---|---|
| delta | x | | | |
| done | x | the three counts of `Usage`, and `text_from` if there is one | | |
| error, failed | | | of the error | |
| recovering | | | the reason | |
| recovered | | | the outcome | replayed, lost |
| revised | x | start, end | | replayed: that of the text |
| gap | | | the reason | lost: that of the gap |
| cancelled, cleared | | | | |
"""

from parley.core.effects import SendDelta, SendDone, SendError, SendNotice
from parley.core.errors import ERRORS, ParleyError
from parley.core.ledger import Output
from parley.core.notices import (
    DropReason,
    Gap,
    InputCleared,
    Notice,
    Outcome,
    Recovered,
    Recovering,
    TextRevised,
    TurnCancelled,
    TurnFailed,
)
from parley.core.snapshot import OutputKind, OutputState
from parley.core.usage import Usage


class UnknownOutputError(Exception):
    """A state has an output that this release does not know."""


def output_state(output: Output) -> OutputState:
    """An output as data."""
    kind, seq = OutputKind, output.seq
    match output:
        case SendDelta(text, item=item):
            return OutputState(kind.DELTA, seq, item, text)
        case SendDone(text, usage, item=item, text_from=text_from):
            counts = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
            return OutputState(kind.DONE, seq, item, text, counts if text_from is None else (*counts, text_from))
        case SendError(error):
            return _error_state(kind.ERROR, seq, 0, error)
        case _:
            return _notice_state(output.notice, seq)


def _error_state(kind: OutputKind, seq: int, item: int, error: ParleyError) -> OutputState:
    return OutputState(kind, seq, item, code=error.code, detail=error.detail, retry_after_s=error.retry_after_s)


def _notice_state(notice: Notice, seq: int) -> OutputState:
    kind = OutputKind
    match notice:
        case Recovering(reason):
            return OutputState(kind.RECOVERING, seq, code=reason)
        case Recovered(outcome, replayed, lost):
            return OutputState(kind.RECOVERED, seq, code=outcome.value, replayed=replayed, lost=lost)
        case TextRevised(item, start, end, text, interval):
            return OutputState(kind.REVISED, seq, item, text, (start, end), replayed=(interval,))
        case TurnFailed(item, error):
            return _error_state(kind.FAILED, seq, item, error)
        case TurnCancelled(item):
            return OutputState(kind.CANCELLED, seq, item)
        case InputCleared(item):
            return OutputState(kind.CLEARED, seq, item)
        case Gap(interval, reason):
            return OutputState(kind.GAP, seq, code=reason.value, lost=(interval,))
        case _:
            raise AssertionError("what states where things stand is not kept")


def output_of(state: OutputState) -> Output:
    """The output that data is of.

    Raises:
        UnknownOutputError: a code or a reason is none of ours, or something is missing.
    """
    try:
        return _output_of(state)
    except (KeyError, ValueError, TypeError):
        raise UnknownOutputError(f"an output of kind {state.kind.value} can't be made out") from None


def _output_of(state: OutputState) -> Output:
    kind, seq, item = OutputKind, state.seq, state.item
    match state.kind:
        case kind.DELTA if state.text is not None:
            return SendDelta(state.text, seq, item)
        case kind.DONE if state.text is not None:
            prompt, completion, total, *text_from = state.numbers
            begin = text_from[0] if text_from else None
            return SendDone(state.text, Usage(prompt, completion, total), seq, item, begin)
        case kind.ERROR:
            return SendError(_error_of(state), seq)
        case _:
            return SendNotice(_notice_of(state), seq)


def _notice_of(state: OutputState) -> Notice:
    kind, item = OutputKind, state.item
    match state.kind:
        case kind.RECOVERING:
            return Recovering(ERRORS[state.code].code)
        case kind.RECOVERED:
            return Recovered(Outcome(state.code), state.replayed, state.lost)
        case kind.REVISED if state.text is not None:
            start, end = state.numbers
            (interval,) = state.replayed
            return TextRevised(item, start, end, state.text, interval)
        case kind.FAILED:
            return TurnFailed(item, _error_of(state))
        case kind.CANCELLED:
            return TurnCancelled(item)
        case kind.CLEARED:
            return InputCleared(item)
        case kind.GAP:
            (interval,) = state.lost
            return Gap(interval, DropReason(state.code))
        case _:
            raise ValueError("there is no text")


def _error_of(state: OutputState) -> ParleyError:
    return ParleyError(state.code, state.detail, retry_after_s=state.retry_after_s)
