"""What the peer may have under way on a connection and on each of its streams."""

from parley.ingress.http2.authority import Authority
from parley.ingress.http2.limits import INITIAL_WINDOW_BYTES, Http2Limits
from parley.ingress.http2.stream import Stream


class Credit:
    """Keeps each window at its size less what handlers have not taken, by WINDOW_UPDATE in large steps.

    A stream's window is `receive_window_bytes`, the connection's as large as those of its streams together and 65,535
    bytes more. So streams whose handlers do not read leave the others theirs, and what comes for streams that are over
    costs none of them anything.
    """

    def __init__(self, authority: Authority, limits: Http2Limits) -> None:
        self._authority = authority
        self._limits = limits
        self._shared = authority.shared_window
        self._streams = 0
        self._held_bytes = 0
        self._low_bytes = limits.receive_window_bytes // 2
        self._shared_low_bytes = self._shared_bytes - INITIAL_WINDOW_BYTES // 2

    @property
    def _shared_bytes(self) -> int:
        return self._limits.connection_window_bytes(self._streams)

    def open(self, stream: Stream) -> None:
        """A request has come: now that the client waits for nothing else, its windows are enlarged."""
        self._count(1)
        extra = self._limits.receive_window_bytes - stream.window.current_window_size
        if extra > 0 and stream.protocol.open:
            self._authority.increment_flow_control_window(extra, stream.stream_id)
        self.settle_shared()

    def close(self) -> None:
        """A stream is over. What it was given of the connection's window and did not use is kept for the next."""
        self._count(-1)

    def hold(self, size: int) -> None:
        """So many bytes more are kept for a handler that does not read; fewer, if negative."""
        self._held_bytes += size

    def settle(self, stream: Stream) -> None:
        """Data was handed over, held or thrown away: return what is due."""
        if stream.window.current_window_size <= self._low_bytes:
            self._pay(stream)
        if self._shared.current_window_size + self._held_bytes < self._shared_low_bytes:
            self.settle_shared()

    def settle_shared(self) -> None:
        """The same for the connection alone."""
        due = self._shared_bytes - self._shared.current_window_size - self._held_bytes
        # A step that depends on the streams' windows could not be reached while most of them are held.
        if due > INITIAL_WINDOW_BYTES // 2:
            self._authority.increment_flow_control_window(due)

    def _pay(self, stream: Stream) -> None:
        if stream.is_over or stream.is_finishing or stream.has_ended_input:
            return
        due = self._limits.receive_window_bytes - stream.window.current_window_size - len(stream.held)
        if due >= self._low_bytes:
            self._authority.increment_flow_control_window(due, stream.stream_id)

    def _count(self, streams: int) -> None:
        self._streams += streams
        self._shared_low_bytes = self._shared_bytes - INITIAL_WINDOW_BYTES // 2
