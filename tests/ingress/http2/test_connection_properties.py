"""The fast path and h2 alone do the same, however the bytes are cut, and both ends agree on every window."""

import asyncio
from dataclasses import dataclass
from itertools import chain

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamReset
from h2.settings import SettingCodes
from h2.stream import StreamState
from hyperframe.frame import Frame, GoAwayFrame, PingFrame, PriorityFrame, RstStreamFrame, SettingsFrame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parley.ingress.http2.authority import Authority
from parley.ingress.http2.stream import Stream
from tests.ingress.http2.wireless import PureAuthority, Wireless
from tests.support.http2 import (
    RecordedExchange,
    Recorder,
    data_frame,
    headers_frame,
    request_fields,
    serialized,
    window_update,
)

_STREAMS = (1, 3, 5)


@dataclass(frozen=True)
class Handled:
    """What the handler of a stream does between two reads."""

    stream: int
    what: str
    size: int = 0


Step = Frame | Handled

_stream_ids = st.sampled_from(_STREAMS)
_sizes = st.sampled_from([0, 1, 100, 5_000, 16_384, 16_384, 16_384])


@st.composite
def _data(draw: st.DrawFn) -> Frame:
    size = draw(_sizes)
    pad = draw(st.sampled_from([None, None, None, 0, 7])) if size < 16_000 else None
    end = draw(st.integers(0, 9)) == 0
    return data_frame(draw(_stream_ids), bytes([draw(st.integers(0, 255))]) * size, end_stream=end, pad_bytes=pad)


def _reset(stream_id: int) -> Frame:
    return RstStreamFrame(stream_id, error_code=8)


_others = st.one_of(
    st.builds(headers_frame, _stream_ids, end_stream=st.booleans()),
    st.builds(
        headers_frame,
        _stream_ids,
        st.just(request_fields(headers={"content-length": "5000"})),
        end_stream=st.booleans(),
    ),
    st.builds(headers_frame, _stream_ids, st.just([("x-trailer", "x")]), end_stream=st.booleans()),
    st.builds(_reset, _stream_ids),
    st.builds(window_update, st.sampled_from((0, *_STREAMS)), st.sampled_from([0, 1, 10_000, 2**31 - 1])),
    st.builds(lambda data: PingFrame(0, opaque_data=data), st.binary(min_size=8, max_size=8)),
    st.builds(lambda size: SettingsFrame(0, settings={4: size}), st.sampled_from([0, 10, 65_535, 200_000])),
    st.builds(lambda stream_id: PriorityFrame(stream_id, depends_on=0, stream_weight=3), _stream_ids),
    st.builds(lambda code: GoAwayFrame(0, error_code=code), st.sampled_from([0, 0, 0, 2])),
)
_reading = st.builds(Handled, _stream_ids, st.sampled_from(["pause", "resume", "finish", "reset"]))
_writing = st.builds(Handled, _stream_ids, st.just("write"), st.sampled_from([1, 1_000, 40_000, 150_000]))


def _opening(stream_id: int, content_bytes: int | None) -> Frame:
    headers = {} if content_bytes is None else {"content-length": str(content_bytes)}
    return headers_frame(stream_id, request_fields(headers=headers))


# Requests first, so that there is something to be told.
_openings = st.lists(st.sampled_from([None, None, None, None, 5_000, 16_384 + 100]), max_size=3).map(
    lambda lengths: [_opening(stream_id, length) for stream_id, length in zip(_STREAMS, lengths, strict=False)]
)


# More than a window takes, for a handler that reads nothing.
_overruns: st.SearchStrategy[list[Step]] = _stream_ids.map(
    lambda stream_id: [Handled(stream_id, "pause"), *(data_frame(stream_id, bytes(16_384)) for _ in range(6))]
)
# What comes right behind the resumption has to wait for what was kept.
_catching_up = st.builds(
    lambda stream_id, size: [
        Handled(stream_id, "pause"),
        data_frame(stream_id, b"first" * size),
        Handled(stream_id, "resume"),
        data_frame(stream_id, b"then" * size),
    ],
    _stream_ids,
    st.integers(1, 3_000),
)


