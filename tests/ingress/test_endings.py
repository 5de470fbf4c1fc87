"""How the listener ends a connection, and what it does about a client that does not play along."""

import asyncio

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.errors import ERRORS, ParleyError
from parley.core.usage import Usage
from parley.ingress.port import PortLimits
from parley.ingress.websocket import SocketLimits
from tests.support.ingress import listening
from tests.support.logs import LogWatch
from tests.support.raw import CLOSE, PING, PONG, frame, request
from tests.support.sound import pcm

pytestmark = pytest.mark.usefixtures("log")

QUICK = SocketLimits(close_timeout_s=0.05)
PATIENT = SocketLimits(close_timeout_s=600.0)


@pytest.mark.parametrize("code", [code for code, spec in ERRORS.items()])
async def test_every_error_ends_a_connection_with_an_event_and_its_close_code(code: str) -> None:
    async with listening(socket_limits=PATIENT) as listener:
        socket, session = await listener.open()
        session.attachment.end(ParleyError(code))
        (error,), close = await socket.until_close()
        assert error.event["parley"]["code"] == code
        assert close.close_code == ERRORS[code].ws_close
        assert close.payload[2:] == code.encode()
        socket.send(frame(CLOSE, close.payload[:2]))
        assert await socket.until_eof() == b""


async def test_a_close_that_is_not_answered_is_followed_by_a_cut(log: LogWatch) -> None:
    async with listening(socket_limits=QUICK) as listener:
        socket, session = await listener.open()
        session.attachment.end(ParleyError("shutting-down"))
        await socket.until_close()
        assert await socket.until_eof() == b""
        await session.until(ev.ClientClosed)


async def test_a_client_that_reads_nothing_is_cut_when_its_session_ends() -> None:
    async with listening(socket_limits=QUICK) as listener:
        socket, session = await listener.open()
        while not any(isinstance(event, ev.ClientBlocked) for event in session.events):
            session.attachment.send_delta(Text(b'"%b"' % (b"x" * 65_536)))
        session.attachment.end(ParleyError("slow-client"))
        await session.until(ev.ClientClosed)
        socket.abort()


async def test_results_after_the_end_are_not_sent() -> None:
    async with listening(socket_limits=PATIENT) as listener:
        socket, session = await listener.open()
        session.attachment.end(ParleyError("upstream-closed"))
        session.attachment.send_done(Text(b'" late"'), Usage())
        session.attachment.send_delta(Text(b'" late"'))
        session.attachment.end(ParleyError("internal-error"))
        before, _ = await socket.until_close()
        assert [one.event["type"] for one in before] == ["error"]


@pytest.mark.parametrize("characters", [100, 8_150, 8_192, 20_000, 70_000, 1_000_000])
async def test_a_long_result_is_not_damaged_by_what_follows_while_it_waits(characters: int) -> None:
    async with listening() as listener:
        socket, session = await listener.open()
        waiting = 0
        while not any(isinstance(event, ev.ClientBlocked) for event in session.events):
            session.attachment.send_delta(Text(b'"%b"' % (b"w" * 65_536)))
            waiting += 1
        long = "x" * characters
        session.attachment.send_delta(Text(b'"%b"' % long.encode()))
        session.attachment.send_delta(Text(b'" short"'))
        session.attachment.send_done(Text(b'"%b"' % long.encode()), Usage())
        session.attachment.end(ParleyError("shutting-down"))
        for _ in range(waiting):
            await socket.frame()
        before, close = await socket.until_close()
        first, second, done, error = (one.event for one in before)
        assert (first["delta"], second["delta"], done["text"]) == (long, " short", long)
        assert error["parley"]["code"] == "shutting-down"
        assert close.payload[2:] == b"shutting-down"


async def test_a_session_that_is_refused_after_the_handshake_is_told_why() -> None:
    async with listening(socket_limits=QUICK) as listener:
        listener.host.refuses_open = ParleyError("at-capacity", retry_after_s=3.0)
        socket = await listener.connect()
        assert (await socket.upgrade()).status == 101
        (error,), close = await socket.until_close()
        assert error.event["parley"] == {
            "code": "at-capacity",
            "fault": "server",
            "retry": "new-session",
            "retry_after_s": 3.0,
        }
        assert (close.close_code, close.payload[2:]) == (1013, b"at-capacity")
        await socket.until_eof()


async def test_a_clean_goodbye_is_told_to_the_session_at_once() -> None:
    async with listening() as listener:
        socket, session = await listener.open()
        socket.send(frame(CLOSE, (1000).to_bytes(2)))
        await session.until(ev.ClientClosed)


async def test_a_goodbye_of_a_client_that_reads_nothing_is_told_to_the_session_as_well() -> None:
    async with listening(socket_limits=QUICK) as listener:
        socket, session = await listener.open()
        while not any(isinstance(event, ev.ClientBlocked) for event in session.events):
            session.attachment.send_delta(Text(b'"%b"' % (b"x" * 65_536)))
        socket.send(frame(CLOSE, (1000).to_bytes(2)))
        await session.until(ev.ClientClosed)
        socket.abort()


async def test_a_broken_connection_is_told_to_the_session() -> None:
    async with listening() as listener:
        socket, session = await listener.open()
        socket.abort()
        await session.until(ev.ClientClosed)


async def test_a_client_that_does_not_read_is_reported_and_so_is_that_it_reads_again() -> None:
    async with listening(socket_limits=SocketLimits(write_buffer_max_bytes=4_096)) as listener:
        socket, session = await listener.open()
        text = Text(b'"%b"' % (b"x" * 65_536))
        sent = 0
        while not any(isinstance(event, ev.ClientBlocked) for event in session.events):
            session.attachment.send_delta(text)
            sent += 1
        for _ in range(sent):
            assert (await socket.frame()).event["delta"] == "x" * 65_536
        await session.until(ev.ClientUnblocked)


