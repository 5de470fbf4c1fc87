"""The session contract as the server speaks it, beside vLLM's protocol: requests read, and events written.

The client's half is `wire.contract`. A `seq` of 0 writes an event as vLLM would, for clients that have not opted in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from parley.core import notices as no
from parley.core.content import SAMPLE_RATE, Text
from parley.core.errors import ParleyError, Retry
from parley.core.limits import AtBound
from parley.core.retention import Retention
from parley.core.usage import Usage
from parley.wire import contract, contract_requests, vllm
from parley.wire.contract import Seq
from parley.wire.vllm import encode_json

TOKEN_MAX = 256
"""Characters that a token may have; those that are issued have 46."""

CLIENT_ENDED = "client-ended"
"""The reason in `session.ended` when the client asked for it."""


@dataclass(frozen=True, slots=True)
class Update:
    """The client named the model, empty for any; `resume` opts in to the session contract. The policies say what is to
    happen when more waits than may, `retention` what is kept of the session; None leaves that to the server. `consent`:
    whoever speaks agreed to having the audio kept."""

    model: str
    resume: bool
    input_policy: AtBound | None = None
    output_policy: AtBound | None = None
    retention: Retention | None = None
    consent: bool = False


@dataclass(frozen=True, slots=True)
class Resume:
    """The client came back for its session; it has every event up to `seq`."""

    token: str = field(repr=False)
    seq: int


@dataclass(frozen=True, slots=True)
class Ack:
    """The client has every event up to `seq`."""

    seq: int


@dataclass(frozen=True, slots=True)
class End:
    """The client is finished with the session."""


@dataclass(frozen=True, slots=True)
class Clear:
    """The client dropped the audio of the open turn."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client gave up the turn of this item; 0 is the oldest."""

    item: int


Request = Update | Resume | Ack | End | Clear | Cancel


class _OptIn(msgspec.Struct):
    resume: bool = False
    input_policy: str | None = None
    output_policy: str | None = None
    retention: str | None = None
    consent: bool = False


class _UpdateBody(msgspec.Struct):
    model: str
    parley: _OptIn | None = None


class _ResumeBody(msgspec.Struct):
    token: Annotated[str, Meta(max_length=TOKEN_MAX)]
    seq: Seq


class _AckBody(msgspec.Struct):
    seq: Seq


class _CancelBody(msgspec.Struct):
    item_id: str | None = None


_POLICIES = tuple(policy.value for policy in AtBound)
_POLICY_NAMES = ", ".join(_POLICIES)
_RETENTIONS = tuple(one.value for one in Retention)
_RETENTION_NAMES = ", ".join(_RETENTIONS)
_decode_update = msgspec.json.Decoder(_UpdateBody).decode
_decode_resume = msgspec.json.Decoder(_ResumeBody).decode
_decode_ack = msgspec.json.Decoder(_AckBody).decode
_decode_cancel = msgspec.json.Decoder(_CancelBody).decode


def parse_client(message: bytes) -> vllm.ClientMessage | Request:
    """One message of a client that `vllm.audio_of` does not know by its first bytes.

    Raises:
        ParleyError: invalid-json, invalid-event, unknown-event or invalid-audio.
    """
    kind = vllm.type_of(message)
    read = _READERS.get(kind)
    if read is None:
        return vllm.parse_client_event(kind, message)
    try:
        return read(message)
    except msgspec.ValidationError as error:
        raise ParleyError("invalid-event", f"In {kind}: {vllm.where(error)}.") from None
    except vllm.UNREADABLE:
        # A field that was skipped while the type was looked for is read only now.
        raise ParleyError("invalid-json") from None


def _update(message: bytes) -> Update:
    body = _decode_update(message)
    vllm.check_model_name(body.model)
    own = body.parley or _OptIn()
    policies = (
        _policy("input_policy", own.input_policy),
        _policy("output_policy", own.output_policy),
    )
    return Update(body.model, own.resume, *policies, _retention(own.retention), own.consent)


def _retention(value: str | None) -> Retention | None:
    if value is None:
        return None
    if value not in _RETENTIONS:
        raise ParleyError(
            "invalid-event", f"In {vllm.SESSION_UPDATE}: `parley.retention` is one of {_RETENTION_NAMES}."
        )
    return Retention(value)


def _policy(name: str, value: str | None) -> AtBound | None:
    if value is None:
        return None
    if value not in _POLICIES:
        raise ParleyError("invalid-event", f"In {vllm.SESSION_UPDATE}: `parley.{name}` is one of {_POLICY_NAMES}.")
    return AtBound(value)


def _resume(message: bytes) -> Resume:
    body = _decode_resume(message)
    return Resume(body.token, body.seq)


def _ack(message: bytes) -> Ack:
    return Ack(_decode_ack(message).seq)


def _end(_message: bytes) -> End:
    return End()


def _clear(_message: bytes) -> Clear:
    return Clear()


def _cancel(message: bytes) -> Cancel:
    item_id = _decode_cancel(message).item_id
    item = contract.item_of(item_id)
    if item_id is not None and not item:
        raise ParleyError("invalid-event", f"In {contract_requests.CANCEL}: `item_id` is not of the form item_<n>.")
    return Cancel(item)


