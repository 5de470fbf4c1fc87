"""Legs through SageMaker: a double of vLLM as the container, with the sidecar between them, and AWS's SDK before."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parley.aws.address import EndpointAddress
from parley.aws.client import AwsClient
from parley.aws.options import AwsOptions
from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.upstream.sagemaker import SageMakerLeg, SageMakerUpstream
from tests.support.crt import aws_environment as aws_environment
from tests.support.crt import crt as crt
from tests.support.fake_vllm import MODEL, FakeVllm
from tests.support.legs import Sink, audio
from tests.support.sagemaker import Handler, SageMakerDouble, ServerStream, Sidecar
from tests.support.voxtral import transcript
from tests.support.waiting import bounded

SECOND_SAMPLES = 16_000
ADDRESS = EndpointAddress("voxtral", path="v1/realtime")


@pytest.fixture(autouse=True)
def _ready(crt: object, aws_environment: object) -> None:
    """Every test here uses AWS's library, with AWS's variables of its own."""


class Stage:
    """A SageMaker endpoint and upstreams on it."""

    def __init__(self, server: SageMakerDouble) -> None:
        self.server = server
        self.client = AwsClient(AwsOptions(endpoint_url=server.url, ca_file=str(server.ca_file), close_timeout_s=1.0))
        self.sink = Sink()
        self.legs: list[SageMakerLeg] = []

    async def open(self, *, leg_age_max_s: float = 480.0, connect_timeout_s: float = 10.0) -> SageMakerLeg:
        upstream = SageMakerUpstream(
            self.client, ADDRESS, leg_age_max_s=leg_age_max_s, connect_timeout_s=connect_timeout_s
        )
        upstream.model = MODEL
        leg = await bounded("the leg opens", upstream.open_leg(7, self.sink))
        self.legs.append(leg)
        return leg

    async def refused(self, **options: float) -> ParleyError:
        with pytest.raises(ParleyError) as caught:
            await self.open(**options)
        return caught.value

    def script(self, handler: Handler) -> None:
        self.server.handler = handler


@pytest.fixture
async def stage(vllm: FakeVllm, tmp_path: Path) -> AsyncIterator[Stage]:
    async with SageMakerDouble(Sidecar(vllm.url.removesuffix("/v1/realtime")), tmp_path) as server:
        stage = Stage(server)
        yield stage
        for leg in stage.legs:
            leg.close()
        await bounded("the client closes", stage.client.close())
    await vllm.until_idle()


def say(leg: SageMakerLeg, seconds: float) -> None:
    leg.start_turn()
    for piece in audio(seconds):
        leg.send_audio(piece)
    leg.end_turn()


async def test_a_turn_goes_through_the_containers_own_route(stage: Stage, vllm: FakeVllm) -> None:
    leg = await stage.open()
    say(leg, 1.0)
    done = await stage.sink.until(ev.TurnTranscribed)
    assert done.text.decode() == transcript(SECOND_SAMPLES)
    assert stage.sink.text == transcript(SECOND_SAMPLES)
    assert vllm.sessions[0].received[0] == f"session.update {MODEL}"
    asked = stage.server.streams[0]
    assert (asked.endpoint, asked.headers["x-amzn-sagemaker-model-invocation-path"]) == ("voxtral", "v1/realtime")


async def test_a_container_that_is_parley_is_asked_for_every_delta(stage: Stage) -> None:
    await stage.open()
    assert stage.server.streams[0].query == "empty_deltas=true"


async def test_a_stream_that_is_lost_is_a_leg_that_failed(stage: Stage) -> None:
    leg = await stage.open()
    leg.start_turn()
    stage.server.cut()
    failed = await stage.sink.until(ev.LegFailed)
    assert (failed.leg, failed.error.code) == (7, "upstream-closed")
    assert "connection-lost" in failed.error.detail


async def test_a_stream_that_ends_without_an_error_is_a_leg_that_failed(stage: Stage) -> None:
    async def ending(stream: ServerStream) -> None:
        await stream.say(b'{"type":"session.created","id":"sess-1","created":1}')
        await stream.receive()
        stream.end()

    stage.script(ending)
    await stage.open()
    failed = await stage.sink.until(ev.LegFailed)
    assert "no error" in failed.error.detail


async def test_a_leg_that_is_closed_lets_the_container_go(stage: Stage, vllm: FakeVllm) -> None:
    leg = await stage.open()
    leg.start_turn()
    leg.close()
    leg.end_turn()
    await vllm.until_idle()
    assert stage.sink.events == []


async def test_an_old_leg_is_given_up_at_once_without_a_turn(stage: Stage) -> None:
    await stage.open(leg_age_max_s=0.05)
    failed = await stage.sink.until(ev.LegFailed)
    assert "before SageMaker's limit" in failed.error.detail


async def test_an_old_leg_is_given_up_after_its_turn(stage: Stage) -> None:
    leg = await stage.open(leg_age_max_s=0.05)
    leg.start_turn()
    for piece in audio(1.0):
        leg.send_audio(piece)
    await stage.sink.until(ev.DeltaReceived)
    async with asyncio.timeout(20):
        # Nobody is told that it has come of age.
        while not leg._is_old:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not stage.sink.of(ev.LegFailed)
    leg.end_turn()
    await stage.sink.until(ev.LegFailed)
    kinds = [type(event) for event in stage.sink.events]
    assert kinds[-2:] == [ev.TurnTranscribed, ev.LegFailed]


async def test_a_server_that_does_not_read_blocks_its_leg(stage: Stage) -> None:
    async def full(stream: ServerStream) -> None:
        stream.takes_credit = False
        await stream.say(b'{"type":"session.created","id":"sess-1","created":1}')
        await stream.until_ended()

    stage.script(full)
    leg = await stage.open()
    leg.start_turn()
    for piece in audio(30.0):
        leg.send_audio(piece)
    assert await stage.sink.until(ev.LegBlocked) == ev.LegBlocked(7)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"no json", "upstream-protocol"),
        (b'{"type":"error","error":"it was said","code":"processing_error"}', "upstream-error"),
    ],
)
async def test_what_a_container_says_amiss_fails_the_leg(message: bytes, code: str, stage: Stage) -> None:
    async def amiss(stream: ServerStream) -> None:
        await stream.say(b'{"type":"session.created","id":"sess-1","created":1}')
        await stream.receive()
        await stream.say(message)
        await stream.until_ended()

    stage.script(amiss)
    await stage.open()
    failed = await stage.sink.until(ev.LegFailed)
    assert failed.error.code == code
    assert "it was said" not in str(failed.error)


@pytest.mark.parametrize(
    ("status", "name", "fields", "code", "hint"),
    [
        (424, "ModelError", {"OriginalStatusCode": 503}, "at-capacity", "no further stream"),
        (424, "ModelError", {"OriginalStatusCode": 404, "OriginalMessage": "x"}, "upstream-unavailable", "HTTP 404"),
        (429, "ThrottlingException", {"message": "slower"}, "at-capacity", "no further stream"),
        (403, "AccessDeniedException", {"Message": "no"}, "upstream-unavailable", "InvokeEndpoint"),
        (500, "InternalServerError", {"Message": "secret"}, "upstream-unavailable", "connect-refused"),
    ],
)
async def test_a_refused_stream_says_what_to_look_at(
    status: int, name: str, fields: dict[str, object], code: str, hint: str, stage: Stage
) -> None:
    async def refusing(stream: ServerStream) -> None:
        stream.refuse(status, name, **fields)

    stage.script(refusing)
    error = await stage.refused()
    assert error.code == code
    assert hint in error.detail
    assert "secret" not in error.detail


async def test_a_container_that_does_not_begin_is_given_up(stage: Stage) -> None:
    async def silent(stream: ServerStream) -> None:
        stream.open()
        await stream.until_ended()

    stage.script(silent)
    error = await stage.refused(connect_timeout_s=0.5)
    assert (error.code, "0.5 s" in error.detail) == ("upstream-unavailable", True)
    await stage.server.streams[0].until_ended()


async def test_the_endpoint_is_told_of_the_trace_that_a_leg_is_part_of(stage: Stage) -> None:
    stage.sink.headers = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    await stage.open()
    assert stage.server.streams[0].headers["traceparent"] == stage.sink.headers["traceparent"]
