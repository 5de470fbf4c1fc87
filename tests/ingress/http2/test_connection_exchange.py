"""What a handler does with its exchange, and what it hears of it, frame by frame."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from h2.errors import ErrorCodes
from hpack import Decoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from parley.ingress.http2.exchange import Exchange, ExchangeHandler, Request
from parley.ingress.http2.limits import Http2Limits
from tests.ingress.http2.wireless import UNHURRIED, RecordingAuthority, Wireless
from tests.support.http2 import (
    PREFACE,
    RecordedExchange,
    Recorder,
    data_frame,
    headers_frame,
    request_fields,
    serialized,
    window_update,
)
from tests.support.logs import LogWatch


def _begin(handler: RecordedExchange) -> None:
    handler.exchange.respond(200)


class Peer(Wireless):
    """A client, whose requests are answered 200 at once."""

    def __init__(
        self,
        limits: Http2Limits = UNHURRIED,
        on_request: Callable[[RecordedExchange], None] = _begin,
        **handling: Any,
    ) -> None:
        self.recorder = Recorder(on_request, **handling)
        super().__init__(self.recorder, limits, RecordingAuthority)
        self.greet()

    def request(self, stream_id: int = 1, *, end_stream: bool = False) -> RecordedExchange:
        """Open a stream; what that wrote is dropped."""
        self.send(headers_frame(stream_id, end_stream=end_stream))
        self.pipe.take()
        return self.recorder.handlers[-1]

    async def written(self) -> list[Frame]:
        """The frames of the last tick."""
        await self.settle()
        return self.pipe.frames()


def kinds(frames: list[Frame]) -> list[str]:
    return [f"{type(frame).__name__.removesuffix('Frame')} {' '.join(sorted(frame.flags))}".strip() for frame in frames]


def reset_codes(frames: list[Frame]) -> list[ErrorCodes]:
    return [ErrorCodes(frame.error_code) for frame in frames if isinstance(frame, RstStreamFrame)]


def body(frames: list[Frame], stream_id: int = 1) -> bytes:
    return b"".join(frame.data for frame in frames if isinstance(frame, DataFrame) and frame.stream_id == stream_id)


async def test_a_request_is_told_as_the_wire_had_it() -> None:
    peer = Peer()
    fields = [*request_fields("/a?b=c"), ("x-one", "1"), ("cookie", "a=1"), ("x-two", "é"), ("cookie", "b=2")]
    peer.send(headers_frame(1, fields))
    request = peer.recorder.handlers[0].request
    assert (request.method, request.target, request.authority) == ("POST", "/a?b=c", "parley.test")
    assert request.headers == tuple((name.encode(), value.encode()) for name, value in fields)
    peer.close()


async def test_a_request_without_authority_is_for_its_host() -> None:
    peer = Peer()
    fields = [field for field in request_fields() if field[0] != ":authority"]
    peer.send(headers_frame(1, [*fields, ("host", "elsewhere")]))
    assert peer.recorder.handlers[0].request.authority == "elsewhere"
    peer.close()


async def test_expect_is_ignored() -> None:
    peer = Peer(on_request=lambda handler: None)
    peer.send(headers_frame(1, request_fields(headers={"expect": "100-continue"})))
    assert "Headers" not in " ".join(kinds(await peer.written()))
    peer.close()


async def test_a_request_that_ends_at_once_is_followed_by_its_end() -> None:
    peer = Peer()
    assert peer.request(end_stream=True).events == ["input_ended"]
    peer.close()


async def test_trailers_are_read_over_and_end_the_input() -> None:
    peer = Peer()
    handler = peer.request()
    peer.send(data_frame(1, b"x"), headers_frame(1, [("x-trailer", "x")], end_stream=True))
    assert handler.events == ["data_received", "input_ended"]
    peer.close()


async def test_the_end_may_come_with_the_last_data_or_behind_it() -> None:
    peer = Peer()
    with_it, behind = peer.request(1), peer.request(3)
    peer.send(data_frame(1, b"x", end_stream=True), data_frame(3, b"x"), data_frame(3, b"", end_stream=True))
    for handler in (with_it, behind):
        assert handler.data == b"x"
        assert handler.events == ["data_received", "input_ended"]
    peer.close()


async def test_plain_data_does_not_ask_h2() -> None:
    peer = Peer()
    handler = peer.request()
    authority = peer.authority
    assert isinstance(authority, RecordingAuthority)
    asked = authority.asked_frames
    peer.send(*(data_frame(1, b"plain") for _ in range(100)))
    assert handler.data == b"plain" * 100
    assert (authority.plain_frames, authority.asked_frames) == (100, asked)
    peer.close()


async def test_the_windows_are_announced_when_the_request_has_come_and_not_by_SETTINGS() -> None:
    peer = Peer()
    settings = [frame for frame in peer.pipe.frames() if isinstance(frame, SettingsFrame) and not frame.flags]
    assert settings[0].settings.get(SettingsFrame.INITIAL_WINDOW_SIZE, 65_535) == 65_535
    peer.send(headers_frame(1))
    updates = {
        frame.stream_id: frame.window_increment for frame in peer.pipe.frames() if isinstance(frame, WindowUpdateFrame)
    }
    assert updates == {1: 80_000 - 65_535, 0: 80_000}
    peer.close()


async def test_credit_goes_back_by_half_windows_when_data_was_taken() -> None:
    peer = Peer()
    peer.request()
    peer.send(data_frame(1, bytes(16_000)), data_frame(1, bytes(16_000)))
    assert [frame.stream_id for frame in peer.pipe.frames()] == []
    peer.send(data_frame(1, bytes(8_000)))
    updates = peer.pipe.frames()
    assert all(isinstance(frame, WindowUpdateFrame) for frame in updates)
    assert {frame.stream_id for frame in updates} == {0, 1}
    assert peer.windows["in 1"] == 80_000
    peer.close()


async def test_no_credit_goes_back_for_what_waits_for_a_paused_handler() -> None:
    peer = Peer()
    handler = peer.request()
    handler.exchange.pause_reading()
    peer.send(*(data_frame(1, bytes(16_000)) for _ in range(5)))
    assert handler.data == b""
    assert await peer.written() == []
    handler.exchange.resume_reading()
    frames = await peer.written()
    assert {frame.stream_id for frame in frames if isinstance(frame, WindowUpdateFrame)} == {0, 1}
    assert len(handler.data) == 80_000
    peer.close()


async def test_a_stalled_stream_stalls_neither_pings_nor_other_streams() -> None:
    peer = Peer()
    stalled, other = peer.request(1), peer.request(3)
    stalled.exchange.pause_reading()
    peer.send(*(data_frame(1, bytes(16_000)) for _ in range(5)))
    for round_ in range(20):
        # As a client that minds the windows.
        while peer.windows["in 3"] >= 16_000 and len(other.data) < 48_000 * (round_ + 1):
            assert peer.windows["in"] >= 16_000
            peer.send(data_frame(3, bytes(16_000)))
        other.exchange.write(b"answer")
        peer.send(PingFrame(0, opaque_data=b"12345678"))
        frames = await peer.written()
        assert [frame.opaque_data for frame in frames if isinstance(frame, PingFrame)] == [b"12345678"]
        assert body(frames, 3) == b"answer"
    assert len(other.data) == 960_000
    assert stalled.data == b""
    peer.close()


async def test_a_handler_may_pause_again_while_it_is_handed_what_was_kept() -> None:
    peer = Peer(on_data=lambda handler, data: handler.exchange.pause_reading())
    handler = peer.request()
    handler.exchange.pause_reading()
    peer.send(*(data_frame(1, bytes(16_000)) for _ in range(4)))
    handler.exchange.resume_reading()
    await peer.settle()
    assert handler.pieces == [16_384]
    peer.close()


async def test_the_end_waits_for_a_paused_handler_behind_its_data() -> None:
    peer = Peer()
    handler = peer.request()
    handler.exchange.pause_reading()
    peer.send(data_frame(1, b"kept"), data_frame(1, b"", end_stream=True))
    assert handler.events == []
    handler.exchange.resume_reading()
    await peer.settle()
    assert handler.events == ["data_received", "input_ended"]
    peer.close()


async def test_an_end_without_data_waits_for_a_paused_handler_too() -> None:
    peer = Peer()
    handler = peer.request()
    handler.exchange.pause_reading()
    peer.send(data_frame(1, b"", end_stream=True))
    assert handler.events == []
    handler.exchange.resume_reading()
    handler.exchange.resume_reading()
    await peer.settle()
    assert handler.events == ["input_ended"]
    peer.close()


async def test_what_is_written_in_one_tick_is_one_write_of_the_transport_and_one_frame() -> None:
    peer = Peer()
    handler = peer.request()
    before = len(peer.pipe.writes)
    for _ in range(10):
        handler.exchange.write(b"piece")
    frames = await peer.written()
    assert kinds(frames) == ["Data"]
    assert body(frames) == b"piece" * 10
    assert len(peer.pipe.writes) == before + 1
    peer.close()


async def test_an_answer_is_head_body_and_end() -> None:
    peer = Peer(on_request=lambda handler: None)
    handler = peer.request(end_stream=True)
    handler.exchange.respond(404, ((b"x-amzn-errortype", b"NotFound"),))
    handler.exchange.write(b"body")
    handler.exchange.finish()
    frames = await peer.written()
    assert kinds(frames) == ["Headers END_HEADERS", "Data END_STREAM"]
    assert body(frames) == b"body"
    peer.close()


async def test_a_client_that_has_ended_is_not_told_more_than_the_end() -> None:
    peer = Peer()
    handler = peer.request(end_stream=True)
    handler.exchange.finish()
    assert kinds(await peer.written()) == ["Data END_STREAM"]
    peer.close()


async def test_the_end_waits_behind_what_waits_to_be_written() -> None:
    peer = Peer()
    handler = peer.request()
    handler.exchange.write(bytes(70_000))
    handler.exchange.finish()
    first = await peer.written()
    assert (len(body(first)), kinds(first)[-1]) == (65_535, "Data")
    peer.send(window_update(0, 10_000), window_update(1, 10_000))
    last = await peer.written()
    assert len(body(last)) == 70_000 - 65_535
    assert kinds(last) == ["Data END_STREAM"]
    peer.close()


async def test_after_finish_nothing_is_handed_over_and_no_credit_goes_back() -> None:
    peer = Peer()
    handler = peer.request()
    peer.send(window_update(1, 1))
    handler.exchange.write(bytes(70_000))
    handler.exchange.finish()
    await peer.settle()
    peer.send(*(data_frame(1, bytes(16_000)) for _ in range(4)), data_frame(1, b"", end_stream=True))
    await peer.settle()
    assert handler.data == b""
    assert handler.events == []
    assert peer.windows["in 1"] == 16_000
    peer.close()
    assert handler.events == ["lost"]


async def test_what_was_kept_for_a_handler_that_finishes_goes_back_to_the_connection() -> None:
    peer = Peer()
    handler = peer.request()
    handler.exchange.write(bytes(70_000))
    handler.exchange.pause_reading()
    peer.send(*(data_frame(1, bytes(16_000)) for _ in range(5)))
    handler.exchange.finish()
    await peer.settle()
    assert peer.windows["in"] == peer.connection.limits.connection_window_bytes(1)
    peer.close()


async def test_the_handler_resets_its_stream_at_once() -> None:
    peer = Peer()
    handler = peer.request()
    handler.exchange.write(bytes(100_000))
    handler.exchange.reset(ErrorCodes.CANCEL)
    frames = await peer.written()
    assert kinds(frames)[-1] == "RstStream"
    assert reset_codes(frames) == [ErrorCodes.CANCEL]
    assert handler.events == []
    peer.close()


async def test_after_the_end_every_method_does_nothing() -> None:
    peer = Peer()
    ended, reset, lost = peer.request(1), peer.request(3), peer.request(5)
    ended.exchange.finish()
    reset.exchange.reset(ErrorCodes.CANCEL)
    peer.send(RstStreamFrame(5))
    await peer.written()
    for handler in (ended, reset, lost):
        handler.exchange.pause_reading()
        handler.exchange.resume_reading()
        handler.exchange.respond(200)
        handler.exchange.write(b"x")
        handler.exchange.finish()
        handler.exchange.reset(ErrorCodes.CANCEL)
    assert await peer.written() == []
    assert [handler.events for handler in (ended, reset, lost)] == [[], [], ["lost"]]
    peer.close()


async def test_a_reset_by_the_client_is_told_once() -> None:
    peer = Peer()
    handler = peer.request()
    peer.send(data_frame(1, b"x"), RstStreamFrame(1), RstStreamFrame(1))
    peer.close()
    assert handler.events == ["data_received", "lost"]


async def test_the_end_of_the_connection_is_told_to_every_open_stream() -> None:
    peer = Peer()
    one, two, done = peer.request(1), peer.request(3), peer.request(5)
    done.exchange.finish()
    await peer.settle()
    peer.close()
    assert [handler.events for handler in (one, two, done)] == [["lost"], ["lost"], []]


async def test_a_handler_that_turns_to_another_stream_when_the_connection_ends_does_nothing() -> None:
    peer = Peer()
    one, two = peer.request(1), peer.request(3)

    def turn() -> None:
        two.exchange.write(b"x")
        two.exchange.finish()
        two.exchange.reset(ErrorCodes.CANCEL)

    one.lost = turn  # type: ignore[method-assign]
    peer.send(RstStreamFrame(99))
    assert kinds(await peer.written()) == ["GoAway"]
    assert two.events == ["lost"]
    peer.close()


async def test_a_factory_may_answer_at_once() -> None:
    peer = Peer(on_request=lambda handler: handler.answer(b"no", 403))
    peer.send(headers_frame(1))
    frames = peer.pipe.frames()
    assert kinds(frames)[-3:] == ["Headers END_HEADERS", "Data END_STREAM", "RstStream"]
    assert peer.recorder.handlers[0].events == []
    peer.close()


async def test_a_factory_that_writes_much_hears_that_it_is_blocked_when_its_handler_is_made() -> None:
    def begin(handler: RecordedExchange) -> None:
        handler.exchange.respond(200)
        handler.exchange.write(bytes(200_000))
        assert handler.events == []

    peer = Peer(on_request=begin)
    assert peer.request().events == ["writing_blocked"]
    peer.close()


async def test_a_factory_that_fails_costs_its_stream(log: LogWatch) -> None:
    def fail(handler: RecordedExchange) -> None:
        raise ValueError("content")

    log.expect_errors("parley.ingress")
    peer = Peer(on_request=fail)
    peer.send(headers_frame(1))
    assert [frame.error_code for frame in peer.pipe.frames() if isinstance(frame, RstStreamFrame)] == [2]
    assert "ValueError" in log.messages[-1]
    assert "content" not in log.everything
    peer.close()


async def test_a_handler_that_fails_costs_its_stream_and_hears_that_it_is_lost(log: LogWatch) -> None:
    def fail(handler: RecordedExchange, data: bytes) -> None:
        if data == b"bad":
            raise ValueError("content")

    log.expect_errors("parley.ingress")
    peer = Peer(on_data=fail)
    bad, good = peer.request(1), peer.request(3)
    peer.send(data_frame(1, b"bad"), data_frame(3, b"good"), data_frame(1, b"bad"))
    assert [
        (frame.stream_id, frame.error_code) for frame in peer.pipe.frames() if isinstance(frame, RstStreamFrame)
    ] == [(1, ErrorCodes.INTERNAL_ERROR)]
    assert bad.events == ["data_received", "lost"]
    assert good.data == b"good"
    assert len([message for message in log.messages if "ValueError" in message]) == 1
    assert "content" not in log.everything
    peer.close()


class _Broken:
    def __init__(self, exchange: Exchange) -> None:
        exchange.respond(200)

    def _fail(self, *_: object) -> None:
        raise ValueError("content")

    data_received = input_ended = lost = writing_blocked = writing_unblocked = _fail


async def test_a_handler_that_fails_at_everything_harms_nobody_else(log: LogWatch) -> None:
    log.expect_errors("parley.ingress")
    good = Recorder(_begin)

    def make(request: Request, exchange: Exchange) -> ExchangeHandler:
        return _Broken(exchange) if request.target == "/broken" else good(request, exchange)

    link = Wireless(make)
    link.greet()
    broken = request_fields("/broken")
    link.send(headers_frame(1, broken), headers_frame(3, broken), headers_frame(5, broken, end_stream=True))
    link.send(headers_frame(7), data_frame(1, b"x"), RstStreamFrame(3), data_frame(7, b"x"))
    assert good.handlers[0].data == b"x"
    link.close()


@pytest.mark.parametrize(
    "field",
    [(b"Upper", b"x"), (b"", b"x"), (b"x y", b"x"), (b"x", b"a\nb"), (b"x", b" a"), (b"x", b"a "), (b"x:", b"x")],
)
async def test_a_response_field_that_HTTP_2_does_not_allow_is_refused_before_anything_is_written(
    field: tuple[bytes, bytes],
) -> None:
    peer = Peer(on_request=lambda handler: None)
    handler = peer.request()
    with pytest.raises(ValueError, match="response field"):
        handler.exchange.respond(200, (field,))
    assert await peer.written() == []
    handler.exchange.respond(200, ((b"x", b""), (b"y", b"a b\tc")))
    assert kinds(await peer.written()) == ["Headers END_HEADERS"]
    peer.close()


async def test_writing_stops_at_the_stream_window_and_goes_on_when_it_opens() -> None:
    peer = Peer()
    handler = peer.request()
    peer.send(window_update(0, 1_000_000))
    handler.exchange.write(bytes(80_000))
    assert len(body(await peer.written())) == 65_535
    peer.send(window_update(1, 1_000))
    assert len(body(peer.pipe.frames())) == 1_000
    peer.send(window_update(1, 100_000))
    assert len(body(peer.pipe.frames())) == 80_000 - 66_535
    peer.close()


async def test_writing_stops_at_the_connection_window_and_streams_take_turns_when_it_opens() -> None:
    peer = Peer()
    one, two = peer.request(1), peer.request(3)
    peer.send(window_update(1, 1_000_000), window_update(3, 1_000_000))
    one.exchange.write(bytes(200_000))
    await peer.settle()
    two.exchange.write(bytes(200_000))
    peer.pipe.take()
    peer.send(window_update(0, 6 * 16_384))
    frames = peer.pipe.frames()
    assert [frame.stream_id for frame in frames] == [1, 3, 1, 3, 1, 3]
    peer.close()


async def test_a_stream_with_a_closed_window_does_not_hold_up_the_others() -> None:
    peer = Peer()
    one, two = peer.request(1), peer.request(3)
    peer.send(window_update(0, 1_000_000))
    one.exchange.write(bytes(100_000))
    two.exchange.write(bytes(1_000))
    frames = await peer.written()
    assert (len(body(frames, 1)), len(body(frames, 3))) == (65_535, 1_000)
    peer.close()


async def test_a_smaller_initial_window_holds_writing_back_and_a_larger_one_lets_it_go() -> None:
    peer = Peer()
    handler = peer.request()
    peer.send(window_update(0, 1_000_000), SettingsFrame(0, settings={4: 100}))
    handler.exchange.write(bytes(1_000))
    assert len(body(await peer.written())) == 100
    peer.send(SettingsFrame(0, settings={4: 400}))
    assert len(body(await peer.written())) == 300
    peer.send(SettingsFrame(0, settings={4: 0}))
    peer.send(window_update(1, 500))
    assert len(body(await peer.written())) == 100
    peer.close()


async def test_frames_are_no_longer_than_every_peer_takes() -> None:
    peer = Peer()
    handler = peer.request()
    peer.send(SettingsFrame(0, settings={5: 100_000}))
    handler.exchange.write(bytes(60_000))
    sizes = [len(frame.data) for frame in await peer.written() if isinstance(frame, DataFrame)]
    assert sizes == [16_384, 16_384, 16_384, 60_000 - 3 * 16_384]
    peer.close()


async def test_an_end_without_data_passes_closed_windows() -> None:
    peer = Peer()
    one, two = peer.request(1), peer.request(3, end_stream=True)
    one.exchange.write(bytes(100_000))
    await peer.written()
    two.exchange.finish()
    assert kinds(await peer.written()) == ["Data END_STREAM"]
    peer.close()


async def test_a_full_transport_stops_the_streams_but_not_the_answers_to_pings() -> None:
    peer = Peer()
    handler = peer.request()
    peer.connection.pause_writing()
    handler.exchange.write(b"later")
    peer.send(PingFrame(0))
    assert kinds(await peer.written()) == ["Ping ACK"]
    peer.connection.resume_writing()
    assert body(await peer.written()) == b"later"
    peer.close()


async def test_a_transport_that_fills_up_is_given_no_more_than_a_batch() -> None:
    class Full(Peer):
        def fill(self) -> None:
            write = self.pipe.write

            def full(data: Any) -> None:
                write(data)
                self.connection.pause_writing()

            self.pipe.write = full  # type: ignore[method-assign]

    peer = Full()
    handler = peer.request()
    peer.send(window_update(0, 10_000_000), window_update(1, 10_000_000))
    peer.fill()
    handler.exchange.write(bytes(1_000_000))
    assert len(body(await peer.written())) == 65_536
    peer.connection.resume_writing()
    assert len(body(await peer.written())) == 65_536
    peer.close()


async def test_a_handler_hears_above_the_high_water_mark_and_below_the_low_one() -> None:
    peer = Peer()
    handler = peer.request()
    handler.exchange.write(bytes(65_535 + 65_536))
    assert handler.events == []
    handler.exchange.write(b"x")
    assert handler.events == ["writing_blocked"]
    peer.send(window_update(0, 1_000_000), window_update(1, 40_000))
    assert handler.events == ["writing_blocked"]
    peer.send(window_update(1, 20_000))
    assert handler.events == ["writing_blocked", "writing_unblocked"]
    peer.close()


async def test_much_that_the_windows_take_at_once_blocks_nobody() -> None:
    peer = Peer()
    handler = peer.request()
    peer.send(window_update(0, 10_000_000), window_update(1, 10_000_000))
    for _ in range(20):
        handler.exchange.write(bytes(100_000))
    assert handler.events == []
    assert len(body(await peer.written())) == 2_000_000
    peer.close()


async def test_writing_on_and_on_to_a_client_that_does_not_read_ends_the_stream() -> None:
    limits = Http2Limits(output_max_bytes=200_000)
    peer = Peer(limits)
    handler = peer.request()
    # One piece may be of any size.
    handler.exchange.write(bytes(65_535 + 500_000))
    assert handler.events == ["writing_blocked"]
    handler.exchange.write(b"x")
    assert handler.events == ["writing_blocked", "lost"]
    assert reset_codes(await peer.written()) == [ErrorCodes.ENHANCE_YOUR_CALM]
    peer.close()


async def test_a_handler_that_is_unblocked_may_write_at_once() -> None:
    peer = Peer()
    handler = peer.request()

    def refill() -> None:
        handler.events.append("writing_unblocked")
        handler.exchange.write(b"more")

    handler.writing_unblocked = refill  # type: ignore[method-assign]
    handler.exchange.write(bytes(65_535 + 70_000))
    peer.send(window_update(0, 1_000_000), window_update(1, 1_000_000))
    assert body(await peer.written()).endswith(b"more")
    peer.close()


async def test_GOAWAY_without_an_error_ends_nothing_that_is_open() -> None:
    peer = Peer()
    handler = peer.request()
    peer.send(GoAwayFrame(0), data_frame(1, b"still here"))
    assert handler.data == b"still here"
    handler.exchange.write(b"so am I")
    assert body(await peer.written()) == b"so am I"
    assert peer.pipe.endings == []
    peer.send(data_frame(1, b"", end_stream=True))
    handler.exchange.finish()
    assert kinds(await peer.written()) == ["Data END_STREAM", "GoAway"]
    assert peer.pipe.endings == ["eof"]
    peer.close()


async def test_GOAWAY_without_a_stream_ends_the_connection() -> None:
    peer = Peer()
    peer.pipe.take()
    peer.send(GoAwayFrame(0))
    assert kinds(peer.pipe.frames()) == ["GoAway"]
    assert peer.pipe.endings == ["eof"]
    peer.close()


async def test_GOAWAY_with_an_error_ends_everything() -> None:
    peer = Peer()
    handler = peer.request()
    peer.send(GoAwayFrame(0, error_code=ErrorCodes.INTERNAL_ERROR), data_frame(1, b"x"))
    assert handler.events == ["lost"]
    peer.close()


async def test_everything_may_come_byte_by_byte() -> None:
    peer = Peer()
    link = bytearray()
    for frame in (headers_frame(1), data_frame(1, b"abc"), data_frame(1, b"d", pad_bytes=3), PingFrame(0)):
        link += frame.serialize()
    peer.feed(bytes(link), piece_bytes=1)
    assert peer.recorder.handlers[0].data == b"abcd"
    assert kinds(peer.pipe.frames())[-1] == "Ping ACK"
    peer.close()


async def test_several_streams_come_in_one_piece_with_the_preface() -> None:
    recorder = Recorder(_begin)
    link = Wireless(recorder)
    link.feed(
        PREFACE
        + serialized(
            [SettingsFrame(0), headers_frame(1), data_frame(1, b"one"), headers_frame(3), data_frame(3, b"two")]
        )
    )
    assert [bytes(handler.data) for handler in recorder.handlers] == [b"one", b"two"]
    await asyncio.sleep(0)
    link.close()


async def test_a_peer_s_large_compression_table_is_not_filled() -> None:
    peer = Peer()
    peer.send(SettingsFrame(0, settings={1: 2**30}))
    handlers = [peer.request(stream_id) for stream_id in range(1, 21, 2)]
    for index, handler in enumerate(handlers):
        handler.exchange.reset(0)
        peer.send(headers_frame(101 + 2 * index))
    assert peer.authority.encoder.header_table_size == 4_096
    peer.close()


async def test_head_frames_of_an_answer_reach_a_client_that_decodes_them() -> None:
    peer = Peer(on_request=lambda handler: None)
    decoder = Decoder()
    peer.send(SettingsFrame(0, settings={1: 0}))
    for stream_id in (1, 3):
        handler = peer.request(stream_id)
        handler.exchange.respond(200, ((b"x-amzn-requestid", b"abc"),))
        (head,) = [frame for frame in await peer.written() if isinstance(frame, HeadersFrame)]
        assert [tuple(field) for field in decoder.decode(head.data, raw=True)] == [
            (b":status", b"200"),
            (b"x-amzn-requestid", b"abc"),
        ]
    peer.close()
