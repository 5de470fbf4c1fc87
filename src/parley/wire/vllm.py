"""vLLM's realtime WebSocket protocol, both directions: JSON messages to values and back.

The protocol has three client events and four server events and has not changed from vLLM 0.16 to 0.33. `parse_client`
and `encode_*` of the server's events make a server; `parse_server` and the others make a client. Messages of the two
kinds that make up nearly all traffic, audio in and deltas out, are known by their first bytes and parsed in one step:
audio stays base64, text stays a JSON string literal.
"""

import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import pybase64

from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.usage import Usage as Usage

APPEND = "input_audio_buffer.append"
COMMIT = "input_audio_buffer.commit"
SESSION_UPDATE = "session.update"

# Compact JSON, and what Python's json.dumps writes by default.
_APPEND_PREFIXES = (
    b'{"type":"input_audio_buffer.append","audio":"',
    b'{"type": "input_audio_buffer.append", "audio": "',
)
_APPEND_HEAD = _APPEND_PREFIXES[0]
_COMPACT_LENGTH, _SPACED_LENGTH = map(len, _APPEND_PREFIXES)
_DELTA_HEAD = b'{"type":"transcription.delta","delta":'
_EMPTY_DELTA = b'{"type":"transcription.delta","delta":""}'
_EMPTY = Text(b'""')
_MODEL_NAME_MAX = 256


@dataclass(frozen=True, slots=True)
class SessionUpdate:
    """The client named the model; an empty name means any."""

    model: str


@dataclass(frozen=True, slots=True)
class Commit:
    """The client started a turn, or ended it with `final`: the opposite of OpenAI's meaning of commit."""

    final: bool


@dataclass(frozen=True, slots=True)
class Created:
    """The server accepted the connection."""

    session_id: str


@dataclass(frozen=True, slots=True)
class Done:
    """The server ended a turn: all its deltas joined, and what it cost."""

    text: Text
    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """The server reported an error. It does not say which event caused it, and the connection stays open."""

    message: str
    code: str | None

    def __repr__(self) -> str:
        # The message is the model server's own text and may quote what was said.
        return f"Failed(code={self.code!r})"


class _Head(msgspec.Struct):
    type: str


class _AppendBody(msgspec.Struct):
    audio: str


class _UpdateBody(msgspec.Struct):
    model: str


class _CommitBody(msgspec.Struct):
    final: bool = False


class _CreatedBody(msgspec.Struct):
    id: str = ""


class _DeltaBody(msgspec.Struct):
    delta: str


