"""Whatever goes wrong, AWS's Python SDK raises the exception that it raises for SageMaker, with its fields."""

import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aws_sdk_sagemaker_runtime_http2.config import AsyncSageMakerRuntimeHTTP2Config
from aws_sdk_sagemaker_runtime_http2.models import (
    InputValidationError,
    InternalStreamFailure,
    ModelError,
    ModelStreamError,
    ServiceUnavailableError,
)
from aws_sdk_signers import SigV4SigningProperties
from smithy_aws_core.auth import SigV4AuthScheme
from smithy_core.exceptions import CallError
from smithy_core.interfaces import TypedProperties

from tests.support.aws_sdk import CrtLoop, Sdk, crt_loop
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.sagemaker_stage import (
    CREDENTIALS,
    EXPIRED,
    TEMPORARY,
    Credentials,
    SageMakerGateway,
    sagemaker_gateway,
)
from tests.support.sound import pcm
from tests.support.voxtral import transcript

OTHER_SECRET = "another+secret/than+the+file+of+access+keys+has"


@pytest.fixture(scope="module")
def crt() -> CrtLoop:
    return crt_loop()


@pytest.fixture
async def gateway(vllm: FakeVllm, tmp_path: Path) -> AsyncIterator[SageMakerGateway]:
    async with sagemaker_gateway(vllm.url, tmp_path) as gateway:
        yield gateway


@pytest.fixture
async def sdk(gateway: SageMakerGateway, crt: CrtLoop) -> AsyncIterator[Sdk]:
    async with client_of(gateway, crt) as sdk:
        yield sdk


@asynccontextmanager
async def client_of(
    gateway: SageMakerGateway, crt: CrtLoop, credentials: Credentials = CREDENTIALS, **options: str
) -> AsyncIterator[Sdk]:
    async with Sdk(crt, gateway.sagemaker_url, gateway.authority_file, credentials, **options) as sdk:
        yield sdk


# ---- before the stream


async def test_an_endpoint_that_is_not_there_is_an_input_validation_error(sdk: Sdk) -> None:
    stream = await sdk.invoke("not-there")
    with pytest.raises(InputValidationError) as raised:
        await stream.accepted()
    assert raised.value.error_code == "endpoint-not-found"
    assert raised.value.message
    assert raised.value.response_metadata.http_status_code == 400
    assert raised.value.response_metadata.request_id


async def test_a_variant_that_is_not_there_is_an_input_validation_error(sdk: Sdk) -> None:
    stream = await sdk.invoke(target_variant="Blue")
    with pytest.raises(InputValidationError) as raised:
        await stream.accepted()
    assert raised.value.error_code == "endpoint-not-found"


@pytest.mark.parametrize(
    "inputs",
    [
        {"target_variant": "-Blue"},
        {"model_invocation_path": "/v1/realtime"},
        {"model_query_string": "resume="},
        {"model_query_string": "a+b=1"},
    ],
    ids=str,
)
async def test_what_aws_would_not_take_is_an_input_validation_error(sdk: Sdk, inputs: dict[str, str]) -> None:
    stream = await sdk.invoke(**inputs)
    with pytest.raises(InputValidationError):
        await stream.accepted()


async def test_a_path_that_the_model_has_not_is_a_model_error_with_its_status(sdk: Sdk) -> None:
    stream = await sdk.invoke(model_invocation_path="v1/listen")
    with pytest.raises(ModelError) as raised:
        await stream.accepted()
    assert raised.value.original_status_code == 404
    assert raised.value.original_message
    assert raised.value.error_code == "not-found"
    assert raised.value.response_metadata.http_status_code == 424


async def test_a_model_server_that_is_not_ready_is_service_unavailable(
    vllm: FakeVllm, tmp_path: Path, crt: CrtLoop
) -> None:
    vllm.is_healthy = False
    async with sagemaker_gateway(vllm.url, tmp_path, wait_ready=False) as gateway, client_of(gateway, crt) as sdk:
        stream = await sdk.invoke()
        with pytest.raises(ServiceUnavailableError) as raised:
            await stream.accepted()
    assert raised.value.error_code == "upstream-unavailable"
    assert raised.value.response_metadata.http_status_code == 503


