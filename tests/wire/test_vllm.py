"""vLLM's realtime protocol: what each message means, in every spelling, and what is refused."""

import json
from typing import Any

import pytest

from parley.core.content import Audio, Text
from parley.core.errors import ERRORS, ParleyError
from parley.core.usage import Usage
from parley.wire import vllm
from parley.wire.vllm import Commit, Created, Done, Failed, SessionUpdate

CANARY = "canary7d1f"

# ---- from a client

APPENDED = Audio(b"AAECAw==", 2)

CLIENT_VECTORS: list[tuple[bytes, vllm.ClientMessage]] = [
    # input_audio_buffer.append: compact, as json.dumps writes it, and in other spellings
    (b'{"type":"input_audio_buffer.append","audio":"AAECAw=="}', APPENDED),
    (b'{"type": "input_audio_buffer.append", "audio": "AAECAw=="}', APPENDED),
    (b'{"audio":"AAECAw==","type":"input_audio_buffer.append"}', APPENDED),
    (b'{"type":"input_audio_buffer.append","audio": "AAECAw=="}', APPENDED),
    (b'\n{ "type" : "input_audio_buffer.append" ,\t"audio" : "AAECAw==" }\r\n', APPENDED),
    (b'{"event_id":"e1","type":"input_audio_buffer.append","audio":"AAECAw=="}', APPENDED),
    (b'{"type":"input_audio_buffer.append","audio":"AAECAw==","event_id":"e1"}', APPENDED),
    (b'{"type": "input_audio_buffer.append", "audio": "AAECAw==", "event_id": "e1"}', APPENDED),
    (b'{"type":"input_audio_buffer.append","audio":"AAECAw==","n":1}', APPENDED),
    (b'{"type":"input_audio_buffer.append","audio":"AAECAw==","x":{"y":"z"}}', APPENDED),
    # Some encoders escape slashes, and any character may be written by its number.
    (b'{"type":"input_audio_buffer.append","audio":"\\/\\/8="}', Audio(b"//8=", 1)),
    (b'{"type":"input_audio_buffer.append","audio":"\\u0041AECAw=="}', APPENDED),
    (b'{"type":"input_audio_buffer\\u002eappend","audio":"AAECAw=="}', APPENDED),
    # input_audio_buffer.commit
    (b'{"type":"input_audio_buffer.commit"}', Commit(final=False)),
    (b'{"type": "input_audio_buffer.commit"}', Commit(final=False)),
    (b'{"type":"input_audio_buffer.commit","final":false}', Commit(final=False)),
    (b'{"type":"input_audio_buffer.commit","final":true}', Commit(final=True)),
    (b'{"type": "input_audio_buffer.commit", "final": true}', Commit(final=True)),
    (b'{"final":true,"event_id":"e1","type":"input_audio_buffer.commit"}', Commit(final=True)),
    # session.update
    (b'{"type":"session.update","model":"voxtral"}', SessionUpdate("voxtral")),
    (b'{"type": "session.update", "model": "voxtral"}', SessionUpdate("voxtral")),
    (b'{"model":"voxtral","type":"session.update"}', SessionUpdate("voxtral")),
    (b'{"type":"session.update","model":""}', SessionUpdate("")),
    (b'{"type":"session.update","model":"a\\"b\\u00e9\\ud83d\\ude00"}', SessionUpdate('a"bé😀')),
    (b'{"type":"session.update","model":"m","session":{"model":"n"}}', SessionUpdate("m")),
    (b'{"type":"session.update","model":"%b"}' % (b"m" * 256), SessionUpdate("m" * 256)),
]


@pytest.mark.parametrize(("message", "value"), CLIENT_VECTORS)
def test_a_clients_message_means_its_value_in_every_spelling(message: bytes, value: vllm.ClientMessage) -> None:
    assert vllm.parse_client(message) == value


def _append(audio: bytes) -> bytes:
    return b'{"type":"input_audio_buffer.append","audio":"%b"}' % audio


DEEP = b"[" * 100_000 + b"]" * 100_000

