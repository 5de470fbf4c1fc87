"""What breaks the protocol: which code it costs, and whether a stream or the connection."""

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.ingress.http2.wireless import Wireless
from tests.support.http2 import (
    PREFACE,
    Fields,
    Recorder,
    data_frame,
    header_block,
    headers_frame,
    request_fields,
    serialized,
    window_update,
)


class Peer(Wireless):
    """A client whose requests are answered 200 at once and stay open; stream 1 is one of them."""

    def __init__(self) -> None:
        self.recorder = Recorder(lambda handler: handler.exchange.respond(200))
        super().__init__(self.recorder)
        self.greet()
        self.send(headers_frame(1))
        self.pipe.take()

    def goaway(self) -> ErrorCodes | None:
        """The code that the connection has ended with."""
        codes = [ErrorCodes(frame.error_code) for frame in self.pipe.frames() if isinstance(frame, GoAwayFrame)]
        assert len(codes) <= 1
        return codes[0] if codes else None

    def resets(self) -> dict[int, ErrorCodes]:
        """The codes of the streams that were reset; the connection must not have ended."""
        frames = self.pipe.frames()
        assert not [frame for frame in frames if isinstance(frame, GoAwayFrame)]
        return {frame.stream_id: ErrorCodes(frame.error_code) for frame in frames if isinstance(frame, RstStreamFrame)}