async def test_a_full_server_is_service_unavailable(vllm: FakeVllm, tmp_path: Path, crt: CrtLoop) -> None:
    async with (
        sagemaker_gateway(vllm.url, tmp_path, server={"max_sessions": 1}) as gateway,
        client_of(gateway, crt) as sdk,
    ):
        await sdk.open(MODEL)
        stream = await sdk.invoke()
        with pytest.raises(ServiceUnavailableError) as raised:
            await stream.accepted()
    assert raised.value.error_code == "at-capacity"
    assert raised.value.retry_after == 2.0


async def test_an_error_before_the_stream_leaves_the_clients_other_streams_alone(sdk: Sdk) -> None:
    kept = await sdk.open(MODEL)
    refused = await sdk.invoke("not-there")
    with pytest.raises(InputValidationError):
        await refused.accepted()
    await kept.send_turn(pcm(1.0))
    assert await kept.result() == transcript(16_000)


# ---- who the client is


def unmodelled(error: CallError) -> tuple[int, str]:
    """Status and name of an exception that the service's description does not have; its message is all that tells."""
    assert type(error) is CallError
    assert error.fault == "client"
    _, _, told = error.message.partition("status: ")
    status, _, name = told.partition(" - id: ")
    return int(status), name.rpartition("#")[2]


@pytest.mark.parametrize(
    ("credentials", "name"),
    [
        (Credentials(CREDENTIALS.access_key_id, OTHER_SECRET), "InvalidSignatureException"),
        (Credentials("AKIDNOBODYKNOWS00001", CREDENTIALS.secret), "UnrecognizedClientException"),
        (Credentials(TEMPORARY.access_key_id, TEMPORARY.secret), "UnrecognizedClientException"),
        (Credentials(TEMPORARY.access_key_id, TEMPORARY.secret, "another"), "UnrecognizedClientException"),
        (EXPIRED, "ExpiredTokenException"),
    ],
    ids=["another secret", "an unknown key", "no session token", "another session token", "expired"],
)
async def test_credentials_that_are_not_good_are_refused_by_name(
    gateway: SageMakerGateway, crt: CrtLoop, credentials: Credentials, name: str
) -> None:
    async with client_of(gateway, crt, credentials) as sdk:
        stream = await sdk.invoke()
        with pytest.raises(CallError) as raised:
            await stream.accepted()
    assert unmodelled(raised.value) == (403, name)


async def test_temporary_credentials_are_taken_with_their_session_token(
    gateway: SageMakerGateway, crt: CrtLoop
) -> None:
    async with client_of(gateway, crt, TEMPORARY) as sdk:
        stream = await sdk.open(MODEL, model_query_string="empty_deltas=0")
        await stream.send_turn(pcm(1.0))
        assert await stream.result() == transcript(16_000)


class SetClock(SigV4AuthScheme):
    """Signs with a clock that is wrong by so much."""

    def __init__(self, seconds: float) -> None:
        super().__init__(service="sagemaker")
        self._seconds = seconds

    def signer_properties(self, *, context: TypedProperties) -> SigV4SigningProperties:
        moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self._seconds)
        return {**super().signer_properties(context=context), "date": moment.strftime("%Y%m%dT%H%M%SZ")}


@pytest.mark.parametrize("seconds", [-3_600, 3_600])
async def test_a_clock_that_is_wrong_is_refused_by_name(sdk: Sdk, seconds: int) -> None:
    def set_clock(config: AsyncSageMakerRuntimeHTTP2Config) -> None:
        config.auth_schemes = {SetClock.scheme_id: SetClock(seconds)}

    stream = await sdk.invoke(plugins=[set_clock])
    with pytest.raises(CallError) as raised:
        await stream.accepted()
    assert unmodelled(raised.value) == (403, "InvalidSignatureException")


async def test_a_region_that_is_not_the_servers_is_refused(vllm: FakeVllm, tmp_path: Path, crt: CrtLoop) -> None:
    async with (
        sagemaker_gateway(vllm.url, tmp_path, access={"region": "eu-west-1"}) as gateway,
        client_of(gateway, crt, region="us-east-1") as sdk,
    ):
        stream = await sdk.invoke()
        with pytest.raises(CallError) as raised:
            await stream.accepted()
    assert unmodelled(raised.value) == (403, "InvalidSignatureException")