def _scripts(*parts: st.SearchStrategy[Step]) -> st.SearchStrategy[list[Step]]:
    steps = st.lists(st.one_of(*parts), max_size=50)
    return st.tuples(_openings, steps, st.one_of(st.just([]), _overruns, _catching_up), steps).map(
        lambda lists: list(chain.from_iterable(lists))
    )


@dataclass
class Ran:
    """What came of a script."""

    heard: dict[int, tuple[bytes, list[str]]]
    windows: list[dict[str, int]]
    written: bytes

    @property
    def inbound(self) -> dict[str, int]:
        """The windows that the peer sends into, at the end."""
        return {name: size for name, size in self.windows[-1].items() if name.startswith("in")}


class _Player:
    def __init__(self, authority: type[Authority], piece_bytes: int | None) -> None:
        self._recorder = Recorder(lambda handler: handler.exchange.respond(200))
        self._link = Wireless(self._recorder, authority=authority)
        self._piece_bytes = piece_bytes
        self._written = bytearray()
        self._windows: list[dict[str, int]] = []

    async def play(self, script: list[Step]) -> Ran:
        self._link.greet()
        pending: list[Frame] = []
        for step in script:
            if isinstance(step, Frame):
                pending.append(step)
                continue
            await self._come(pending)
            # What the handler did is not settled before more comes.
            self._handle(step)
        await self._come(pending)
        heard = {_stream_id(handler): (bytes(handler.data), handler.events) for handler in self._recorder.handlers}
        self._written += self._link.pipe.take()
        windows = [*self._windows, self._link.windows]
        self._link.close()
        return Ran(heard, windows, bytes(self._written))

    async def _come(self, pending: list[Frame]) -> None:
        self._link.feed(serialized(pending), self._piece_bytes)
        pending.clear()
        await self._link.settle()
        self._written += self._link.pipe.take()
        self._windows.append(self._link.windows)

    def _handle(self, step: Handled) -> None:
        for handler in self._recorder.handlers:
            if _stream_id(handler) == step.stream:
                _do(handler, step)


def _stream_id(handler: RecordedExchange) -> int:
    assert isinstance(handler.exchange, Stream)
    return handler.exchange.stream_id


def _do(handler: RecordedExchange, step: Handled) -> None:
    exchange = handler.exchange
    match step.what:
        case "pause":
            exchange.pause_reading()
        case "resume":
            exchange.resume_reading()
        case "finish":
            exchange.finish()
        case "reset":
            exchange.reset(8)
        case "write":
            exchange.write(b"w" * step.size)


def _play(script: list[Step], authority: type[Authority] = Authority, piece_bytes: int | None = None) -> Ran:
    async def play() -> Ran:
        return await _Player(authority, piece_bytes).play(script)

    return asyncio.run(play())


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(_scripts(_data(), _data(), _others, _reading, _writing))
def test_the_fast_path_does_what_h2_alone_does(script: list[Step]) -> None:
    fast, pure = _play(script), _play(script, PureAuthority)
    assert fast.heard == pure.heard
    assert fast.windows == pure.windows
    assert fast.written == pure.written


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(_scripts(_data(), _others, _reading), st.sampled_from([1, 3, 10, 1_000, 20_000]))
def test_how_the_bytes_are_cut_makes_no_difference(script: list[Step], piece_bytes: int) -> None:
    whole = _play(script)
    for authority in (Authority, PureAuthority):
        cut = _play(script, authority, piece_bytes)
        assert cut.heard == whole.heard
        assert cut.inbound == whole.inbound


@settings(max_examples=100)
@given(st.binary(max_size=300), st.integers(1, 20))
def test_no_bytes_whatsoever_break_the_connection_otherwise_than_by_the_protocol(data: bytes, piece_bytes: int) -> None:
    async def feed() -> None:
        link = Wireless(Recorder())
        link.greet()
        link.send(headers_frame(1))
        link.feed(data, piece_bytes)
        await link.settle()
        assert 2 not in [frame.error_code for frame in link.pipe.frames() if isinstance(frame, GoAwayFrame)]
        link.close()

    asyncio.run(feed())


