"""One client's HTTP/2 connection: what it reads, what it writes, and how it ends."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol, cast

from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from parley.access.identity import CertificateNames
from parley.ingress.http2 import frame_head as fh
from parley.ingress.http2.authority import Authority
from parley.ingress.http2.credit import Credit
from parley.ingress.http2.exchange import HandlerFactory, Headers
from parley.ingress.http2.grace import Grace
from parley.ingress.http2.guard import Guard, Violation
from parley.ingress.http2.inlet import Inlet, SpeaksHttp1
from parley.ingress.http2.keepalive import Keepalive
from parley.ingress.http2.limits import Http2Limits
from parley.ingress.http2.outlet import Outlet
from parley.ingress.http2.request_head import is_loopback, request_of
from parley.ingress.http2.stream import Stream
from parley.ingress.request_heads import certificate_names
from parley.ingress.small_reads import reads_of
from parley.wire.round_trip import RoundTrip

_log = logging.getLogger("parley.ingress")

_HTTP_1_TEXT = b"This port speaks HTTP/2 only, from the first byte on (prior knowledge).\n"
_HTTP_1_ANSWER = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: "
    + str(len(_HTTP_1_TEXT)).encode()
    + b"\r\n\r\n"
    + _HTTP_1_TEXT
)


class Home(Protocol):
    """The listener, as its connections see it."""

    def joined(self, connection: "Connection") -> bool:
        """A connection was made; whether there is room for it."""

    def left(self, connection: "Connection") -> None:
        """It is gone."""


class Connection(asyncio.Protocol):
    """The protocol of one connection. With an `authority` of their own tests do without the fast path."""

    def __init__(
        self, factory: HandlerFactory, limits: Http2Limits, home: Home, authority: Authority | None = None
    ) -> None:
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self._factory = factory
        self._home = home
        self._authority = Authority(limits) if authority is None else authority
        self._round_trip = RoundTrip()
        self._streams: dict[int, Stream] = {}
        self._guard = Guard(limits)
        self._credit = Credit(self._authority, limits)
        self._grace = Grace(self.loop, self._authority, limits.finish_grace_s, self._leave_soon)
        self._inlet = Inlet(self._streams, self._authority, self._guard, self._credit, self._take_frame)
        self._keepalive = Keepalive(self.loop, limits, self)
        self._transport: asyncio.Transport | None = None
        self._outlet: Outlet | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_loopback = False
        self._certificate: CertificateNames | None = None
        self._is_known = False
        self._is_closing = False
        self._is_draining = False
        self._peer_is_leaving = False
        self._events: dict[type[Event], Callable[[Any], None]] = {
            RequestReceived: self._request_received,
            DataReceived: self._data_received,
            StreamEnded: self._stream_ended,
            StreamReset: self._stream_reset,
            WindowUpdated: self._window_updated,
            RemoteSettingsChanged: self._settings_changed,
            ConnectionTerminated: self._connection_terminated,
            PingAckReceived: self._ping_answered,
        }

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there, and TLS's handshake done."""
        self._transport = cast(asyncio.Transport, transport)
        self._is_loopback = is_loopback(transport.get_extra_info("peername"))
        self._certificate = certificate_names(transport)
        has_room = self._home.joined(self)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            _log.info("A TLS connection was closed: its client did not offer HTTP/2 (ALPN h2)")
            self._abort()
            return
        self._outlet = Outlet(self.loop, self._transport, self._authority, self.limits, self)
        self._authority.initiate_connection()
        if not has_room:
            self._violated(Violation(ErrorCodes.ENHANCE_YOUR_CALM, "there is no room for more of them"))
            return
        self._set_deadline(self.limits.preface_timeout_s, "its preface did not come in time")
        if tls is not None:
            # In clear the client speaks first; it may speak HTTP/1, and gets an answer that it understands.
            self._outlet.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._is_closing = True
        self._stop()
        self._lose_streams()
        self._home.left(self)

    def eof_received(self) -> None:
        """The peer writes nothing more, so no stream can go on; the transport closes itself."""

    def pause_writing(self) -> None:
        """The transport is full."""
        if self._outlet is not None:
            self._outlet.pause()

    def resume_writing(self) -> None:
        """It has room."""
        if self._outlet is not None and not self._is_closing:
            self._outlet.resume()

    def data_received(self, data: bytes) -> None:
        """Bytes came, cut anywhere."""
        if self._is_closing or self._outlet is None:
            return
        self._keepalive.read_at = self.loop.time()
        try:
            self._inlet.feed(data)
        except SpeaksHttp1 as http_1:
            # Our SETTINGS have not been written yet and would not be understood.
            self._authority.take_output()
            self._authority.output.append(_HTTP_1_ANSWER)
            self._close(str(http_1))
            return
        except Violation as violation:
            self._violated(violation)
            return
        except Exception as error:
            # A bug, here or in h2; it may cost this connection but not the loop's other ones.
            _log.error("An HTTP/2 connection's frames could not be handled: %s", type(error).__name__)
            self._violated(Violation(ErrorCodes.INTERNAL_ERROR, "of a failure of ours"))
            return
        if not self._is_closing:
            self._watch_headers()
            self._outlet.flush()

    # Reading.

    def _take_frame(self, kind: int, flags: int, stream_id: int, frame: bytes) -> bool:
        """Anything but plain DATA: h2 decides. False when the connection is over."""
        if self._is_closing:
            return False
        now = self.loop.time()
        had_settings = self._guard.has_settings
        try:
            self._guard.admit(kind, flags, stream_id, len(frame) - fh.HEAD_BYTES, now)
            if kind == fh.WINDOW_UPDATE and stream_id and not any(frame[fh.HEAD_BYTES :]):
                events = self._authority.refuse_empty_window_update(stream_id)
            else:
                events = self._authority.receive_data(frame)
            for event in events:
                if isinstance(event, StreamReset):
                    self._guard.count_reset(now)
        except Violation as violation:
            self._violated(violation)
            return False
        except ProtocolError as error:
            # h2 has said GOAWAY. Its error's text may hold what a field said.
            self._close(f"its client broke the protocol ({type(error).__name__})")
            return False
        if not had_settings:
            self._clear_deadline()
            self._keepalive.fell_idle()
        for event in events:
            take = self._events.get(type(event))
            if take is not None and not self._is_closing:
                take(event)
        if kind == fh.DATA and not self._is_closing:
            # It may have been for a stream that is over.
            self._credit.settle_shared()
        return not self._is_closing

    def _watch_headers(self) -> None:
        """A header block that has begun has to end in time."""
        if not self._guard.has_settings:
            return
        if not self._inlet.is_within_headers:
            self._clear_deadline()
        elif self._deadline is None:
            self._set_deadline(self.limits.headers_timeout_s, "a header block did not end in time")

    def _request_received(self, event: RequestReceived) -> None:
        assert event.stream_id is not None
        stream = Stream(self, self._authority.streams[event.stream_id])
        if not self._streams:
            self._keepalive.became_busy()
        self._streams[stream.stream_id] = stream
        self._make_room()
        self._credit.open(stream)
        request = request_of(event.headers or (), is_loopback=self._is_loopback, certificate=self._certificate)
        stream.is_bodiless = request.method == "HEAD"
        if request.method == "CONNECT":
            # Nothing here is a proxy.
            stream.respond(405)
            stream.finish()
            return
        try:
            handler = self._factory(request, stream)
        except Exception as error:
            stream.fail(error)
            return
        stream.begin(handler)
        if stream.is_refused:
            # At once, so that what comes behind it is nobody's.
            self.write_now()
        elif not self._is_known and not stream.is_over and not stream.is_finishing:
            self._known()

    def _known(self) -> None:
        """Somebody who may has begun something: from here on the transport hands over all that it reads at once."""
        self._is_known = True
        if self._transport is not None and reads_of(self._transport) is not None:
            self._transport.set_protocol(self)

    def _data_received(self, event: DataReceived) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None:
            if event.data:
                stream.receive(event.data)
            self._credit.settle(stream)
        elif self._grace.take(event.stream_id or 0, event.flow_controlled_length or 0):
            self._credit.settle_shared()

    def _stream_ended(self, event: StreamEnded) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None:
            stream.end_input()
        else:
            self._grace.end(event.stream_id or 0)

    def _stream_reset(self, event: StreamReset) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None:
            self._remove(stream)
            stream.lose()
            if not self._is_closing:
                self._credit.settle_shared()
        else:
            self._grace.end(event.stream_id or 0)

    def _window_updated(self, event: WindowUpdated) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is None:
            self._schedule()
        elif stream.pending_bytes:
            self.output_waits(stream)

    def _settings_changed(self, event: RemoteSettingsChanged) -> None:
        for stream in self._streams.values():
            if stream.pending_bytes:
                self.output_waits(stream)

    def _connection_terminated(self, event: ConnectionTerminated) -> None:
        if event.error_code == ErrorCodes.NO_ERROR:
            self._peer_is_leaving = True
            self._leave_when_done()
        else:
            self._close("its client gave it up")

    # What streams do.

    def hold(self, size: int) -> None:
        """So many bytes more are kept for a handler that does not read; fewer, if negative."""
        self._credit.hold(size)

    def return_credit(self, stream: Stream) -> None:
        """A handler took what was kept for it."""
        self._credit.settle(stream)
        self._schedule()

    def send_head(self, stream: Stream, status: int, headers: Headers) -> None:
        """Write an answer's head."""
        self._authority.send_headers(stream.stream_id, [(b":status", str(status).encode()), *headers])
        self._schedule()

    def output_waits(self, stream: Stream) -> None:
        """A stream has something to write."""
        assert self._outlet is not None
        self._outlet.join(stream)

    def write_now(self) -> None:
        """Write what can be written."""
        assert self._outlet is not None
        self._outlet.flush()

    def end_stream(self, stream: Stream, data: bytes = b"") -> None:
        """The last of an answer. A client that still sends is told that nobody reads it: at once where it was refused,
        else after a grace."""
        if data:
            self._authority.send_data(stream.stream_id, data, end_stream=True)
        else:
            self._authority.end_stream(stream.stream_id)
        if stream.is_refused or not stream.protocol.open:
            self.reset_stream(stream, ErrorCodes.NO_ERROR)
            return
        self._grace.begin(stream.stream_id, self._end_grace)
        self._remove(stream)
        stream.close()
        self._make_room()
        self._credit.settle_shared()
        self._schedule()

    def _make_room(self) -> None:
        """Streams in their grace count for h2; they are not to keep a new one out."""
        if self._grace and len(self._streams) + len(self._grace) >= self.limits.streams_max:
            self._end_grace(self._grace.oldest)

    def _end_grace(self, stream_id: int) -> None:
        if self._grace.end(stream_id):
            self._authority.reset_stream(stream_id, ErrorCodes.NO_ERROR)
            self._schedule()

    def reset_stream(self, stream: Stream, code: int) -> None:
        """Drop a stream, and say so if the peer does not know."""
        if stream.protocol.open:
            self._authority.reset_stream(stream.stream_id, code)
        self._remove(stream)
        stream.close()
        self._credit.settle_shared()
        self._schedule()

    def _remove(self, stream: Stream) -> None:
        if self._streams.pop(stream.stream_id, None) is None:
            return
        self._credit.close()
        if not self._streams and not self._is_closing:
            self._keepalive.fell_idle()
            self._leave_soon()

    def _leave_soon(self) -> None:
        # Not at once: the caller may be about to say something.
        self.loop.call_soon(self._leave_when_done)

    def _schedule(self) -> None:
        assert self._outlet is not None
        self._outlet.schedule()

    def data_written(self, frames: int) -> None:
        """DATA frames were written."""
        self._guard.earn_window_updates(frames)

    # The connection's end.

    def round_trip_s(self) -> float | None:
        """How long the peer takes to answer a PING; who asks has it asked again."""
        now = time.monotonic()
        payload = None if self._is_closing else self._round_trip.ask(now)
        if payload is not None:
            self._authority.ping(payload)
            self._schedule()
        return self._round_trip.seen_s(now)

    def _ping_answered(self, event: PingAckReceived) -> None:
        self._round_trip.answered(event.ping_data or b"", time.monotonic())

    def send_ping(self) -> None:
        """Ask for a sign of life."""
        self._authority.ping(bytes(8))
        self._schedule()

    def peer_vanished(self) -> None:
        """Nothing came for long, not even the answer to a PING."""
        _log.info("An HTTP/2 connection was cut: its client did not answer a PING")
        self._abort()

    def fell_idle(self) -> None:
        """There has been no stream for long."""
        self.drain()

    def transport_overflowed(self) -> None:
        """The peer reads nothing."""
        if not self._is_closing:
            _log.info("An HTTP/2 connection was cut: its client did not read the answers to its own frames")
            self._abort()

    def drain(self) -> None:
        """Say GOAWAY(NO_ERROR) and end with the last stream; new ones are refused."""
        if self._is_closing or self._is_draining or self._outlet is None:
            return
        self._is_draining = True
        self._authority.drain()
        self._schedule()
        self._leave_when_done()

    def close(self) -> None:
        """End it and what is on it, within `linger_s`."""
        if self._is_closing or self._outlet is None:
            return
        for stream in self._streams.values():
            if stream.protocol.open:
                self._authority.reset_stream(stream.stream_id, ErrorCodes.CANCEL)
        if not self._is_draining:
            self._authority.drain()
        self._close()

    def _leave_when_done(self) -> None:
        if not (self._is_draining or self._peer_is_leaving) or self._streams or self._grace or self._is_closing:
            return
        if not self._is_draining:
            self._authority.drain()
        self._close()

    def _violated(self, violation: Violation) -> None:
        self._authority.terminate(violation.code)
        self._close(str(violation))

    def _close(self, why: str = "") -> None:
        """Write what is left to say, and read for a while so that the peer gets to it: closing a socket in which there
        is something unread would reset the connection and could take GOAWAY with it."""
        if self._is_closing:
            return
        assert self._transport is not None
        assert self._outlet is not None
        if why:
            _log.info("An HTTP/2 connection was closed: %s", why)
        self._is_closing = True
        self._lose_streams()
        self._outlet.flush()
        self._stop()
        if self._transport.can_write_eof():
            # The peer may be gone already, which asyncio's own loop lets us know.
            with contextlib.suppress(OSError):
                self._transport.write_eof()
        self._deadline = self.loop.call_later(self.limits.linger_s, self._transport.abort)

    def _abort(self) -> None:
        assert self._transport is not None
        self._is_closing = True
        self._transport.abort()

    def _stop(self) -> None:
        self._keepalive.stop()
        self._grace.stop()
        self._clear_deadline()
        if self._outlet is not None:
            self._outlet.stop()

    def _lose_streams(self) -> None:
        streams = list(self._streams.values())
        self._streams.clear()
        # All of them first: a handler that hears of it may turn to another one's exchange.
        for stream in streams:
            stream.close()
        for stream in streams:
            stream.tell_lost()

    def _set_deadline(self, timeout_s: float, why: str) -> None:
        violation = Violation(ErrorCodes.ENHANCE_YOUR_CALM, why)
        self._deadline = self.loop.call_later(timeout_s, self._violated, violation)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