# ---- in the stream


async def test_an_invalid_message_is_an_event_and_the_stream_goes_on(sdk: Sdk) -> None:
    stream = await sdk.open(MODEL)
    await stream.send_part(b"not JSON")
    assert await stream.error() == "invalid-json"
    await stream.send_turn(pcm(1.0))
    assert await stream.result() == transcript(16_000)


async def test_a_part_without_a_byte_is_an_invalid_message_and_not_the_end(sdk: Sdk) -> None:
    stream = await sdk.open(MODEL)
    await stream.send_part(None)
    assert await stream.error() == "invalid-json"
    await stream.send_turn(pcm(1.0))
    assert await stream.result() == transcript(16_000)


@pytest.mark.parametrize("is_in_pieces", [False, True])
async def test_a_message_that_is_too_large_is_a_model_stream_error(
    vllm: FakeVllm, tmp_path: Path, crt: CrtLoop, is_in_pieces: bool
) -> None:
    async with (
        sagemaker_gateway(vllm.url, tmp_path, server={"message_max_bytes": 16_384}) as gateway,
        client_of(gateway, crt) as sdk,
    ):
        stream = await sdk.open(MODEL)
        if is_in_pieces:
            for _ in range(3):
                await stream.send_part(b" " * 8_000, "UTF8", "PARTIAL")
        else:
            await stream.send_part(b" " * 24_000)
        ending = await stream.until_ended()
    assert ending.events[-1]["parley"]["code"] == "message-too-large"
    assert isinstance(ending.error, ModelStreamError)
    assert ending.error.error_code == "message-too-large"


async def test_a_client_that_misbehaves_gets_a_model_stream_error(sdk: Sdk) -> None:
    stream = await sdk.open(MODEL)
    for _ in range(17):
        await stream.send_part(b"not JSON")
    ending = await stream.until_ended()
    assert [event["parley"]["code"] for event in ending.events][-1] == "too-many-errors"
    assert isinstance(ending.error, ModelStreamError)
    assert ending.error.error_code == "too-many-errors"
    assert ending.error.message


async def test_a_model_server_that_is_lost_for_good_is_a_model_stream_error(
    vllm: FakeVllm, tmp_path: Path, crt: CrtLoop
) -> None:
    async with (
        sagemaker_gateway(vllm.url, tmp_path, session={"recovery_timeout_s": 0.2}) as gateway,
        client_of(gateway, crt) as sdk,
    ):
        stream = await sdk.open(MODEL)
        await stream.start()
        await stream.say(pcm(1.0))
        await (await vllm.session()).until_samples(16_000)
        await vllm.stop()
        ending = await stream.until_ended()
        await vllm.start()
    assert ending.kinds[-1] == "error"
    assert isinstance(ending.error, ModelStreamError)
    assert ending.error.error_code == ending.events[-1]["parley"]["code"]
    assert str(ending.error.error_code).startswith("upstream-")


async def test_a_server_that_goes_away_is_an_internal_stream_failure(gateway: SageMakerGateway, sdk: Sdk) -> None:
    stream = await sdk.open(MODEL)
    gateway.begin_stop()
    ending = await stream.until_ended()
    assert [event["parley"]["code"] for event in ending.events] == ["shutting-down"]
    assert isinstance(ending.error, InternalStreamFailure)
    assert ending.error.message


async def test_a_turn_in_flight_is_heard_to_its_end_before_the_server_goes(
    vllm: FakeVllm, gateway: SageMakerGateway, sdk: Sdk
) -> None:
    """GOAWAY is for streams to come."""
    vllm.runs = False
    stream = await sdk.open(MODEL)
    await stream.send_turn(pcm(1.0))
    leg = await vllm.session()
    await leg.until_received("end")
    gateway.begin_stop()
    leg.release_model()
    assert await stream.result() == transcript(16_000)
    assert isinstance((await stream.until_ended()).error, InternalStreamFailure)