class _Client:
    """h2 on the other side of a `Wireless`, with a client's own view of the windows."""

    def __init__(self, window_bytes: int) -> None:
        self.protocol = H2Connection(H2Configuration(client_side=True))
        self.protocol.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = window_bytes
        self.protocol.local_settings.acknowledge()
        self.protocol.initiate_connection()
        self.recorder = Recorder(lambda handler: handler.exchange.respond(200))
        self.link = Wireless(self.recorder)
        self.unpaid: dict[int, int] = {}
        self.reset: set[int] = set()

    async def exchange(self) -> None:
        """All that is under way arrives, both ways, until nothing is."""
        while True:
            self.link.feed(self.protocol.data_to_send())
            await self.link.settle()
            output = self.link.pipe.take()
            if not output:
                return
            for event in self.protocol.receive_data(output):
                if isinstance(event, DataReceived):
                    self.unpaid[event.stream_id] = self.unpaid.get(event.stream_id, 0) + (
                        event.flow_controlled_length or 0
                    )
                elif isinstance(event, StreamReset):
                    self.reset.add(event.stream_id)

    @property
    def windows(self) -> dict[str, int]:
        """As `Wireless.windows` names them: what the server may send is "out"."""
        protocol = self.protocol
        windows = {
            "in": protocol.outbound_flow_control_window,
            "out": protocol.inbound_flow_control_window,
        }
        for stream_id, stream in protocol.streams.items():
            if stream.open:
                windows[f"in {stream_id}"] = stream.outbound_flow_control_window
                windows[f"out {stream_id}"] = stream.inbound_flow_control_window
        return windows

    def check_credit(self) -> None:
        """Nothing that was taken is owed for long, and nothing is granted twice."""
        limits = self.link.connection.limits
        window_bytes = limits.receive_window_bytes
        exchanges = [handler.exchange for handler in self.recorder.handlers if isinstance(handler.exchange, Stream)]
        held_bytes = opened = 0
        for exchange in exchanges:
            if exchange.is_over:
                continue
            opened += 1
            held_bytes += len(exchange.held)
            owed = window_bytes - self.link.windows[f"in {exchange.stream_id}"] - len(exchange.held)
            if not exchange.has_ended_input and not exchange.is_finishing:
                assert 0 <= owed < window_bytes // 2
        owed = limits.connection_window_bytes(opened) - self.link.windows["in"] - held_bytes
        # What ended streams did not use is there beside it.
        assert -window_bytes * (len(exchanges) - opened) <= owed <= 65_535 // 2


_sending = st.builds(Handled, _stream_ids, st.just("send"), st.sampled_from([1, 3_000, 16_384, 70_000, 400_000]))
_client_steps = st.one_of(
    _sending,
    _sending,
    st.builds(Handled, _stream_ids, st.sampled_from(["pause", "resume"])),
    st.builds(Handled, _stream_ids, st.sampled_from(["open", "end", "cancel", "pay", "finish", "reset"])),
    _writing,
)


def _act(client: _Client, step: Handled) -> None:
    protocol, stream_id = client.protocol, step.stream
    is_open = stream_id in protocol.streams and protocol.streams[stream_id].open
    may_send = is_open and protocol.streams[stream_id].state_machine.state is StreamState.OPEN
    match step.what:
        case "open":
            if stream_id >= protocol.get_next_available_stream_id():
                protocol.send_headers(stream_id, request_fields())
        case "send":
            size = step.size
            while may_send and size and (room := protocol.local_flow_control_window(stream_id)) > 0:
                part = min(size, room, 16_384)
                protocol.send_data(stream_id, bytes(part))
                size -= part
        case "end":
            if may_send:
                protocol.end_stream(stream_id)
        case "cancel":
            if is_open:
                protocol.reset_stream(stream_id, 8)
        case "pay":
            if owed := client.unpaid.pop(stream_id, 0):
                protocol.acknowledge_received_data(owed, stream_id)
        case _:
            for handler in client.recorder.handlers:
                if _stream_id(handler) == stream_id:
                    _do(handler, step)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_client_steps, min_size=10, max_size=40), st.sampled_from([0, 100, 65_535, 1_000_000]))
def test_both_ends_agree_on_every_window_after_every_step(steps: list[Handled], window_bytes: int) -> None:
    async def play() -> None:
        client = _Client(window_bytes)
        for stream_id in _STREAMS[:2]:
            _act(client, Handled(stream_id, "open"))
        await client.exchange()
        for step in steps:
            _act(client, step)
            await client.exchange()
            assert client.link.windows == client.windows, step
            client.check_credit()
        client.link.close()

    asyncio.run(play())
