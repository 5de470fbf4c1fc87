"""What a client may send on an open session, and what it is told when it should not have."""

import json
from typing import Any

import pytest

from parley.core.errors import ERRORS
from tests.support.client import Client, Event, code_of
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.sound import encoded, pcm
from tests.support.voxtral import transcript

SAGEMAKER_PATH = "/invocations-bidirectional-stream"


def append(audio: object) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": audio})


def compact(**fields: object) -> str:
    return json.dumps(fields, separators=(",", ":"))


INVALID: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("hello", "invalid-json"),
    "half an object": ('{"type":"session.update"', "invalid-json"),
    "an empty message": ("", "invalid-json"),
    "two objects": ('{"type":"session.update","model":""} {}', "invalid-json"),
    "nested without end": ('{"type":"session.update","model":' + "[" * 10_000, "invalid-json"),
    "nested without end beside what is read": ('{"type":"session.update","x":' + "[" * 10_000, "invalid-json"),
    "a list": ('[{"type":"session.update"}]', "invalid-event"),
    "a number": ("7", "invalid-event"),
    "null": ("null", "invalid-event"),
    "no type": ('{"model":"voxtral"}', "invalid-event"),
    "a type that is no text": ('{"type":7}', "invalid-event"),
    "an unknown type": ('{"type":"input_audio_buffer.flush"}', "unknown-event"),
    "OpenAI's start": ('{"type":"response.create"}', "unknown-event"),
    "OpenAI's session.update": ('{"type":"session.update","session":{"model":"voxtral"}}', "invalid-event"),
    "a model that is no text": ('{"type":"session.update","model":null}', "invalid-event"),
    "a model's name without end": (compact(type="session.update", model="m" * 257), "invalid-event"),
    "an unknown model": ('{"type":"session.update","model":"whisper"}', "model-not-found"),
    "a final that is no boolean": ('{"type":"input_audio_buffer.commit","final":"yes"}', "invalid-event"),
    "no audio": ('{"type":"input_audio_buffer.append"}', "invalid-event"),
    "audio that is no text": (append([1, 2]), "invalid-event"),
    "empty audio": (append(""), "invalid-audio"),
    "empty audio, compact": (compact(type="input_audio_buffer.append", audio=""), "invalid-audio"),
    "an odd number of bytes": (append(encoded(b"abc")), "invalid-audio"),
    "one byte": (append(encoded(b"a")), "invalid-audio"),
    "bad base64": (append("not base64!!"), "invalid-audio"),
    "base64 without its padding": (append(encoded(b"abcd").rstrip("=")), "invalid-audio"),
    "URL-safe base64": (append("-_-_-_-_"), "invalid-audio"),
    "a data URL": (append("data:audio/pcm;base64," + encoded(b"abcd")), "invalid-audio"),
}

# Text frames have to be UTF-8, which no client library sends otherwise; see test_websocket_frames.


@pytest.mark.parametrize(("message", "code"), INVALID.values(), ids=INVALID.keys())
async def test_an_invalid_message_is_answered_with_the_documented_error(
    gateway: RunningGateway, message: str, code: str
) -> None:
    client = await gateway.connect()
    await client.send_raw(message)
    assert_documented(await client.receive(), code)


def assert_documented(event: Event, code: str) -> None:
    spec = ERRORS[code]
    assert code_of(event) == code
    assert event["code"] == spec.vllm_code
    assert event["parley"] == {"code": code, "fault": spec.fault, "retry": spec.retry}
    assert event["error"].startswith(spec.summary)
    assert event["error"].endswith(spec.fix)


@pytest.mark.parametrize("message", [message for message, _ in INVALID.values()], ids=INVALID.keys())
async def test_a_session_goes_on_after_an_invalid_message(
    gateway: RunningGateway, vllm: FakeVllm, message: str
) -> None:
    client = await gateway.open()
    await client.start()
    await client.append(pcm(0.5, 1))
    await client.send_raw(message)
    assert (await client.receive())["type"] == "error"
    await client.append(pcm(0.5, 2))
    await client.finish()
    assert await client.result() == transcript(16_000)
    assert vllm.sessions[0].turns == [pcm(0.5, 1) + pcm(0.5, 2)]


async def test_a_binary_frame_on_the_realtime_route_is_refused_with_the_fix(gateway: RunningGateway) -> None:
    client = await gateway.connect()
    await client.send_raw(b'{"type":"session.update","model":"voxtral"}')
    assert_documented(await client.receive(), "binary-frame")


async def test_json_in_binary_frames_is_taken_on_the_sagemaker_route(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.connect(SAGEMAKER_PATH)
    audio = pcm(1.0)
    for event in (
        {"type": "session.update", "model": MODEL},
        {"type": "input_audio_buffer.commit"},
        {"type": "input_audio_buffer.append", "audio": encoded(audio)},
        {"type": "input_audio_buffer.commit", "final": True},
    ):
        await client.send_raw(json.dumps(event).encode())
    assert await client.result() == transcript(16_000)
    assert vllm.sessions[0].turns == [audio]


async def test_binary_that_is_no_json_is_refused_on_the_sagemaker_route(gateway: RunningGateway) -> None:
    client = await gateway.connect(SAGEMAKER_PATH)
    await client.send_raw(pcm(0.1))
    assert await client.error() == "binary-frame"


async def test_text_frames_are_taken_on_the_sagemaker_route(gateway: RunningGateway) -> None:
    client = await gateway.connect(SAGEMAKER_PATH)
    await client.name_model()
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)


