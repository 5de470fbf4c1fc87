"""How connections end: by their clients, by silence, by a drain and by the listener."""

import asyncio
import ssl

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from parley.ingress.http2.limits import Http2Limits
from parley.ingress.http2.listener import Http2Listener
from tests.support.http2 import (
    Http2Client,
    RawHttp2,
    Recorder,
    data_frame,
    echoing,
    headers_frame,
    listening,
    tls_contexts,
)
from tests.support.logs import LogWatch
from tests.support.waiting import bounded

MOMENT_S = 0.05
AGES_S = 1_000.0


def _recorder() -> Recorder:
    return Recorder(lambda handler: handler.exchange.respond(200))


@pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])
async def test_a_connection_without_streams_ends_when_it_was_idle_for_long() -> None:
    limits = Http2Limits(idle_timeout_s=MOMENT_S, linger_s=MOMENT_S, ping_interval_s=AGES_S)
    async with listening(_recorder(), limits) as (_, port), RawHttp2(port) as peer:
        assert await peer.goaway() is ErrorCodes.NO_ERROR
        await peer.until_eof()


async def test_pings_of_the_client_do_not_keep_an_idle_connection() -> None:
    limits = Http2Limits(idle_timeout_s=MOMENT_S, linger_s=MOMENT_S, pings_per_s_max=10**9)
    async with listening(_recorder(), limits) as (_, port), RawHttp2(port) as peer:
        while not [frame for frame in peer.frames if isinstance(frame, GoAwayFrame)]:
            peer.send(PingFrame(0))
            assert await peer.next_frame() is not None
        await peer.until_eof()


async def test_a_connection_is_idle_from_the_end_of_its_last_stream() -> None:
    limits = Http2Limits(idle_timeout_s=MOMENT_S, linger_s=MOMENT_S)
    recorder = _recorder()
    async with listening(recorder, limits) as (_, port), RawHttp2(port) as peer:
        peer.send(headers_frame(1))
        handler = await recorder.handler()
        async with RawHttp2(port) as idle:
            # The end of the idle one tells that the time is over.
            await idle.goaway()
        await peer.pong()
        assert not [frame for frame in peer.frames if isinstance(frame, GoAwayFrame)]
        handler.exchange.finish()
        assert await peer.goaway() is ErrorCodes.NO_ERROR


async def test_a_silent_client_with_a_stream_is_pinged_and_kept_while_it_answers() -> None:
    limits = Http2Limits(ping_interval_s=MOMENT_S, ping_timeout_s=AGES_S)
    async with listening(_recorder(), limits) as (_, port), RawHttp2(port) as peer:
        peer.send(headers_frame(1))
        for _ in range(3):
            ping = await peer.frame(PingFrame)
            assert "ACK" not in ping.flags
            peer.send(PingFrame(0, opaque_data=ping.opaque_data, flags=["ACK"]))


async def test_a_client_that_does_not_answer_a_ping_is_cut_off(log: LogWatch) -> None:
    limits = Http2Limits(ping_interval_s=MOMENT_S, ping_timeout_s=MOMENT_S)
    recorder = _recorder()
    async with listening(recorder, limits) as (_, port), RawHttp2(port) as peer:
        peer.send(headers_frame(1))
        await peer.until_eof()
        assert (await recorder.handler()).events == ["lost"]
    assert any("did not answer a PING" in message for message in log.messages)


async def test_a_client_that_sends_anything_needs_no_ping() -> None:
    limits = Http2Limits(ping_interval_s=MOMENT_S, ping_timeout_s=AGES_S, pings_per_s_max=10**9)
    async with listening(_recorder(), limits) as (_, port), RawHttp2(port) as busy, RawHttp2(port) as silent:
        busy.send(headers_frame(1))
        await busy.frame(HeadersFrame)
        silent.send(headers_frame(1))
        is_pinged = asyncio.ensure_future(silent.frame(PingFrame))
        while not is_pinged.done():
            await busy.pong()
        # A machine that stands still for longer than the interval makes the server ask after all.
        asked = [frame for frame in busy.frames if isinstance(frame, PingFrame) and "ACK" not in frame.flags]
        assert len(asked) <= 1


async def test_a_client_that_drops_the_connection_loses_its_streams() -> None:
    recorder = _recorder()
    async with listening(recorder) as (_, port), RawHttp2(port) as peer:
        peer.send(headers_frame(1), headers_frame(3))
        handlers = [await recorder.handler(index) for index in range(2)]
        peer.abort()
        await recorder.until("both are lost", lambda: all(handler.events == ["lost"] for handler in handlers))


async def test_a_client_that_half_closes_TCP_loses_its_streams() -> None:
    recorder = _recorder()
    async with listening(recorder) as (_, port), RawHttp2(port) as peer:
        peer.send(headers_frame(1))
        handler = await recorder.handler()
        peer.eof()
        await recorder.until("it is lost", lambda: handler.events == ["lost"])
        await peer.until_eof()


async def test_an_error_reaches_a_client_that_goes_on_sending(log: LogWatch) -> None:
    async with listening(_recorder()) as (_, port), RawHttp2(port) as peer:
        peer.send(headers_frame(1))
        peer.send(DataFrame(7, data=b"x"))
        peer.send(*(data_frame(1, bytes(16_000)) for _ in range(50)))
        assert await peer.goaway() is ErrorCodes.PROTOCOL_ERROR
        await peer.until_eof()
    assert any("broke the protocol" in message for message in log.messages)


