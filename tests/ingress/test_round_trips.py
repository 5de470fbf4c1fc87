"""How long a client takes to answer a ping, on every kind of connection, by a clock that a test moves."""

from collections.abc import AsyncIterator

import pytest
from hyperframe.frame import PingFrame

from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.ingress import websocket
from parley.ingress.http2 import connection
from parley.ingress.oneshot import BodyAttachment
from parley.wire.round_trip import INTERVAL_S
from tests.support import http2
from tests.support.clock import Clock
from tests.support.http2 import RawHttp2, Recorder, headers_frame
from tests.support.ingress import Listener, StubSession, listening
from tests.support.raw import PING, PONG, RawSocket, frame, text_frame


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(websocket, "time", clock)
    monkeypatch.setattr(connection, "time", clock)
    return clock


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with listening() as started:
        yield started


async def ping_of(socket: RawSocket) -> bytes:
    """What the next frame, a PING, carries."""
    found = await socket.frame(with_round_trips=True)
    assert found.opcode == PING
    return found.payload


async def until_read(socket: RawSocket, session: StubSession) -> None:
    """Wait until the server has read what was sent."""
    socket.send(text_frame("input_audio_buffer.commit"))
    started = sum(isinstance(event, ev.TurnStarted) for event in session.events)
    await session.until_count(ev.TurnStarted, started + 1)


async def test_a_websockets_round_trip_is_from_the_ping_to_the_pong_that_answers_it(
    listener: Listener, clock: Clock
) -> None:
    socket, session = await listener.open()
    assert session.attachment.round_trip_s() is None
    payload = await ping_of(socket)
    clock.now += 0.25
    socket.send(frame(PONG, payload))
    await until_read(socket, session)
    assert session.attachment.round_trip_s() == 0.25


async def test_a_pong_that_nobody_asked_for_is_no_answer(listener: Listener, clock: Clock) -> None:
    socket, session = await listener.open()
    session.attachment.round_trip_s()
    await ping_of(socket)
    clock.now += 0.25
    socket.send(frame(PONG, b"") + frame(PONG, bytes(8)))
    await until_read(socket, session)
    assert session.attachment.round_trip_s() is None


async def test_a_client_is_asked_once_in_a_while_however_often_somebody_looks(listener: Listener, clock: Clock) -> None:
    socket, session = await listener.open()
    session.attachment.round_trip_s()
    first = await ping_of(socket)
    socket.send(frame(PONG, first))
    await until_read(socket, session)
    for _ in range(3):
        session.attachment.round_trip_s()
        clock.now += INTERVAL_S / 2.9
    session.attachment.round_trip_s()
    second = await ping_of(socket)
    socket.send(frame(PONG, second) + frame(PING, b"mine"))
    answer = await socket.frame(with_round_trips=True)
    assert (answer.opcode, answer.payload) == (PONG, b"mine")
    assert first != second


async def test_a_client_that_is_not_read_is_not_asked_and_its_late_answer_does_not_count(
    listener: Listener, clock: Clock
) -> None:
    socket, session = await listener.open()
    attachment = session.attachment
    attachment.round_trip_s()
    payload = await ping_of(socket)
    attachment.pause_input()
    socket.send(frame(PONG, payload))
    clock.now += 100.0
    assert attachment.round_trip_s() is None
    attachment.resume_input()
    await until_read(socket, session)
    assert attachment.round_trip_s() is None
    answered = await ping_of(socket)
    clock.now += 0.5
    socket.send(frame(PONG, answered))
    await until_read(socket, session)
    assert attachment.round_trip_s() == 0.5


async def test_a_client_that_does_not_answer_is_as_slow_as_that(listener: Listener, clock: Clock) -> None:
    socket, session = await listener.open()
    session.attachment.round_trip_s()
    await ping_of(socket)
    clock.now += 7.0
    assert session.attachment.round_trip_s() == 7.0


async def test_a_connection_that_closes_is_not_asked(listener: Listener, clock: Clock) -> None:
    socket, session = await listener.open()
    session.attachment.end(ParleyError("shutting-down"))
    session.attachment.round_trip_s()
    before, _ = await socket.until_close()
    assert PING not in [found.opcode for found in before]


async def test_an_http2_connections_round_trip_is_from_the_ping_to_its_ack(clock: Clock) -> None:
    recorder = Recorder()
    async with http2.listening(recorder) as (_, port), RawHttp2(port) as peer:
        peer.send(headers_frame(1))
        exchange = (await recorder.handler()).exchange
        assert exchange.round_trip_s() is None
        ping = await peer.frame(PingFrame)
        clock.now += 0.25
        answer = PingFrame(0, opaque_data=ping.opaque_data)
        answer.flags.add("ACK")
        peer.send(answer)
        await peer.pong()
        assert exchange.round_trip_s() == 0.25


async def test_the_sessions_of_an_http2_connection_have_one_round_trip(clock: Clock) -> None:
    recorder = Recorder()
    async with http2.listening(recorder) as (_, port), RawHttp2(port) as peer:
        peer.send(headers_frame(1), headers_frame(3))
        exchanges = [(await recorder.handler(number)).exchange for number in range(2)]
        for exchange in exchanges:
            exchange.round_trip_s()
        await peer.pong()
        assert sum(isinstance(found, PingFrame) and "ACK" not in found.flags for found in peer.frames) == 1
        clock.now += 7.0
        assert [exchange.round_trip_s() for exchange in exchanges] == [7.0, 7.0]


def test_a_client_that_posts_a_recording_is_not_asked() -> None:
    assert BodyAttachment().round_trip_s() is None
