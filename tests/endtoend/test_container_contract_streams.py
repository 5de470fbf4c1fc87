"""The container contract, by a router that behaves as SageMaker's: parts, pings, backpressure, ends of a stream."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.raw import TEXT, frame
from tests.support.sagemaker_router import ModelError, ModelStreamError, RouterStream
from tests.support.sound import encoded, pcm, pieces
from tests.support.voxtral import transcript

Opener = Callable[..., Awaitable[RouterStream]]


@pytest.fixture
async def open_stream() -> AsyncIterator[Opener]:
    """Opens streams whose session has begun, and drops them with the test."""
    opened: list[RouterStream] = []

    async def start(gateway: RunningGateway, invocation_path: str = "", query: str = "") -> RouterStream:
        stream = await RouterStream.open(gateway.port, invocation_path, query)
        opened.append(stream)
        assert (await stream.event())["type"] == "session.created"
        return stream

    yield start
    for stream in opened:
        await stream.drop()


def turn(audio: bytes) -> list[bytes]:
    """The events of a session with one turn."""
    events: list[dict[str, object]] = [
        {"type": "session.update", "model": ""},
        {"type": "input_audio_buffer.commit"},
    ]
    events += [{"type": "input_audio_buffer.append", "audio": encoded(piece)} for piece in pieces(audio)]
    events.append({"type": "input_audio_buffer.commit", "final": True})
    return [json.dumps(event).encode() for event in events]


@pytest.mark.parametrize("path", ["", "v1/realtime"])
async def test_what_comes_back_is_whole_text_parts(gateway: RunningGateway, open_stream: Opener, path: str) -> None:
    stream = await open_stream(gateway, path)
    for event in turn(pcm(1.0)):
        stream.send_part(event)
    assert await stream.result() == transcript(16_000)
    assert {(part.data_type, part.completion_state) for part in stream.parts} == {("UTF8", "COMPLETE")}


async def test_parts_without_a_data_type_are_taken(gateway: RunningGateway, open_stream: Opener) -> None:
    stream = await open_stream(gateway)
    for event in turn(pcm(1.0)):
        stream.send_part(event, data_type="BINARY")
    assert await stream.result() == transcript(16_000)


@pytest.mark.parametrize("data_type", ["UTF8", "BINARY"])
@pytest.mark.parametrize("part_bytes", [1, 2, 7, 1_000, 100_000])
async def test_a_message_in_parts_is_joined_wherever_it_is_cut_with_pings_between(
    gateway: RunningGateway, open_stream: Opener, data_type: str, part_bytes: int
) -> None:
    stream = await open_stream(gateway)
    audio = pcm(0.1 if part_bytes < 10 else 2.0)
    for number, event in enumerate(turn(audio)):
        cut = [event[at : at + part_bytes] for at in range(0, len(event), part_bytes)]
        for part in cut[:-1]:
            stream.send_part(part, data_type=data_type, completion_state="PARTIAL")
        if number % 10 == 0:
            await stream.until_pong(stream.ping())
        stream.send_part(cut[-1], data_type=data_type)
    assert await stream.result() == transcript(len(audio) // 2)


async def test_empty_parts_and_cuts_within_a_character_are_no_matter(
    gateway: RunningGateway, open_stream: Opener
) -> None:
    stream = await open_stream(gateway)
    # The name is unknown, and has to be quoted in nobody's error: the session goes on, which is what counts.
    name = '{"type":"session.update","model":"größe"}'.encode()
    at = name.index("ö".encode()) + 1
    for part in (b"", name[:at], b"", name[at:]):
        stream.send_part(part, completion_state="PARTIAL")
    stream.send_part(b"")
    assert (await stream.event())["parley"]["code"] == "model-not-found"
    for event in turn(pcm(0.5)):
        stream.send_part(event)
    assert await stream.result() == transcript(8_000)


async def test_pings_are_answered_while_a_turn_runs(
    gateway: RunningGateway, vllm: FakeVllm, open_stream: Opener
) -> None:
    stream = await open_stream(gateway)
    leg = await vllm.session()
    leg.hold_model()
    for event in turn(pcm(1.0)):
        stream.send_part(event)
    await leg.until_received("end")
    for _ in range(10):
        await stream.until_pong(stream.ping())
    leg.release_model()
    assert await stream.result() == transcript(16_000)


async def test_pings_behind_input_that_is_held_back_are_answered_as_it_is_taken(
    start_gateway: GatewayStarter, vllm: FakeVllm, open_stream: Opener
) -> None:
    gateway = await start_gateway(session={"held_audio_max_s": 2.0})
    stream = await open_stream(gateway)
    leg = await vllm.session()
    leg.hold_model()
    *said, end = turn(pcm(60.0))
    for event in said:
        stream.send_part(event)
    # More than the session holds, and than the kernels do: the session has stopped reading.
    assert stream.unsent_bytes
    payloads = [stream.ping()]
    stream.send_part(end)
    payloads.append(stream.ping())
    leg.release_model()
    assert await stream.result() == transcript(60 * 16_000)
    await stream.until_pong(payloads[-1])
    assert stream.pings_unanswered == 0
    assert stream.pongs == payloads


async def test_pings_of_a_client_that_does_not_read_are_answered_when_it_does(
    start_gateway: GatewayStarter, vllm: FakeVllm, open_stream: Opener
) -> None:
    gateway = await start_gateway(
        server={"write_buffer_max_bytes": 1_024}, session={"output_max_bytes": 2**24, "ledger_max_bytes": 2**24}
    )
    stream = await open_stream(gateway)
    leg = await vllm.session()
    leg.hold_model()
    for event in turn(pcm(1.0)):
        stream.send_part(event)
    await leg.until_received("end")
    stream.stop_reading()
    for _ in range(500):
        leg.send_event("transcription.delta", delta="x" * 20_000)
    await leg.until_read()
    payload = stream.ping()
    stream.read_again()
    await stream.until_pong(payload)


async def test_the_containers_own_pings_are_few_and_the_routers_answers_keep_the_stream(
    start_gateway: GatewayStarter, open_stream: Opener
) -> None:
    gateway = await start_gateway(server={"ping_interval_s": 0.05, "ping_timeout_s": 10.0})
    stream = await open_stream(gateway)
    await stream.until_pinged(3)
    for event in turn(pcm(0.5)):
        stream.send_part(event)
    assert await stream.result() == transcript(8_000)


async def test_the_query_string_chooses_empty_deltas(gateway: RunningGateway, open_stream: Opener) -> None:
    stream = await open_stream(gateway, query="empty_deltas=1&other=x")
    for event in turn(pcm(1.0)):
        stream.send_part(event)
    *deltas, _ = await stream.until("transcription.done")
    assert "" in [event["delta"] for event in deltas]


@pytest.mark.parametrize("path", ["", "v1/realtime"])
async def test_a_session_is_taken_up_on_a_new_stream(
    gateway: RunningGateway, vllm: FakeVllm, open_stream: Opener, path: str
) -> None:
    first = await open_stream(gateway, path)
    events = turn(pcm(2.0))
    first.send_event("session.update", model="", parley={"resume": True})
    updated = await first.event()
    for event in events[1:10]:
        first.send_part(event)
    await (await vllm.session()).until_received("append", 8)
    # As at SageMaker's limit of 30 minutes.
    await first.drop()
    second = await open_stream(gateway, path, "resume=1")
    second.send_event("session.resume", token=updated["resume"]["token"], seq=0)
    resumed = await second.event()
    assert resumed["type"] == "session.resumed"
    # The opt-in is not counted; the start of the turn and eight pieces are.
    for event in events[1 + resumed["input_seq"] :]:
        second.send_part(event)
    assert (await second.until("transcription.done"))[-1]["text"] == transcript(32_000)


@pytest.mark.parametrize("path", ["v2/listen", "invocations", "invocations-bidirectional-stream/x", "ping"])
async def test_a_path_that_does_not_exist_is_a_model_error_with_404(gateway: RunningGateway, path: str) -> None:
    with pytest.raises(ModelError) as caught:
        await RouterStream.open(gateway.port, path)
    assert (caught.value.original_status, caught.value.code) == (404, "not-found")


async def ended(stream: RouterStream, code: str) -> ModelStreamError:
    """How the stream ended; the last event before it says the same, with Parley's code."""
    failure = await stream.until_over()
    assert failure is not None, "it broke off"
    assert stream.parts[-1].event["parley"]["code"] == code
    return failure


