"""The session contract as a client of Parley speaks it, beside vLLM's protocol: events read, and requests written.

`parse_contract` reads every event that a Parley server sends, and a vLLM server's too: what those lack is 0 or None.
The server's half is `wire.serving`; what the events are for is written in docs/protocol.md. Positions are milliseconds
on the session's cursor; a `seq` or an `item` of 0 means that the event carries none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from parley.core.content import Text
from parley.core.errors import ParleyError
from parley.core.usage import Usage
from parley.wire import vllm
from parley.wire.vllm import encode_json

SEQ_MAX = 2**53
"""The largest number that every JSON reader keeps exact."""

Seq = Annotated[int, Meta(ge=0, le=SEQ_MAX)]
type Intervals = tuple[tuple[int, int], ...]

SESSION_RESUME = "session.resume"
SESSION_ACK = "session.ack"
SESSION_END = "session.end"
CLEAR = "input_audio_buffer.clear"
CANCEL = "transcription.cancel"

_DELTA_PREFIX = b'{"type":"transcription.delta",'
_ITEM_ID = re.compile(r"item_([1-9][0-9]{0,15})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Created:
    """The server accepted the connection. `resume_window_s` is None when it does not offer the session contract."""

    session_id: str
    resume_window_s: float | None = None


@dataclass(frozen=True, slots=True)
class Updated:
    """The opt-in is taken: `token` takes the session up again for `window_s` after its connection is lost."""

    session_id: str
    token: str = field(repr=False)
    window_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Resumed:
    """This connection is the session's; input after `input_seq` is to be sent (again)."""

    session_id: str
    outcome: str
    input_seq: int
    cursor_ms: int
    replayed_ms: Intervals = ()
    lost: Intervals = ()


