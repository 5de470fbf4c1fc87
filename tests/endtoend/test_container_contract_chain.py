"""The whole way: AWS's own SDK, Parley in SageMaker's place, and behind it a container, Parley's or another."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from aws_sdk_sagemaker_runtime_http2.models import (
    ModelError,
    ServiceUnavailableError,
)
from aws_sdk_sagemaker_runtime_http2.models import ModelStreamError as SdkModelStreamError

from parley.server.settings.document import EndpointSettings
from tests.support.aws_sdk import CrtLoop, Part, SageMakerGateway, Sdk, crt_loop
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.sagemaker_router import container
from tests.support.sound import pcm
from tests.support.voxtral import transcript
from tests.upstream.containers import RawContainer, echoing

Opener = Callable[[str], Awaitable[Sdk]]


@pytest.fixture(scope="module")
def crt() -> CrtLoop:
    return crt_loop()


@pytest.fixture
async def in_front_of(vllm: FakeVllm, tmp_path: Path, crt: CrtLoop) -> AsyncIterator[Opener]:
    """Parley in SageMaker's place before the container of this URL, and the SDK before Parley."""
    async with AsyncExitStack() as stack:

        async def start(url: str) -> Sdk:
            gateway = SageMakerGateway(vllm.url, tmp_path, upstream={"probe_interval_s": 0.02})
            entry = EndpointSettings(name="parley", kind="container", urls=(url,))
            gateway.settings = replace(gateway.settings, endpoints=(entry,))
            stack.push_async_callback(gateway.close)
            await gateway.start()
            return await stack.enter_async_context(Sdk(crt, gateway.sagemaker_url, gateway.authority_file))

        yield start


@pytest.mark.parametrize("path", [None, "v1/realtime"])
async def test_parley_in_a_container_serves_turns_through_parley_in_sagemakers_place(
    vllm: FakeVllm, in_front_of: Opener, path: str | None
) -> None:
    async with container({"PARLEY_UPSTREAM_URLS": vllm.url}) as image:
        sdk = await in_front_of(f"ws://127.0.0.1:{image.port}")
        stream = await sdk.open(MODEL, **({"model_invocation_path": path} if path else {}))
        for seed in range(2):
            await stream.send_turn(pcm(1.0, seed))
        assert [await stream.result() for _ in range(2)] == [transcript(16_000), transcript(16_000, 1)]
        image.signal(signal.SIGTERM)
        ending = await stream.until_ended()
        assert ending.kinds == ["error"]
        assert isinstance(ending.error, SdkModelStreamError)
        assert "1012" in str(ending.error)
        assert "shutting-down" in str(ending.error)
        assert await image.until_ended() == 0


async def test_a_session_is_taken_up_on_another_stream_through_both(vllm: FakeVllm, in_front_of: Opener) -> None:
    async with container({"PARLEY_UPSTREAM_URLS": vllm.url}) as image:
        sdk = await in_front_of(f"ws://127.0.0.1:{image.port}")
        first = await sdk.open(MODEL)
        await first.send("session.update", model=MODEL, parley={"resume": True})
        token = (await first.receive())["resume"]["token"]
        await first.start()
        await first.say(pcm(1.0))
        await first.until("transcription.delta")
        # The relay closes the container's WebSocket with it; the session stays for its window.
        await first.close_input()
        second = await sdk.invoke(model_query_string="resume=1")
        await second.accepted()
        assert (await second.receive())["type"] == "session.created"
        await second.send("session.resume", token=token, seq=0)
        assert (await second.receive())["type"] == "session.resumed"
        await second.finish()
        assert (await second.until("transcription.done"))[-1]["text"] == transcript(16_000)


async def test_parts_go_to_any_container_as_they_are_and_come_back_so(in_front_of: Opener) -> None:
    async with echoing() as url:
        sdk = await in_front_of(url)
        stream = await sdk.invoke()
        await stream.accepted()
        await stream.send_part(b"text", "UTF8", "COMPLETE")
        await stream.send_part(b"\x00\xff", "BINARY", "COMPLETE")
        await stream.send_part(b"of no kind", None, None)
        await stream.send_part(b"one", "UTF8", "PARTIAL")
        await stream.send_part(b"two", "UTF8", "COMPLETE")
        assert [await stream.receive_part() for _ in range(6)] == [
            Part(b"text", "UTF8", "COMPLETE"),
            Part(b"\x00\xff", "BINARY", "COMPLETE"),
            Part(b"of no kind", "BINARY", "COMPLETE"),
            Part(b"one", "UTF8", "PARTIAL"),
            Part(b"two", "UTF8", "PARTIAL"),
            # The echo's library ends a fragmented message with an empty frame.
            Part(b"", "UTF8", "COMPLETE"),
        ]
        await stream.close_input()
        assert await stream.receive_part() is None


async def test_a_path_that_the_container_refuses_is_a_model_error_with_its_status(
    vllm: FakeVllm, in_front_of: Opener
) -> None:
    async with container({"PARLEY_UPSTREAM_URLS": vllm.url}) as image:
        sdk = await in_front_of(f"ws://127.0.0.1:{image.port}")
        stream = await sdk.invoke(model_invocation_path="v2/listen")
        with pytest.raises(ModelError) as caught:
            await stream.accepted()
        assert caught.value.original_status_code == 404


async def test_a_container_that_is_not_healthy_is_asked_for_nothing(in_front_of: Opener) -> None:
    async with RawContainer() as sick:
        sick.ping_status = 503
        sdk = await in_front_of(sick.url)
        stream = await sdk.invoke()
        with pytest.raises((ModelError, ServiceUnavailableError), match="No container answers GET /ping"):
            await stream.accepted()
        assert sick.streams == []


@pytest.mark.parametrize(("code", "is_error"), [(1000, False), (1011, True), (4000, True)])
async def test_a_close_frame_is_the_end_that_it_says(in_front_of: Opener, code: int, is_error: bool) -> None:
    async with RawContainer() as one:
        sdk = await in_front_of(one.url)
        stream = await sdk.invoke()
        await stream.accepted()
        connection = await one.stream()
        connection.send(b'{"type":"last words"}')
        connection.close(code, "why")
        ending = await stream.until_ended()
        assert ending.kinds == ["last words"]
        assert isinstance(ending.error, SdkModelStreamError) == is_error
        if is_error:
            assert f"{code}: why" in str(ending.error)
