"""What a peer may not do too much of, and what becomes of it if it does."""

from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
)

from parley.ingress.http2.guard import Rate, Violation
from parley.ingress.http2.limits import Http2Limits
from tests.ingress.http2.wireless import Wireless
from tests.support.http2 import (
    Fields,
    RawHttp2,
    Recorder,
    data_frame,
    header_block,
    headers_frame,
    listening,
    request_fields,
    window_update,
)
from tests.support.logs import LogWatch

MOMENT_S = 0.05
"""A limit that is to be reached in a test."""


def _recorder() -> Recorder:
    return Recorder(lambda handler: handler.exchange.respond(200))


def _goaways(link: Wireless) -> list[ErrorCodes]:
    return [ErrorCodes(frame.error_code) for frame in link.pipe.frames() if isinstance(frame, GoAwayFrame)]


def _frozen(link: Wireless) -> None:
    """The clock by which floods are counted stands still, however slow the machine is."""
    link.connection.loop = _Standing(link.connection.loop)  # type: ignore[assignment]


class _Standing:
    def __init__(self, loop: object) -> None:
        self._loop = loop

    def time(self) -> float:
        return 1_000.0

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)


@pytest.mark.parametrize(
    ("limits", "make"),
    [
        (Http2Limits(resets_per_s_max=5), lambda n: [headers_frame(2 * n + 3), RstStreamFrame(2 * n + 3)]),
        (Http2Limits(resets_per_s_max=5), lambda n: [headers_frame(2 * n + 3, [("bad", "x")])]),
        (Http2Limits(resets_per_s_max=5, streams_max=1), lambda n: [headers_frame(2 * n + 3)]),
        (
            Http2Limits(resets_per_s_max=5),
            lambda n: [headers_frame(2 * n + 3, end_stream=True), data_frame(2 * n + 3, b"")],
        ),
        (Http2Limits(pings_per_s_max=5), lambda n: [PingFrame(0)]),
        (Http2Limits(pings_per_s_max=5), lambda n: [PingFrame(0, flags=["ACK"])]),
        (Http2Limits(settings_per_s_max=6), lambda n: [SettingsFrame(0, settings={4: 65_535})]),
        (Http2Limits(priorities_per_s_max=5), lambda n: [PriorityFrame(1, depends_on=0)]),
        (Http2Limits(window_updates_per_s_max=5), lambda n: [window_update(1, 1)]),
        (Http2Limits(window_updates_per_s_max=5), lambda n: [window_update(0, 1)]),
        (Http2Limits(empty_data_per_s_max=5), lambda n: [data_frame(1, b"")]),
        (Http2Limits(unknown_frames_per_s_max=5), lambda n: [ExtensionFrame(0x42, 1)]),
    ],
    ids=[
        "streams opened and reset",
        "malformed requests",
        "streams above the limit",
        "data behind the end",
        "PING",
        "answers to PING",
        "SETTINGS",
        "PRIORITY",
        "WINDOW_UPDATE of a stream",
        "WINDOW_UPDATE",
        "empty DATA",
        "unknown frames",
    ],
)
async def test_a_flood_ends_the_connection(limits: Http2Limits, make: Callable[[int], list[Frame]]) -> None:
    link = Wireless(_recorder(), limits)
    _frozen(link)
    link.greet()
    link.send(headers_frame(1))
    for index in range(5):
        link.send(*make(index))
    assert _goaways(link) == []
    link.send(*make(5))
    assert _goaways(link) == [ErrorCodes.ENHANCE_YOUR_CALM]
    link.close()


@pytest.mark.parametrize("kind", [SettingsFrame.type, PingFrame.type, GoAwayFrame.type, PriorityFrame.type])
async def test_a_frame_that_is_longer_than_any_of_its_type_has_to_be_is_not_waited_for(kind: int) -> None:
    link = Wireless(_recorder())
    link.greet()
    link.feed((1_200).to_bytes(3) + bytes([kind, 0]) + bytes(4))
    assert _goaways(link) == [ErrorCodes.ENHANCE_YOUR_CALM]
    link.close()