def _raw(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def _fields(*remove: str, **add: str) -> Fields:
    fields = [(name, value) for name, value in request_fields() if name not in remove]
    return fields + [(name.replace("_", "-"), value) for name, value in add.items()]


@pytest.mark.parametrize(
    "fields",
    [
        _fields(":method"),
        _fields(":scheme"),
        _fields(":path"),
        _fields(":authority"),
        [*_fields(), (":path", "/again")],
        [*_fields(), (":status", "200")],
        [(":status", "103"), *_fields()],
        [*_fields(), (":unknown", "x")],
        [("x-first", "x"), *_fields()],
        [*_fields(":path"), (":path", "")],
        [*_fields(), ("X-Upper", "x")],
        _fields(connection="close"),
        _fields(keep_alive="x"),
        _fields(transfer_encoding="chunked"),
        _fields(upgrade="websocket"),
        _fields(te="gzip"),
        _fields(x_field="a\r\nb"),
        _fields(x_field=" padded"),
        [*_fields(), ("", "x")],
        _fields(content_length="five"),
        _fields(content_length="-1"),
        [*_fields(content_length="5"), ("content-length", "6")],
    ],
)
async def test_a_malformed_request_costs_its_stream_alone(fields: Fields) -> None:
    peer = Peer()
    peer.send(headers_frame(3, fields))
    assert peer.resets() == {3: ErrorCodes.PROTOCOL_ERROR}
    assert len(peer.recorder.handlers) == 1
    peer.send(data_frame(1, b"undisturbed"), headers_frame(5))
    assert peer.recorder.handlers[0].data == b"undisturbed"
    assert len(peer.recorder.handlers) == 2
    peer.close()


async def test_more_data_than_the_content_length_costs_the_stream_alone() -> None:
    peer = Peer()
    peer.send(headers_frame(3, _fields(content_length="3")), data_frame(3, b"four"), data_frame(1, b"x"))
    assert peer.resets() == {3: ErrorCodes.PROTOCOL_ERROR}
    assert peer.recorder.handlers[1].events == ["lost"]
    assert peer.recorder.handlers[0].data == b"x"
    peer.close()


@pytest.mark.parametrize(
    "end",
    [
        lambda: data_frame(3, b"12", end_stream=True),
        lambda: headers_frame(3, [("x-trailer", "x")], end_stream=True),
    ],
    ids=["with its data", "with trailers"],
)
async def test_an_end_before_the_content_length_costs_the_stream_alone(end: "type[Frame]") -> None:
    peer = Peer()
    peer.send(headers_frame(3, _fields(content_length="3")), end())  # type: ignore[call-arg]
    assert peer.resets() == {3: ErrorCodes.PROTOCOL_ERROR}
    assert "input_ended" not in peer.recorder.handlers[1].events
    peer.close()


async def test_a_request_that_ends_at_once_but_announced_content_is_refused() -> None:
    peer = Peer()
    peer.send(headers_frame(3, _fields(content_length="3"), end_stream=True))
    assert peer.resets() == {3: ErrorCodes.PROTOCOL_ERROR}
    peer.close()


async def test_content_of_the_announced_length_is_taken() -> None:
    peer = Peer()
    peer.send(
        headers_frame(3, _fields(content_length="4")), data_frame(3, b"12"), data_frame(3, b"34", end_stream=True)
    )
    assert peer.resets() == {}
    assert peer.recorder.handlers[1].data == b"1234"
    assert peer.recorder.handlers[1].events[-1] == "input_ended"
    peer.close()


@pytest.mark.parametrize(
    ("fields", "end_stream"),
    [([("x-trailer", "x")], False), ([(":path", "/x")], True), ([("Upper", "x")], True)],
    ids=["without END_STREAM", "with a pseudo-field", "in upper case"],
)
async def test_malformed_trailers_cost_their_stream_alone(fields: Fields, end_stream: bool) -> None:
    peer = Peer()
    peer.send(headers_frame(3), headers_frame(3, fields, end_stream=end_stream), data_frame(1, b"x"))
    assert peer.resets() == {3: ErrorCodes.PROTOCOL_ERROR}
    assert peer.recorder.handlers[1].events == ["lost"]
    assert peer.recorder.handlers[0].data == b"x"
    peer.close()


@pytest.mark.parametrize(
    "frame",
    [data_frame(3, b"late"), headers_frame(3, [("x-trailer", "x")], end_stream=True)],
    ids=["DATA", "HEADERS"],
)
async def test_anything_behind_END_STREAM_is_an_error_of_the_stream(frame: Frame) -> None:
    peer = Peer()
    peer.send(headers_frame(3, end_stream=True), frame)
    assert peer.resets() == {3: ErrorCodes.STREAM_CLOSED}
    assert peer.recorder.handlers[1].events == ["input_ended", "lost"]
    peer.close()


async def test_a_window_update_of_nothing_costs_its_stream_alone() -> None:
    peer = Peer()
    peer.send(headers_frame(3))
    peer.feed(_raw(8, 0, 3, bytes(4)))
    assert peer.resets() == {3: ErrorCodes.PROTOCOL_ERROR}
    assert peer.recorder.handlers[1].events == ["lost"]
    peer.close()


async def test_a_window_update_of_nothing_for_a_stream_that_is_over_is_nothing() -> None:
    peer = Peer()
    peer.send(headers_frame(3), RstStreamFrame(3))
    peer.feed(_raw(8, 0, 3, bytes(4)))
    peer.send(headers_frame(5))
    peer.feed(_raw(8, 0, 3, bytes(4)))
    assert peer.resets() == {}
    peer.close()


async def test_a_stream_window_that_grows_too_large_costs_its_stream_alone() -> None:
    peer = Peer()
    peer.send(headers_frame(3), window_update(3, 2**31 - 1))
    assert peer.resets() == {3: ErrorCodes.FLOW_CONTROL_ERROR}
    assert peer.recorder.handlers[1].events == ["lost"]
    peer.close()


async def test_more_than_a_stream_window_costs_that_stream_alone() -> None:
    peer = Peer()
    peer.recorder.handlers[0].exchange.pause_reading()
    peer.send(headers_frame(3), *(data_frame(1, bytes(16_384)) for _ in range(5)), data_frame(3, b"x"))
    assert peer.resets() == {1: ErrorCodes.FLOW_CONTROL_ERROR}
    assert peer.recorder.handlers[0].events == ["lost"]
    assert peer.recorder.handlers[1].data == b"x"
    peer.close()


async def test_more_than_the_connection_window_ends_the_connection() -> None:
    peer = Peer()
    peer.authority.shared_window.current_window_size = 10
    peer.send(data_frame(1, bytes(11)))
    assert peer.goaway() is ErrorCodes.FLOW_CONTROL_ERROR
    peer.close()


IDLE = 7


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (_raw(0, 0, 0, b"x"), ErrorCodes.PROTOCOL_ERROR),
        (_raw(0, 0, IDLE, b"x"), ErrorCodes.PROTOCOL_ERROR),
        (_raw(0, 0, 2, b"x"), ErrorCodes.PROTOCOL_ERROR),
        (_raw(0, 8, 1, b"\x05abc"), ErrorCodes.PROTOCOL_ERROR),
        ((16_385).to_bytes(3, "big") + bytes([0, 0]) + bytes([0, 0, 0, 1]), ErrorCodes.FRAME_SIZE_ERROR),
        ((16_385).to_bytes(3, "big") + bytes([99, 0]) + bytes([0, 0, 0, 1]), ErrorCodes.FRAME_SIZE_ERROR),
        (serialized([headers_frame(2)]), ErrorCodes.PROTOCOL_ERROR),
        (_raw(1, 4, 0, header_block(request_fields())), ErrorCodes.PROTOCOL_ERROR),
        (_raw(1, 4, 3, b"\xff\xff\xff\xff\xff\xff"), ErrorCodes.COMPRESSION_ERROR),
        (_raw(1, 4, 3, b"\x7f"), ErrorCodes.COMPRESSION_ERROR),
        (_raw(2, 0, 1, bytes(4)), ErrorCodes.FRAME_SIZE_ERROR),
        (_raw(2, 0, 0, bytes(5)), ErrorCodes.PROTOCOL_ERROR),
        (_raw(3, 0, 1, bytes(3)), ErrorCodes.FRAME_SIZE_ERROR),
        (_raw(3, 0, 0, bytes(4)), ErrorCodes.PROTOCOL_ERROR),
        (_raw(3, 0, IDLE, bytes(4)), ErrorCodes.PROTOCOL_ERROR),
        (_raw(4, 0, 1, b""), ErrorCodes.PROTOCOL_ERROR),
        (_raw(4, 0, 0, bytes(5)), ErrorCodes.FRAME_SIZE_ERROR),
        (_raw(4, 1, 0, bytes(6)), ErrorCodes.FRAME_SIZE_ERROR),
        (_raw(4, 0, 0, b"\x00\x02\x00\x00\x00\x02"), ErrorCodes.PROTOCOL_ERROR),
        (_raw(4, 0, 0, b"\x00\x04\x80\x00\x00\x00"), ErrorCodes.FLOW_CONTROL_ERROR),
        (_raw(4, 0, 0, b"\x00\x05\x00\x00\x00\x01"), ErrorCodes.PROTOCOL_ERROR),
        (serialized([PushPromiseFrame(1, promised_stream_id=2, data=b"")]), ErrorCodes.PROTOCOL_ERROR),
        (_raw(6, 0, 0, bytes(7)), ErrorCodes.FRAME_SIZE_ERROR),
        (_raw(6, 0, 1, bytes(8)), ErrorCodes.PROTOCOL_ERROR),
        (_raw(7, 0, 1, bytes(8)), ErrorCodes.PROTOCOL_ERROR),
        (_raw(8, 0, 1, bytes(3)), ErrorCodes.FRAME_SIZE_ERROR),
        (_raw(8, 0, 0, bytes(4)), ErrorCodes.PROTOCOL_ERROR),
        (_raw(8, 0, IDLE, bytes(4)), ErrorCodes.PROTOCOL_ERROR),
        (_raw(8, 0, IDLE, b"\0\0\0\1"), ErrorCodes.PROTOCOL_ERROR),
        (_raw(8, 0, 0, b"\x7f\xff\xff\xff"), ErrorCodes.FLOW_CONTROL_ERROR),
        (_raw(9, 4, 1, b""), ErrorCodes.PROTOCOL_ERROR),
    ],
)
async def test_a_frame_that_breaks_the_connection_ends_it_with_the_right_code(data: bytes, code: ErrorCodes) -> None:
    peer = Peer()
    peer.feed(data)
    assert peer.goaway() is code
    assert peer.recorder.handlers[0].events == ["lost"]
    assert peer.pipe.endings == ["eof"]
    peer.close()


