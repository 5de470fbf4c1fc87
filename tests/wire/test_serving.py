"""The session contract as the server speaks it: what clients may ask for, and every event that it writes."""

import json
from typing import Any

import pytest

from parley.core import notices as no
from parley.core.content import Audio, Text
from parley.core.errors import ERRORS, ParleyError
from parley.core.limits import AtBound
from parley.core.retention import Retention
from parley.core.usage import Usage
from parley.wire import contract, contract_requests, serving, vllm
from parley.wire.contract_reading import parse_contract
from parley.wire.serving import Ack, Cancel, Clear, End, Resume, Update

CANARY = "canary7d1f"
SECOND = 16_000
TEXT = Text.of(' "wörd" 😀')

# ---- from a client

REQUESTS: list[tuple[bytes, object]] = [
    (b'{"type":"session.update","model":"m"}', Update("m", resume=False)),
    (b'{"type":"session.update","model":"","parley":null}', Update("", resume=False)),
    (b'{"type":"session.update","model":"m","parley":{}}', Update("m", resume=False)),
    (b'{"parley":{"resume":true,"x":1},"type":"session.update","model":"m"}', Update("m", resume=True)),
    (b'{"type":"session.update","model":"%b"}' % (b"m" * 256), Update("m" * 256, resume=False)),
    (
        b'{"type":"session.update","model":"m","parley":{"input_policy":"drop-oldest","output_policy":"block"}}',
        Update("m", resume=False, input_policy=AtBound.DROP_OLDEST, output_policy=AtBound.BLOCK),
    ),
    (b'{"type":"session.resume","token":"abc","seq":0}', Resume("abc", 0)),
    (b'{"type":"session.resume","token":"%b","seq":1}' % (b"t" * 256), Resume("t" * 256, 1)),
    (b'{ "seq": 9007199254740992, "token": "", "type": "session.resume" }', Resume("", 2**53)),
    (b'{"type":"session.ack","seq":12,"event_id":"e"}', Ack(12)),
    (b'{"type":"session.end"}', End()),
    (b'{"type":"input_audio_buffer.clear"}', Clear()),
    (b'{"type":"transcription.cancel"}', Cancel(0)),
    (b'{"type":"transcription.cancel","item_id":null}', Cancel(0)),
    (b'{"type":"transcription.cancel","item_id":"item_12"}', Cancel(12)),
    (b'{"type":"input_audio_buffer.commit","final":true}', vllm.Commit(final=True)),
    (b'{"audio":"AAE=","type":"input_audio_buffer.append"}', Audio(b"AAE=", 1)),
]


@pytest.mark.parametrize(("message", "value"), REQUESTS)
def test_a_clients_message_means_its_value_in_every_spelling(message: bytes, value: object) -> None:
    assert serving.parse_client(message) == value


@pytest.mark.parametrize(
    ("message", "value"),
    [
        (contract_requests.encode_opt_in("m"), Update("m", resume=True)),
        (
            contract_requests.encode_opt_in("m", retention="debug-audio", consent=True),
            Update("m", resume=True, retention=Retention.DEBUG_AUDIO, consent=True),
        ),
        (
            contract_requests.encode_opt_in("m", input_policy="terminate", output_policy="block"),
            Update("m", resume=True, input_policy=AtBound.TERMINATE, output_policy=AtBound.BLOCK),
        ),
        (contract_requests.encode_resume("abc", 5), Resume("abc", 5)),
        (contract_requests.encode_ack(5), Ack(5)),
        (contract_requests.END_SESSION, End()),
        (contract_requests.CLEAR_INPUT, Clear()),
        (contract_requests.encode_cancel(), Cancel(0)),
        (contract_requests.encode_cancel(4), Cancel(4)),
    ],
)
def test_what_a_client_of_ours_writes_is_read_as_it_was_meant(message: bytes, value: object) -> None:
    assert serving.parse_client(message) == value