def test_a_rate_is_counted_anew_every_second() -> None:
    rate = Rate("frames", 2)
    for now in (0.0, 0.9, 1.0, 1.9, 2.5):
        rate.count(now)
    rate.count(2.6)
    with pytest.raises(Violation, match="more than 2 frames a second"):
        rate.count(2.7)


async def test_a_client_may_answer_every_DATA_frame_with_window_updates() -> None:
    recorder = _recorder()
    link = Wireless(recorder, Http2Limits(window_updates_per_s_max=5))
    _frozen(link)
    link.greet()
    link.send(headers_frame(1))
    for _ in range(20):
        recorder.handlers[0].exchange.write(b"x")
        await link.settle()
        link.send(window_update(0, 1), window_update(1, 1))
    assert _goaways(link) == []
    link.close()


async def test_streams_above_the_limit_are_refused_and_the_others_go_on() -> None:
    recorder = _recorder()
    link = Wireless(recorder, Http2Limits(streams_max=2))
    link.greet()
    link.send(headers_frame(1), headers_frame(3), headers_frame(5), data_frame(5, b"refused"), data_frame(1, b"x"))
    resets = [(f.stream_id, f.error_code) for f in link.pipe.frames() if isinstance(f, RstStreamFrame)]
    assert resets == [(5, ErrorCodes.REFUSED_STREAM)]
    assert len(recorder.handlers) == 2
    assert recorder.handlers[0].data == b"x"
    recorder.handlers[0].exchange.reset(0)
    link.send(headers_frame(7))
    assert len(recorder.handlers) == 3
    link.close()


async def test_a_refused_request_leaves_the_compression_intact() -> None:
    recorder = _recorder()
    link = Wireless(recorder, Http2Limits(streams_max=1))
    link.greet()
    link.send(headers_frame(1))
    refused = HeadersFrame(3, data=header_block(request_fields()) + b"\x40\x03x-a\x01b", flags=["END_HEADERS"])
    link.send(refused)
    recorder.handlers[0].exchange.reset(0)
    link.send(HeadersFrame(5, data=header_block(request_fields()) + b"\xbe", flags=["END_HEADERS"]))
    assert recorder.handlers[1].request.headers[-1] == (b"x-a", b"b")
    link.close()


@pytest.mark.parametrize(
    "fields",
    [
        request_fields(headers={"x-long": "x" * 2_000}),
        request_fields(headers={f"x-{index}": "" for index in range(40)}),
    ],
    ids=["a long field", "many fields"],
)
async def test_a_header_list_that_is_too_long_ends_the_connection(fields: Fields) -> None:
    link = Wireless(_recorder(), Http2Limits(header_list_max_bytes=1_000))
    link.greet()
    link.send(headers_frame(1, fields))
    assert _goaways(link) == [ErrorCodes.ENHANCE_YOUR_CALM]
    link.close()


async def test_a_header_list_that_grows_by_decompression_ends_the_connection() -> None:
    link = Wireless(_recorder(), Http2Limits(header_list_max_bytes=5_000))
    link.greet()
    entry = b"\x40\x01a" + b"\x7f\x81\x0f" + b"v" * 2_048
    bomb = header_block(request_fields()) + entry + b"\xbe" * 100
    link.send(HeadersFrame(1, data=bomb, flags=["END_HEADERS"]))
    assert _goaways(link) == [ErrorCodes.ENHANCE_YOUR_CALM]
    link.close()


async def test_too_many_CONTINUATION_frames_end_the_connection() -> None:
    link = Wireless(_recorder(), Http2Limits(continuations_max=3))
    link.greet()
    link.send(headers_frame(1, end_headers=False), *(ContinuationFrame(1, data=b"") for _ in range(3)))
    assert _goaways(link) == []
    link.send(ContinuationFrame(1, data=b""))
    assert _goaways(link) == [ErrorCodes.ENHANCE_YOUR_CALM]
    link.close()


async def test_a_header_block_that_is_too_long_ends_the_connection_before_its_end() -> None:
    link = Wireless(_recorder(), Http2Limits(header_list_max_bytes=1_000))
    link.greet()
    link.send(headers_frame(1, end_headers=False), ContinuationFrame(1, data=bytes(1_000)))
    assert _goaways(link) == [ErrorCodes.ENHANCE_YOUR_CALM]
    link.close()


