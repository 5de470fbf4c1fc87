"""No transcript, audio, token or text of a model server gets into the log, whatever happens, at any level."""

import asyncio
import base64
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley.observe.log import ContentFreeHandler, JsonFormatter, TextFormatter
from tests.endtoend.test_upstream_faults import FAULTS
from tests.support.fake_vllm import FakeVllm
from tests.support.gateway import GatewayStarter, RunningGateway
from tests.support.http import post
from tests.support.logs import LogWatch
from tests.support.raw import TEXT, UPGRADE, frame, request

CANARY = "zzkanarienvogel"
# Sound whose base64 is the canary over and over, so that it would show in either form.
SOUND = base64.b64decode("zzkanarienvogelx" * 2_000)
KEY = "zzkanarienvogelschluessel"


@pytest.fixture(autouse=True)
def everything(log: LogWatch) -> Iterator[None]:
    """Every record of every library at DEBUG, and what production's handlers would print of it."""
    log.include_libraries()
    out = io.StringIO()
    handlers: list[logging.Handler] = []
    for formatter in (TextFormatter(), JsonFormatter()):
        handlers.append(ContentFreeHandler(out))
        handlers[-1].setFormatter(formatter)
        logging.getLogger().addHandler(handlers[-1])
    yield
    for handler in handlers:
        logging.getLogger().removeHandler(handler)
    ours = [record for record in log.records if not record.name.startswith("websockets")]
    assert ours, "there was something to look at"
    assert CANARY not in out_of(out)
    log.records = ours
    assert CANARY not in log.everything


def out_of(out: io.StringIO) -> str:
    """What the handlers printed, without the lines of the library that only the tests' own client and double use."""
    return "\n".join(line for line in out.getvalue().splitlines() if "websockets" not in line)


@pytest.fixture
async def chatty(start_gateway: GatewayStarter, vllm: FakeVllm, tmp_path: Path) -> RunningGateway:
    """A gateway with a secret key in front of a model that says the canary all the time."""
    vllm.speech = lambda turn, step: f" {CANARY}{turn}.{step}"
    (tmp_path / "key").write_text(KEY)
    return await start_gateway(
        upstream={"api_key_file": str(tmp_path / "key")},
        server={"client_errors_max": 100},
        session={"recovery_timeout_s": 0.2},
    )


async def test_a_good_session_leaves_nothing_in_the_log(chatty: RunningGateway) -> None:
    client = await chatty.open()
    for _ in range(2):
        await client.send_turn(SOUND)
        assert CANARY in await client.result()
    await client.close()


async def test_a_recording_leaves_nothing_in_the_log(chatty: RunningGateway) -> None:
    for accept in ("application/json", "text/event-stream"):
        answer = await post(chatty, "/invocations", SOUND, Content_Type="audio/pcm", Accept=accept)
        assert CANARY in answer.body.decode()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_failing_session_leaves_nothing_in_the_log(
    chatty: RunningGateway, vllm: FakeVllm, log: LogWatch, fault: object
) -> None:
    log.expect_errors("picows.client")
    client = await chatty.open()
    await client.start()
    await client.say(SOUND)
    await client.until("transcription.delta")
    vllm.refuses_with = 500
    fault.do(vllm.sessions[0])  # type: ignore[attr-defined]
    await client.until_closed()


@pytest.mark.parametrize(
    "words",
    [
        f'{{"type":"error","error":"{CANARY}","code":"{CANARY}"}}',
        f'{{"type":"{CANARY}"}}',
        f'{{"type":"transcription.delta","delta":["{CANARY}"]}}',
        f'{{"type":"transcription.delta","{CANARY}":1}}',
        f'{{"type":"transcription.done","text":"{CANARY}","usage":"{CANARY}"}}',
        CANARY,
    ],
)
async def test_a_model_servers_own_words_leave_nothing_in_the_log_and_do_not_reach_the_client(
    chatty: RunningGateway, vllm: FakeVllm, words: str
) -> None:
    vllm.speech = lambda _turn, _step: ""
    client = await chatty.open()
    await client.start()
    await client.say(SOUND)
    leg = await vllm.session()
    await leg.until_received("append")
    vllm.refuses_with = 500
    leg.send(words)
    ending = await client.until_closed()
    assert CANARY not in str(ending)


