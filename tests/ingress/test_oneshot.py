"""`POST /invocations`: a recording in the body, its transcript in the answer."""

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest

from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.http import post
from tests.support.raw import request
from tests.support.sound import pcm, pieces, wav
from tests.support.voxtral import steps_of, transcript

EVENTS = "text/event-stream"
IMPATIENT = {"recovery_timeout_s": 0.2}
"""A session that does not look long for another model server."""


async def test_a_wav_is_transcribed(gateway: RunningGateway, vllm: FakeVllm) -> None:
    audio = pcm(2.0)
    answer = await post(gateway, "/invocations", wav(audio), Content_Type="audio/wav")
    assert answer.status == 200
    steps = steps_of(32_000)
    assert answer.json == {
        "text": transcript(32_000).strip(),
        "duration_s": 2.0,
        "usage": {"prompt_tokens": 39, "completion_tokens": steps, "total_tokens": 39 + steps},
    }
    assert vllm.sessions[0].turns == [audio]


@pytest.mark.parametrize("content_type", [None, "application/octet-stream"])
async def test_a_wav_is_known_by_its_first_bytes(
    gateway: RunningGateway, vllm: FakeVllm, content_type: str | None
) -> None:
    audio = pcm(1.0)
    headers = {} if content_type is None else {"Content_Type": content_type}
    assert (await post(gateway, "/invocations", wav(audio), **headers)).status == 200
    assert vllm.sessions[0].turns == [audio]


async def test_raw_pcm_is_taken_as_16_khz_mono(gateway: RunningGateway, vllm: FakeVllm) -> None:
    audio = pcm(1.0)
    answer = await post(gateway, "/invocations", audio, Content_Type="audio/pcm")
    assert answer.json["duration_s"] == 1.0
    assert vllm.sessions[0].turns == [audio]


async def test_the_channels_of_raw_pcm_are_mixed(gateway: RunningGateway, vllm: FakeVllm) -> None:
    left_and_right = struct.pack("<4h", 1_000, 3_000, -1_000, -3_000) * 8_000
    answer = await post(gateway, "/invocations", left_and_right, Content_Type="audio/pcm;rate=16000;channels=2")
    assert answer.json["duration_s"] == 1.0
    samples = struct.unpack("<16000h", vllm.sessions[0].turns[0])
    assert set(samples) == {2_000, -2_000}


async def test_raw_pcm_of_another_rate_is_resampled(gateway: RunningGateway, vllm: FakeVllm) -> None:
    answer = await post(gateway, "/invocations", bytes(2 * 48_000), Content_Type="audio/pcm;rate=48000")
    assert answer.json["duration_s"] == pytest.approx(1.0, abs=0.01)
    assert len(vllm.sessions[0].turns[0]) == pytest.approx(32_000, rel=0.01)


async def test_mu_law_is_taken_at_8_khz(gateway: RunningGateway, vllm: FakeVllm) -> None:
    answer = await post(gateway, "/invocations", b"\xff" * 8_000, Content_Type="audio/basic")
    assert answer.json["duration_s"] == pytest.approx(1.0, abs=0.01)
    assert set(vllm.sessions[0].turns[0]) == {0}


@pytest.mark.parametrize("piece_bytes", [1, 7, 4_096])
async def test_an_upload_may_come_in_pieces_of_any_size(
    gateway: RunningGateway, vllm: FakeVllm, piece_bytes: int
) -> None:
    audio = pcm(0.1)

    async def upload() -> AsyncIterator[bytes]:
        for piece in pieces(wav(audio), piece_bytes):
            yield piece
            await asyncio.sleep(0)

    answer = await post(gateway, "/invocations", upload(), Content_Type="audio/wav")
    assert answer.status == 200
    assert vllm.sessions[0].turns == [audio]


async def test_an_upload_is_transcribed_while_it_goes_on(gateway: RunningGateway, vllm: FakeVllm) -> None:
    audio = pcm(2.0)

    async def upload() -> AsyncIterator[bytes]:
        yield audio[:32_000]
        # The second half is only sent when the model has the first.
        await (await vllm.session()).until_samples(15_000)
        yield audio[32_000:]

    answer = await post(gateway, "/invocations", upload(), Content_Type="audio/pcm")
    assert answer.status == 200
    assert vllm.sessions[0].turns == [audio]