CLIENT_REFUSALS: list[tuple[bytes, str, str]] = [
    (b"", "invalid-json", ""),
    (b"hello", "invalid-json", ""),
    (b'{"type":"session.update","model":"m"', "invalid-json", ""),
    (b'{"type":"session.update","model":"m"}}', "invalid-json", ""),
    (b'{"type":"session.update","model":"m","x":nul}', "invalid-json", ""),
    (b'{"type":"session.update","model":"a\x00b"}', "invalid-json", ""),
    (b'\xef\xbb\xbf{"type":"session.update","model":"m"}', "invalid-json", ""),
    (b'{"type":"\xff"}', "invalid-json", ""),
    (b'{"type":"session.update","model":"\xff"}', "invalid-json", ""),
    (b'{"type":"session.update","model":"\xed\xa0\x80"}', "invalid-json", ""),
    (b'{"type":"session.update","model":"\\ud800"}', "invalid-json", ""),
    (b'{"audio":"\xff\xff","type":"input_audio_buffer.append"}', "invalid-json", ""),
    (_append(b"\xff\xff\xff\xff"), "invalid-json", ""),
    (_append(b"AAECAw==\\"), "invalid-json", ""),
    (b'{"x":%b,"type":"session.update","model":"m"}' % DEEP, "invalid-json", ""),
    (b'{"type":"input_audio_buffer.commit","x":%b}' % DEEP, "invalid-json", ""),
    (b"[]", "invalid-event", "Expected `object`, got `array`."),
    (b"null", "invalid-event", "Expected `object`, got `null`."),
    (b'"session.update"', "invalid-event", "Expected `object`, got `str`."),
    (b"{}", "invalid-event", "Object missing required field `type`."),
    (b'{"type":1}', "invalid-event", "Expected `str`, got `int` - at `$.type`."),
    (
        b'{"type":"session.update","session":{"model":"m"}}',
        "invalid-event",
        "In session.update: Object missing required field `model`.",
    ),
    (
        b'{"type":"session.update","model":null}',
        "invalid-event",
        "In session.update: Expected `str`, got `null` - at `$.model`.",
    ),
    (
        b'{"type":"session.update","model":"%b"}' % (b"m" * 257),
        "invalid-event",
        "`model` is longer than 256 characters.",
    ),
    (
        b'{"type":"input_audio_buffer.commit","final":null}',
        "invalid-event",
        "In input_audio_buffer.commit: Expected `bool`, got `null` - at `$.final`.",
    ),
    (
        b'{"type":"input_audio_buffer.commit","final":1}',
        "invalid-event",
        "In input_audio_buffer.commit: Expected `bool`, got `int` - at `$.final`.",
    ),
    (
        b'{"type":"input_audio_buffer.append"}',
        "invalid-event",
        "In input_audio_buffer.append: Object missing required field `audio`.",
    ),
    (
        b'{"type":"input_audio_buffer.append","audio":[1,2]}',
        "invalid-event",
        "In input_audio_buffer.append: Expected `str`, got `array` - at `$.audio`.",
    ),
    (b'{"type":""}', "unknown-event", ""),
    (b'{"type":"input_audio_buffer.clear"}', "unknown-event", ""),
    (b'{"type":"response.create"}', "unknown-event", ""),
    (b'{"type":"transcription.delta","delta":""}', "unknown-event", ""),
    (_append(b""), "invalid-audio", "It is empty."),
    (b'{"audio":"","type":"input_audio_buffer.append"}', "invalid-audio", "It is empty."),
    (_append(b"AA=="), "invalid-audio", "It has 1 bytes, an odd number."),
    (_append(b"AAAA"), "invalid-audio", "It has 3 bytes, an odd number."),
    (_append(b"AAE"), "invalid-audio", "It is not valid base64."),
    (_append(b"AAECAw="), "invalid-audio", "It is not valid base64."),
    (_append(b"AAAA===="), "invalid-audio", "It is not valid base64."),
    (_append(b"AA==AAAA"), "invalid-audio", "It is not valid base64."),
    (_append(b"_-_-"), "invalid-audio", "It is not valid base64."),
    (_append(b" AAE="), "invalid-audio", "It is not valid base64."),
    (_append(b"AAE=\\n"), "invalid-audio", "It is not valid base64."),
    (_append(b"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"), "invalid-audio", "It is not valid base64."),
]


@pytest.mark.parametrize(("message", "code", "detail"), CLIENT_REFUSALS, ids=lambda value: repr(value)[:60])
def test_what_is_not_the_protocol_is_refused_with_its_code_and_place(message: bytes, code: str, detail: str) -> None:
    with pytest.raises(ParleyError) as caught:
        vllm.parse_client(message)
    assert (caught.value.code, caught.value.detail) == (code, detail)


# ---- from a model server

HELLO = Text(b'" hello"')
EMPTY = Text(b'""')

