"""vLLM's realtime protocol: what holds for any content, any spelling and any bytes."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.usage import Usage
from parley.wire import vllm
from parley.wire.vllm import Done, SessionUpdate

CANARY = "canary7d1f"

# ---- what holds for any content

texts = st.text(st.characters(codec="utf-8"))
pcm = st.binary(min_size=1, max_size=400).map(lambda data: data * 2)
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,", " : "), (",\n", ":\t")])
extras = st.dictionaries(
    st.text("abcxyz_", min_size=1).filter(
        lambda name: name not in {"type", "audio", "delta", "text", "model", "final"}
    ),
    st.recursive(st.none() | st.booleans() | st.integers() | texts, st.lists, max_leaves=4),
    max_size=2,
)


@st.composite
def spellings(draw: st.DrawFn, fields: dict[str, Any]) -> bytes:
    """The same object as somebody else's JSON library might write it."""
    members = draw(st.permutations([*fields.items(), *draw(extras).items()]))
    text = json.dumps(dict(members), separators=draw(separators), ensure_ascii=draw(st.booleans()))
    return text.encode()


@given(st.data(), pcm)
def test_audio_is_the_same_in_every_spelling_of_its_message(data: st.DataObject, samples: bytes) -> None:
    payload = b64encode(samples)
    message = data.draw(spellings({"type": vllm.APPEND, "audio": payload.decode()}))
    assert vllm.parse_client(message) == Audio(payload, len(samples) // 2)


@given(st.data(), texts)
def test_a_delta_is_the_same_in_every_spelling_of_its_message(data: st.DataObject, value: str) -> None:
    message = data.draw(spellings({"type": "transcription.delta", "delta": value}))
    text = vllm.parse_server(message)
    assert isinstance(text, Text)
    assert text.decode() == value


@given(st.data(), texts, st.integers(0, 2**63))
def test_a_done_is_the_same_in_every_spelling_of_its_message(data: st.DataObject, value: str, tokens: int) -> None:
    usage = {"prompt_tokens": tokens, "completion_tokens": 2, "total_tokens": 3, "prompt_tokens_details": None}
    message = data.draw(spellings({"type": "transcription.done", "text": value, "usage": usage}))
    done = vllm.parse_server(message)
    assert isinstance(done, Done)
    assert (done.text.decode(), done.usage) == (value, Usage(tokens, 2, 3))


@given(st.data(), st.text(st.characters(codec="utf-8"), max_size=256))
def test_a_model_is_the_same_in_every_spelling_of_its_message(data: st.DataObject, name: str) -> None:
    assert vllm.parse_client(data.draw(spellings({"type": vllm.SESSION_UPDATE, "model": name}))) == SessionUpdate(name)


@given(texts)
def test_what_we_write_of_a_text_is_read_back_as_it(value: str) -> None:
    text, usage = Text.of(value), Usage(1, 2, 3)
    delta, done = vllm.parse_server(vllm.encode_delta(text)), vllm.parse_server(vllm.encode_done(text, usage))
    assert isinstance(delta, Text)
    assert delta.decode() == value
    assert isinstance(done, Done)
    assert (done.text.decode(), done.usage) == (value, usage)


@given(pcm)
def test_what_we_write_of_audio_is_read_back_as_it(samples: bytes) -> None:
    audio = vllm.encode_audio(samples)
    assert vllm.parse_client(vllm.encode_append(audio)) == audio
    assert audio == Audio(b64encode(samples), len(samples) // 2)
    assert vllm.pcm_of(audio) == samples


# ---- cutting


@settings(max_examples=50)
@given(st.integers(1, 5 * vllm.SPLIT_SAMPLES))
@example(vllm.SPLIT_SAMPLES)
@example(vllm.SPLIT_SAMPLES + 1)
@example(3 * vllm.SPLIT_SAMPLES)
def test_pieces_of_audio_add_up_to_it_and_none_is_too_long(samples: int) -> None:
    sound = (bytes(range(251)) * (samples // 100 + 1))[: 2 * samples]
    pieces = vllm.split(vllm.encode_audio(sound))
    assert b"".join(map(vllm.pcm_of, pieces)) == sound
    # Each stands for itself: its payload is whole base64, and it knows its length.
    assert [vllm.decode_audio(piece.payload) for piece in pieces] == pieces
    assert [piece.samples for piece in pieces[:-1]] == [vllm.SPLIT_SAMPLES] * (len(pieces) - 1)
    assert 0 < pieces[-1].samples <= vllm.SPLIT_SAMPLES


def test_audio_is_cut_without_encoding_it_again() -> None:
    audio = vllm.encode_audio(bytes(range(250)) * 200)
    assert b"".join(piece.payload for piece in vllm.split(audio)) == audio.payload


# ---- any bytes at all

TEXT, USAGE = Text.of(f' {CANARY} "é'), Usage(1, 2, 3)
VALID = [
    vllm.encode_append(vllm.encode_audio(CANARY.encode())),
    vllm.COMMIT_START,
    vllm.COMMIT_FINAL,
    vllm.encode_session_update("voxtral"),
    vllm.encode_created("sess-1", 1),
    vllm.encode_delta(TEXT),
    vllm.encode_done(TEXT, USAGE),
    vllm.encode_error(CANARY, None),
]
CLIENT_CODES = {"invalid-json", "invalid-event", "unknown-event", "invalid-audio"}


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A valid message with content in it, damaged in a few places."""
    kind, name = draw(st.sampled_from([(vllm.APPEND, "audio"), ("transcription.delta", "delta"), ("error", "error")]))
    content = CANARY * draw(st.integers(1, 3))
    message = bytearray(json.dumps({"type": kind, name: content}, separators=draw(separators)).encode())
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(message)))
        message[place : place + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"\\", b"}"])
        )
    return bytes(message)


anything = st.binary() | st.sampled_from(VALID) | mangled() | texts.map(str.encode)


Parsed = vllm.ClientMessage | vllm.ServerMessage | ParleyError


def outcome(parse: Callable[[bytes], Parsed], message: bytes) -> Parsed:
    """What comes of the message; any other exception is the test's failure."""
    try:
        return parse(message)
    except ParleyError as error:
        return error


@settings(max_examples=300)
@given(anything)
def test_any_bytes_of_a_client_are_a_message_or_a_documented_error_without_content(message: bytes) -> None:
    result = outcome(vllm.parse_client, message)
    if isinstance(result, ParleyError):
        assert result.code in CLIENT_CODES
        assert CANARY not in f"{result} {result!r}"
    elif isinstance(result, Audio):
        assert len(vllm.pcm_of(result)) == 2 * result.samples > 0


@settings(max_examples=300)
@given(anything)
def test_any_bytes_of_a_model_server_are_a_message_or_a_documented_error_without_content(message: bytes) -> None:
    result = outcome(vllm.parse_server, message)
    if isinstance(result, ParleyError):
        assert result.code == "upstream-protocol"
        assert CANARY not in f"{result} {result!r}"
    text = result.text if isinstance(result, Done) else result
    if isinstance(text, Text):
        # It goes on to the client as it is: it must be JSON.
        assert isinstance(msgspec.json.decode(text.literal), str)
