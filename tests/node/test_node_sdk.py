"""AWS's Node packages, as npm has them, talk to the gateway as they do to SageMaker."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.node.driver import Node, NodeError, NodeStream, why_not
from tests.support.aws_sdk import greeted
from tests.support.chaos_proxy import ChaosProxy
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.logs import LogWatch
from tests.support.sagemaker_stage import (
    CREDENTIALS,
    EXPIRED,
    SCRIPTED,
    TEMPORARY,
    Credentials,
    SageMakerGateway,
    SpeechStage,
    sagemaker_gateway,
    scripted_engine,
    speech_stage,
)
from tests.support.sound import encoded, pcm, pieces
from tests.support.voxtral import transcript

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

USER = "user"
OTHER_SECRET = "another+secret/than+the+file+of+access+keys+has"


@pytest.fixture
async def stage(log: LogWatch, tmp_path: Path) -> AsyncIterator[SpeechStage]:
    async with speech_stage(tmp_path) as stage:
        yield stage


@pytest.fixture
async def node(stage: SpeechStage, tmp_path: Path) -> AsyncIterator[Node]:
    async with node_in(tmp_path, stage.gateway) as node:
        await node.client(USER, stage.gateway.sagemaker_url, CREDENTIALS)
        yield node


def node_in(folder: Path, gateway: SageMakerGateway) -> Node:
    inside = folder / "node"
    inside.mkdir()
    return Node(inside, gateway.authority_file)


async def failure_of(stream: NodeStream) -> NodeError:
    """What `send` threw."""
    with pytest.raises(NodeError) as raised:
        await stream.accepted()
    return raised.value


# ---- the conversation


async def test_text_comes_while_the_audio_is_still_being_sent(stage: SpeechStage, node: Node) -> None:
    """The SDK has said GOAWAY by then: it does as soon as the answer's head has come."""
    audio = pcm(6.0)
    stream = await node.open(USER, SCRIPTED)
    await stream.start()
    await stream.say(audio[:128_000])
    first = await stream.receive()
    assert first["type"] == "transcription.delta"
    await stream.say(audio[128_000:])
    await stream.finish()
    *rest, done = await stream.until("transcription.done")
    assert "".join(event["delta"] for event in [first, *rest]) == done["text"] == await stage.straight(audio)
    await stream.close_input()
    ending = await stream.until_ended()
    assert (ending.kinds, ending.error) == ([], None)


async def test_several_turns_are_spoken_and_heard_side_by_side(stage: SpeechStage, node: Node) -> None:
    turns = [pcm(2.0 + number / 4, number) for number in range(3)]
    stream = await node.open(USER, SCRIPTED)

    async def speak() -> None:
        for audio in turns:
            await stream.send_turn(audio)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(speak())
        texts = [await stream.result() for _ in turns]
    assert texts == [await stage.straight(audio) for audio in turns]


async def test_an_application_that_waits_for_send_before_it_feeds_gets_its_stream(node: Node) -> None:
    """`send` resolves with the answer's first event, and this application sends nothing before that."""
    stream = node.invoke(USER)
    output = await stream.accepted()
    assert output["variant"] == "AllTraffic"
    assert output["metadata"]["httpStatusCode"] == 200
    assert output["metadata"]["requestId"]
    assert (await stream.receive())["type"] == "session.created"


async def test_variant_path_and_query_are_taken(stage: SpeechStage, node: Node) -> None:
    stream = await node.open(
        USER,
        SCRIPTED,
        TargetVariant="AllTraffic",
        ModelInvocationPath="v1/realtime",
        ModelQueryString="empty_deltas=1&purpose=a%20test",
    )
    await stream.send_turn(pcm(1.0))
    deltas = [event["delta"] for event in await stream.until("transcription.done") if "delta" in event]
    assert "" in deltas
    assert "".join(deltas) == await stage.straight(pcm(1.0))


async def test_binary_parts_parts_without_a_type_and_partial_ones_are_heard(stage: SpeechStage, node: Node) -> None:
    audio = pcm(1.0)
    stream = await node.open(USER, SCRIPTED)
    await stream.send_part(b'{"type":"input_audio_buffer.commit"}', "BINARY")
    for piece in pieces(audio):
        message = json.dumps({"type": "input_audio_buffer.append", "audio": encoded(piece)}).encode()
        await stream.send_part(message[:1_000], None, "PARTIAL")
        await stream.send_part(message[1_000:], None, "COMPLETE")
    await stream.finish()
    assert await stream.result() == await stage.straight(audio)


