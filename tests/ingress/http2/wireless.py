"""A connection without a socket: bytes in, bytes out, and one that asks h2 about everything."""

import asyncio
from collections.abc import Callable
from typing import Any

from h2.events import Event
from h2.stream import H2Stream
from hyperframe.frame import Frame, SettingsFrame

from parley.ingress.http2.authority import Authority
from parley.ingress.http2.connection import Connection, Home
from parley.ingress.http2.exchange import HandlerFactory
from parley.ingress.http2.limits import Http2Limits
from tests.support.http2 import PREFACE, serialized

UNHURRIED = Http2Limits(
    receive_window_bytes=80_000,
    resets_per_s_max=10**9,
    pings_per_s_max=10**9,
    settings_per_s_max=10**9,
    priorities_per_s_max=10**9,
    window_updates_per_s_max=10**9,
    empty_data_per_s_max=10**9,
    unknown_frames_per_s_max=10**9,
)
"""No flood is one, and windows are small enough to be filled."""


class PureAuthority(Authority):
    """Without the fast path."""

    def take_plain_data(self, stream: H2Stream, length: int) -> bool:
        return False

    def write_plain_data(self, stream: H2Stream, data: bytes) -> None:
        self.send_data(stream.stream_id, data)


class RecordingAuthority(Authority):
    """Counts what the fast path took, and what h2 was asked about."""

    def __init__(self, limits: Http2Limits) -> None:
        super().__init__(limits)
        self.plain_frames = 0
        self.asked_frames = 0

    def take_plain_data(self, stream: H2Stream, length: int) -> bool:
        is_taken = super().take_plain_data(stream, length)
        self.plain_frames += is_taken
        return is_taken

    def receive_data(self, data: Any) -> list[Event]:
        self.asked_frames += 1
        return super().receive_data(data)


class Pipe(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.writes: list[int] = []
        self.endings: list[str] = []
        """"eof" and "abort", as they came."""
        self.on_write: Callable[[], None] = lambda: None
        self.waiting_bytes = 0
        """What it says is in its buffer."""
        self.high_water_bytes: int | None = None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high_water_bytes = high

    def get_write_buffer_size(self) -> int:
        return self.waiting_bytes

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data
        self.writes.append(len(data))
        self.on_write()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.endings.append("eof")

    def abort(self) -> None:
        self.endings.append("abort")

    def take(self) -> bytes:
        """What was written since."""
        data = bytes(self.written)
        self.written.clear()
        return data

    def frames(self) -> list[Frame]:
        """The same as frames."""
        return parsed(self.take())


class Nowhere:
    """A listener of one connection."""

    def joined(self, connection: Connection) -> bool:
        return True

    def left(self, connection: Connection) -> None:
        pass


class Wireless:
    """A connection on a `Pipe`. Use it within a running loop, and `close` it."""

    def __init__(
        self,
        factory: HandlerFactory,
        limits: Http2Limits = UNHURRIED,
        authority: type[Authority] = Authority,
        home: Home | None = None,
    ) -> None:
        self.authority = authority(limits)
        self.pipe = Pipe()
        self.connection = Connection(factory, limits, home or Nowhere(), self.authority)
        self.connection.connection_made(self.pipe)

    def greet(self, settings: dict[int, int] | None = None) -> None:
        """The client's preface."""
        self.feed(PREFACE + serialized([SettingsFrame(0, settings=settings or {})]))

    def send(self, *frames: Frame) -> None:
        """Frames come in one piece."""
        self.feed(serialized(frames))

    def feed(self, data: bytes, piece_bytes: int | None = None) -> None:
        """Bytes come, in pieces if so wanted."""
        step = piece_bytes or max(1, len(data))
        for at in range(0, len(data), step):
            self.connection.data_received(data[at : at + step])

    async def settle(self) -> None:
        """Everything that was put off has been done."""
        for _ in range(3):
            await asyncio.sleep(0)

    @property
    def windows(self) -> dict[str, int]:
        """Every window as h2 sees it, of the connection and of open streams."""
        authority = self.authority
        windows = {
            "in": authority.shared_window.current_window_size,
            "out": authority.outbound_flow_control_window,
        }
        for stream_id, stream in authority.streams.items():
            if stream.open:
                windows[f"in {stream_id}"] = authority.window_of(stream).current_window_size
                windows[f"out {stream_id}"] = stream.outbound_flow_control_window
        return windows

    def close(self) -> None:
        """The transport is gone."""
        self.connection.connection_lost(None)


def parsed(data: bytes) -> list[Frame]:
    """Whole frames from bytes."""
    frames = []
    view = memoryview(data)
    while view:
        frame, length = Frame.parse_frame_header(view[:9])
        frame.parse_body(view[9 : 9 + length])
        frames.append(frame)
        view = view[9 + length :]
    return frames
