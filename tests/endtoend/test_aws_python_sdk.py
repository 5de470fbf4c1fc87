"""AWS's own Python SDK talks to the gateway as it does to SageMaker: speech up, text down, both at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.aws_sdk import CrtLoop, Sdk, SdkStream, crt_loop
from tests.support.chaos_proxy import ChaosProxy
from tests.support.logs import LogWatch
from tests.support.sagemaker_stage import SCRIPTED, SpeechStage, speech_stage
from tests.support.sound import PIECE_BYTES, encoded, pcm, pieces


@pytest.fixture(scope="module")
def crt() -> CrtLoop:
    return crt_loop()


@pytest.fixture
async def stage(log: LogWatch, tmp_path: Path) -> AsyncIterator[SpeechStage]:
    async with speech_stage(tmp_path) as stage:
        yield stage


@pytest.fixture
async def sdk(stage: SpeechStage, crt: CrtLoop) -> AsyncIterator[Sdk]:
    async with Sdk(crt, stage.gateway.sagemaker_url, stage.gateway.authority_file) as sdk:
        yield sdk


async def end_in_peace(stream: SdkStream) -> None:
    """Close the input and see a clean end."""
    await stream.close_input()
    ending = await stream.until_ended()
    assert (ending.kinds, ending.error) == ([], None)


async def test_text_comes_while_the_audio_is_still_being_sent(stage: SpeechStage, sdk: Sdk) -> None:
    audio = pcm(6.0)
    stream = await sdk.open(SCRIPTED)
    await stream.start()
    await stream.say(audio[:128_000])
    first = await stream.receive()
    assert first["type"] == "transcription.delta"
    await stream.say(audio[128_000:])
    await stream.finish()
    *rest, done = await stream.until("transcription.done")
    assert "".join(event["delta"] for event in [first, *rest]) == done["text"] == await stage.straight(audio)
    await end_in_peace(stream)


async def test_sending_and_receiving_go_on_side_by_side(stage: SpeechStage, sdk: Sdk) -> None:
    """As applications do it, with a task for each direction."""
    turns = [pcm(2.0 + number / 4, number) for number in range(4)]
    stream = await sdk.open(SCRIPTED)

    async def speak() -> None:
        for audio in turns:
            await stream.send_turn(audio)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(speak())
        texts = [await stream.result() for _ in turns]
    assert texts == [await stage.straight(audio) for audio in turns]
    await end_in_peace(stream)


async def test_the_server_speaks_first(sdk: Sdk) -> None:
    """Node's SDK does not give a stream to its application before that."""
    stream = await sdk.invoke()
    assert (await stream.receive())["type"] == "session.created"


async def test_the_answer_names_the_variant_and_the_request(sdk: Sdk) -> None:
    streams = [await sdk.open(SCRIPTED), await sdk.open(SCRIPTED, target_variant="AllTraffic")]
    outputs = [await stream.accepted() for stream in streams]
    assert [output.invoked_production_variant for output in outputs] == ["AllTraffic", "AllTraffic"]
    requests = {output.response_metadata.request_id for output in outputs}
    assert len(requests) == 2
    assert None not in requests
    assert {output.response_metadata.http_status_code for output in outputs} == {200}


@pytest.mark.parametrize("path", ["v1/realtime", None])
async def test_the_invocation_path_of_vllm_is_the_usual_one(stage: SpeechStage, sdk: Sdk, path: str | None) -> None:
    stream = await sdk.open(SCRIPTED, **({} if path is None else {"model_invocation_path": path}))
    await stream.send_turn(pcm(1.0))
    assert await stream.result() == await stage.straight(pcm(1.0))


async def test_the_query_string_is_the_routes(sdk: Sdk) -> None:
    plain = await sdk.open(SCRIPTED)
    chatty = await sdk.open(SCRIPTED, model_query_string="empty_deltas=1")
    deltas = []
    for stream in (plain, chatty):
        await stream.send_turn(pcm(1.0))
        deltas.append([event["delta"] for event in await stream.until("transcription.done") if "delta" in event])
    assert "" not in deltas[0]
    assert "" in deltas[1]
    assert "".join(deltas[0]) == "".join(deltas[1])


