"""What a connection writes: its streams in turn, as far as windows and transport go."""

import asyncio
from collections import deque
from typing import Protocol

from parley.ingress.http2.authority import Authority
from parley.ingress.http2.limits import FRAME_MAX_BYTES, Http2Limits
from parley.ingress.http2.stream import Stream

_BATCH_BYTES = 65_536


class Written(Protocol):
    """What the outlet tells the connection."""

    def end_stream(self, stream: Stream, data: bytes = b"") -> None:
        """All that the stream had to say was written but this."""

    def data_written(self, frames: int) -> None:
        """So many DATA frames were."""

    def transport_overflowed(self) -> None:
        """The peer does not read, and more waits for it than may."""


class Outlet:
    """Streams that have something to write stand in line; each writes a frame and goes to the end.

    One whose own window is closed leaves the line until it opens. With the connection's window closed or the transport
    full the line stands still. What h2 itself has to say goes first, and is not stopped by either.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        authority: Authority,
        limits: Http2Limits,
        connection: Written,
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._authority = authority
        self._limits = limits
        self._connection = connection
        self._line: deque[Stream] = deque()
        self._is_paused = False
        self._is_flushing = False
        self._turn: asyncio.Handle | None = None
        transport.set_write_buffer_limits(high=limits.transport_high_water_bytes)

    def join(self, stream: Stream) -> None:
        """The stream has data; it stands in line, unless it does already or its window is closed."""
        if not stream.is_queued and stream.protocol.outbound_flow_control_window > 0:
            stream.is_queued = True
            self._line.append(stream)
        self.schedule()

    def schedule(self) -> None:
        """Write at the end of the tick."""
        if self._turn is None and not self._is_flushing:
            self._turn = self._loop.call_soon(self.flush)

    def pause(self) -> None:
        """The transport is full."""
        self._is_paused = True

    def resume(self) -> None:
        """It has room again."""
        self._is_paused = False
        self.schedule()

    def stop(self) -> None:
        """Write nothing more by itself."""
        self._line.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def flush(self) -> None:
        """Write what can be written now."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self._is_flushing:
            return
        self._is_flushing = True
        touched: list[Stream] = []
        try:
            while True:
                if self._line and not self._is_paused:
                    self._fill(touched)
                output = self._authority.take_output()
                if not output:
                    break
                self._transport.write(output)
        finally:
            self._is_flushing = False
        if self._transport.get_write_buffer_size() > self._limits.transport_max_bytes:
            self._connection.transport_overflowed()
        for stream in touched:
            stream.unblock_if_low()

    def _fill(self, touched: list[Stream]) -> None:
        """Frames of the streams in line, up to a batch."""
        authority, line = self._authority, self._line
        room = _BATCH_BYTES
        frames = 0
        while line and room > 0:
            stream = line[0]
            pending = stream.pending_bytes
            window = stream.protocol.outbound_flow_control_window
            if stream.is_over or not pending or window <= 0:
                line.popleft()
                stream.is_queued = False
                continue
            size = min(pending, FRAME_MAX_BYTES, window, authority.outbound_flow_control_window)
            if size <= 0:
                break
            line.popleft()
            data = stream.take(size)
            room -= size
            frames += 1
            if size == pending and stream.is_finishing:
                stream.is_queued = False
                self._connection.end_stream(stream, data)
                continue
            authority.write_plain_data(stream.protocol, data)
            if stream.is_blocked:
                touched.append(stream)
            if size < pending:
                line.append(stream)
            else:
                stream.is_queued = False
        if frames:
            self._connection.data_written(frames)