_READERS: Mapping[str, Callable[[bytes], Request]] = {
    vllm.SESSION_UPDATE: _update,
    contract_requests.SESSION_RESUME: _resume,
    contract_requests.SESSION_ACK: _ack,
    contract_requests.SESSION_END: _end,
    contract_requests.CLEAR: _clear,
    contract_requests.CANCEL: _cancel,
}


def encode_created(session_id: str, created_s: int, resume_window_s: float) -> bytes:
    """`session.created`; says that the contract is offered when `resume_window_s` is not 0."""
    if not resume_window_s:
        return vllm.encode_created(session_id, created_s)
    return vllm.encode_created(session_id, created_s, parley={"resume_window_s": resume_window_s})


def encode_updated(session_id: str, token: str, window_s: float, retention: str = "") -> bytes:
    """`session.updated`: the opt-in is taken, and this is the token. `retention` is what is kept; empty is nothing."""
    more = {"parley": {"retention": retention}} if retention else {}
    resume = {"token": token, "window_s": window_s}
    return encode_json({"type": "session.updated", "id": session_id, "resume": resume, **more})


def encode_delta(text: Text, seq: int = 0, item: int = 0) -> bytes:
    """`transcription.delta`."""
    if not seq:
        return vllm.encode_delta(text)
    return b'{"type":"transcription.delta","delta":%b,"item_id":"item_%d","seq":%d}' % (text.literal, item, seq)


def encode_done(text: Text, usage: Usage, seq: int = 0, item: int = 0, text_from: int | None = None) -> bytes:
    """`transcription.done`; `text_from` is where on the cursor, in samples, `text` begins when it is not whole."""
    plain = vllm.encode_done(text, usage)
    if not seq:
        return plain
    more = b"" if text_from is None else b',"text_from_ms":%d' % _ms(text_from)
    return b'%b,"item_id":"item_%d","seq":%d%b}' % (plain[:-1], item, seq, more)


def encode_failure(error: ParleyError, seq: int = 0) -> bytes:
    """`error`."""
    return vllm.encode_failure(error, seq=seq) if seq else vllm.encode_failure(error)


def encode_ended(error: ParleyError | None, seq: int) -> bytes:
    """`session.ended`, for this error or because the client asked for it."""
    reason, retry = (error.code, error.spec.retry) if error is not None else (CLIENT_ENDED, Retry.NEVER)
    return encode_json({"type": "session.ended", "reason": reason, "retry": retry, "seq": seq})


def encode_notice(notice: no.Notice, seq: int, session_id: str) -> bytes:
    """The event of a notice."""
    body = _notice(notice, session_id)
    if seq:
        body["seq"] = seq
    return encode_json(body)


def _notice(notice: no.Notice, session_id: str) -> dict[str, Any]:
    match notice:
        case no.InputAcked(inputs, cursor):
            return {"type": contract_requests.SESSION_ACK, "input_seq": inputs, "cursor_ms": _ms(cursor)}
        case no.Resumed(outcome, inputs, cursor, replayed, lost):
            counts = {"input_seq": inputs, "cursor_ms": _ms(cursor), **_intervals(replayed, lost)}
            return {"type": "session.resumed", "id": session_id, "outcome": outcome, **counts}
        case no.Recovering(reason):
            return {"type": "session.recovering", "reason": reason}
        case no.Recovered(outcome, replayed, lost):
            return {"type": "session.recovered", "outcome": outcome, **_intervals(replayed, lost)}
        case no.TextRevised(item, start, end, text, (first, last)):
            change = {"start": start, "end": end, "text": msgspec.Raw(text.literal)}
            span = {"from_ms": _ms(first), "to_ms": _ms(last)}
            return {"type": "transcription.revised", "item_id": _item_id(item), **change, **span}
        case no.TurnFailed(item, error):
            spec = error.spec
            cause = {"code": spec.code, "message": error.message, "fault": spec.fault, "retry": spec.retry}
            return {"type": "transcription.failed", "item_id": _item_id(item), "error": cause}
        case no.Queued(position, eta_s):
            eta = {} if eta_s is None else {"eta_ms": round(eta_s * 1000)}
            return {"type": "session.queued", "position": position, **eta}
        case no.Lagging(lag_s):
            return {"type": "session.lagging", "lag_ms": round(lag_s * 1000)}
        case no.Expiring(reason, in_s):
            return {"type": "session.expiring", "reason": reason, "in_ms": round(in_s * 1000)}
        case no.GoingAway(reason, deadline_s, moves):
            return {
                "type": "session.going_away",
                "reason": reason,
                "deadline_ms": round(deadline_s * 1000),
                "moves": moves,
            }
        case no.Gap((first, last), reason):
            return {"type": "session.gap", "from_ms": _ms(first), "to_ms": _ms(last), "reason": reason}
        case no.TurnCancelled(item):
            return {"type": "transcription.cancelled", "item_id": _item_id(item)}
        case _:
            return {"type": "input_audio_buffer.cleared", "item_id": _item_id(notice.item)}


def _ms(samples: int) -> int:
    return samples * 1000 // SAMPLE_RATE


def _intervals(replayed: no.Intervals, lost: no.Intervals) -> dict[str, list[list[int]]]:
    spans = {"replayed_ms": replayed, "lost": lost}
    return {name: [[_ms(first), _ms(last)] for first, last in intervals] for name, intervals in spans.items()}


def _item_id(item: int) -> str:
    return f"item_{item}"