async def test_the_half_close_completes_a_turn_that_was_left_open(stage: SpeechStage, node: Node) -> None:
    stream = await node.open(USER, SCRIPTED)
    await stream.start()
    await stream.say(pcm(2.0))
    await stream.close_input()
    assert await stream.result() == await stage.straight(pcm(2.0))
    ending = await stream.until_ended()
    assert (ending.kinds, ending.error) == ([], None)


async def test_several_streams_of_a_client_do_not_mix(stage: SpeechStage, node: Node) -> None:
    turns = [pcm(1.0, number) for number in range(5)]
    streams = [await node.open(USER, SCRIPTED) for _ in turns]

    async def talk(stream: NodeStream, audio: bytes) -> str:
        await stream.send_turn(audio)
        return await stream.result()

    texts = await asyncio.gather(*(talk(stream, audio) for stream, audio in zip(streams, turns, strict=True)))
    assert texts == [await stage.straight(audio) for audio in turns]


async def test_a_long_recording_is_sent_at_full_speed(stage: SpeechStage, node: Node) -> None:
    audio = pcm(60.0)
    stream = await node.open(USER, SCRIPTED)
    speaking = asyncio.create_task(stream.send_turn(audio, 32_000))
    assert await stream.result() == await stage.straight(audio)
    await speaking


async def test_cleartext_is_spoken_without_an_upgrade(log: LogWatch, tmp_path: Path) -> None:
    plain = {"cleartext": True, "tls_certificate_file": "", "tls_key_file": ""}
    async with (
        scripted_engine() as url,
        sagemaker_gateway(url, tmp_path, http2=plain) as gateway,
        node_in(tmp_path, gateway) as node,
    ):
        await node.client(USER, gateway.sagemaker_url.replace("https:", "http:"), CREDENTIALS)
        stream = await node.open(USER, SCRIPTED)
        await stream.send_turn(pcm(1.0))
        assert await stream.result() == await SpeechStage(url, gateway).straight(pcm(1.0))


# ---- errors before the stream


async def test_an_endpoint_that_is_not_there_is_an_input_validation_error(node: Node) -> None:
    error = await failure_of(node.invoke(USER, "not-there"))
    assert (error.name, error.is_of_class, error.status) == ("InputValidationError", True, 400)
    assert error.code == "endpoint-not-found"
    assert error.message
    assert error.request_id


async def test_a_path_that_the_model_has_not_is_a_model_error_with_its_status(node: Node) -> None:
    error = await failure_of(node.invoke(USER, ModelInvocationPath="v1/listen"))
    assert (error.name, error.is_of_class, error.status) == ("ModelError", True, 424)
    assert (error.original_status_code, error.code) == (404, "not-found")


async def test_a_model_server_that_is_not_ready_is_service_unavailable(vllm: FakeVllm, tmp_path: Path) -> None:
    vllm.is_healthy = False
    async with (
        sagemaker_gateway(vllm.url, tmp_path, wait_ready=False) as gateway,
        node_in(tmp_path, gateway) as node,
    ):
        await node.client(USER, gateway.sagemaker_url, CREDENTIALS)
        error = await failure_of(node.invoke(USER))
    assert (error.name, error.is_of_class, error.status) == ("ServiceUnavailableError", True, 503)
    assert error.code == "upstream-unavailable"


@pytest.mark.parametrize(
    ("credentials", "name"),
    [
        (Credentials(CREDENTIALS.access_key_id, OTHER_SECRET), "InvalidSignatureException"),
        (Credentials("AKIDNOBODYKNOWS00001", CREDENTIALS.secret), "UnrecognizedClientException"),
        (EXPIRED, "ExpiredTokenException"),
    ],
    ids=["another secret", "an unknown key", "expired"],
)
async def test_credentials_that_are_not_good_are_refused_by_name(
    stage: SpeechStage, node: Node, credentials: Credentials, name: str
) -> None:
    await node.client("stranger", stage.gateway.sagemaker_url, credentials)
    error = await failure_of(node.invoke("stranger"))
    assert (error.name, error.is_of_service, error.status) == (name, True, 403)


async def test_temporary_credentials_are_taken_with_their_session_token(stage: SpeechStage, node: Node) -> None:
    await node.client("guest", stage.gateway.sagemaker_url, TEMPORARY)
    stream = await node.open("guest", SCRIPTED)
    await stream.send_turn(pcm(1.0))
    assert await stream.result() == await stage.straight(pcm(1.0))


async def test_a_clock_that_is_wrong_is_refused_by_name(stage: SpeechStage, node: Node) -> None:
    await node.client("early", stage.gateway.sagemaker_url, CREDENTIALS, clock_offset_s=-3_600)
    error = await failure_of(node.invoke("early"))
    assert (error.name, error.status) == ("InvalidSignatureException", 403)


# ---- errors in the stream


