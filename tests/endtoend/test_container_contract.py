"""The container contract, by a router that behaves as SageMaker's: `serve` in an image, `/ping`, SIGTERM, ends."""

import asyncio
import json
import re
import signal
from pathlib import Path

import pytest

from parley.server.settings.document import PRESETS, Settings
from parley.server.settings.sources import load
from tests.support.fake_vllm import FakeVllm
from tests.support.sagemaker_router import ModelError, ModelStreamError, RouterStream, container, ping, scripted_engine
from tests.support.sound import encoded, pcm, pieces
from tests.support.voxtral import transcript

SAGEMAKER_START_S = 480.0
"""A container that does not answer /ping within 8 minutes is given up."""
SAGEMAKER_STOP_S = 30.0
"""From SIGTERM to SIGKILL."""


def send_turn(stream: RouterStream, audio: bytes) -> None:
    stream.send_event("input_audio_buffer.commit")
    for piece in pieces(audio):
        stream.send_event("input_audio_buffer.append", audio=encoded(piece))
    stream.send_event("input_audio_buffer.commit", final=True)


async def begin(port: int, invocation_path: str = "", query: str = "") -> RouterStream:
    """A stream whose session has named its model."""
    stream = await RouterStream.open(port, invocation_path, query)
    assert (await stream.event())["type"] == "session.created"
    stream.send_event("session.update", model="")
    return stream


async def test_the_image_starts_its_model_server_and_serves_turns_on_every_route() -> None:
    async with container({"PARLEY_LAUNCH_COMMAND": scripted_engine()}) as image:
        assert [await ping(image.port, method) for method in ("GET", "POST")] == [200, 200]
        texts = []
        for path in ("", "v1/realtime"):
            stream = await begin(image.port, path)
            send_turn(stream, pcm(1.0))
            texts.append(await stream.result())
            await stream.close()
        assert texts[0] == texts[1] != ""
        image.signal()
        assert await image.until_ended() == 0


async def test_it_is_not_healthy_before_its_model_server_is(vllm: FakeVllm) -> None:
    vllm.is_healthy = False
    async with container({"PARLEY_UPSTREAM_URLS": vllm.url}, wait_ready=False) as image:
        assert await ping(image.port) == 503
        with pytest.raises(ModelError) as caught:
            await RouterStream.open(image.port)
        assert (caught.value.original_status, caught.value.code) == (503, "upstream-unavailable")
        vllm.is_healthy = True
        await image.until_logged("model server is ready")
        assert await ping(image.port) == 200


async def test_a_container_that_is_full_is_healthy_and_refuses(vllm: FakeVllm) -> None:
    async with container({"PARLEY_UPSTREAM_URLS": vllm.url, "PARLEY_SERVER_MAX_SESSIONS": "1"}) as image:
        stream = await begin(image.port)
        with pytest.raises(ModelError) as caught:
            await RouterStream.open(image.port)
        assert (caught.value.original_status, caught.value.code) == (503, "at-capacity")
        assert await ping(image.port) == 200
        await stream.close()


async def test_sigterm_ends_an_idle_stream_with_1012_and_the_process_with_0(vllm: FakeVllm) -> None:
    async with container({"PARLEY_UPSTREAM_URLS": vllm.url}) as image:
        stream = await begin(image.port)
        image.signal(signal.SIGTERM)
        events = await stream.until("error")
        assert events[-1]["parley"]["code"] == "shutting-down"
        assert await stream.until_over() == ModelStreamError("1012", "shutting-down")
        assert await image.until_ended() == 0
        await stream.drop()