@pytest.mark.parametrize(
    "frame",
    [
        data_frame(1, b"x"),
        headers_frame(5),
        PingFrame(0),
        WindowUpdateFrame(1, window_increment=1),
        ContinuationFrame(5, data=b""),
    ],
    ids=lambda frame: type(frame).__name__,
)
async def test_a_header_block_may_not_be_interrupted(frame: Frame) -> None:
    peer = Peer()
    peer.send(headers_frame(3, end_headers=False), frame)
    assert peer.goaway() is ErrorCodes.PROTOCOL_ERROR
    assert peer.recorder.handlers[0].data == b""
    peer.close()


async def test_a_header_block_may_come_in_pieces() -> None:
    peer = Peer()
    block = header_block(request_fields("/pieces"))
    first = HeadersFrame(3, data=block[:10])
    rest = [ContinuationFrame(3, data=block[10:20]), ContinuationFrame(3, data=block[20:])]
    rest[-1].flags.add("END_HEADERS")
    peer.send(first, *rest)
    assert peer.recorder.handlers[1].request.target == "/pieces"
    peer.close()


@pytest.mark.parametrize("first", [PingFrame(0), headers_frame(1), SettingsFrame(0, flags=["ACK"])])
async def test_a_preface_without_SETTINGS_ends_the_connection(first: Frame) -> None:
    link = Wireless(Recorder())
    link.feed(PREFACE + first.serialize())
    assert [frame.error_code for frame in link.pipe.frames() if isinstance(frame, GoAwayFrame)] == [1]
    link.close()


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nXX", b"hello\r\n"])
async def test_something_else_than_HTTP_2_ends_the_connection(data: bytes) -> None:
    link = Wireless(Recorder())
    link.feed(data)
    assert [frame.error_code for frame in link.pipe.frames() if isinstance(frame, GoAwayFrame)] == [1]
    link.close()