SERVER_VECTORS: list[tuple[bytes, vllm.ServerMessage]] = [
    # transcription.delta
    (b'{"type":"transcription.delta","delta":""}', EMPTY),
    (b'{"type": "transcription.delta", "delta": ""}', EMPTY),
    (b'{"type":"transcription.delta","delta":" hello"}', HELLO),
    (b'{"type": "transcription.delta", "delta": " hello"}', HELLO),
    (b'{"delta":" hello","type":"transcription.delta"}', HELLO),
    (b'{"type":"transcription.delta","delta":" hello","segments":[{"text":"x","end":1.5}]}', HELLO),
    (b'{"type":"transcription.delta","delta":"a\\"b"}', Text(b'"a\\"b"')),
    (b'{"type":"transcription.delta","delta":"\\\\"}', Text(b'"\\\\"')),
    (b'{"type":"transcription.delta","delta":"\\n\\u0000\\/"}', Text(b'"\\n\\u0000/"')),
    ('{"type":"transcription.delta","delta":" né 語 😀"}'.encode(), Text('" né 語 😀"'.encode())),
    (b'{"type":"transcription.delta","delta":"\\u00e9\\ud83d\\ude00"}', Text('"é😀"'.encode())),
    # transcription.done
    (
        b'{"type":"transcription.done","text":" hello","usage":{"prompt_tokens":39,"total_tokens":62,'
        b'"completion_tokens":23,"prompt_tokens_details":null}}',
        Done(HELLO, Usage(39, 23, 62)),
    ),
    (b'{"type": "transcription.done", "text": "", "usage": null}', Done(EMPTY, Usage())),
    (b'{"text":" hello","type":"transcription.done"}', Done(HELLO, Usage())),
    (b'{"type":"transcription.done","text":"","usage":{"completion_tokens":7}}', Done(EMPTY, Usage(0, 7, 0))),
    # session.created
    (b'{"type":"session.created","id":"sess-0123","created":1700000000}', Created("sess-0123")),
    (b'{"type": "session.created", "created": 1, "id": "s", "more": {}}', Created("s")),
    (b'{"type":"session.created"}', Created("")),
    # error
    (b'{"type":"error","error":"Invalid JSON","code":"invalid_json"}', Failed("Invalid JSON", "invalid_json")),
    (b'{"type":"error","error":"engine died","code":null}', Failed("engine died", None)),
    (b'{"type": "error", "error": null}', Failed("", None)),
    (b'{"type":"error"}', Failed("", None)),
]


@pytest.mark.parametrize(("message", "value"), SERVER_VECTORS)
def test_a_model_servers_message_means_its_value_in_every_spelling(message: bytes, value: vllm.ServerMessage) -> None:
    assert vllm.parse_server(message) == value


UNREADABLE = "It is not UTF-8, or nested too deeply."

SERVER_REFUSALS: list[tuple[bytes, str]] = [
    (b"", "Input data was truncated."),
    (b"hello", "JSON is malformed: "),
    (b"[]", "Expected `object`, got `array`."),
    (b"{}", "Object missing required field `type`."),
    (b'{"type":"transcription.segment"}', "It sent an event of an unknown type."),
    (b'{"type":"transcription.delta","delta":', "Input data was truncated."),
    (b'{"type":"transcription.delta","delta":"a"]', "JSON is malformed: "),
    (b'{"type":"transcription.delta","delta":"a\\"}', "Input data was truncated."),
    (b'{"type":"transcription.delta","delta":"\\x"}', "JSON is malformed: "),
    (b'{"type":"transcription.delta","delta":"\n"}', "JSON is malformed: "),
    (b'{"type":"transcription.delta","delta":"\xff"}', UNREADABLE),
    (b'{"type":"transcription.delta","delta":"\\ud83d"}', "Input data was truncated."),
    (b'{"type":"transcription.delta","delta":null}', "Expected `str`, got `null` - at `$.delta`."),
    (b'{"type":"transcription.delta"}', "Object missing required field `delta`."),
    (b'{"type":"transcription.done"}', "Object missing required field `text`."),
    (
        b'{"type":"transcription.done","text":"","usage":{"prompt_tokens":1.5}}',
        "Expected `int`, got `float` - at `$.usage.prompt_tokens`.",
    ),
    (b'{"type":"error","error":{"message":"m"}}', "Expected `str | null`, got `object` - at `$.error`."),
    (b'{"type":"error","error":"\xff"}', UNREADABLE),
    (b'{"type":"error","x":%b}' % DEEP, UNREADABLE),
]