async def test_a_client_that_misbehaves_gets_a_model_stream_error(node: Node) -> None:
    stream = await node.open(USER, SCRIPTED)
    for _ in range(17):
        await stream.send_part(b"not JSON")
    ending = await stream.until_ended()
    assert ending.events[-1]["parley"]["code"] == "too-many-errors"
    assert isinstance(ending.error, NodeError)
    assert (ending.error.name, ending.error.is_of_class) == ("ModelStreamError", True)
    assert ending.error.code == "too-many-errors"
    assert ending.error.message


async def test_a_model_server_that_is_lost_for_good_is_a_model_stream_error(vllm: FakeVllm, tmp_path: Path) -> None:
    async with (
        sagemaker_gateway(vllm.url, tmp_path, session={"recovery_timeout_s": 0.2}) as gateway,
        node_in(tmp_path, gateway) as node,
    ):
        await node.client(USER, gateway.sagemaker_url, CREDENTIALS)
        stream = await node.open(USER, MODEL)
        await stream.start()
        await stream.say(pcm(1.0))
        await (await vllm.session()).until_samples(16_000)
        await vllm.stop()
        ending = await stream.until_ended()
        await vllm.start()
    assert ending.kinds[-1] == "error"
    assert isinstance(ending.error, NodeError)
    assert (ending.error.name, ending.error.is_of_class) == ("ModelStreamError", True)
    assert ending.error.code == ending.events[-1]["parley"]["code"]


async def test_a_server_that_goes_away_is_an_internal_stream_failure(vllm: FakeVllm, tmp_path: Path) -> None:
    async with sagemaker_gateway(vllm.url, tmp_path) as gateway, node_in(tmp_path, gateway) as node:
        await node.client(USER, gateway.sagemaker_url, CREDENTIALS)
        stream = await node.open(USER, MODEL)
        gateway.begin_stop()
        ending = await stream.until_ended()
    assert [event["parley"]["code"] for event in ending.events] == ["shutting-down"]
    assert isinstance(ending.error, NodeError)
    assert (ending.error.name, ending.error.is_of_class) == ("InternalStreamFailure", True)


async def test_a_turn_in_flight_is_heard_to_its_end_before_the_server_goes(vllm: FakeVllm, tmp_path: Path) -> None:
    vllm.runs = False
    async with sagemaker_gateway(vllm.url, tmp_path) as gateway, node_in(tmp_path, gateway) as node:
        await node.client(USER, gateway.sagemaker_url, CREDENTIALS)
        stream = await node.open(USER, MODEL)
        await stream.send_turn(pcm(1.0))
        leg = await vllm.session()
        await leg.until_received("end")
        gateway.begin_stop()
        leg.release_model()
        assert await stream.result() == transcript(16_000)
        ending = await stream.until_ended()
    assert isinstance(ending.error, NodeError)
    assert ending.error.name == "InternalStreamFailure"


# ---- resume


async def test_a_dropped_session_is_resumed(vllm: FakeVllm, tmp_path: Path) -> None:
    async with (
        sagemaker_gateway(vllm.url, tmp_path) as gateway,
        ChaosProxy(gateway.sagemaker_url) as proxy,
        node_in(tmp_path, gateway) as node,
    ):
        await node.client(USER, proxy.url.replace("ws:", "https:"), CREDENTIALS)
        stream = node.invoke(USER)
        assert (await stream.receive())["type"] == "session.created"
        await stream.send("session.update", model=MODEL, parley={"resume": True})
        updated = await stream.receive()
        await stream.start()
        await stream.say(pcm(1.0))
        await (await vllm.session()).until_samples(16_000)
        proxy.cut()

        again = node.invoke(USER, ModelQueryString="resume=1")
        assert (await again.receive())["type"] == "session.created"
        await again.send("session.resume", token=updated["resume"]["token"], seq=0)
        resumed = await again.receive()
        assert (resumed["type"], resumed["outcome"]) == ("session.resumed", "resumed")
        assert (resumed["input_seq"], resumed["cursor_ms"]) == (11, 1_000)
        await again.say(pcm(1.0, 1))
        await again.finish()
        events = [event for event in await again.until("transcription.done") if "seq" in event]
    assert events[-1]["text"] == transcript(32_000)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


async def test_a_process_that_leaves_takes_its_sessions_with_it(vllm: FakeVllm, tmp_path: Path) -> None:
    async with sagemaker_gateway(vllm.url, tmp_path) as gateway:
        async with node_in(tmp_path, gateway) as node:
            await node.client(USER, gateway.sagemaker_url, CREDENTIALS)
            stream = node.invoke(USER)
            await stream.accepted()
            await greeted(stream, MODEL)
            await stream.start()
            await stream.append(pcm(0.1))
            await vllm.session()
        await vllm.until_idle()