async def test_a_client_that_speaks_HTTP_1_gets_an_answer_that_it_understands() -> None:
    link = Wireless(Recorder())
    link.feed(b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n")
    answer = link.pipe.take()
    assert answer.startswith(b"HTTP/1.1 505 ")
    assert b"HTTP/2 only" in answer
    assert link.pipe.endings == ["eof"]
    link.close()


async def test_data_for_a_stream_that_its_client_reset_ends_the_connection() -> None:
    peer = Peer()
    peer.send(headers_frame(3), RstStreamFrame(3), data_frame(3, b"x"))
    assert peer.goaway() is ErrorCodes.STREAM_CLOSED
    peer.close()


async def test_headers_for_a_stream_that_its_client_reset_end_the_connection() -> None:
    peer = Peer()
    peer.send(headers_frame(3), RstStreamFrame(3), headers_frame(3))
    assert peer.goaway() is ErrorCodes.STREAM_CLOSED
    peer.close()


async def test_data_for_a_stream_that_has_ended_on_both_sides_ends_the_connection() -> None:
    peer = Peer()
    peer.send(headers_frame(3, end_stream=True))
    peer.recorder.handlers[1].exchange.finish()
    peer.send(headers_frame(5), data_frame(3, b"x"))
    assert peer.goaway() is ErrorCodes.STREAM_CLOSED
    peer.close()


async def test_a_stream_below_one_that_was_opened_cannot_be_opened() -> None:
    peer = Peer()
    peer.send(headers_frame(7), headers_frame(5))
    assert peer.goaway() is ErrorCodes.PROTOCOL_ERROR
    peer.close()


async def test_data_for_a_stream_that_this_side_reset_is_thrown_away_and_its_credit_goes_back() -> None:
    peer = Peer()
    peer.send(headers_frame(3))
    # As much as was allowed before the reset was known.
    for handler in peer.recorder.handlers:
        handler.exchange.reset(ErrorCodes.CANCEL)
    peer.send(headers_frame(5), *(data_frame(stream_id, bytes(16_000)) for stream_id in (1, 3) for _ in range(5)))
    assert peer.windows["in"] > peer.connection.limits.connection_window_bytes(1) - 32_768
    assert peer.resets() == {1: ErrorCodes.CANCEL, 3: ErrorCodes.CANCEL}
    assert peer.recorder.handlers[0].data == b""
    peer.close()


async def test_what_is_thrown_away_is_not_put_together_however_it_is_framed() -> None:
    peer = Peer()
    peer.recorder.handlers[0].exchange.reset(ErrorCodes.CANCEL)
    padded, last, unknown = data_frame(1, bytes(16_000), pad_bytes=99), data_frame(1, bytes(16_000)), bytes(16_000)
    last.flags.add("END_STREAM")
    for wire in (serialized([padded]), serialized([last]), _raw(0x42, 0xFF, 1, unknown)):
        peer.feed(wire[:-1], piece_bytes=1_000)
        assert len(peer.connection._inlet._partial) == 0
        peer.feed(wire[-1:])
    peer.send(headers_frame(3), data_frame(3, b"x"))
    assert peer.recorder.handlers[1].data == b"x"
    peer.close()


async def test_more_data_than_was_allowed_for_a_stream_that_this_side_reset_ends_the_connection() -> None:
    peer = Peer()
    peer.recorder.handlers[0].exchange.reset(ErrorCodes.CANCEL)
    peer.send(headers_frame(3), *(data_frame(1, bytes(16_000)) for _ in range(5)))
    assert peer.resets() == {1: ErrorCodes.CANCEL}
    peer.send(data_frame(1, b"x"))
    assert peer.goaway() is ErrorCodes.STREAM_CLOSED
    peer.close()


async def test_trailers_of_a_stream_that_this_side_reset_leave_the_compression_intact() -> None:
    peer = Peer()
    peer.recorder.handlers[0].exchange.reset(ErrorCodes.CANCEL)
    # An entry of the dynamic table, made by a block that nobody wants, and used by the next.
    trailers = HeadersFrame(1, data=b"\x40\x03x-a\x01b", flags=["END_HEADERS", "END_STREAM"])
    request = HeadersFrame(3, data=header_block(request_fields()) + b"\xbe", flags=["END_HEADERS"])
    peer.send(trailers, request)
    assert peer.recorder.handlers[1].request.headers[-1] == (b"x-a", b"b")
    peer.close()


async def test_unknown_frames_and_priorities_are_ignored() -> None:
    peer = Peer()
    itself = headers_frame(3)
    itself.flags.add("PRIORITY")
    itself.depends_on = 3
    peer.feed(_raw(0x42, 0xFF, 1, b"whatever") + _raw(0x42, 0, 0, b""))
    peer.send(PriorityFrame(1, depends_on=1), PriorityFrame(99, depends_on=0), itself, data_frame(1, b"x"))
    assert peer.resets() == {}
    assert peer.recorder.handlers[0].data == b"x"
    assert len(peer.recorder.handlers) == 2
    peer.close()


async def test_flags_without_meaning_and_the_reserved_bit_are_ignored() -> None:
    peer = Peer()
    peer.feed(_raw(0, 0xF6, 0x8000_0001, b"x"))
    assert peer.resets() == {}
    assert peer.recorder.handlers[0].data == b"x"
    peer.close()


async def test_padding_is_not_content_but_counts_in_the_windows() -> None:
    peer = Peer()
    before = peer.windows
    peer.send(data_frame(1, b"abc", pad_bytes=100))
    assert peer.recorder.handlers[0].data == b"abc"
    assert before["in 1"] - peer.windows["in 1"] == before["in"] - peer.windows["in"] == 104
    peer.close()


async def test_CONNECT_is_refused() -> None:
    peer = Peer()
    peer.send(headers_frame(3, [(":method", "CONNECT"), (":authority", "elsewhere:443")]))
    frames = peer.pipe.frames()
    assert [type(frame) for frame in frames if frame.stream_id == 3] == [
        WindowUpdateFrame,
        HeadersFrame,
        DataFrame,
        RstStreamFrame,
    ]
    assert len(peer.recorder.handlers) == 1
    peer.close()


async def test_a_stray_failure_of_the_protocol_library_ends_the_connection_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = Peer()

    def fail(data: bytes) -> None:
        raise RuntimeError("content")

    monkeypatch.setattr(peer.authority, "receive_data", fail)
    peer.send(PingFrame(0))
    assert peer.goaway() is ErrorCodes.INTERNAL_ERROR
    peer.close()