async def test_a_peer_that_never_leaves_is_cut_off_after_the_linger() -> None:
    limits = Http2Limits(linger_s=MOMENT_S)
    recorder = _recorder()
    async with listening(recorder, limits) as (listener, port), RawHttp2(port) as peer:
        peer.send(DataFrame(7, data=b"x"))
        await peer.goaway()
        await bounded("the listener forgets it", _until_empty(listener, peer))


async def _until_empty(listener: Http2Listener, peer: RawHttp2) -> None:
    while listener.connections:
        peer.send_bytes(b"x")
        await asyncio.sleep(0.001)


async def test_a_drain_ends_a_connection_with_its_last_stream_and_refuses_new_ones() -> None:
    recorder = _recorder()
    async with listening(recorder) as (listener, port), RawHttp2(port) as peer:
        peer.send(headers_frame(1))
        handler = await recorder.handler()
        listener.stop_accepting()
        goaway = await peer.frame(GoAwayFrame)
        assert (goaway.error_code, goaway.last_stream_id) == (ErrorCodes.NO_ERROR, 1)
        peer.send(headers_frame(3), data_frame(3, b"refused"), data_frame(1, b"goes on"))
        assert (await peer.frame(RstStreamFrame, 3)).error_code == ErrorCodes.REFUSED_STREAM
        await recorder.until("the first stream goes on", lambda: handler.data == b"goes on")
        handler.exchange.write(b"done")
        handler.exchange.finish()
        peer.send(data_frame(1, b"", end_stream=True))
        await peer.until_eof()
        assert peer.data(1) == b"done"
        assert len(recorder.handlers) == 1


async def test_a_drain_before_the_first_request_refuses_it() -> None:
    async with listening(_recorder()) as (listener, port), RawHttp2(port) as peer:
        await peer.pong()
        listener.stop_accepting()
        goaway = await peer.frame(GoAwayFrame)
        assert (goaway.error_code, goaway.last_stream_id) == (ErrorCodes.NO_ERROR, 0)
        await peer.until_eof()


async def test_a_drain_takes_no_new_connection() -> None:
    async with listening(_recorder()) as (listener, port):
        listener.stop_accepting()
        listener.stop_accepting()
        with pytest.raises(OSError, match="refused"):
            await asyncio.open_connection("127.0.0.1", port)


async def test_the_drained_client_of_a_library_finishes_its_request() -> None:
    async with listening(echoing()) as (listener, port), Http2Client(port) as client:
        stream = client.open()
        await stream.head()
        listener.stop_accepting()
        assert await client.until_goaway() is ErrorCodes.NO_ERROR
        await stream.send(b"the rest", end_stream=True)
        assert await stream.read_all() == b"the rest"
        await client.until_lost()


@pytest.mark.parametrize("with_tls", [False, True], ids=["in clear", "over TLS"])
async def test_closing_ends_what_is_open_within_a_bound(with_tls: bool) -> None:
    server, trusting = tls_contexts() if with_tls else (None, None)
    recorder = _recorder()
    async with (
        listening(recorder, Http2Limits(linger_s=MOMENT_S), server) as (listener, port),
        RawHttp2(port, ssl_context=trusting) as peer,
    ):
        peer.send(headers_frame(1))
        handler = await recorder.handler()
        await bounded("closing", listener.close())
        assert handler.events == ["lost"]
        frames = await peer.until_eof()
        ended = [type(frame) for frame in frames if isinstance(frame, (GoAwayFrame, RstStreamFrame))]
        assert sorted(kind.__name__ for kind in ended) == ["GoAwayFrame", "RstStreamFrame"]


async def test_closing_what_never_listened_is_nothing() -> None:
    listener = Http2Listener(_recorder(), Http2Limits(), None)
    listener.stop_accepting()
    await listener.close()


async def test_an_address_that_is_taken_is_an_error() -> None:
    async with listening(_recorder()) as (_, port):
        with pytest.raises(OSError, match="in use"):
            await Http2Listener(_recorder(), Http2Limits(), None).start("127.0.0.1", port)


async def test_a_client_that_does_not_offer_HTTP_2_is_cut_off(log: LogWatch) -> None:
    server, trusting = tls_contexts()
    trusting.set_alpn_protocols(["http/1.1"])
    async with listening(_recorder(), None, server) as (_, port), RawHttp2(port, ssl_context=trusting) as peer:
        assert await peer.until_eof() == []
    assert any("ALPN" in message for message in log.messages)


async def test_TLS_below_1_2_is_not_offered() -> None:
    server, _ = tls_contexts()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        server.minimum_version = ssl.TLSVersion.TLSv1_1
    Http2Listener(_recorder(), Http2Limits(), server)
    assert server.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_SETTINGS_come_first_over_TLS_without_waiting_for_the_client() -> None:
    server, trusting = tls_contexts()
    async with (
        listening(_recorder(), None, server) as (_, port),
        RawHttp2(port, ssl_context=trusting, greet=False) as peer,
    ):
        assert isinstance(await peer.next_frame(), SettingsFrame)


@pytest.mark.asyncio(loop_factories=["uvloop", "asyncio"])
async def test_a_slow_reader_slows_only_itself() -> None:
    async with listening(echoing()) as (_, port), Http2Client(port) as client:
        slow, quick = client.open(), client.open()
        slow.holds_credit = True
        client.protocol.increment_flow_control_window(1_000_000)
        await slow.send(bytes(150_000))
        for _ in range(50):
            await quick.send(b"there")
        quick.end()
        assert await quick.read_all() == b"there" * 50
        client.ping()
        await client.until_pong()
        assert len(slow.received) <= 65_535
        slow.return_credit()
        slow.end()
        assert await slow.read_all() == bytes(150_000)
