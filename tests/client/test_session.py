import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from parley.client import ConnectionLimits, RealtimeSession, SessionCreated, SessionFailed, TextDelta, TurnDone, connect
from parley.client.connection import Connection
from parley.core.errors import Fault, ParleyError, Retry
from parley.wire.vllm import encode_failure
from tests.support.waiting import bounded

from .vllm_server import Handler, ScriptedVllm, event, greet, listening

SECOND = bytes(32_000)
SECRET = "what nobody else may read"


@pytest.fixture
async def vllm() -> AsyncIterator[tuple[ScriptedVllm, str]]:
    server = ScriptedVllm()
    async with listening(server) as url:
        yield server, url


async def say(session: RealtimeSession, audio: bytes = SECOND) -> None:
    await session.start_turn()
    await session.send_audio(audio)
    await session.end_turn()


async def turn_of(session: RealtimeSession) -> tuple[list[TextDelta], TurnDone]:
    deltas = []
    async for item in session:
        if isinstance(item, TextDelta):
            deltas.append(item)
        elif isinstance(item, TurnDone):
            return deltas, item
    raise AssertionError("the session ended")


async def failure_of(handler: Handler, **options: Any) -> SessionFailed:
    """What a client sees that sends one turn to this server."""

    async def one_turn(url: str) -> None:
        async with connect(url, **options) as session:
            await say(session)
            await turn_of(session)

    async with listening(handler) as url:
        with pytest.raises(SessionFailed) as caught:
            await one_turn(url)
    return caught.value


async def test_a_turn_yields_its_text_and_its_end(vllm: tuple[ScriptedVllm, str]) -> None:
    server, url = vllm
    async with connect(url, model="tiny") as session:
        assert session.session_id == "sess-test"
        await say(session)
        deltas, done = await turn_of(session)
    assert [delta.text for delta in deltas] == [" Hello", " there."]
    assert done.text == "Hello there."
    assert done.usage.completion_tokens == 12 + 17
    assert server.models == ["tiny"]
    assert server.audio == [SECOND]


async def test_the_first_event_is_the_servers_greeting(vllm: tuple[ScriptedVllm, str]) -> None:
    async with connect(vllm[1]) as session:
        assert await anext(session) == SessionCreated("sess-test")


async def test_turns_follow_one_another_on_one_session(vllm: tuple[ScriptedVllm, str]) -> None:
    async with connect(vllm[1]) as session:
        for _ in range(3):
            await say(session)
            _, done = await turn_of(session)
            assert done.text == "Hello there."
    assert vllm[0].paths == ["/v1/realtime"]


async def test_timestamps_count_every_delta_of_80_ms(vllm: tuple[ScriptedVllm, str]) -> None:
    server, url = vllm
    async with connect(url, timestamps=True) as session:
        await say(session)
        deltas, done = await turn_of(session)
    assert [delta.audio_end_s for delta in deltas] == [0.32, 0.56]
    assert done.has_exact_times
    assert server.paths == ["/v1/realtime?empty_deltas=true"]


async def test_without_timestamps_no_times_are_claimed(vllm: tuple[ScriptedVllm, str]) -> None:
    async with connect(vllm[1]) as session:
        await say(session)
        deltas, done = await turn_of(session)
    assert {delta.audio_end_s for delta in deltas} == {None}
    assert not done.has_exact_times


async def test_times_are_not_called_exact_when_deltas_are_missing() -> None:
    async def joining(socket: ServerConnection) -> None:
        await greet(socket)
        async for message in socket:
            if json.loads(message).get("final"):
                await socket.send(event("transcription.delta", delta=" Hello there."))
                usage = {"prompt_tokens": 39, "completion_tokens": 29, "total_tokens": 68}
                await socket.send(event("transcription.done", text=" Hello there.", usage=usage))

    async with listening(joining) as url, connect(url, timestamps=True) as session:
        await say(session)
        assert not (await turn_of(session))[1].has_exact_times