REFUSALS: list[tuple[bytes, str, str]] = [
    (b"hello", "invalid-json", ""),
    (b'{"type":"session.end"', "invalid-json", ""),
    (b'{"type":"session.resume","token":"\xff","seq":1}', "invalid-json", ""),
    (b"{}", "invalid-event", "missing required field `type`"),
    (b'{"type":"session.expire"}', "unknown-event", ""),
    (b'{"type":"session.update"}', "invalid-event", "In session.update: Object missing required field `model`."),
    (
        b'{"type":"session.update","model":"%b"}' % (b"m" * 257),
        "invalid-event",
        "`model` is longer than 256 characters.",
    ),
    (b'{"type":"session.update","model":"m","parley":1}', "invalid-event", "at `$.parley`"),
    (b'{"type":"session.update","model":"m","parley":{"resume":1}}', "invalid-event", "at `$.parley.resume`"),
    (
        b'{"type":"session.update","model":"m","parley":{"input_policy":"secret"}}',
        "invalid-event",
        "In session.update: `parley.input_policy` is one of block, drop-oldest, terminate.",
    ),
    (
        b'{"type":"session.update","model":"m","parley":{"output_policy":""}}',
        "invalid-event",
        "In session.update: `parley.output_policy` is one of block, drop-oldest, terminate.",
    ),
    (
        b'{"type":"session.update","model":"m","parley":{"retention":"secret"}}',
        "invalid-event",
        "In session.update: `parley.retention` is one of none, transcript, debug-audio.",
    ),
    (b'{"type":"session.resume","token":"%b","seq":1}' % (b"t" * 257), "invalid-event", "at `$.token`"),
    (b'{"type":"session.resume","token":1,"seq":1}', "invalid-event", "at `$.token`"),
    (b'{"type":"session.resume","token":"t"}', "invalid-event", "missing required field `seq`"),
    (b'{"type":"session.resume","seq":1}', "invalid-event", "missing required field `token`"),
    (b'{"type":"session.resume","token":"t","seq":-1}', "invalid-event", "at `$.seq`"),
    (b'{"type":"session.ack"}', "invalid-event", "missing required field `seq`"),
    (b'{"type":"session.ack","seq":-1}', "invalid-event", "at `$.seq`"),
    (b'{"type":"session.ack","seq":1.5}', "invalid-event", "at `$.seq`"),
    (b'{"type":"session.ack","seq":"1"}', "invalid-event", "at `$.seq`"),
    (b'{"type":"session.ack","seq":9007199254740993}', "invalid-event", "at `$.seq`"),
    (b'{"type":"session.ack","seq":99999999999999999999999}', "invalid-event", "at `$.seq`"),
    (b'{"type":"transcription.cancel","item_id":3}', "invalid-event", "at `$.item_id`"),
    *(
        (b'{"type":"transcription.cancel","item_id":"%b"}' % bad, "invalid-event", "not of the form item_<n>")
        for bad in (
            b"",
            b"3",
            b"item_",
            b"item_0",
            b"item_-1",
            b"item_01",
            b"item_1x",
            b"item_1\\n",
            b"item_" + b"9" * 17,
        )
    ),
]


@pytest.mark.parametrize(("message", "code", "detail"), REFUSALS)
def test_what_is_wrong_is_refused_with_the_place(message: bytes, code: str, detail: str) -> None:
    with pytest.raises(ParleyError) as caught:
        serving.parse_client(message)
    assert caught.value.code == code
    assert detail in caught.value.detail


def test_a_token_shows_in_no_repr_and_no_error() -> None:
    assert CANARY not in repr(Resume(CANARY, 1))
    with pytest.raises(ParleyError) as caught:
        serving.parse_client(b'{"type":"session.resume","token":"%b","seq":1}' % (CANARY.encode() * 40))
    assert CANARY not in f"{caught.value} {caught.value!r}"


# ---- to a client

USAGE = Usage(1, 2, 3)
LOST = ParleyError("upstream-closed")