async def test_a_model_servers_refusal_leaves_nothing_in_the_log(chatty: RunningGateway, vllm: FakeVllm) -> None:
    vllm.answers_with = (
        f"HTTP/1.1 400 {CANARY}\r\nX-{CANARY}: {CANARY}\r\nContent-Length: {len(CANARY)}\r\n\r\n{CANARY}".encode()
    )
    client = await chatty.connect()
    ending = await client.until_closed()
    assert CANARY not in str(ending)


async def test_a_clients_mistakes_leave_nothing_in_the_log(chatty: RunningGateway) -> None:
    client = await chatty.connect()
    mistakes: list[str | bytes] = [
        CANARY,
        CANARY.encode(),
        f'{{"type":"{CANARY}"}}',
        f'{{"type":"session.update","model":"{CANARY}"}}',
        f'{{"type":"session.update","model":["{CANARY}"]}}',
        f'{{"type":"session.update","{CANARY}":1}}',
        f'{{"type":"input_audio_buffer.append","audio":"{CANARY}"}}',
        f'{{"type":"input_audio_buffer.append","audio":{{"{CANARY}":1}}}}',
        f'{{"type":"input_audio_buffer.commit","final":"{CANARY}"}}',
    ]
    for mistake in mistakes:
        await client.send_raw(mistake)
        assert (await client.receive())["type"] == "error"


@pytest.mark.parametrize(
    "data",
    [
        request(f"/{CANARY}", {"Host": "p", "Authorization": f"Bearer {CANARY}"}),
        request(f"/v1/realtime/{CANARY}?token={CANARY}", UPGRADE),
        request(f"/v1/realtime?empty_deltas={CANARY}", {"Host": "p", "Authorization": CANARY}),
        request("/v1/realtime", UPGRADE | {"Sec-WebSocket-Key": CANARY}),
        request("/v1/realtime", UPGRADE | {f"X {CANARY}": "x"}),
        request("/v1/realtime", UPGRADE | {"X": f"{CANARY}\x00"}),
        f"GET /ping HTTP/1.1\r\nAuthorization {CANARY}\r\n\r\n".encode(),
        f"GET /ping HTTP/1.1\r\nAuthorization\x00: {CANARY}\r\n\r\n".encode(),
        f"{CANARY}\r\n\r\n".encode(),
        f"GET /{CANARY} HTTP/{CANARY}\r\n\r\n".encode(),
        f"POST /invocations HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n".encode(),
        f"POST /invocations HTTP/1.1\r\nHost: p\r\nContent-Length: {CANARY}\r\n\r\n".encode(),
        f"POST /invocations HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 15\r\n\r\n{CANARY}".encode(),
        request("/v1/realtime", UPGRADE) + frame(TEXT, CANARY.encode(), is_masked=False),
        request("/v1/realtime", UPGRADE) + frame(3, CANARY.encode()),
        request("/v1/realtime", UPGRADE) + frame(8, b"\x03\xe8" + CANARY.encode() + b"\xff"),
    ],
    ids=lambda data: str(len(data)),
)
async def test_what_breaks_http_or_websocket_leaves_nothing_in_the_log(chatty: RunningGateway, data: bytes) -> None:
    socket = await chatty.raw()
    socket.send(data)
    socket.shut_down()
    await socket.until_eof()


async def test_a_drain_leaves_nothing_in_the_log(chatty: RunningGateway, vllm: FakeVllm) -> None:
    client = await chatty.open()
    (await vllm.session()).hold_model()
    await client.send_turn(SOUND)
    await vllm.sessions[0].until_received("end")
    chatty.begin_stop()
    chatty.hurry()
    await asyncio.gather(client.until_closed(), chatty.until_stopped())