@pytest.mark.parametrize("data_type", ["UTF8", "BINARY", None])
async def test_parts_of_every_data_type_are_heard(stage: SpeechStage, sdk: Sdk, data_type: str | None) -> None:
    """Without one a part is binary. JSON is taken from it all the same, as it is from SageMaker's binary frames."""
    stream = await sdk.invoke()
    await stream.receive()
    messages: list[dict[str, object]] = [{"type": "session.update", "model": SCRIPTED}]
    messages += [{"type": "input_audio_buffer.commit"}]
    for message in messages:
        await stream.send_part(json.dumps(message).encode(), data_type)
    await stream.say(pcm(1.0))
    await stream.finish()
    assert await stream.result() == await stage.straight(pcm(1.0))


async def test_parts_marked_partial_are_one_message(stage: SpeechStage, sdk: Sdk) -> None:
    stream = await sdk.open(SCRIPTED)
    await stream.start()
    audio = pcm(1.0)
    for piece in pieces(audio, PIECE_BYTES):
        message = json.dumps({"type": "input_audio_buffer.append", "audio": encoded(piece)}).encode()
        for start in range(0, len(message), 1_000):
            is_last = start + 1_000 >= len(message)
            await stream.send_part(message[start : start + 1_000], "UTF8", "COMPLETE" if is_last else "PARTIAL")
    await stream.finish()
    assert await stream.result() == await stage.straight(audio)


async def test_what_was_sent_before_the_half_close_is_answered_to_the_end(stage: SpeechStage, sdk: Sdk) -> None:
    stream = await sdk.open(SCRIPTED)
    for number in range(3):
        await stream.send_turn(pcm(2.0, number))
    await stream.close_input()
    assert [await stream.result() for _ in range(3)] == [await stage.straight(pcm(2.0, number)) for number in range(3)]
    ending = await stream.until_ended()
    assert (ending.kinds, ending.error) == ([], None)


async def test_the_half_close_completes_a_turn_that_was_left_open(stage: SpeechStage, sdk: Sdk) -> None:
    stream = await sdk.open(SCRIPTED)
    await stream.start()
    await stream.say(pcm(2.0))
    await stream.close_input()
    assert await stream.result() == await stage.straight(pcm(2.0))
    ending = await stream.until_ended()
    assert (ending.kinds, ending.error) == ([], None)


async def test_twenty_streams_of_a_client_share_one_connection(stage: SpeechStage, crt: CrtLoop) -> None:
    count = 20
    turns = [pcm(1.0, number) for number in range(count)]
    async with (
        ChaosProxy(stage.gateway.sagemaker_url) as proxy,
        Sdk(crt, proxy.url.replace("ws:", "https:"), stage.gateway.authority_file) as sdk,
    ):
        streams = [await sdk.open(SCRIPTED) for _ in turns]

        async def talk(stream: SdkStream, audio: bytes) -> str:
            await stream.send_turn(audio)
            return await stream.result()

        texts = await asyncio.gather(*(talk(stream, audio) for stream, audio in zip(streams, turns, strict=True)))
        assert proxy.accepted == 1
    assert texts == [await stage.straight(audio) for audio in turns]


async def test_a_client_that_goes_takes_its_session_with_it(stage: SpeechStage, crt: CrtLoop) -> None:
    async with Sdk(crt, stage.gateway.sagemaker_url, stage.gateway.authority_file) as sdk:
        await sdk.open(SCRIPTED)
    # Its place is free again.


async def test_padding_is_ignored(stage: SpeechStage, sdk: Sdk) -> None:
    stream = await sdk.open(SCRIPTED)
    await stream.send_turn(pcm(1.0))
    plain = await stream.result()
    await stream.start()
    for piece in pieces(pcm(1.0)):
        message = json.dumps({"type": "input_audio_buffer.append", "audio": encoded(piece)}).encode()
        await stream.send_padded_part(message, "abcdefghijklmnop")
    await stream.finish()
    assert await stream.result() == plain
