import json

import pytest

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.limits import AtBound
from parley.core.notices import Recovering
from parley.core.retention import Retention
from parley.core.usage import Usage
from parley.wire import vllm
from parley.wire.dialect import Dialect, Resume, VllmDialect

DIALECT: Dialect = VllmDialect()
SECOND = 16_000


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (b'{"type":"session.update","model":"voxtral"}', [ev.ModelNamed("voxtral")]),
        (b'{"type":"session.update","model":""}', [ev.ModelNamed("")]),
        (b'{"type":"input_audio_buffer.commit"}', [ev.TurnStarted()]),
        (b'{"type":"input_audio_buffer.commit","final":false}', [ev.TurnStarted()]),
        (b'{"type":"input_audio_buffer.commit","final":true}', [ev.TurnEnded()]),
        (b'{"type":"input_audio_buffer.append","audio":"AAE="}', Audio(b"AAE=", 1)),
        (b'{"audio": "AAE=", "type": "input_audio_buffer.append"}', Audio(b"AAE=", 1)),
        (b'{"type":"session.update","model":"m","parley":{"resume":true}}', [ev.ModelNamed("m"), ev.ResumeEnabled()]),
        (b'{"type":"session.update","model":"m","parley":{"resume":false}}', [ev.ModelNamed("m")]),
        (
            b'{"type":"session.update","model":"m","parley":{"resume":true,"input_policy":"terminate"}}',
            [ev.ModelNamed("m"), ev.ResumeEnabled(), ev.PoliciesChosen(AtBound.TERMINATE)],
        ),
        (
            b'{"type":"session.update","model":"m","parley":{"output_policy":"block"}}',
            [ev.ModelNamed("m"), ev.PoliciesChosen(None, AtBound.BLOCK)],
        ),
        (
            b'{"type":"session.update","model":"m","parley":{"resume":true,"retention":"transcript"}}',
            [ev.ModelNamed("m"), ev.RetentionChosen(Retention.TRANSCRIPT), ev.ResumeEnabled()],
        ),
        (
            b'{"type":"session.update","model":"m","parley":{"consent":true}}',
            [ev.ModelNamed("m"), ev.RetentionChosen(None, consent=True)],
        ),
        (b'{"type":"session.ack","seq":7}', [ev.OutputAcked(7)]),
        (b'{"type":"session.end"}', [ev.SessionClosed()]),
        (b'{"type":"input_audio_buffer.clear"}', [ev.InputCleared()]),
        (b'{"type":"transcription.cancel"}', [ev.TurnCancelled(0)]),
        (b'{"type":"transcription.cancel","item_id":"item_3"}', [ev.TurnCancelled(3)]),
        (b'{"type":"session.resume","token":"t","seq":4}', Resume("t", 4)),
    ],
)
def test_each_message_is_the_audio_or_the_events_that_it_means(message: bytes, meaning: object) -> None:
    assert DIALECT.receive(message) == meaning


def cut(message: bytes) -> list[ev.AudioReceived]:
    """The pieces of a long message."""
    events = DIALECT.receive(message)
    assert isinstance(events, list)
    pieces = [event for event in events if isinstance(event, ev.AudioReceived)]
    assert len(pieces) == len(events)
    return pieces


@pytest.mark.parametrize(
    ("samples", "lengths"),
    [
        (vllm.SPLIT_SAMPLES + 1, [8_100, 1]),
        (2 * SECOND, [8_100, 8_100, 8_100, 7_700]),
    ],
)
def test_audio_longer_than_half_a_second_is_cut_so_that_it_can_be_paced(samples: int, lengths: list[int]) -> None:
    sound = (bytes(range(256)) * 500)[: 2 * samples]
    pieces = [event.audio for event in cut(vllm.encode_append(vllm.encode_audio(sound)))]
    assert [piece.samples for piece in pieces] == lengths
    assert b"".join(map(vllm.pcm_of, pieces)) == sound


def test_audio_that_is_cut_counts_as_the_one_message_that_it_was() -> None:
    long = vllm.encode_audio(bytes(4 * SECOND))
    assert [event.messages for event in cut(vllm.encode_append(long))] == [0, 0, 0, 1]


def test_long_audio_is_cut_in_any_spelling_of_its_message() -> None:
    payload = vllm.encode_audio(bytes(4 * SECOND)).payload
    message = b'{"audio":"%b","type":"input_audio_buffer.append"}' % payload
    assert [event.messages for event in cut(message)] == [0, 0, 0, 1]


def test_audio_of_half_a_second_stays_whole() -> None:
    audio = vllm.encode_audio(bytes(2 * vllm.SPLIT_SAMPLES))
    assert DIALECT.receive(vllm.encode_append(audio)) == audio


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"hello", "invalid-json"),
        (b"{}", "invalid-event"),
        (b'{"type":"conversation.item.create"}', "unknown-event"),
        (b'{"type":"session.ack","seq":-1}', "invalid-event"),
        (b'{"type":"input_audio_buffer.append","audio":"AA=="}', "invalid-audio"),
    ],
)
def test_a_message_that_is_not_of_the_protocol_is_refused(message: bytes, code: str) -> None:
    with pytest.raises(ParleyError) as caught:
        DIALECT.receive(message)
    assert caught.value.code == code


def test_the_server_speaks_first_with_the_sessions_id_and_time() -> None:
    opening = DIALECT.opening("sess-1", 1_700_000_000, 0.0)
    assert json.loads(opening) == {"type": "session.created", "id": "sess-1", "created": 1_700_000_000}


def test_the_server_says_first_that_it_offers_to_resume() -> None:
    assert json.loads(DIALECT.opening("sess-1", 1, 30.0))["parley"] == {"resume_window_s": 30.0}


def test_results_are_what_a_vllm_client_reads() -> None:
    text, usage = Text.of(' "wörd"'), Usage(39, 23, 62)
    counts = {"prompt_tokens": 39, "completion_tokens": 23, "total_tokens": 62, "prompt_tokens_details": None}
    assert json.loads(DIALECT.delta(text)) == {"type": "transcription.delta", "delta": ' "wörd"'}
    assert json.loads(DIALECT.done(text, usage)) == {
        "type": "transcription.done",
        "text": ' "wörd"',
        "usage": counts,
    }


def test_an_error_has_vllms_code_and_ours() -> None:
    error = ParleyError("at-capacity", "2 sessions are live.", retry_after_s=1.5)
    assert json.loads(DIALECT.error(error)) == {
        "type": "error",
        "error": error.message,
        "code": "processing_error",
        "parley": {"code": "at-capacity", "fault": "server", "retry": "new-session", "retry_after_s": 1.5},
    }


def test_what_a_client_that_opted_in_gets_is_numbered() -> None:
    text = Text.of("a")
    events = [
        DIALECT.delta(text, 1, 2),
        DIALECT.done(text, Usage(), 2, 2, None),
        DIALECT.error(ParleyError("invalid-json"), 3),
        DIALECT.notice(Recovering("upstream-closed"), 4, "sess-1"),
        DIALECT.ended(None, 5),
    ]
    assert [json.loads(event)["seq"] for event in events] == [1, 2, 3, 4, 5]


def test_the_token_is_told_in_an_event_of_its_own() -> None:
    assert json.loads(DIALECT.updated("sess-1", "t0ken", 30.0)) == {
        "type": "session.updated",
        "id": "sess-1",
        "resume": {"token": "t0ken", "window_s": 30.0},
    }