@pytest.mark.parametrize(("message", "detail"), SERVER_REFUSALS, ids=lambda value: repr(value)[:60])
def test_what_a_model_server_may_not_send_is_a_protocol_error(message: bytes, detail: str) -> None:
    with pytest.raises(ParleyError) as caught:
        vllm.parse_server(message)
    assert caught.value.code == "upstream-protocol"
    assert caught.value.detail.startswith(detail)


# ---- what we write

ENCODED: list[tuple[bytes, bytes]] = [
    (vllm.encode_append(APPENDED), b'{"type":"input_audio_buffer.append","audio":"AAECAw=="}'),
    (vllm.COMMIT_START, b'{"type":"input_audio_buffer.commit"}'),
    (vllm.COMMIT_FINAL, b'{"type":"input_audio_buffer.commit","final":true}'),
    (vllm.encode_session_update('vox"é'), '{"type":"session.update","model":"vox\\"é"}'.encode()),
    (vllm.encode_created("sess-1", 1_700_000_000), b'{"type":"session.created","id":"sess-1","created":1700000000}'),
    (vllm.encode_delta(HELLO), b'{"type":"transcription.delta","delta":" hello"}'),
    (
        vllm.encode_done(HELLO, Usage(39, 23, 62)),
        b'{"type":"transcription.done","text":" hello","usage":{"prompt_tokens":39,"total_tokens":62,'
        b'"completion_tokens":23,"prompt_tokens_details":null}}',
    ),
    (vllm.encode_error("Boo", "invalid_event"), b'{"type":"error","error":"Boo","code":"invalid_event"}'),
    (vllm.encode_error("Boo", None), b'{"type":"error","error":"Boo","code":null}'),
    (vllm.encode_error("Boo", None, more=1), b'{"type":"error","error":"Boo","code":null,"more":1}'),
]


@pytest.mark.parametrize(("written", "expected"), ENCODED)
def test_messages_are_written_as_vllm_and_its_clients_write_them(written: bytes, expected: bytes) -> None:
    assert written == expected


@pytest.mark.parametrize(
    ("message", "names"),
    [
        # The fields that vLLM 0.16 to 0.33 sends, in its order.
        (vllm.encode_created("s", 1), ["type", "id", "created"]),
        (vllm.encode_delta(HELLO), ["type", "delta"]),
        (vllm.encode_done(HELLO, Usage()), ["type", "text", "usage"]),
        (vllm.encode_error("e", "c"), ["type", "error", "code"]),
    ],
)
def test_a_vllm_client_finds_the_fields_it_knows(message: bytes, names: list[str]) -> None:
    assert list(json.loads(message)) == names


@pytest.mark.parametrize("code", list(ERRORS))
def test_a_failure_has_the_code_a_vllm_client_knows_and_ours_beside_it(code: str) -> None:
    error = ParleyError(code, "Some detail.")
    spec = ERRORS[code]
    assert json.loads(vllm.encode_failure(error)) == {
        "type": "error",
        "error": error.message,
        "code": spec.vllm_code,
        "parley": {"code": code, "fault": spec.fault.value, "retry": spec.retry.value},
    }


def test_a_failure_says_when_to_retry_if_that_is_known() -> None:
    message = json.loads(vllm.encode_failure(ParleyError("at-capacity", retry_after_s=1.5)))
    assert message["parley"]["retry_after_s"] == 1.5


@pytest.mark.parametrize("message", [vllm.COMMIT_START, vllm.COMMIT_FINAL])
def test_our_own_commits_mean_what_they_say(message: bytes) -> None:
    assert vllm.parse_client(message) == Commit(final=message == vllm.COMMIT_FINAL)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_audio_is_encoded_from_any_buffer(kind: Any) -> None:
    assert vllm.encode_audio(kind(b"\x00\x01\x02\x03")) == APPENDED


# ---- what is not shown


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (Failed(CANARY, "processing_error"), "Failed(code='processing_error')"),
        (Failed(CANARY, None), "Failed(code=None)"),
        (Done(Text.of(CANARY), Usage()), f"Done(text=Text(bytes=10), usage={Usage()!r})"),
    ],
)
def test_a_message_does_not_show_its_content(message: vllm.ServerMessage, shown: str) -> None:
    assert f"{message!r}" == f"{message}" == shown


def test_pieces_are_joined_to_the_same_audio() -> None:
    first, second = vllm.encode_audio(b"\x01\x00" * 320), vllm.encode_audio(b"\x02\x00" * 321)
    joined = vllm.join([first, second])
    assert (joined.samples, vllm.pcm_of(joined)) == (641, vllm.pcm_of(first) + vllm.pcm_of(second))