async def test_audio_is_sent_in_pieces_of_at_most_100_ms(vllm: tuple[ScriptedVllm, str]) -> None:
    async with connect(vllm[1]) as session:
        await say(session, bytes(32_000 + 2))
        await turn_of(session)
    assert vllm[0].message_bytes == [3_200] * 10 + [2]


async def test_an_api_key_travels_in_the_header(vllm: tuple[ScriptedVllm, str]) -> None:
    async with connect(vllm[1], api_key="k3y"):
        pass
    assert vllm[0].headers[0]["authorization"] == "Bearer k3y"


async def test_half_a_sample_is_refused_before_it_is_sent(vllm: tuple[ScriptedVllm, str]) -> None:
    async with connect(vllm[1]) as session:
        await session.start_turn()
        with pytest.raises(ParleyError, match="odd number"):
            await session.send_audio(b"abc")


async def test_calls_out_of_order_are_refused(vllm: tuple[ScriptedVllm, str]) -> None:
    async with connect(vllm[1]) as session:
        with pytest.raises(RuntimeError, match="start one"):
            await session.send_audio(SECOND)
        with pytest.raises(RuntimeError, match="No turn"):
            await session.end_turn()
        await session.start_turn()
        with pytest.raises(RuntimeError, match="going on"):
            await session.start_turn()


async def test_a_session_closed_between_turns_ends_cleanly(vllm: tuple[ScriptedVllm, str]) -> None:
    async with connect(vllm[1]) as session:
        await say(session)
        await turn_of(session)
        await session.close()
        assert [item async for item in session] == []


async def test_a_normal_close_by_the_server_between_turns_is_an_end() -> None:
    async def once(socket: ServerConnection) -> None:
        await greet(socket)

    async with listening(once) as url, connect(url) as session:
        assert [item async for item in session] == [SessionCreated("sess-test")]