async def test_events_come_in_order_and_end_with_done(gateway: RunningGateway) -> None:
    answer = await post(gateway, "/invocations", pcm(2.0), Content_Type="audio/pcm", Accept=EVENTS)
    assert answer.status == 200
    *deltas, (name, done) = answer.events
    assert {one for one, _ in deltas} == {"transcription.delta"}
    assert "".join(data["delta"] for _, data in deltas) == transcript(32_000)
    assert name == "transcription.done"
    assert done["text"] == transcript(32_000)
    assert done["usage"]["completion_tokens"] == steps_of(32_000)


async def test_events_come_while_the_upload_goes_on(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    audio = pcm(2.0)
    head = {"Host": "parley.test", "Content-Type": "audio/pcm", "Accept": EVENTS, "Content-Length": "64000"}
    socket.send(request("/invocations", head, method="POST") + audio[:48_000])
    assert (await socket.response()).status == 200
    assert b"transcription.delta" in await socket.until_found(b"\n\n")
    socket.send(audio[48_000:])
    assert b"transcription.delta" in await socket.until_found(b"transcription.done")


REFUSED: dict[str, tuple[bytes, str, int, str, str]] = {
    "a WAV that is none": (b"RIFX" * 500, "audio/wav", 400, "invalid-wav", "ffmpeg"),
    "text as a WAV": (b"hello " * 500, "audio/wav", 400, "invalid-wav", "ffmpeg"),
    "half a WAV": (wav(pcm(1.0))[:16_000], "audio/wav", 400, "invalid-wav", "ffmpeg"),
    "a WAV of MP3": (wav(pcm(1.0), tag=0x55), "audio/wav", 400, "invalid-wav", "ffmpeg"),
    "a WAV's header alone": (wav(b""), "audio/wav", 400, "invalid-audio", "PCM16"),
    "an odd number of bytes": (pcm(1.0) + b"x", "audio/pcm", 400, "invalid-audio", "even number"),
    "nothing": (b"", "audio/pcm", 400, "invalid-audio", "PCM16"),
    "nothing as a WAV": (b"", "audio/wav", 400, "invalid-wav", "ffmpeg"),
    "an image": (b"\x89PNG" * 50, "image/png", 415, "unsupported-media", "audio/wav"),
    "an Ogg file of no type": (b"OggS" * 50, "application/octet-stream", 415, "unsupported-media", "audio/wav"),
    "a form, as curl sends it": (b"x=1", "application/x-www-form-urlencoded", 415, "unsupported-media", "-H"),
    "a rate that is no number": (pcm(0.1), "audio/pcm;rate=fast", 415, "unsupported-media", "rate"),
    "a rate of nothing": (pcm(0.1), "audio/pcm;rate=0", 400, "invalid-audio", "PCM16"),
}


@pytest.mark.parametrize(("body", "content_type", "status", "code", "fix"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("accept", ["application/json", EVENTS])
async def test_a_body_that_is_no_audio_is_refused_with_the_fix(
    gateway: RunningGateway,
    vllm: FakeVllm,
    body: bytes,
    content_type: str,
    status: int,
    code: str,
    fix: str,
    accept: str,
) -> None:
    answer = await post(gateway, "/invocations", body, Content_Type=content_type, Accept=accept)
    if answer.headers["Content-Type"] == EVENTS:
        # Some of it had been transcribed before the fault was met.
        _, event = answer.events[-1]
        assert (event["parley"]["code"], fix in event["error"]) == (code, True)
    else:
        assert (answer.status, answer.error["code"], fix in answer.error["message"]) == (status, code, True)
        assert answer.headers["x-amzn-errortype"] == "InputValidationError"
    await vllm.until_idle()


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"body_max_bytes": 1_024})
    socket = await gateway.raw()
    head = {"Host": "parley.test", "Content-Type": "audio/pcm", "Content-Length": "1026"}
    socket.send(request("/invocations", head, method="POST"))
    response = await socket.response()
    assert response.status == 413
    assert response.error["code"] == "message-too-large"


async def test_a_body_of_unknown_length_is_refused_when_it_gets_too_large(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(server={"body_max_bytes": 1_024})

    async def upload() -> AsyncIterator[bytes]:
        yield pcm(0.03)
        yield pcm(0.03)

    answer = await post(gateway, "/invocations", upload(), Content_Type="audio/pcm")
    assert (answer.status, answer.error["code"]) == (413, "message-too-large")
    await vllm.until_idle()


async def test_a_request_at_capacity_is_refused_with_the_time_to_retry(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(server={"max_sessions": 1, "retry_after_s": 7.0})
    await gateway.connect()
    answer = await post(gateway, "/invocations", pcm(0.1), Content_Type="audio/pcm")
    assert (answer.status, answer.error["code"]) == (503, "at-capacity")
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers["x-amzn-errortype"] == "ServiceUnavailableError"
    assert answer.error["retry_after_s"] == 7.0


async def test_a_place_is_free_again_after_every_answer(start_gateway: GatewayStarter, vllm: FakeVllm) -> None:
    gateway = await start_gateway(server={"max_sessions": 1})
    for body, status in ((pcm(0.1), 200), (b"x", 400), (pcm(0.1), 200)):
        answer = await post(gateway, "/invocations", body, Content_Type="audio/pcm")
        assert answer.status == status
        await vllm.until_idle()


async def test_a_request_while_the_model_server_is_away_is_refused(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    vllm.is_healthy = False
    gateway = await start_gateway(wait_ready=False)
    answer = await post(gateway, "/invocations", pcm(0.1), Content_Type="audio/pcm")
    assert (answer.status, answer.error["code"]) == (503, "upstream-unavailable")
    assert answer.headers["x-amzn-errortype"] == "ServiceUnavailableError"


@pytest.mark.parametrize("accept", ["application/json", EVENTS])
async def test_a_model_server_that_refuses_the_stream_is_an_error_with_a_status(
    gateway: RunningGateway, vllm: FakeVllm, accept: str
) -> None:
    vllm.refuses_with = 500
    answer = await post(gateway, "/invocations", pcm(0.1), Content_Type="audio/pcm", Accept=accept)
    assert (answer.status, answer.error["code"]) == (503, "upstream-unavailable")
    assert answer.headers["x-amzn-errortype"] == "ServiceUnavailableError"


async def test_a_stream_that_is_lost_during_the_turn_costs_the_request_nothing(
    gateway: RunningGateway, vllm: FakeVllm
) -> None:
    vllm.runs = False
    answering = asyncio.create_task(post(gateway, "/invocations", pcm(2.0), Content_Type="audio/pcm"))
    leg = await vllm.session()
    await leg.until_received("end")
    vllm.runs = True
    leg.abort()
    answer = await answering
    assert answer.status == 200
    assert answer.json["text"] == transcript(32_000).strip()


async def test_a_model_server_that_dies_for_good_during_the_turn_is_an_error_with_a_status(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(session=IMPATIENT)
    vllm.runs = False
    answering = asyncio.create_task(post(gateway, "/invocations", pcm(2.0), Content_Type="audio/pcm"))
    leg = await vllm.session()
    await leg.until_received("end")
    vllm.refuses_with = 500
    leg.abort()
    answer = await answering
    assert answer.status == 503
    assert answer.error["code"] == "upstream-unavailable"
    assert answer.headers["x-amzn-errortype"] == "ServiceUnavailableError"


async def test_a_model_server_that_dies_for_good_during_the_events_ends_them_with_an_error(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(session=IMPATIENT)

    async def upload() -> AsyncIterator[bytes]:
        yield pcm(2.0)
        leg = await vllm.session()
        await vllm.changes.until("a delta is sent", lambda: bool(leg.turns) and leg.model.generations[0].steps > 5)
        vllm.refuses_with = 500
        leg.abort()

    answer = await post(gateway, "/invocations", upload(), Content_Type="audio/pcm", Accept=EVENTS)
    assert answer.status == 200
    name, error = answer.events[-1]
    assert name == "error"
    assert error["parley"]["code"] == "upstream-unavailable"
    assert "transcription.done" not in [one for one, _ in answer.events]


async def test_a_client_that_goes_away_during_its_upload_ends_the_session(
    gateway: RunningGateway, vllm: FakeVllm
) -> None:
    socket = await gateway.raw()
    head = {"Host": "parley.test", "Content-Type": "audio/pcm", "Content-Length": "64000"}
    socket.send(request("/invocations", head, method="POST") + pcm(1.0))
    leg = await vllm.session()
    await leg.until_samples(16_000)
    socket.abort()
    await leg.until_lost()


@pytest.mark.parametrize("accept", ["application/json", EVENTS])
async def test_a_client_that_goes_away_before_the_answer_ends_the_session(
    gateway: RunningGateway, vllm: FakeVllm, accept: str
) -> None:
    vllm.runs = False
    socket = await gateway.raw()
    head = {"Host": "parley.test", "Content-Type": "audio/pcm", "Content-Length": "32000", "Accept": accept}
    socket.send(request("/invocations", head, method="POST") + pcm(1.0))
    leg = await vllm.session()
    await leg.until_received("end")
    socket.abort()
    await leg.until_lost()


async def test_an_upload_faster_than_the_model_is_slowed_down_and_loses_nothing(
    start_gateway: GatewayStarter, vllm: FakeVllm
) -> None:
    gateway = await start_gateway(session={"held_audio_max_s": 1.0})
    vllm.runs = False
    audio = pcm(60.0)

    async def upload() -> AsyncIterator[bytes]:
        for piece in pieces(audio, 65_536):
            yield piece

    answering = asyncio.create_task(post(gateway, "/invocations", upload(), Content_Type="audio/pcm"))
    leg = await vllm.session()
    await leg.until_received("append")
    leg.steps_per_turn_of_loop = 2
    leg.release_model()
    assert (await answering).status == 200
    assert leg.turns == [audio]
    # The window, and one piece that the window still let through.
    assert leg.model.lag_max_samples <= 3 * 16_000 + 8_100


async def test_a_client_that_asks_before_it_sends_is_told_to_go_on(gateway: RunningGateway, vllm: FakeVllm) -> None:
    socket = await gateway.raw()
    head = {"Host": "p", "Content-Type": "audio/pcm", "Content-Length": "32000", "Expect": "100-continue"}
    socket.send(request("/invocations", head, method="POST"))
    assert (await socket.response()).status == 100
    socket.send(pcm(1.0))
    assert (await socket.response()).status == 200
    assert vllm.sessions[0].turns == [pcm(1.0)]


async def test_many_requests_on_one_connection_are_all_answered(gateway: RunningGateway) -> None:
    socket = await gateway.raw()
    head = {"Host": "parley.test", "Content-Type": "audio/pcm", "Content-Length": "3200"}
    for _ in range(3):
        socket.send(request("/invocations", head, method="POST") + pcm(0.1))
        assert (await socket.response()).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
async def test_a_compressed_recording_is_refused_with_the_fix(gateway: RunningGateway, encoding: str) -> None:
    answer = await post(gateway, "/invocations", wav(pcm(0.1)), Content_Encoding=encoding)
    assert (answer.status, answer.code) == (415, "unsupported-media")
    assert "without a Content-Encoding" in answer.error["message"]


async def test_a_recording_may_say_that_it_is_not_compressed(gateway: RunningGateway) -> None:
    answer = await post(gateway, "/invocations", wav(pcm(0.1)), Content_Encoding="identity")
    assert answer.status == 200


@pytest.mark.parametrize("header", ["Expect", "Content_Encoding"])
async def test_a_request_that_can_not_be_met_takes_no_place(start_gateway: GatewayStarter, header: str) -> None:
    gateway = await start_gateway(server={"max_sessions": 1})
    for _ in range(2):
        assert (await post(gateway, "/invocations", wav(pcm(0.1)), **{header: "miracles"})).status in (400, 415)
    assert (await post(gateway, "/invocations", wav(pcm(0.1)))).status == 200