async def test_answers_to_pings_do_not_pile_up_for_a_client_that_does_not_read() -> None:
    async with listening(socket_limits=SocketLimits(write_buffer_max_bytes=4_096)) as listener:
        socket = await listener.connect(receive_buffer_bytes=4_096)
        await socket.upgrade()
        await socket.frame()
        many, rounds = 1_000, 128
        for _ in range(rounds):
            socket.send(frame(PING, b"x" * 125) * many)
            await socket.drain()
        socket.send(frame(PING, b"last"))
        answered = 0
        while (pong := await socket.frame()).payload != b"last":
            assert pong.opcode == PONG
            answered += 1
        # What the kernels held is answered; nothing beyond it was kept.
        assert answered < many * rounds * 3 // 4


async def test_a_paused_client_is_not_read_until_it_is_resumed() -> None:
    async with listening() as listener:
        socket, session = await listener.open()
        session.attachment.pause_input()
        socket.send(frame(PING, b"paused"))
        # What another connection sent later has been read and answered by now.
        witness = await listener.connect()
        await witness.upgrade()
        session.attachment.send_delta(Text(b'" still heard"'))
        assert (await socket.frame()).event["delta"] == " still heard"
        session.attachment.resume_input()
        pong = await socket.frame()
        assert (pong.opcode, pong.payload) == (PONG, b"paused")


async def test_a_silent_client_is_pinged_and_one_that_answers_is_kept() -> None:
    async with listening(PortLimits(ping_interval_s=0.2, ping_timeout_s=0.2)) as listener:
        socket, session = await listener.open()
        for _ in range(3):
            ping = await socket.frame()
            assert ping.opcode == PING
            socket.send(frame(PONG, ping.payload))
        assert session.events == []


async def test_a_silent_client_that_answers_no_ping_has_ended_the_session() -> None:
    async with listening(PortLimits(ping_interval_s=0.03, ping_timeout_s=0.03)) as listener:
        _, session = await listener.open()
        await session.until(ev.ClientClosed)


async def test_a_client_that_is_paused_is_not_taken_for_dead() -> None:
    async with listening(PortLimits(ping_interval_s=0.03, ping_timeout_s=0.03), QUICK) as listener:
        paused, session = await listener.open()
        # Asked already, but the answer will not be read any more.
        assert (await paused.frame()).opcode == PING
        session.attachment.pause_input()
        for _ in range(2):
            # One that is not paused and answers nothing is cut when the time is over.
            witness = await listener.connect()
            await witness.upgrade()
            await witness.until_eof()
        assert session.events == []
        session.attachment.send_delta(Text(b'" still here"'))
        assert (await paused.frame()).event["delta"] == " still here"


async def test_a_client_that_was_paused_is_asked_again_when_it_is_resumed() -> None:
    async with listening(PortLimits(ping_interval_s=0.03, ping_timeout_s=0.03)) as listener:
        socket, session = await listener.open()
        session.attachment.pause_input()
        session.attachment.resume_input()
        assert (await socket.frame()).opcode == PING
        await session.until(ev.ClientClosed)


async def test_a_body_that_stops_half_way_is_given_up_with_the_reason() -> None:
    async with listening(stall_timeout_s=0.05) as listener:
        socket = await listener.connect()
        head = {"Host": "parley.test", "Content-Type": "audio/pcm", "Content-Length": "64000"}
        socket.send(request("/invocations", head, method="POST") + pcm(1.0))
        response = await socket.response()
        assert response.status == 400
        assert "stopped for 0.05 s" in response.error["message"]
        await (await listener.host.session()).until(ev.ClientClosed)


async def test_a_body_that_goes_on_in_time_is_not_given_up() -> None:
    async with listening(stall_timeout_s=0.4) as listener:
        socket = await listener.connect()
        head = {"Host": "parley.test", "Content-Type": "audio/pcm", "Content-Length": "64"}
        socket.send(request("/invocations", head, method="POST"))
        for _ in range(4):
            # As a slow uplink would: each piece in time, all of them together not.
            await asyncio.sleep(0.12)
            socket.send(bytes(16))
        session = await listener.host.session()
        await session.until(ev.TurnEnded)
        session.attachment.send_done(Text(b'""'), Usage())
        assert (await socket.response()).status == 200


async def test_events_that_are_not_read_are_given_up() -> None:
    async with listening(stall_timeout_s=0.05) as listener:
        socket = await listener.connect(receive_buffer_bytes=4_096)
        head = {"Host": "p", "Content-Type": "audio/pcm", "Content-Length": "64", "Accept": "text/event-stream"}
        socket.send(request("/invocations", head, method="POST") + bytes(64))
        session = await listener.host.session()
        text = Text(b'"%b"' % (b"x" * 2**20))
        for _ in range(16):
            session.attachment.send_delta(text)
        await session.until(ev.ClientClosed)


async def test_a_plain_connection_that_idles_is_closed() -> None:
    async with listening(PortLimits(http_idle_timeout_s=0.05)) as listener:
        socket = await listener.connect()
        socket.send(request("/ping", {"Host": "parley.test"}))
        assert (await socket.response()).status == 200
        assert await socket.until_eof() == b""


async def test_a_failure_of_ours_is_answered_as_such_and_logged_once(log: LogWatch) -> None:
    log.expect_errors("parley.ingress")
    async with listening() as listener:
        listener.host.models = None  # type: ignore[assignment]
        socket = await listener.connect()
        socket.send(request("/v1/models", {"Host": "parley.test"}))
        response = await socket.response()
        assert (response.status, response.error["code"]) == (500, "internal-error")
        assert len([record for record in log.records if record.exc_info]) == 1