EVENTS: list[tuple[bytes, dict[str, Any]]] = [
    (serving.encode_created("s", 5, 0.0), {"type": "session.created", "id": "s", "created": 5}),
    (
        serving.encode_created("s", 5, 30.0),
        {"type": "session.created", "id": "s", "created": 5, "parley": {"resume_window_s": 30.0}},
    ),
    (
        serving.encode_updated("s", "tok", 30.0),
        {"type": "session.updated", "id": "s", "resume": {"token": "tok", "window_s": 30.0}},
    ),
    (
        serving.encode_updated("s", "tok", 30.0, "transcript"),
        {
            "type": "session.updated",
            "id": "s",
            "resume": {"token": "tok", "window_s": 30.0},
            "parley": {"retention": "transcript"},
        },
    ),
    (
        serving.encode_delta(TEXT, 7, 2),
        {"type": "transcription.delta", "delta": ' "wörd" 😀', "item_id": "item_2", "seq": 7},
    ),
    (
        serving.encode_done(TEXT, USAGE, 8, 2),
        {
            "type": "transcription.done",
            "text": ' "wörd" 😀',
            "usage": {
                "prompt_tokens": 1,
                "total_tokens": 3,
                "completion_tokens": 2,
                "prompt_tokens_details": None,
            },
            "item_id": "item_2",
            "seq": 8,
        },
    ),
    (
        serving.encode_notice(no.Resumed(no.Outcome.REHYDRATED, 4, 16_015, ((0, 16),), ((32, 47),)), 0, "s"),
        {
            "type": "session.resumed",
            "id": "s",
            "outcome": "rehydrated",
            "input_seq": 4,
            "cursor_ms": 1000,
            "replayed_ms": [[0, 1]],
            "lost": [[2, 2]],
        },
    ),
    (
        serving.encode_notice(no.InputAcked(9, SECOND), 0, "s"),
        {"type": "session.ack", "input_seq": 9, "cursor_ms": 1000},
    ),
    (
        serving.encode_notice(no.Recovering("upstream-closed"), 3, "s"),
        {"type": "session.recovering", "reason": "upstream-closed", "seq": 3},
    ),
    (
        serving.encode_notice(no.Recovered(no.Outcome.RESTARTED, (), ((0, SECOND),)), 4, "s"),
        {"type": "session.recovered", "outcome": "restarted", "replayed_ms": [], "lost": [[0, 1000]], "seq": 4},
    ),
    (
        serving.encode_notice(no.TextRevised(2, 3, 5, TEXT, (SECOND, 2 * SECOND)), 5, "s"),
        {
            "type": "transcription.revised",
            "item_id": "item_2",
            "start": 3,
            "end": 5,
            "text": ' "wörd" 😀',
            "from_ms": 1000,
            "to_ms": 2000,
            "seq": 5,
        },
    ),
    (
        serving.encode_notice(no.TurnFailed(2, LOST), 6, "s"),
        {
            "type": "transcription.failed",
            "item_id": "item_2",
            "error": {
                "code": "upstream-closed",
                "message": LOST.message,
                "fault": "upstream",
                "retry": "new-session",
            },
            "seq": 6,
        },
    ),
    (
        serving.encode_notice(no.Gap((SECOND, 2 * SECOND), no.DropReason.SLOW_CLIENT), 6, "s"),
        {"type": "session.gap", "from_ms": 1000, "to_ms": 2000, "reason": "slow-client", "seq": 6},
    ),
    (
        serving.encode_notice(no.Queued(3, 1.2345), 0, "s"),
        {"type": "session.queued", "position": 3, "eta_ms": 1234},
    ),
    (serving.encode_notice(no.Queued(0, None), 0, "s"), {"type": "session.queued", "position": 0}),
    (serving.encode_notice(no.Lagging(4.5), 0, "s"), {"type": "session.lagging", "lag_ms": 4500}),
    (
        serving.encode_notice(no.Expiring("idle-timeout", 30.0), 0, "s"),
        {"type": "session.expiring", "reason": "idle-timeout", "in_ms": 30000},
    ),
    (
        serving.encode_notice(no.GoingAway("shutting-down", 60.0, moves=True), 0, "s"),
        {"type": "session.going_away", "reason": "shutting-down", "deadline_ms": 60000, "moves": True},
    ),
    (
        serving.encode_notice(no.TurnCancelled(2), 6, "s"),
        {"type": "transcription.cancelled", "item_id": "item_2", "seq": 6},
    ),
    (
        serving.encode_notice(no.InputCleared(2), 6, "s"),
        {"type": "input_audio_buffer.cleared", "item_id": "item_2", "seq": 6},
    ),
    (
        serving.encode_failure(ParleyError("gap"), 6),
        {
            "type": "error",
            "error": ParleyError("gap").message,
            "code": "invalid_event",
            "parley": {"code": "gap", "fault": "client", "retry": "new-session"},
            "seq": 6,
        },
    ),
    (serving.encode_ended(None, 7), {"type": "session.ended", "reason": "client-ended", "retry": "never", "seq": 7}),
    (
        serving.encode_ended(LOST, 7),
        {"type": "session.ended", "reason": "upstream-closed", "retry": "new-session", "seq": 7},
    ),
]


@pytest.mark.parametrize(("message", "event"), EVENTS)
def test_an_event_is_written_with_its_fields_in_order(message: bytes, event: dict[str, Any]) -> None:
    assert json.loads(message) == event
    assert list(json.loads(message)) == list(event)


def test_a_text_that_is_not_whole_says_where_it_begins() -> None:
    done = json.loads(serving.encode_done(TEXT, USAGE, 1, 1, 2 * SECOND + 15))
    assert (done["seq"], done["text_from_ms"]) == (1, 2000)


def test_without_a_number_everything_is_as_vllm_writes_it() -> None:
    assert serving.encode_created("s", 1, 0.0) == vllm.encode_created("s", 1)
    assert serving.encode_delta(TEXT) == vllm.encode_delta(TEXT)
    assert serving.encode_done(TEXT, USAGE) == vllm.encode_done(TEXT, USAGE)
    # Where its text begins is told only to those who can know what that means.
    assert serving.encode_done(TEXT, USAGE, text_from=SECOND) == vllm.encode_done(TEXT, USAGE)
    assert serving.encode_failure(LOST) == vllm.encode_failure(LOST)


@pytest.mark.parametrize("code", list(ERRORS))
def test_every_error_can_be_the_reason_of_an_end(code: str) -> None:
    ended = parse_contract(serving.encode_ended(ParleyError(code), 1))
    assert ended == contract.Ended(code, ERRORS[code].retry, 1)