async def test_the_clients_fault_is_1008_with_its_code(gateway: RunningGateway, open_stream: Opener) -> None:
    stream = await open_stream(gateway)
    for _ in range(17):
        stream.send_part(b"not JSON")
    assert await ended(stream, "too-many-errors") == ModelStreamError("1008", "too-many-errors")


async def test_binary_that_is_no_json_is_refused_and_the_session_goes_on(
    gateway: RunningGateway, open_stream: Opener
) -> None:
    stream = await open_stream(gateway)
    stream.send_part(pcm(0.1), data_type="BINARY")
    assert (await stream.event())["parley"]["code"] == "binary-frame"
    for event in turn(pcm(0.5)):
        stream.send_part(event)
    assert await stream.result() == transcript(8_000)


async def test_a_message_without_end_is_1009(start_gateway: GatewayStarter, open_stream: Opener) -> None:
    gateway = await start_gateway(server={"message_max_bytes": 65_536})
    stream = await open_stream(gateway)
    for _ in range(9):
        stream.send_part(b" " * 8_192, completion_state="PARTIAL")
    assert await ended(stream, "message-too-large") == ModelStreamError("1009", "message-too-large")


async def test_a_part_that_is_too_large_is_1009(start_gateway: GatewayStarter, open_stream: Opener) -> None:
    gateway = await start_gateway(server={"message_max_bytes": 65_536})
    stream = await open_stream(gateway)
    stream.send_part(b" " * 65_537)
    failure = await stream.until_over()
    assert failure is not None
    assert failure.error_code == "1009"


