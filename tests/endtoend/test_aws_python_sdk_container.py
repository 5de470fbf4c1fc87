"""AWS's Python SDK before a gateway that stands before a container, as SageMaker does; the container is Parley too."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aws_sdk_sagemaker_runtime_http2.models import ModelError, ModelStreamError

from parley.server.settings.document import EndpointSettings
from tests.support.aws_sdk import CrtLoop, Sdk, crt_loop
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.logs import LogWatch
from tests.support.sagemaker_stage import SCRIPTED, SageMakerGateway, SpeechStage, sagemaker_gateway, scripted_engine
from tests.support.sound import pcm

ENDPOINT = "speech"


@pytest.fixture(scope="module")
def crt() -> CrtLoop:
    return crt_loop()


@asynccontextmanager
async def chain(folder: Path) -> AsyncIterator[tuple[SpeechStage, RunningGateway]]:
    """An engine, a gateway as its container, and the gateway that has SageMaker's endpoint."""
    async with scripted_engine() as url, GatewayStarter(url) as start:
        container = await start()
        endpoint = EndpointSettings(name=ENDPOINT, variant="Blue", kind="container", urls=(container.ws_url,))
        async with sagemaker_gateway(url, folder, (endpoint,)) as gateway:
            yield SpeechStage(url, gateway), container


@pytest.fixture
async def stage(log: LogWatch, tmp_path: Path) -> AsyncIterator[SpeechStage]:
    async with chain(tmp_path) as (stage, _):
        yield stage


def client_of(gateway: SageMakerGateway, crt: CrtLoop) -> Sdk:
    return Sdk(crt, gateway.sagemaker_url, gateway.authority_file)


@pytest.mark.parametrize("data_type", ["UTF8", "BINARY"])
async def test_a_container_is_spoken_to_through_the_sdk(stage: SpeechStage, crt: CrtLoop, data_type: str) -> None:
    async with client_of(stage.gateway, crt) as sdk:
        stream = await sdk.invoke(ENDPOINT)
        output = await stream.accepted()
        assert output.invoked_production_variant == "Blue"
        assert (await stream.receive())["type"] == "session.created"
        await stream.send_part(b'{"type":"session.update","model":"scripted"}', data_type)
        for number in range(2):
            await stream.send_turn(pcm(2.0, number))
            assert await stream.result() == await stage.straight(pcm(2.0, number))


async def test_parts_marked_partial_reach_the_container_as_one_message(stage: SpeechStage, crt: CrtLoop) -> None:
    async with client_of(stage.gateway, crt) as sdk:
        stream = await sdk.invoke(ENDPOINT)
        await stream.receive()
        await stream.send_part(b'{"type":"session.up', "UTF8", "PARTIAL")
        await stream.send_part(b'date","model":', "UTF8", "PARTIAL")
        await stream.send_part(b'"scripted"}', "UTF8", "COMPLETE")
        await stream.send_turn(pcm(1.0))
        assert await stream.result() == await stage.straight(pcm(1.0))


async def test_what_the_container_answers_instead_of_a_websocket_is_a_model_error(
    stage: SpeechStage, crt: CrtLoop
) -> None:
    async with client_of(stage.gateway, crt) as sdk:
        stream = await sdk.invoke(ENDPOINT, model_invocation_path="v1/listen")
        with pytest.raises(ModelError) as raised:
            await stream.accepted()
    assert raised.value.original_status_code == 404
    assert raised.value.original_message
    assert raised.value.error_code == "container-refused"


async def test_path_and_query_are_the_containers(stage: SpeechStage, crt: CrtLoop) -> None:
    async with client_of(stage.gateway, crt) as sdk:
        stream = await sdk.open(
            SCRIPTED, ENDPOINT, model_invocation_path="v1/realtime", model_query_string="empty_deltas=1"
        )
        await stream.send_turn(pcm(1.0))
        deltas = [event["delta"] for event in await stream.until("transcription.done") if "delta" in event]
    assert "" in deltas


async def test_the_containers_close_code_and_reason_are_in_the_model_stream_error(
    stage: SpeechStage, crt: CrtLoop
) -> None:
    async with client_of(stage.gateway, crt) as sdk:
        stream = await sdk.open(SCRIPTED, ENDPOINT)
        for _ in range(17):
            await stream.send_part(b"not JSON")
        ending = await stream.until_ended()
    assert ending.events[-1]["parley"]["code"] == "too-many-errors"
    assert isinstance(ending.error, ModelStreamError)
    assert ending.error.error_code == "container-closed"
    assert ending.error.message is not None
    assert "1008" in ending.error.message
    assert "too-many-errors" in ending.error.message


async def test_a_container_that_dies_is_a_model_stream_error(log: LogWatch, tmp_path: Path, crt: CrtLoop) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stage, container = await stack.enter_async_context(chain(tmp_path))
        sdk = await stack.enter_async_context(client_of(stage.gateway, crt))
        stream = await sdk.open(SCRIPTED, ENDPOINT)
        container.hurry()
        container.begin_stop()
        ending = await stream.until_ended()
    assert ending.events[-1]["parley"]["code"] == "shutting-down"
    assert isinstance(ending.error, ModelStreamError)
    assert "1012" in str(ending.error.message)