async def test_a_client_that_does_not_read_the_answers_to_its_pings_is_cut() -> None:
    link = Wireless(_recorder(), Http2Limits(transport_max_bytes=100_000))
    link.greet()
    link.send(headers_frame(1))
    link.pipe.waiting_bytes = 100_001
    link.send(PingFrame(0))
    assert link.pipe.endings == ["abort"]
    link.close()


async def test_the_transport_s_buffer_is_bounded() -> None:
    link = Wireless(_recorder(), Http2Limits(transport_high_water_bytes=12_345))
    assert link.pipe.high_water_bytes == 12_345
    link.close()


@pytest.mark.parametrize("sent", [b"", b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4"])
async def test_a_preface_that_does_not_end_in_time_ends_the_connection(sent: bytes) -> None:
    limits = Http2Limits(preface_timeout_s=MOMENT_S, linger_s=MOMENT_S)
    async with listening(_recorder(), limits) as (_, port), RawHttp2(port, greet=False) as peer:
        peer.send_bytes(sent)
        assert await peer.goaway() is ErrorCodes.ENHANCE_YOUR_CALM
        await peer.until_eof()


@pytest.mark.parametrize(
    "sent",
    [
        headers_frame(3, end_headers=False).serialize(),
        headers_frame(3, end_headers=False).serialize() + ContinuationFrame(3, data=b"").serialize(),
        headers_frame(3).serialize()[:-1],
        headers_frame(3).serialize()[:10],
    ],
    ids=["no CONTINUATION", "no last CONTINUATION", "half a frame", "a frame's head"],
)
async def test_a_header_block_that_does_not_end_in_time_ends_the_connection(sent: bytes) -> None:
    limits = Http2Limits(headers_timeout_s=MOMENT_S, linger_s=MOMENT_S)
    async with listening(_recorder(), limits) as (_, port), RawHttp2(port) as peer:
        peer.send(headers_frame(1))
        peer.send_bytes(sent)
        assert await peer.goaway() is ErrorCodes.ENHANCE_YOUR_CALM
        await peer.until_eof()


async def test_a_connection_that_comes_while_the_listener_stops_is_sent_away() -> None:
    async with listening(_recorder()) as (listener, _):
        listener.stop_accepting()
        link = Wireless(_recorder(), home=listener)
        await link.settle()
        assert _goaways(link) == [ErrorCodes.NO_ERROR]
        link.close()


async def test_more_connections_than_allowed_are_refused(log: LogWatch) -> None:
    limits = Http2Limits(connections_max=1, linger_s=MOMENT_S)
    async with listening(_recorder(), limits) as (_, port), RawHttp2(port) as first:
        await first.pong()
        async with RawHttp2(port) as second:
            assert await second.goaway() is ErrorCodes.ENHANCE_YOUR_CALM
            await second.until_eof()
        await first.pong()
    assert len([message for message in log.messages if "1 are open, the limit" in message]) == 1


async def test_there_is_room_again_when_a_connection_has_gone() -> None:
    limits = Http2Limits(connections_max=1, linger_s=MOMENT_S)
    recorder = _recorder()
    async with listening(recorder, limits) as (_, port):
        async with RawHttp2(port) as first:
            first.send(headers_frame(1))
            handler = await recorder.handler()
        await recorder.until("the first has gone", lambda: "lost" in handler.events)
        async with RawHttp2(port) as second:
            await second.pong()


@pytest.mark.parametrize(
    "broken",
    [
        {"receive_window_bytes": 65_534},
        {"receive_window_bytes": 2**30, "streams_max": 2},
        {"output_low_water_bytes": 2, "output_high_water_bytes": 1},
        {"output_high_water_bytes": 2_000_000},
        {"output_low_water_bytes": -1},
        {"transport_high_water_bytes": 0},
        {"transport_high_water_bytes": 2_000_000},
    ],
)
def test_limits_that_contradict_each_other_are_refused(broken: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="bytes"):
        Http2Limits(**broken)