@pytest.mark.parametrize(
    ("code", "fault", "named"),
    [
        (1000, Fault.SERVER, "a normal end"),
        (1012, Fault.SERVER, "a restart"),
        (1009, Fault.CLIENT, "too large"),
        (4000, Fault.SERVER, "unknown code"),
    ],
)
async def test_a_close_before_the_end_of_a_turn_is_a_failure(code: int, fault: Fault, named: str) -> None:
    async def closing(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.recv()
        await socket.recv()
        await socket.close(code)

    failure = await failure_of(closing)
    assert (failure.code, failure.fault, failure.retry) == ("connection-lost", fault, Retry.NEW_SESSION)
    assert "not complete" in failure.message
    assert named in failure.message


async def test_a_connection_that_breaks_off_is_a_failure() -> None:
    async def crashing(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.recv()
        socket.transport.abort()

    failure = await failure_of(crashing)
    assert failure.code == "connection-lost"
    assert "1006" in failure.message


async def test_a_turn_that_ends_unasked_is_a_failure() -> None:
    async def truncating(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.recv()
        await socket.send(event("transcription.done", text=" Half of", usage=None))
        await socket.wait_closed()

    async with listening(truncating) as url, connect(url) as session:
        await session.start_turn()
        with pytest.raises(SessionFailed) as caught:
            await turn_of(session)
        # It stays failed.
        with pytest.raises(SessionFailed):
            await session.send_audio(SECOND)
        with pytest.raises(SessionFailed):
            await anext(session)
    assert caught.value.code == "upstream-truncated"


@pytest.mark.parametrize(
    ("code", "fault", "retry"),
    [
        ("model_not_found", Fault.CLIENT, Retry.SAME_SESSION),
        ("invalid_audio", Fault.CLIENT, Retry.SAME_SESSION),
        ("processing_error", Fault.UPSTREAM, Retry.NEW_SESSION),
        ("something_new", Fault.UPSTREAM, Retry.NEW_SESSION),
        (None, Fault.UPSTREAM, Retry.NEW_SESSION),
    ],
)
async def test_a_vllm_error_keeps_its_code_and_words(code: str | None, fault: Fault, retry: Retry) -> None:
    async def failing(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.send(event("error", error=SECRET, code=code))
        await socket.wait_closed()

    failure = await failure_of(failing)
    assert (failure.code, failure.fault, failure.retry) == (code or "upstream-error", fault, retry)
    assert failure.message == SECRET
    assert SECRET not in str(failure) + repr(failure)


async def test_a_parley_error_keeps_its_own_data() -> None:
    async def failing(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.send(encode_failure(ParleyError("at-capacity", retry_after_s=7.0)).decode())
        await socket.wait_closed()

    failure = await failure_of(failing)
    assert (failure.code, failure.fault, failure.retry) == ("at-capacity", Fault.SERVER, Retry.NEW_SESSION)
    assert failure.retry_after_s == 7.0
    assert failure.ends_session


async def test_a_refused_message_does_not_end_the_session() -> None:
    async def fussy(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.send(event("error", error="The model `x` does not exist.", code="model_not_found"))
        await ScriptedVllm()(socket)

    async with listening(fussy) as url, connect(url) as session:
        with pytest.raises(SessionFailed, match="model_not_found"):
            [item async for item in session]
        await say(session)
        assert (await turn_of(session))[1].text == "Hello there."


async def test_what_is_no_protocol_is_a_failure() -> None:
    async def babbling(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.send("hello")
        await socket.wait_closed()

    assert (await failure_of(babbling)).code == "upstream-protocol"


async def test_a_server_that_does_not_greet_is_given_up() -> None:
    async def mute(socket: ServerConnection) -> None:
        await socket.wait_closed()

    failure = await failure_of(mute, limits=ConnectionLimits(connect_timeout_s=0.05))
    assert failure.code == "upstream-stalled"


async def test_a_server_that_greets_with_something_else_is_given_up() -> None:
    async def rude(socket: ServerConnection) -> None:
        await socket.send(event("transcription.delta", delta="hm"))
        await socket.wait_closed()

    assert (await failure_of(rude)).code == "upstream-protocol"


async def test_a_server_that_hangs_up_instead_of_greeting_is_a_failure() -> None:
    async def absent(socket: ServerConnection) -> None:
        await socket.close(1000)

    failure = await failure_of(absent)
    assert failure.code == "connection-lost"
    assert "before the session began" in failure.message


async def test_an_end_that_does_not_come_is_given_up() -> None:
    async def forgetful(socket: ServerConnection) -> None:
        await greet(socket)
        async for _ in socket:
            pass

    failure = await failure_of(forgetful, answer_timeout_s=0.05)
    assert failure.code == "upstream-stalled"


async def test_a_refused_connection_names_the_address_and_what_to_start(unused_tcp_port: int) -> None:
    with pytest.raises(SessionFailed) as caught:
        async with connect(f"ws://127.0.0.1:{unused_tcp_port}/secret?token=1"):
            pass
    assert caught.value.code == "connect-failed"
    assert f"ws://127.0.0.1:{unused_tcp_port}." in caught.value.message
    assert "parley serve" in caught.value.message
    assert "secret" not in caught.value.message


async def test_a_server_that_never_answers_the_handshake_is_given_up() -> None:
    released = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        released.set()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(SessionFailed, match="connect-failed") as caught:
            async with connect(f"ws://127.0.0.1:{port}", limits=ConnectionLimits(connect_timeout_s=0.05)):
                pass
        await bounded("the client hangs up", released.wait())
    assert "in time" in caught.value.message


@pytest.mark.parametrize(
    ("answer", "code", "named"),
    [
        (b"", "connect-failed", "hung up"),
        (b"SSH-2.0-server\r\n\r\n", "connect-refused", "not a WebSocket handshake"),
    ],
)
async def test_something_else_than_a_web_server_is_recognised(answer: bytes, code: str, named: str) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(reply, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SessionFailed) as caught:
            async with connect(f"ws://127.0.0.1:{port}"):
                pass
    assert caught.value.code == code
    assert named in caught.value.message


async def test_a_certificate_that_is_missing_is_named() -> None:
    async with listening(ScriptedVllm()) as url:
        with pytest.raises(SessionFailed) as caught:
            async with connect(url.replace("ws://", "wss://"), ssl_context=ssl.create_default_context()):
                pass
    assert caught.value.code == "connect-failed"


def refusing(status: int, body: bytes, retry_after: str) -> Callable[[ServerConnection, Request], Response]:
    def process(_socket: ServerConnection, _request: Request) -> Response:
        headers = Headers({"Retry-After": retry_after} if retry_after else {})
        return Response(status, HTTPStatus(status).phrase, headers, body)

    return process


async def refusal_of(status: int, body: bytes = b"", retry_after: str = "") -> SessionFailed:
    async with listening(ScriptedVllm(), refusing(status, body, retry_after)) as url:
        with pytest.raises(SessionFailed) as caught:
            async with connect(url):
                pass
    return caught.value


async def test_a_full_parley_server_says_when_to_come_back() -> None:
    body = {"error": {"code": "at-capacity", "message": "Full.", "fault": "server", "retry_after_s": 2.5}}
    failure = await refusal_of(503, json.dumps(body).encode(), retry_after="3")
    assert (failure.code, failure.message, failure.retry_after_s) == ("at-capacity", "Full.", 2.5)
    assert failure.retry is Retry.NEW_SESSION


async def test_the_header_says_when_to_come_back_where_the_body_does_not() -> None:
    failure = await refusal_of(503, b'{"error":{"code":"at-capacity"}}', retry_after="3")
    assert failure.retry_after_s == 3.0
    assert failure.message


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":"Unauthorized"}', b'{"error":{"code":"odd"}}'])
async def test_any_other_refusal_is_explained_by_its_status(body: bytes) -> None:
    failure = await refusal_of(401, body)
    assert (failure.code, failure.fault, failure.retry) == ("connect-refused", Fault.CLIENT, Retry.NEVER)
    assert "PARLEY_API_KEY" in failure.message


@pytest.mark.parametrize(
    ("status", "retry", "named"),
    [
        (400, Retry.NEVER, "Check the address"),
        (403, Retry.NEVER, "no realtime endpoint"),
        (404, Retry.NEVER, "no realtime endpoint"),
        (429, Retry.NEW_SESSION, "Too many"),
        (500, Retry.NEW_SESSION, "not ready"),
    ],
)
async def test_the_status_decides_whether_to_try_again(status: int, retry: Retry, named: str) -> None:
    failure = await refusal_of(status, retry_after="soon")
    assert failure.retry is retry
    assert named in failure.message
    assert failure.retry_after_s is None


async def test_the_reader_stops_reading_while_its_events_are_not_taken() -> None:
    async def flooding(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.recv()
        for _ in range(2_000):
            await socket.send(event("transcription.delta", delta="x" * 1_000))
        await socket.wait_closed()

    changed = asyncio.Event()
    limits = ConnectionLimits(inbox_max_messages=16)
    async with listening(flooding) as url:
        connection = await Connection.open(f"{url}/v1/realtime", limits=limits, changed=changed.set)
        connection.send(b"{}")
        async with asyncio.timeout(10):
            while connection.is_reading:  # noqa: ASYNC110 (a transport has no event for it)
                await asyncio.sleep(0)
            # What one read brought is still taken; the rest waits in the sockets.
            assert 16 <= connection.unread_messages < 200
            for _ in range(1 + 2_000):
                while connection.receive() is None:
                    changed.clear()
                    await changed.wait()
        await connection.close()


async def test_a_server_that_takes_no_audio_is_given_up() -> None:
    released = asyncio.Event()

    async def full(socket: ServerConnection) -> None:
        await greet(socket)
        socket.transport.pause_reading()
        await released.wait()

    limits = ConnectionLimits(send_stall_timeout_s=0.1, close_timeout_s=0.1)
    async with listening(full, close_timeout=0.1) as url:
        async with connect(url, limits=limits) as session:
            await session.start_turn()
            with pytest.raises(SessionFailed, match="upstream-stalled"):
                await session.send_audio(bytes(32_000_000))
        released.set()


async def test_sending_goes_on_when_the_server_reads_again() -> None:
    vllm = ScriptedVllm(pieces={})
    blocked = asyncio.Event()

    async def hesitant(socket: ServerConnection) -> None:
        socket.transport.pause_reading()
        await socket.pong(b"unasked")

        async def resume() -> None:
            await blocked.wait()
            socket.transport.resume_reading()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(resume())
            await vllm(socket)

    async with listening(hesitant) as url, connect(url) as session, asyncio.TaskGroup() as tasks:
        await session.start_turn()
        sending = tasks.create_task(session.send_audio(bytes(8_000_000)))
        async with asyncio.timeout(20):
            while not session._runner._is_server_behind:  # noqa: ASYNC110 (a transport has no event for it)
                await asyncio.sleep(0)
        assert not sending.done()
        blocked.set()
        async with asyncio.timeout(20):
            await sending
            await session.end_turn()
            await turn_of(session)
    assert sum(vllm.message_bytes) == 8_000_000


async def test_sending_on_a_lost_connection_is_a_failure() -> None:
    async def leaving(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.recv()
        await socket.recv()
        await socket.close(1012)

    async with listening(leaving) as url, connect(url) as session:
        await session.start_turn()
        with pytest.raises(SessionFailed, match="connection-lost"):
            await turn_of(session)
        with pytest.raises(SessionFailed, match="connection-lost"):
            await session.send_audio(SECOND)


async def test_a_sender_learns_what_the_server_said_before_it_closed() -> None:
    gone = asyncio.Event()

    async def full(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.send(encode_failure(ParleyError("at-capacity")).decode())
        await socket.close(1013)
        gone.set()

    async with listening(full) as url, connect(url) as session:
        await gone.wait()
        with pytest.raises(SessionFailed, match="at-capacity"):
            await say(session, bytes(32_000 * 60))
        # The reader is told as well, in its turn.
        assert isinstance(await anext(session), SessionCreated)
        with pytest.raises(SessionFailed, match="at-capacity"):
            await anext(session)


async def test_a_sender_is_not_confused_by_broken_last_words() -> None:
    gone = asyncio.Event()

    async def confused(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.send("bye")
        await socket.close(1011)
        gone.set()

    async with listening(confused) as url, connect(url) as session:
        await gone.wait()
        with pytest.raises(SessionFailed, match="upstream-protocol"):
            await say(session, bytes(32_000 * 60))


async def test_a_message_in_fragments_is_joined() -> None:
    async def fragmenting(socket: ServerConnection) -> None:
        await greet(socket)
        whole = event("transcription.delta", delta=" Hello")
        await socket.send([whole[:10], whole[10:20], whole[20:]])
        await socket.wait_closed()

    async with listening(fragmenting) as url, connect(url) as session:
        await anext(session)
        assert await anext(session) == TextDelta(" Hello")


async def test_a_message_in_too_many_fragments_ends_the_session() -> None:
    async def fragmenting(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.send("x" for _ in range(1_000))

    failure = await failure_of(fragmenting, limits=ConnectionLimits(message_max_bytes=1_000))
    assert failure.code == "connection-lost"


async def test_neither_events_nor_logs_show_what_was_said(
    caplog: pytest.LogCaptureFixture, vllm: tuple[ScriptedVllm, str]
) -> None:
    vllm[0].pieces = {2: SECRET}
    caplog.set_level(0, logger="parley")
    logging.getLogger("parley.client").setLevel(1)
    try:
        async with connect(vllm[1], api_key="k3y") as session:
            await say(session)
            deltas, done = await turn_of(session)
    finally:
        logging.getLogger("parley.client").setLevel(logging.NOTSET)
    assert deltas[0].text == SECRET
    own = "".join(record.getMessage() for record in caplog.records if record.name.startswith("parley"))
    assert "WS connection established" in own
    assert SECRET not in own + repr(deltas) + repr(done)
    assert "k3y" not in own