class _UsageBody(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class _DoneBody(msgspec.Struct):
    text: str
    usage: _UsageBody | None = None


class _ErrorBody(msgspec.Struct):
    error: str | None = None
    code: str | None = None


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_append = msgspec.json.Decoder(_AppendBody).decode
_decode_update = msgspec.json.Decoder(_UpdateBody).decode
_decode_commit = msgspec.json.Decoder(_CommitBody).decode
_decode_created = msgspec.json.Decoder(_CreatedBody).decode
_decode_delta = msgspec.json.Decoder(_DeltaBody).decode
_decode_done = msgspec.json.Decoder(_DoneBody).decode
_decode_error = msgspec.json.Decoder(_ErrorBody).decode
encode_json = msgspec.json.Encoder().encode
"""Any value as compact JSON."""
# Its arguments by position: by name they cost more than the decoding.
_decode_base64 = pybase64.b64decode
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not JSON; the last two are not of its own kind."""

ClientMessage = Audio | Commit | SessionUpdate
ServerMessage = Text | Created | Done | Failed


def parse_client(message: bytes) -> ClientMessage:
    """One message of a client. Unknown fields are ignored, as vLLM does.

    Raises:
        ParleyError: invalid-json, invalid-event, unknown-event or invalid-audio.
    """
    return audio_of(message) or parse_client_event(type_of(message), message)


def audio_of(message: bytes) -> Audio | None:
    """The audio of a message that its first bytes show to be `input_audio_buffer.append`; None for all others, and
    for one that has to be parsed to know."""
    if message.endswith(b'"}'):
        try:
            if message.startswith(_APPEND_PREFIXES[0]):
                return decode_audio(message[_COMPACT_LENGTH:-2])
            if message.startswith(_APPEND_PREFIXES[1]):
                return decode_audio(message[_SPACED_LENGTH:-2])
        except ParleyError:
            # A further field, an escaped slash, or audio that is wrong indeed: all are rare, and parsed.
            pass
    return None


def decode_audio(payload: bytes) -> Audio:
    """Checked audio from base64 text of PCM16 LE at 16 kHz, mono.

    Raises:
        ParleyError: invalid-audio, when it is empty, not base64, or an odd number of bytes.
    """
    try:
        size = len(_decode_base64(payload, None, True))
    except (binascii.Error, ValueError):
        raise ParleyError("invalid-audio", "It is not valid base64.") from None
    if size == 0:
        raise ParleyError("invalid-audio", "It is empty.")
    if size & 1:
        raise ParleyError("invalid-audio", f"It has {size} bytes, an odd number.")
    return Audio(payload, size >> 1)


def encode_audio(pcm: bytes | bytearray | memoryview) -> Audio:
    """Audio from PCM16 LE at 16 kHz, mono; the caller vouches for an even, non-zero number of bytes."""
    return Audio(pybase64.b64encode(pcm), len(pcm) >> 1)


def pcm_of(audio: Audio) -> bytes:
    """The PCM16 LE samples of checked audio."""
    pcm: bytes = pybase64.b64decode(audio.payload)
    return pcm


def join(pieces: Iterable[Audio]) -> Audio:
    """Pieces of checked audio as one."""
    return encode_audio(b"".join(map(pcm_of, pieces)))


SPLIT_SAMPLES = 8_100
"""Largest piece that `split` leaves whole: 506.25 ms, the multiple of 3 samples next above half a second, so that a
cut falls between base64's groups of three bytes."""

_SPLIT_CHARACTERS = SPLIT_SAMPLES * 2 // 3 * 4


def split(audio: Audio) -> list[Audio]:
    """The same audio in pieces of `SPLIT_SAMPLES` or less, cut without re-encoding."""
    payload, left, pieces = audio.payload, audio.samples, []
    for start in range(0, len(payload), _SPLIT_CHARACTERS):
        pieces.append(Audio(payload[start : start + _SPLIT_CHARACTERS], min(left, SPLIT_SAMPLES)))
        left -= SPLIT_SAMPLES
    return pieces


def parse_client_event(kind: str, message: bytes) -> ClientMessage:
    """One message of a client whose type is known; see `parse_client`."""
    try:
        if kind == APPEND:
            return decode_audio(_decode_append(message).audio.encode())
        if kind == COMMIT:
            return Commit(_decode_commit(message).final)
        if kind == SESSION_UPDATE:
            model = _decode_update(message).model
            check_model_name(model)
            return SessionUpdate(model)
    except msgspec.ValidationError as error:
        raise ParleyError("invalid-event", f"In {kind}: {where(error)}.") from None
    except UNREADABLE:
        raise ParleyError("invalid-json") from None
    raise ParleyError("unknown-event")


def check_model_name(name: str) -> None:
    """Raise ParleyError invalid-event when a model's name is longer than any can be."""
    if len(name) > _MODEL_NAME_MAX:
        raise ParleyError("invalid-event", f"`model` is longer than {_MODEL_NAME_MAX} characters.")


def parse_server(message: bytes) -> ServerMessage:
    """One message of a model server.

    Raises:
        ParleyError: upstream-protocol, when it is none of the four server events.
    """
    if message == _EMPTY_DELTA:
        return _EMPTY
    try:
        if message.startswith(_DELTA_HEAD):
            return Text(encode_json(_decode_delta(message).delta))
        return _parse_server_event(message)
    except msgspec.DecodeError as cause:
        raise ParleyError("upstream-protocol", f"{where(cause)}.") from None
    except UNREADABLE:
        raise ParleyError("upstream-protocol", "It is not UTF-8, or nested too deeply.") from None


def _parse_server_event(message: bytes) -> ServerMessage:
    kind = _decode_head(message).type
    if kind == "transcription.delta":
        return Text(encode_json(_decode_delta(message).delta))
    if kind == "transcription.done":
        body = _decode_done(message)
        usage = body.usage or _UsageBody()
        counts = Usage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
        return Done(Text(encode_json(body.text)), counts)
    if kind == "session.created":
        return Created(_decode_created(message).id)
    if kind == "error":
        error = _decode_error(message)
        return Failed(error.error or "", error.code)
    raise ParleyError("upstream-protocol", "It sent an event of an unknown type.")


def type_of(message: bytes) -> str:
    """The type of a client's message.

    Raises:
        ParleyError: invalid-json or invalid-event.
    """
    try:
        return _decode_head(message).type
    except msgspec.ValidationError as error:
        raise ParleyError("invalid-event", f"{where(error)}.") from None
    except UNREADABLE:
        raise ParleyError("invalid-json") from None


def where(error: msgspec.DecodeError) -> str:
    """What is wrong and where. msgspec's texts name types and fields, never values."""
    return str(error)


def encode_append(audio: Audio) -> bytes:
    """`input_audio_buffer.append`."""
    return b"".join((_APPEND_HEAD, audio.payload, b'"}'))


COMMIT_START = b'{"type":"input_audio_buffer.commit"}'
COMMIT_FINAL = b'{"type":"input_audio_buffer.commit","final":true}'


def encode_session_update(model: str) -> bytes:
    """`session.update` with the model's name at the top level, where vLLM reads it."""
    return encode_json({"type": SESSION_UPDATE, "model": model})


def encode_created(session_id: str, created_s: int, **extra: Any) -> bytes:
    """`session.created`; `created_s` is Unix time in seconds, `extra` holds namespaced additions."""
    return encode_json({"type": "session.created", "id": session_id, "created": created_s, **extra})


def encode_delta(text: Text) -> bytes:
    """`transcription.delta`."""
    return b"%b%b}" % (_DELTA_HEAD, text.literal)


def encode_done(text: Text, usage: Usage) -> bytes:
    """`transcription.done`."""
    counts = {
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.total_tokens,
        "completion_tokens": usage.completion_tokens,
        "prompt_tokens_details": None,
    }
    return b'{"type":"transcription.done","text":%b,"usage":%b}' % (text.literal, encode_json(counts))


def encode_error(message: str, code: str | None, **extra: Any) -> bytes:
    """`error`. vLLM's `error` is a string, not an object; `extra` holds namespaced additions."""
    return encode_json({"type": "error", "error": message, "code": code, **extra})


def encode_failure(error: ParleyError, **extra: Any) -> bytes:
    """`error` for one of Parley's own: the code that a vLLM client knows, and ours beside it under `parley`."""
    spec = error.spec
    own: dict[str, Any] = {"code": spec.code, "fault": spec.fault, "retry": spec.retry}
    if error.retry_after_s is not None:
        own["retry_after_s"] = error.retry_after_s
    return encode_error(error.message, spec.vllm_code, parley=own, **extra)