async def test_a_message_within_a_message_is_1008(gateway: RunningGateway, open_stream: Opener) -> None:
    stream = await open_stream(gateway)
    stream.send_part(b"{", completion_state="PARTIAL")
    stream.send_bytes(frame(TEXT, b"{}"))
    assert await ended(stream, "bad-request") == ModelStreamError("1008", "bad-request")


async def test_a_model_server_that_is_lost_and_not_replaced_is_1013_with_its_code(
    start_gateway: GatewayStarter, vllm: FakeVllm, open_stream: Opener
) -> None:
    gateway = await start_gateway(session={"recovery_timeout_s": 0.2})
    stream = await open_stream(gateway)
    leg = await vllm.session()
    leg.hold_model()
    for event in turn(pcm(1.0))[:-1]:
        stream.send_part(event)
    await leg.until_samples(16_000)
    vllm.refuses_with = 500
    leg.close(1000)
    assert await ended(stream, "upstream-unavailable") == ModelStreamError("1013", "upstream-unavailable")


async def test_a_container_that_is_going_away_is_1012(gateway: RunningGateway, open_stream: Opener) -> None:
    stream = await open_stream(gateway)
    gateway.begin_stop()
    assert await ended(stream, "shutting-down") == ModelStreamError("1012", "shutting-down")


async def test_a_client_that_ends_its_stream_ends_the_session_and_its_leg(
    gateway: RunningGateway, vllm: FakeVllm, open_stream: Opener
) -> None:
    stream = await open_stream(gateway)
    for event in turn(pcm(0.5)):
        stream.send_part(event)
    await stream.result()
    await stream.close()
    assert stream.failure == ModelStreamError("1000", "")
    await vllm.until_idle()


async def test_many_streams_are_served_side_by_side(gateway: RunningGateway, open_stream: Opener) -> None:
    streams = await asyncio.gather(*(open_stream(gateway, "v1/realtime" if n % 2 else "") for n in range(16)))
    for event in turn(pcm(0.5)):
        for stream in streams:
            stream.send_part(event)
    assert {await stream.result() for stream in streams} == {transcript(8_000)}
