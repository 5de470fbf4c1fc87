"""The session contract as a client reads it: every event of a Parley server, those of vLLM, and whatever else comes."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parley.core import notices as no
from parley.core.content import Text
from parley.core.errors import ParleyError
from parley.core.usage import Usage
from parley.wire import contract, serving, vllm
from parley.wire.contract import (
    Cancelled,
    Cleared,
    Created,
    Delta,
    Done,
    Ended,
    Expiring,
    Failed,
    Gap,
    GoingAway,
    InputAck,
    Lagging,
    Queued,
    Recovered,
    Recovering,
    Resumed,
    Revised,
    TurnFailed,
    Unknown,
    Updated,
)
from parley.wire.contract_reading import parse_contract

CANARY = "canary7d1f"
SECOND = 16_000
TEXT, USAGE = Text.of(" a"), Usage(1, 2, 3)
GAP = ParleyError("gap")
FULL = ParleyError("at-capacity", retry_after_s=1.5)

ROUND_TRIPS: list[tuple[bytes, contract.ContractEvent]] = [
    (serving.encode_created("s", 1, 0.0), Created("s", None)),
    (serving.encode_created("s", 1, 30.0), Created("s", 30.0)),
    (serving.encode_updated("s", "tok", 30.0), Updated("s", "tok", 30.0)),
    (serving.encode_updated("s", "tok", 30.0, "transcript"), Updated("s", "tok", 30.0, "transcript")),
    (serving.encode_delta(TEXT), Delta(TEXT)),
    (serving.encode_delta(TEXT, 4, 2), Delta(TEXT, item=2, seq=4)),
    (serving.encode_done(TEXT, USAGE), Done(TEXT, USAGE)),
    (serving.encode_done(TEXT, USAGE, 5, 2, SECOND), Done(TEXT, USAGE, item=2, seq=5, text_from_ms=1000)),
    (
        serving.encode_notice(no.Resumed(no.Outcome.RESUMED, 4, SECOND, (), ()), 0, "s"),
        Resumed("s", "resumed", 4, 1000, (), ()),
    ),
    (
        serving.encode_notice(no.Resumed(no.Outcome.RESTARTED, 4, SECOND, ((0, SECOND),), ((0, SECOND),)), 0, "s"),
        Resumed("s", "restarted", 4, 1000, ((0, 1000),), ((0, 1000),)),
    ),
    (serving.encode_notice(no.InputAcked(4, SECOND), 0, "s"), InputAck(4, 1000)),
    (serving.encode_notice(no.Recovering("upstream-mute"), 1, "s"), Recovering("upstream-mute", 1)),
    (
        serving.encode_notice(no.Recovered(no.Outcome.REHYDRATED, ((0, SECOND),), ()), 2, "s"),
        Recovered("rehydrated", ((0, 1000),), (), 2),
    ),
    (
        serving.encode_notice(no.TextRevised(2, 3, 5, TEXT, (0, SECOND)), 3, "s"),
        Revised(2, 3, 5, TEXT, 0, 1000, 3),
    ),
    (
        serving.encode_notice(no.TurnFailed(2, GAP), 3, "s"),
        TurnFailed(2, "gap", GAP.message, "client", "new-session", 3),
    ),
    (
        serving.encode_notice(no.Gap((0, SECOND), no.DropReason.INPUT_OVERRUN), 3, "s"),
        Gap(0, 1000, "input-overrun", 3),
    ),
    (serving.encode_notice(no.Queued(3, 1.5), 0, "s"), Queued(3, 1500)),
    (serving.encode_notice(no.Queued(0, None), 0, "s"), Queued(0)),
    (serving.encode_notice(no.Lagging(1.5), 0, "s"), Lagging(1500)),
    (serving.encode_notice(no.Expiring("lag-limit", 1.5), 0, "s"), Expiring("lag-limit", 1500)),
    (
        serving.encode_notice(no.GoingAway("shutting-down", 1.5, moves=True), 0, "s"),
        GoingAway("shutting-down", 1500, True),
    ),
    (serving.encode_notice(no.TurnCancelled(2), 3, "s"), Cancelled(2, 3)),
    (serving.encode_notice(no.InputCleared(2), 3, "s"), Cleared(2, 3)),
    (serving.encode_failure(GAP), Failed(GAP.message, "invalid_event", "gap", "client", "new-session", None)),
    (
        serving.encode_failure(FULL, 9),
        Failed(FULL.message, "processing_error", "at-capacity", "server", "new-session", 1.5, 9),
    ),
    (serving.encode_ended(None, 7), Ended("client-ended", "never", 7)),
]


@pytest.mark.parametrize(("message", "event"), ROUND_TRIPS)
def test_what_the_server_writes_is_read_as_it_was_meant(message: bytes, event: contract.ContractEvent) -> None:
    assert parse_contract(message) == event


@pytest.mark.parametrize(("message", "event"), ROUND_TRIPS)
def test_an_event_is_the_same_in_another_spelling(message: bytes, event: contract.ContractEvent) -> None:
    body = json.loads(message)
    spelled = json.dumps({"x_new": {"y": [1]}, **dict(reversed(body.items()))}, indent=1).encode()
    assert parse_contract(spelled) == event


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (vllm.encode_created("s", 1), Created("s")),
        (vllm.encode_delta(TEXT), Delta(TEXT)),
        (vllm.encode_delta(Text.of("")), Delta(Text.of(""))),
        (vllm.encode_done(TEXT, USAGE), Done(TEXT, USAGE)),
        (b'{"type":"transcription.done","text":"","usage":null}', Done(Text.of(""), Usage())),
        (vllm.encode_error("no", None), Failed("no", None)),
        (b'{"type":"error"}', Failed("", None)),
        (b'{"type":"error","error":"no","code":"c","parley":null}', Failed("no", "c")),
    ],
)
def test_vllms_own_events_lack_what_they_do_not_have(message: bytes, event: contract.ContractEvent) -> None:
    assert parse_contract(message) == event


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (b'{"type":"session.dreaming","in_ms":5,"seq":8}', Unknown("session.dreaming", 8)),
        (b'{"type":"rate_limits.updated"}', Unknown("rate_limits.updated")),
    ],
)
def test_an_event_of_an_unknown_type_is_told_by_its_type_and_number(message: bytes, event: Unknown) -> None:
    assert parse_contract(message) == event


@pytest.mark.parametrize("item_id", ["", "item_", "item_0", "item_x", "msg_3", "item_3 "])
def test_an_item_of_another_servers_form_is_none(item_id: str) -> None:
    message = json.dumps({"type": "transcription.delta", "delta": "a", "item_id": item_id}).encode()
    assert parse_contract(message) == Delta(Text.of("a"), item=0)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"hello",
        b"[]",
        b"{}",
        b'{"type":1}',
        b'{"type":"transcription.delta"}',
        b'{"type":"transcription.delta","delta":"a"',
        b'{"type":"transcription.delta","delta":"a","seq":-1}',
        b'{"type":"transcription.delta","delta":"a","seq":1.5}',
        b'{"type":"transcription.delta","delta":"a","seq":9007199254740993}',
        b'{"type":"transcription.delta","delta":"a","item_id":3}',
        b'{"type":"transcription.done"}',
        b'{"type":"session.created","id":1}',
        b'{"type":"session.updated","id":"s"}',
        b'{"type":"session.updated","id":"s","resume":{"token":"t"}}',
        b'{"type":"session.resumed","id":"s","outcome":"resumed","input_seq":1}',
        b'{"type":"session.resumed","outcome":"resumed","input_seq":1,"cursor_ms":1,"lost":[[1]]}',
        b'{"type":"session.ack","input_seq":-1,"cursor_ms":1}',
        b'{"type":"transcription.failed","item_id":"item_1"}',
        b'{"type":"session.recovering"}',
        b'{"type":"session.ended"}',
        b'{"type":"\xff"}',
        b'{"type":"transcription.delta","delta":"\xff"}',
        b'{"type":"x","y":%b}' % (b"[" * 100_000 + b"]" * 100_000),
    ],
)
def test_what_is_no_event_is_the_servers_fault(message: bytes) -> None:
    with pytest.raises(ParleyError) as caught:
        parse_contract(message)
    assert caught.value.code == "upstream-protocol"


@given(st.text(st.characters(codec="utf-8")), st.integers(1, 2**53), st.integers(1, 10**15))
def test_any_text_and_number_are_read_back_as_they_were_written(value: str, seq: int, item: int) -> None:
    text = Text.of(value)
    delta, done = (
        parse_contract(serving.encode_delta(text, seq, item)),
        parse_contract(serving.encode_done(text, USAGE, seq, item)),
    )
    assert isinstance(delta, Delta)
    assert isinstance(done, Done)
    for read in (delta, done):
        assert (read.text.decode(), read.seq, read.item) == (value, seq, item)


def outcome(message: bytes) -> contract.ContractEvent | str:
    """What comes of a message: an event, or the only error that there is. Any other exception is the test's failure."""
    try:
        return parse_contract(message)
    except ParleyError as error:
        return {"upstream-protocol": error.code}[error.code]


KINDS = [json.loads(message)["type"] for message, _ in ROUND_TRIPS]


@settings(max_examples=300)
@given(
    st.binary()
    | st.tuples(
        st.sampled_from([message for message, _ in ROUND_TRIPS]), st.integers(0, 200), st.binary(max_size=3)
    ).map(lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] + 1 :])
    | st.fixed_dictionaries(
        {"type": st.sampled_from(KINDS)},
        optional={
            name: st.none() | st.integers() | st.text() | st.lists(st.integers())
            for name in ("seq", "item_id", "text", "delta", "error", "resume", "outcome", "lost", "reason")
        },
    ).map(lambda body: json.dumps(body).encode())
)
@example(b'{"type":"transcription.delta","delta":"\\ud800"}')
def test_any_bytes_are_an_event_or_a_documented_error(message: bytes) -> None:
    assert isinstance(outcome(message), contract.ContractEvent | str)
