"""The session contract's events read from a server's messages, Parley's or vLLM's: what these lack is 0 or None."""

from collections.abc import Mapping

import msgspec

from parley.core.content import Text
from parley.core.errors import ParleyError
from parley.core.usage import Usage
from parley.wire import vllm
from parley.wire.contract import (
    Cancelled,
    Cleared,
    ContractEvent,
    Created,
    Delta,
    Done,
    Ended,
    Expiring,
    Failed,
    Gap,
    GoingAway,
    InputAck,
    Intervals,
    Lagging,
    Queued,
    Recovered,
    Recovering,
    Resumed,
    Revised,
    Seq,
    TurnFailed,
    Unknown,
    Updated,
    item_of,
)
from parley.wire.vllm import encode_json

_DELTA_PREFIX = b'{"type":"transcription.delta",'


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


class _Kept(msgspec.Struct):
    retention: str = ""


class _UpdatedBody(_Body, kw_only=True):
    id: str = ""
    resume: _ResumeTicket
    parley: _Kept | None = None

    def event(self) -> Updated:
        return Updated(
            self.id, self.resume.token, self.resume.window_s, "" if self.parley is None else self.parley.retention
        )


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


class _GapBody(_Body, kw_only=True):
    from_ms: Seq
    to_ms: Seq
    reason: str = ""

    def event(self) -> Gap:
        return Gap(self.from_ms, self.to_ms, self.reason, self.seq)


class _QueuedBody(_Body, kw_only=True):
    position: Seq
    eta_ms: Seq | None = None

    def event(self) -> Queued:
        return Queued(self.position, self.eta_ms)


class _LaggingBody(_Body, kw_only=True):
    lag_ms: Seq

    def event(self) -> Lagging:
        return Lagging(self.lag_ms)


class _ExpiringBody(_Body, kw_only=True):
    reason: str
    in_ms: Seq

    def event(self) -> Expiring:
        return Expiring(self.reason, self.in_ms)


class _GoingAwayBody(_Body, kw_only=True):
    reason: str = ""
    deadline_ms: Seq
    moves: bool = False

    def event(self) -> GoingAway:
        return GoingAway(self.reason, self.deadline_ms, self.moves)


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
    "session.gap": _GapBody,
    "session.queued": _QueuedBody,
    "session.lagging": _LaggingBody,
    "session.expiring": _ExpiringBody,
    "session.going_away": _GoingAwayBody,
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
