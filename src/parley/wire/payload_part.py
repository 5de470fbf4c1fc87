"""The events of SageMaker's bidirectional stream: parts of a payload both ways, exceptions to the client.

A part's bytes are the payload of its event; `DataType` (UTF8 or BINARY) and `CompletionState` (PARTIAL or COMPLETE) are
headers, and absent they mean BINARY and COMPLETE. A client's events come wrapped in signing events, whose headers are
`:date` and `:chunk-signature` and whose payload is the event.
"""

from dataclasses import dataclass, field

import msgspec

from parley.core.errors import ParleyError
from parley.wire.event_headers import invalid
from parley.wire.event_stream import Message, Value, assemble, encode_headers

_PART = "PayloadPart"
_MODEL_STREAM_ERROR = "ModelStreamError"
_INTERNAL_STREAM_FAILURE = "InternalStreamFailure"


@dataclass(frozen=True, slots=True)
class PayloadPart:
    """A part: a piece of a message, the last one when `is_complete`. Its bytes are not in its `repr`."""

    data: bytes = field(repr=False)
    is_text: bool = False
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class StreamFailure:
    """How a stream failed, as its client reads it: the exception's name, what it says and its `ErrorCode`."""

    kind: str
    message: str = field(repr=False)
    code: str = ""


class _ExceptionBody(msgspec.Struct):
    """The JSON of an exception; a service may write `Message` in either case."""

    Message: str = ""
    message: str = ""
    ErrorCode: str = ""


def _part_headers(*, is_text: bool, is_complete: bool) -> bytes:
    # In the order in which AWS's SDK for Python writes them.
    return encode_headers(
        {
            ":message-type": "event",
            ":event-type": _PART,
            "DataType": "UTF8" if is_text else "BINARY",
            "CompletionState": "COMPLETE" if is_complete else "PARTIAL",
            ":content-type": "application/octet-stream",
        }
    )


_PART_HEADERS = {
    (is_text, is_complete): _part_headers(is_text=is_text, is_complete=is_complete)
    for is_text in (False, True)
    for is_complete in (False, True)
}


_KINDS: dict[tuple[Value | None, Value | None], tuple[bool, bool]] = {
    (data_type, completion_state): (data_type == "UTF8", completion_state != "PARTIAL")
    for data_type in ("UTF8", "BINARY", None)
    for completion_state in ("COMPLETE", "PARTIAL", None)
}
"""What the two headers say: whether the part is text, and whether it is the last one of its message."""


def encode_part(data: bytes, *, is_text: bool = True, is_complete: bool = True) -> bytes:
    """A part as an event.

    Raises:
        ValueError: the data is longer than `event_stream.PAYLOAD_MAX_BYTES`.
    """
    return assemble(_PART_HEADERS[is_text, is_complete], data)


def encode_model_stream_error(message: str, code: str) -> bytes:
    """The exception for what the client or the model server is to blame for."""
    return _exception(_MODEL_STREAM_ERROR, {"Message": message, "ErrorCode": code})


def encode_internal_stream_failure(message: str) -> bytes:
    """The exception for what this server is to blame for."""
    return _exception(_INTERNAL_STREAM_FAILURE, {"Message": message})


def _exception(kind: str, body: dict[str, str]) -> bytes:
    headers = {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"}
    return assemble(encode_headers(headers), msgspec.json.encode(body))


def is_signing_event(message: Message) -> bool:
    """Whether the message is a wrapper with a signature; what is in it is its payload."""
    return ":chunk-signature" in message.headers


def parse_part(message: Message) -> PayloadPart:
    """The part that a client sent. The headers that name the kind of event may be missing.

    Raises:
        ParleyError: invalid-event-stream, when it is another kind of event or a header has a value that does not exist.
    """
    headers = message.headers
    if headers.get(":message-type", "event") != "event" or headers.get(":event-type", _PART) != _PART:
        raise invalid(f"Its kind is not that of an event {_PART}, which is all that a client may send.")
    kind = _KINDS.get((headers.get("DataType"), headers.get("CompletionState")))
    if kind is None:
        raise invalid("DataType must be UTF8 or BINARY, and CompletionState PARTIAL or COMPLETE.")
    return PayloadPart(message.payload, *kind)


def parse_response(message: Message) -> PayloadPart | StreamFailure:
    """What a service sent to its client. A failure's body that can't be read leaves its fields empty.

    Raises:
        ParleyError: upstream-protocol, when it is neither a part nor a failure.
    """
    kind = message.headers.get(":message-type")
    if kind == "exception":
        return _failure(message)
    if kind == "error":
        code = _text(message, ":error-code")
        return StreamFailure(code, _text(message, ":error-message"), code)
    try:
        return parse_part(message)
    except ParleyError as error:
        raise ParleyError("upstream-protocol", f"An event of a stream is wrong. {error.detail}") from None


def _failure(message: Message) -> StreamFailure:
    try:
        body = msgspec.json.decode(message.payload, type=_ExceptionBody)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = _ExceptionBody()
    return StreamFailure(_text(message, ":exception-type"), body.Message or body.message, body.ErrorCode)


def _text(message: Message, name: str) -> str:
    value = message.headers.get(name, "")
    return value if isinstance(value, str) else ""