async def test_a_start_before_the_model_is_named_is_refused_with_the_fix(gateway: RunningGateway) -> None:
    client = await gateway.connect()
    await client.start()
    assert_documented(await client.receive(), "model-not-set")


async def test_an_empty_model_name_means_any(gateway: RunningGateway) -> None:
    client = await gateway.connect()
    await client.name_model("")
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)


async def test_the_configured_name_is_known_beside_those_that_the_model_server_lists(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    vllm.models = b'{"data":[]}'
    gateway = await start_gateway(upstream={"model": MODEL})
    client = await gateway.open()
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000)


async def test_unknown_fields_are_ignored(gateway: RunningGateway) -> None:
    client = await gateway.connect()
    extra: dict[str, Any] = {"event_id": "e1", "nested": {"deep": [1, None]}}
    await client.send("session.update", model=MODEL, **extra)
    await client.send("input_audio_buffer.commit", **extra)
    await client.send("input_audio_buffer.append", audio=encoded(pcm(1.0)), **extra)
    await client.send("input_audio_buffer.commit", final=True, **extra)
    assert await client.result() == transcript(16_000)


async def test_the_order_of_an_events_fields_does_not_matter(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    await client.start()
    audio = pcm(1.0)
    await client.send_raw(compact(audio=encoded(audio), type="input_audio_buffer.append"))
    await client.finish()
    await client.result()
    assert vllm.sessions[0].turns == [audio]


async def test_the_session_that_errs_once_too_often_is_closed_and_told_why(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"client_errors_max": 3})
    client = await gateway.connect()
    for _ in range(4):
        await client.send_raw("hello")
    ending = await client.until_closed()
    assert [code_of(event) for event in ending.events] == ["invalid-json"] * 3 + ["too-many-errors"]
    assert (ending.code, ending.reason) == (1008, "too-many-errors")


async def test_a_message_over_the_limit_ends_the_session_with_1009(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"message_max_bytes": 65_536})
    client = await gateway.open()
    await client.start()
    await client.append(pcm(2.0))
    ending = await client.until_closed()
    assert ending.code == 1009
    assert "transcription.done" not in ending.kinds


async def test_a_message_just_within_the_limit_is_taken(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(server={"message_max_bytes": 65_536})
    client = await gateway.open()
    await client.start()
    audio = pcm(3.0)[: 3 * ((65_536 - len(append(""))) // 4) // 6 * 6]
    await client.append(audio)
    await client.finish()
    await client.result()
    assert vllm.sessions[0].turns == [audio]


async def test_audio_before_the_start_belongs_to_the_turn(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    audio = pcm(1.0)
    await client.say(audio)
    await client.finish()
    await client.start()
    assert await client.result() == transcript(16_000)
    assert vllm.sessions[0].turns == [audio]


async def test_an_end_without_a_turn_does_nothing(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    await client.finish()
    await client.finish()
    await client.send_turn(pcm(1.0))
    await client.finish()
    assert await client.result() == transcript(16_000)
    await client.send_turn(pcm(1.0))
    assert await client.result() == transcript(16_000, turn=1)
    assert vllm.sessions[0].counts["end"] == 2


async def test_a_second_start_of_a_running_turn_does_nothing(gateway: RunningGateway, vllm: FakeVllm) -> None:
    client = await gateway.open()
    await client.start()
    await client.append(pcm(1.0))
    await client.start()
    await client.finish()
    assert await client.result() == transcript(16_000)
    assert vllm.sessions[0].counts["start"] == 1


async def test_a_turn_without_audio_is_answered_empty_and_without_the_model(
    gateway: RunningGateway, vllm: FakeVllm
) -> None:
    client = await gateway.open()
    await client.start()
    await client.finish()
    done = await client.receive()
    assert done["text"] == ""
    assert done["usage"] == {
        "prompt_tokens": 0,
        "total_tokens": 0,
        "completion_tokens": 0,
        "prompt_tokens_details": None,
    }
    leg = await vllm.session()
    assert leg.counts["start"] == 0


async def test_more_turns_than_may_wait_end_the_session_saying_so(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    vllm.runs = False
    gateway = await start_gateway(session={"held_turns_max": 2})
    client = await gateway.open()
    for _ in range(3):
        await client.send_turn(pcm(0.1))
    ending = await client.until_closed()
    assert ending.error_code == "too-many-turns"
    assert (ending.code, ending.reason) == (1008, "too-many-turns")


async def test_audio_that_no_start_ever_frees_ends_the_session_with_the_fix(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(session={"held_audio_max_s": 2.0})
    client = await gateway.open()
    await client.say(pcm(2.5))
    ending = await client.until_closed()
    assert_documented(ending.events[-1], "input-overflow")
    assert (ending.code, ending.reason) == (1009, "input-overflow")


async def test_empty_deltas_are_passed_on_when_the_settings_say_so(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(session={"forward_empty_deltas": True})
    client = await gateway.open()
    assert await deltas_of_a_second(client) == 23


async def test_empty_deltas_are_passed_on_when_the_url_asks_for_them(gateway: RunningGateway) -> None:
    client = await gateway.connect("/v1/realtime?empty_deltas=1")
    await client.name_model()
    assert await deltas_of_a_second(client) == 23


async def test_empty_deltas_are_left_out_when_the_url_asks_for_that(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(session={"forward_empty_deltas": True})
    client = await gateway.connect("/v1/realtime?empty_deltas=0")
    await client.name_model()
    assert await deltas_of_a_second(client) == 5


async def deltas_of_a_second(client: Client) -> int:
    await client.send_turn(pcm(1.0))
    *deltas, _done = await client.until("transcription.done")
    return len(deltas)