@dataclass(frozen=True, slots=True)
class InputAck:
    """Input up to `input_seq` need not be kept any longer."""

    input_seq: int
    cursor_ms: int


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of transcript."""

    text: Text
    item: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a turn; `text_from_ms` says where `text` begins when it is not whole."""

    text: Text
    usage: Usage
    item: int = 0
    seq: int = 0
    text_from_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Revised:
    """Characters `start` to `end` (code points) of the item's text are now `text`."""

    item: int
    start: int
    end: int
    text: Text
    from_ms: int
    to_ms: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class TurnFailed:
    """A turn has no end; the session goes on."""

    item: int
    code: str
    message: str = field(repr=False)
    fault: str
    retry: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The turn that was given up."""

    item: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Cleared:
    """The open turn's audio and text are void; it begins again as another item."""

    item: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Recovering:
    """The server lost its model server; input is still taken."""

    reason: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Recovered:
    """The server found another model server, which has caught up."""

    outcome: str
    replayed_ms: Intervals = ()
    lost: Intervals = ()
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event of a session; `reason` is an error code, or `client-ended`."""

    reason: str
    retry: str
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """An error. `code` is the one a vLLM client knows; the others are Parley's own, None from other servers."""

    message: str = field(repr=False)
    code: str | None
    parley_code: str | None = None
    fault: str | None = None
    retry: str | None = None
    retry_after_s: float | None = None
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event of a type that is not known here; it is to be passed over."""

    type: str
    seq: int = 0


ContractEvent = (
    Delta
    | Done
    | Created
    | Updated
    | Resumed
    | InputAck
    | Revised
    | TurnFailed
    | Cancelled
    | Cleared
    | Recovering
    | Recovered
    | Ended
    | Failed
    | Unknown
)


class _Body(msgspec.Struct):
    """What any event may carry; `event` is the value made of it."""

    type: str
    seq: Seq = 0
    item_id: str | None = None

    @property
    def item(self) -> int:
        return item_of(self.item_id)

    def event(self) -> ContractEvent:
        return Unknown(self.type, self.seq)


class _ResumeOffer(msgspec.Struct):
    resume_window_s: float | None = None


class _CreatedBody(_Body):
    id: str = ""
    parley: _ResumeOffer | None = None

    def event(self) -> Created:
        return Created(self.id, self.parley.resume_window_s if self.parley is not None else None)


class _ResumeTicket(msgspec.Struct):
    token: str
    window_s: float


class _UpdatedBody(_Body, kw_only=True):
    id: str = ""
    resume: _ResumeTicket

    def event(self) -> Updated:
        return Updated(self.id, self.resume.token, self.resume.window_s)


class _ResumedBody(_Body, kw_only=True):
    id: str = ""
    outcome: str
    input_seq: Seq
    cursor_ms: Seq
    replayed_ms: Intervals = ()
    lost: Intervals = ()

    def event(self) -> Resumed:
        return Resumed(self.id, self.outcome, self.input_seq, self.cursor_ms, self.replayed_ms, self.lost)


class _AckBody(_Body, kw_only=True):
    input_seq: Seq
    cursor_ms: Seq

    def event(self) -> InputAck:
        return InputAck(self.input_seq, self.cursor_ms)


class _DeltaBody(_Body, kw_only=True):
    delta: str

    def event(self) -> Delta:
        return Delta(Text(encode_json(self.delta)), self.item, self.seq)


class _UsageBody(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class _DoneBody(_Body, kw_only=True):
    text: str
    usage: _UsageBody | None = None
    text_from_ms: Seq | None = None

    def event(self) -> Done:
        usage = self.usage or _UsageBody()
        counts = Usage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
        return Done(Text(encode_json(self.text)), counts, self.item, self.seq, self.text_from_ms)


class _RevisedBody(_Body, kw_only=True):
    start: Seq
    end: Seq
    text: str
    from_ms: Seq
    to_ms: Seq

    def event(self) -> Revised:
        text = Text(encode_json(self.text))
        return Revised(self.item, self.start, self.end, text, self.from_ms, self.to_ms, self.seq)


class _TurnError(msgspec.Struct):
    code: str
    message: str = ""
    fault: str = ""
    retry: str = ""


class _TurnFailedBody(_Body, kw_only=True):
    error: _TurnError

    def event(self) -> TurnFailed:
        error = self.error
        return TurnFailed(self.item, error.code, error.message, error.fault, error.retry, self.seq)


class _CancelledBody(_Body):
    def event(self) -> Cancelled:
        return Cancelled(self.item, self.seq)


class _ClearedBody(_Body):
    def event(self) -> Cleared:
        return Cleared(self.item, self.seq)


class _RecoveringBody(_Body, kw_only=True):
    reason: str

    def event(self) -> Recovering:
        return Recovering(self.reason, self.seq)


class _RecoveredBody(_Body, kw_only=True):
    outcome: str
    replayed_ms: Intervals = ()
    lost: Intervals = ()

    def event(self) -> Recovered:
        return Recovered(self.outcome, self.replayed_ms, self.lost, self.seq)


class _EndedBody(_Body, kw_only=True):
    reason: str
    retry: str = ""

    def event(self) -> Ended:
        return Ended(self.reason, self.retry, self.seq)


class _OwnError(msgspec.Struct):
    code: str | None = None
    fault: str | None = None
    retry: str | None = None
    retry_after_s: float | None = None


class _ErrorBody(_Body, kw_only=True):
    error: str | None = None
    code: str | None = None
    parley: _OwnError | None = None

    def event(self) -> Failed:
        own = self.parley or _OwnError()
        return Failed(self.error or "", self.code, own.code, own.fault, own.retry, own.retry_after_s, self.seq)


_BODIES: Mapping[str, type[_Body]] = {
    "transcription.delta": _DeltaBody,
    "transcription.done": _DoneBody,
    "session.created": _CreatedBody,
    "session.updated": _UpdatedBody,
    "session.resumed": _ResumedBody,
    "session.ack": _AckBody,
    "transcription.revised": _RevisedBody,
    "transcription.failed": _TurnFailedBody,
    "transcription.cancelled": _CancelledBody,
    "input_audio_buffer.cleared": _ClearedBody,
    "session.recovering": _RecoveringBody,
    "session.recovered": _RecoveredBody,
    "session.ended": _EndedBody,
    "error": _ErrorBody,
}
_decode_any = msgspec.json.Decoder(_Body).decode
_decode_delta = msgspec.json.Decoder(_DeltaBody).decode
_DECODERS = {kind: msgspec.json.Decoder(body).decode for kind, body in _BODIES.items()}


def parse_contract(message: bytes) -> ContractEvent:
    """One event of a server, Parley's or vLLM's.

    Raises:
        ParleyError: upstream-protocol, when it is not JSON or lacks what its type requires.
    """
    try:
        if message.startswith(_DELTA_PREFIX):
            return _decode_delta(message).event()
        body = _decode_any(message)
        decode = _DECODERS.get(body.type)
        return body.event() if decode is None else decode(message).event()
    except msgspec.DecodeError as cause:
        raise ParleyError("upstream-protocol", f"{vllm.where(cause)}.") from None
    except vllm.UNREADABLE:
        raise ParleyError("upstream-protocol", "It is not UTF-8, or nested too deeply.") from None


def item_of(item_id: str | None) -> int:
    """The turn's number in an `item_id`; 0 for none, and for one that is not of the form `item_<n>`."""
    match = _ITEM_ID.match(item_id) if item_id is not None else None
    return int(match[1]) if match is not None else 0


END_SESSION = b'{"type":"session.end"}'
CLEAR_INPUT = b'{"type":"input_audio_buffer.clear"}'


def encode_opt_in(model: str) -> bytes:
    """`session.update` that names the model, empty for any, and opts in to the session contract."""
    return encode_json({"type": vllm.SESSION_UPDATE, "model": model, "parley": {"resume": True}})


def encode_resume(token: str, seq: int) -> bytes:
    """`session.resume`, the first message of a connection: the client has every event up to `seq`."""
    return encode_json({"type": SESSION_RESUME, "token": token, "seq": seq})


def encode_ack(seq: int) -> bytes:
    """`session.ack`: the client has every event up to `seq`."""
    return encode_json({"type": SESSION_ACK, "seq": seq})


def encode_cancel(item: int = 0) -> bytes:
    """`transcription.cancel` for the turn of this item; 0 for the oldest turn."""
    body: dict[str, Any] = {"type": CANCEL}
    if item:
        body["item_id"] = f"item_{item}"
    return encode_json(body)