async def test_sigterm_lets_a_turn_finish_while_ping_says_503_and_new_streams_are_refused(vllm: FakeVllm) -> None:
    vllm.runs = False
    async with container({"PARLEY_UPSTREAM_URLS": vllm.url}) as image:
        stream = await begin(image.port)
        send_turn(stream, pcm(1.0))
        leg = await vllm.session()
        await leg.until_received("end")
        image.signal(signal.SIGTERM)
        await image.until_logged("draining 1 sessions")
        assert await ping(image.port) == 503
        with pytest.raises(ModelError) as caught:
            await RouterStream.open(image.port)
        assert (caught.value.original_status, caught.value.code) == (503, "shutting-down")
        leg.release_model()
        assert await stream.result() == transcript(16_000)
        assert await stream.until_over() == ModelStreamError("1012", "shutting-down")
        assert await image.until_ended() == 0
        await stream.drop()


async def test_a_turn_that_nobody_ends_is_ended_in_time_and_the_model_server_of_the_image_with_it() -> None:
    environ = {"PARLEY_LAUNCH_COMMAND": scripted_engine(), "PARLEY_DRAIN_TIMEOUT_S": "0.5"}
    async with container(environ) as image:
        stream = await begin(image.port)
        stream.send_event("input_audio_buffer.commit")
        stream.send_event("input_audio_buffer.append", audio=encoded(pcm(1.0)))
        await stream.until("transcription.delta")
        image.signal(signal.SIGTERM)
        assert await stream.until_over() == ModelStreamError("1012", "shutting-down")
        assert await image.until_ended() == 0
        await stream.drop()
        (ready,) = (line for line in image.log if "model server is ready" in line)
        engine_port = int(json.loads(ready)["message"].rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", engine_port)


async def test_a_lost_model_server_is_an_error_and_never_a_clean_end(vllm: FakeVllm) -> None:
    environ = {"PARLEY_UPSTREAM_URLS": vllm.url, "PARLEY_SESSION_RECOVERY_TIMEOUT_S": "0.5"}
    async with container(environ) as image:
        stream = await begin(image.port)
        stream.send_event("input_audio_buffer.commit")
        stream.send_event("input_audio_buffer.append", audio=encoded(pcm(1.0)))
        await stream.until("transcription.delta")
        await vllm.stop()
        assert await stream.until_over() == ModelStreamError("1013", "upstream-unavailable")
        assert stream.parts[-1].event["parley"]["code"] == "upstream-unavailable"
        await stream.drop()
        await vllm.start(vllm.port)


def test_what_the_preset_promises_fits_into_sagemakers_bounds() -> None:
    defaults = Settings()
    preset = PRESETS["sagemaker"]
    assert (preset["server.host"], preset["server.port"]) == ("0.0.0.0", 8080)
    assert not {key for key in preset if key.endswith("timeout_s")}
    assert defaults.launch.health_timeout_s <= SAGEMAKER_START_S
    # The drain with its time to settle and its second for last writes, the port's two closes of 2 s, and the model
    # server's end.
    drain = defaults.drain
    worst_s = drain.settle_s + drain.timeout_s + 1.0 + 4.0 + defaults.launch.stop_timeout_s
    assert worst_s < SAGEMAKER_STOP_S


def blocks(language: str) -> list[str]:
    """The page's examples in this language."""
    page = (Path(__file__).parents[2] / "docs" / "sagemaker.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_the_pages_image_is_one_that_sagemaker_starts_as_it_has_to_be() -> None:
    (dockerfile,) = blocks("dockerfile")
    environ = dict(line[4:].replace('"', "").split("=", 1) for line in dockerfile.splitlines() if line[:4] == "ENV ")
    settings = load(environ=environ).settings
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 8080)
    assert not settings.upstream.url, "the launched server brings its own address"
    assert f"--max-num-seqs {settings.upstream.max_sessions} " in settings.launch.command
    assert "LABEL com.amazonaws.sagemaker.capabilities.bidirectional-streaming=true" in dockerfile.splitlines()
    assert 'ENTRYPOINT ["parley"]' in dockerfile.splitlines()


def test_the_pages_settings_are_valid(tmp_path: Path) -> None:
    (example,) = blocks("toml")
    file = tmp_path / "parley.toml"
    file.write_text(example)
    settings = load(environ={}, config=file).settings
    assert [entry.kind for entry in settings.endpoints] == ["container"]
    assert settings.http2.enabled
