"""Opening a stream on a container, as SageMaker's sidecar does, and every way in which that fails."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from parley.core.errors import ParleyError
from parley.upstream.container.handshake import ping_url, stream_url
from tests.support.gateway import RunningGateway
from tests.support.logs import LogWatch
from tests.support.sound import encoded, pcm
from tests.support.voxtral import transcript
from tests.support.waiting import bounded
from tests.upstream.containers import BIDIRECTIONAL, REQUEST_ID, RawContainer, Sink, Stage, opened, staging

QUICK_S = 0.02


@pytest.fixture
async def container(log: LogWatch) -> AsyncIterator[RawContainer]:
    async with RawContainer() as one:
        yield one


@pytest.fixture
async def stage(container: RawContainer) -> AsyncIterator[Stage]:
    async with staging() as one:
        yield one


async def refused(stage: Stage, container: RawContainer, *, handshake_timeout_s: float = 10.0) -> ParleyError:
    """How a stream on the container is refused."""
    upstream = await stage.upstream(container.url, handshake_timeout_s=handshake_timeout_s)
    sink = Sink()
    with pytest.raises(ParleyError) as caught:
        await bounded("a refusal", upstream.open("", "", REQUEST_ID, sink))
    assert upstream.streams == 0
    assert (sink.parts, sink.ended) == ([], [])
    return caught.value


@pytest.mark.parametrize(
    ("path", "query", "asked"),
    [
        ("", "", BIDIRECTIONAL),
        ("", "resume=1", f"{BIDIRECTIONAL}?resume=1"),
        ("v1/realtime", "", "/v1/realtime"),
        ("v2/listen", "model=x&keywords=a%20b", "/v2/listen?model=x&keywords=a%20b"),
        ("a/../b..c", "", "/a/../b..c"),
    ],
)
async def test_the_container_is_asked_for_the_path_and_the_query_string(
    container: RawContainer, stage: Stage, path: str, query: str, asked: str
) -> None:
    await opened(await stage.upstream(container.url), path=path, query=query)
    assert (await container.stream()).path == asked


async def test_the_handshake_is_that_of_sagemakers_sidecar(container: RawContainer, stage: Stage) -> None:
    await opened(await stage.upstream(container.url))
    lines = (await container.stream()).head.decode().split("\r\n")[1:]
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert headers.pop("sec-websocket-key")
    # No subprotocol, no extension: nothing is compressed.
    assert headers == {
        "host": f"127.0.0.1:{container.port}",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "x-amzn-sagemaker-request-id": REQUEST_ID,
    }


@pytest.mark.parametrize(
    ("base", "stream", "ping"),
    [
        ("ws://host:8080", "ws://host:8080/invocations-bidirectional-stream", "http://host:8080/ping"),
        ("http://host:8080/", "ws://host:8080/invocations-bidirectional-stream", "http://host:8080/ping"),
        ("wss://host", "wss://host/invocations-bidirectional-stream", "https://host/ping"),
        (f"ws://host:1{BIDIRECTIONAL}", "ws://host:1/invocations-bidirectional-stream", "http://host:1/ping"),
        ("https://host/behind/", "wss://host/behind/invocations-bidirectional-stream", "https://host/behind/ping"),
    ],
)
def test_a_container_is_known_by_any_url_of_its_port(base: str, stream: str, ping: str) -> None:
    assert stream_url(base, "", "") == stream
    assert ping_url(base) == ping


@pytest.mark.parametrize(
    ("path", "query"),
    [("a b", ""), ("a\r\nb", ""), ("a?b", ""), ("a#b", ""), ("ä", ""), ("", "a=b\r\nc"), ("", "a=b#c"), ("", "a= ")],
)
def test_what_a_url_cannot_hold_is_refused(path: str, query: str) -> None:
    with pytest.raises(ParleyError) as caught:
        stream_url("ws://host", path, query)
    assert caught.value.code == "bad-request"


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 429, 499, 500, 503, 520])
async def test_a_refused_handshake_tells_the_status(container: RawContainer, stage: Stage, status: int) -> None:
    container.refuses_with = status
    error = await refused(stage, container)
    assert (error.code, error.original_status) == ("container-refused", status)
    assert str(status) in error.message


async def test_a_container_that_refuses_is_there_all_the_same(container: RawContainer, stage: Stage) -> None:
    container.refuses_with = 403
    upstream = await stage.upstream(container.url, probe_interval_s=3600.0)
    for _ in range(2):
        with pytest.raises(ParleyError):
            await opened(upstream)
    assert upstream.ready


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"220 mail.test ESMTP\r\n\r\n", 0),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", 101),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
            101,
        ),
    ],
    ids=["another protocol", "half an upgrade", "a wrong key"],
)
async def test_an_answer_that_is_no_handshake_is_a_refusal(
    container: RawContainer, stage: Stage, answer: bytes, status: int
) -> None:
    container.answers_with = answer
    error = await refused(stage, container)
    assert (error.code, error.original_status) == ("container-refused", status)


@pytest.mark.parametrize("header", ["Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: chat"])
async def test_a_handshake_that_agrees_to_what_nobody_offered_is_a_refusal(
    container: RawContainer, stage: Stage, header: str
) -> None:
    container.adds_headers = f"{header}\r\n".encode()
    error = await refused(stage, container)
    assert error.code == "container-refused"
    assert header.partition(":")[0] in error.message
    await (await container.stream()).until_lost()


async def test_a_container_that_hangs_up_is_a_refusal_without_a_status(container: RawContainer, stage: Stage) -> None:
    container.hangs_up = True
    error = await refused(stage, container)
    assert (error.code, error.original_status) == ("container-refused", 0)


async def test_a_container_that_never_answers_is_given_up_and_its_connection_closed(
    container: RawContainer, stage: Stage
) -> None:
    container.answers_with = b""
    # On a busy machine the time may be over before the request has arrived.
    while not container.streams:
        error = await refused(stage, container, handshake_timeout_s=QUICK_S)
        assert (error.code, error.original_status) == ("container-refused", 0)
        assert "handshake" in error.message
    await container.streams[0].until_lost()


async def test_an_opener_that_is_cancelled_leaves_no_connection(container: RawContainer, stage: Stage) -> None:
    container.answers_with = b""
    upstream = await stage.upstream(container.url)
    opening = asyncio.create_task(upstream.open("", "", REQUEST_ID, Sink()))
    connection = await container.stream()
    opening.cancel()
    await asyncio.wait([opening])
    assert opening.cancelled()
    await connection.until_lost()
    assert upstream.streams == 0


async def test_an_answer_that_comes_when_the_opener_has_just_been_cancelled_is_hung_up_on(
    container: RawContainer, stage: Stage
) -> None:
    container.answers_with = b""
    upstream = await stage.upstream(container.url)
    sink = Sink()
    opening = asyncio.create_task(upstream.open("", "", REQUEST_ID, sink))
    connection = await container.stream()
    container.says_first = b"\x81\x05hello"
    # Both before the opener's next turn of the loop.
    connection.accept()
    opening.cancel()
    await asyncio.wait([opening])
    await connection.until_lost()
    assert upstream.streams == 0
    assert (sink.parts, sink.ended) == ([], [])


async def test_a_container_that_does_not_accept_in_time_is_a_refusal(
    container: RawContainer, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = await stage.upstream(container.url, accept_timeout_s=QUICK_S)
    # A backlog of none, filled: the kernel leaves who comes next without an answer.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = []
        try:
            for _ in range(8):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
                fillers.append(filler)
            monkeypatch.setattr(upstream, "_url", f"ws://127.0.0.1:{full.getsockname()[1]}")
            with pytest.raises(ParleyError) as caught:
                await bounded("a refusal", upstream.open("", "", REQUEST_ID, Sink()))
        finally:
            for filler in fillers:
                filler.close()
    assert caught.value.code == "container-refused"
    assert f"within {QUICK_S:g} s" in caught.value.message


async def test_a_connection_that_was_accepted_in_time_is_used_though_this_node_stood_still(
    container: RawContainer, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def connect_and_stand_still(*arguments: Any) -> None:
        await connect(*arguments)
        await asyncio.Event().wait()

    upstream = await stage.upstream(container.url, accept_timeout_s=QUICK_S)
    monkeypatch.setattr(loop, "sock_connect", connect_and_stand_still)
    socket, sink = await opened(upstream)
    (await container.stream()).send(b"hello")
    await sink.until_parts(1)
    assert socket.is_connected


async def test_a_container_that_is_gone_is_refused_and_not_ready_until_it_answers_a_ping(
    container: RawContainer, stage: Stage
) -> None:
    upstream = await stage.upstream(container.url, probe_interval_s=3600.0)
    port = container.port
    await container.stop()
    with pytest.raises(ParleyError) as caught:
        await opened(upstream)
    assert (caught.value.code, caught.value.original_status) == ("container-refused", 0)
    assert "refused" in caught.value.message
    assert not upstream.ready
    with pytest.raises(ParleyError) as caught:
        await opened(upstream)
    assert caught.value.code == "upstream-unavailable"
    asked = container.pings_asked
    await container.start(port)
    await container.until_asked(asked + 1)


async def test_a_host_that_does_not_exist_is_a_refusal(
    container: RawContainer, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def not_found(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    upstream = await stage.upstream(container.url)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", not_found)
    with pytest.raises(ParleyError) as caught:
        await opened(upstream)
    assert caught.value.code == "container-refused"
    assert "not known" in caught.value.message


@pytest.mark.parametrize("status", [503, 404, 301, 204])
async def test_nothing_is_opened_before_a_ping_has_been_answered_with_200(
    container: RawContainer, stage: Stage, status: int
) -> None:
    container.ping_status = status
    upstream = await stage.upstream(container.url, wait_ready=False)
    await container.until_asked(2)
    with pytest.raises(ParleyError) as caught:
        upstream.check()
    assert caught.value.code == "upstream-unavailable"
    with pytest.raises(ParleyError) as caught:
        await opened(upstream)
    assert caught.value.code == "upstream-unavailable"
    assert container.streams == []


async def test_a_ping_that_is_not_answered_in_time_counts_as_none(container: RawContainer, stage: Stage) -> None:
    container.ping_status = None
    upstream = await stage.upstream(container.url, wait_ready=False, probe_timeout_s=QUICK_S)
    await container.until_asked(2)
    assert not upstream.ready


async def test_a_container_whose_pings_fail_is_not_ready_any_more(container: RawContainer, stage: Stage) -> None:
    upstream = await stage.upstream(container.url)
    container.ping_status = 500
    await container.until_asked(container.pings_asked + 3)
    assert not upstream.ready


async def test_parley_is_a_container_like_any_other(gateway: RunningGateway) -> None:
    async with staging() as stage:
        socket, sink = await opened(await stage.upstream(gateway.ws_url), path="v1/realtime")
        for event in (
            '{"type":"session.update","model":""}',
            '{"type":"input_audio_buffer.commit"}',
            f'{{"type":"input_audio_buffer.append","audio":"{encoded(pcm(1.0))}"}}',
            '{"type":"input_audio_buffer.commit","final":true}',
        ):
            # In two parts each, as a client of SageMaker may send it.
            socket.send_frame(event[:20].encode(), is_text=True, is_last=False)
            socket.send_frame(event[20:].encode(), is_text=True, is_last=True)
        await sink.changes.until(
            "the transcript", lambda: any(b"transcription.done" in part.data for part in sink.parts)
        )
        assert transcript(16_000).strip().encode() in sink.parts[-1].data
        gateway.begin_stop()
        assert await sink.until_ended() == (1012, "shutting-down")


async def test_parley_that_has_no_such_path_says_404(gateway: RunningGateway) -> None:
    async with staging() as stage:
        upstream = await stage.upstream(gateway.ws_url)
        with pytest.raises(ParleyError) as caught:
            await opened(upstream, path="v2/listen")
        assert (caught.value.code, caught.value.original_status) == ("container-refused", 404)
