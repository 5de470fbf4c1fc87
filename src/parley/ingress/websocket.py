"""WebSocket connections: one client's frames as events of its session, and what the session says as frames."""

import asyncio
from dataclasses import dataclass

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.notices import Notice
from parley.core.usage import Usage
from parley.ingress.attachment import SessionHost, SessionPort
from parley.ingress.threshold import Arrival, Threshold
from parley.wire.dialect import Dialect, Resume
from parley.wire.fragments import FragmentBuffer

_TEXT = WSMsgType.TEXT
_BINARY = WSMsgType.BINARY
_CONTINUATION = WSMsgType.CONTINUATION
_CLOSE = WSMsgType.CLOSE
_PING = WSMsgType.PING

# Of a longer message picows 2.3.1 hands the transport a view of its header buffer, and writes the next message's header
# into it while the view still waits to be written: what a client that was slow reads then is garbage.
_COPIED_MAX_BYTES = 8_192
_ROOM_FOR_HEADER = bytearray(14)


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Bounds of one WebSocket connection, and of those that have no session yet.

    `write_buffer_max_bytes` is the high-water mark above which the session holds results back; `close_timeout_s` is
    how long a peer may take to answer a close frame before the connection is cut. `waiting_max` connections may have
    come for a session that exists and not have named it, each for `waiting_timeout_s`.
    """

    message_max_bytes: int = 4_194_304
    write_buffer_max_bytes: int = 65_536
    close_timeout_s: float = 2.0
    waiting_max: int = 64
    waiting_timeout_s: float = 10.0


class WebSocketAttachment(WSListener):
    """One WebSocket client. Frames become events at once, in the read callback; nothing here waits.

    The first message decides which session the connection is for: until then its port is a `Threshold`.
    """

    def __init__(
        self,
        host: SessionHost,
        dialect: Dialect,
        limits: SocketLimits,
        arrival: Arrival,
        open_connections: "OpenConnections",
    ) -> None:
        self._host = host
        self._open_connections = open_connections
        self._dialect = dialect
        self._limits = limits
        self._arrival = arrival
        self._fragments = FragmentBuffer(limits.message_max_bytes)
        self._transport: WSTransport | None = None
        self._session_id = ""
        self._port: SessionPort | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._waiting: asyncio.TimerHandle | None = None
        self._is_paused = False
        self._is_blocked = False
        self._owed_pong: bytes | None = None

    # ---- from the connection

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done: a session begins, unless the client comes for one, and the server speaks first."""
        self._transport = transport
        self._open_connections.add(self)
        transport.underlying_transport.set_write_buffer_limits(high=self._limits.write_buffer_max_bytes)
        try:
            port = Threshold(self._host, self, self._arrival)
        except ParleyError as error:
            self.end(error)
            return
        self._port = port
        if self._arrival.comes_back:
            self._wait()
        name = port.name
        self._session_id = name.session_id
        self._send(self._dialect.opening(name.session_id, name.created_s, self._host.resume_window_s))
        port.start()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame."""
        port = self._port
        if port is None:
            if frame.msg_type == _CLOSE:
                transport.disconnect()
            return
        if frame.msg_type == _TEXT and frame.fin and not self._fragments.is_open:
            self._take(port, frame.get_payload_as_bytes())
        else:
            self._other_frame(port, transport, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone, by whichever side."""
        self._open_connections.discard(self)
        self._stop_waiting()
        if self._cut is not None:
            self._cut.cancel()
        if self._port is not None:
            self._port.receive(ev.ClientClosed())

    def send_user_specific_ping(self, transport: WSTransport) -> None:
        """Ask a silent peer whether it is there; not one that is paused, whose answer would not be read."""
        if self._is_paused:
            asyncio.get_running_loop().call_soon(transport.notify_user_specific_pong_received)
        else:
            transport.send_ping()

    def pause_writing(self) -> None:
        """The peer does not read."""
        self._is_blocked = True
        if self._port is not None:
            self._port.receive(ev.ClientBlocked())

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._is_blocked = False
        pong, self._owed_pong = self._owed_pong, None
        if pong is not None and self._transport is not None:
            self._transport.send_pong(pong)
        if self._port is not None:
            self._port.receive(ev.ClientUnblocked())

    def _take(self, port: SessionPort, message: bytes) -> None:
        try:
            received = self._dialect.receive(message)
        except ParleyError as error:
            port.receive(ev.InputRejected(error))
            return
        if isinstance(received, Audio):
            port.receive_audio(received)
        elif isinstance(received, Resume):
            self._come_back(port, received)
        else:
            for event in received:
                port.receive(event)

    def _other_frame(self, port: SessionPort, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == _CLOSE:
            if not transport.is_close_frame_sent:
                # A close frame without a code may not be echoed with one made up (RFC 6455 section 7.4.1).
                code = frame.get_close_code()
                transport.send_close(WSCloseCode.OK if code == WSCloseCode.NO_INFO else code)
            # Not only when the connection is gone: a peer that reads no answer could put that off.
            port.receive(ev.ClientClosed())
            transport.disconnect()
            return
        if kind == _PING:
            if self._is_blocked:
                # Of several the last alone has to be answered (RFC 6455 section 5.5.3), and they must not pile up.
                self._owed_pong = frame.get_payload_as_bytes()
            else:
                transport.send_pong(frame.get_payload_as_bytes())
            return
        if kind not in (_TEXT, _BINARY, _CONTINUATION):
            return
        payload = frame.get_payload_as_bytes()
        try:
            if kind == _CONTINUATION:
                whole = self._fragments.append(payload, is_last=frame.fin)
            elif frame.fin and not self._fragments.is_open:
                whole = payload, kind == _BINARY
            else:
                self._fragments.begin(payload, is_binary=kind == _BINARY)
                whole = None
        except ParleyError as error:
            # RFC 6455 section 5.4: the rest of the stream can't be told apart any more.
            self.end(error)
            port.receive(ev.ClientClosed())
            return
        if whole is None:
            return
        message, is_binary = whole
        # A SageMaker client that names no data type gets binary frames made of its JSON.
        if is_binary and not (self._arrival.takes_binary and message[:1] == b"{"):
            port.receive(ev.InputRejected(ParleyError("binary-frame")))
        else:
            self._take(port, message)

    # ---- which session

    def _wait(self) -> None:
        self._open_connections.waiting.add(self)
        self._waiting = asyncio.get_running_loop().call_later(self._limits.waiting_timeout_s, self._waited)

    def _waited(self) -> None:
        self.refuse(ParleyError("bad-request", f"No message came within {self._limits.waiting_timeout_s:g} s."))

    def _stop_waiting(self) -> None:
        self._open_connections.waiting.discard(self)
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _come_back(self, port: SessionPort, claim: Resume) -> None:
        if isinstance(port, Threshold):
            port.claim(claim.token, claim.seq)
        else:
            detail = "session.resume has to be the first message of its connection."
            port.receive(ev.InputRejected(ParleyError("invalid-event", detail)))

    def enter(self, port: SessionPort) -> None:
        """The connection is for this session."""
        self._stop_waiting()
        self._port = port
        self._session_id = port.name.session_id

    def refuse(self, error: ParleyError) -> None:
        """There is no session for the connection."""
        self._stop_waiting()
        self._port = None
        self.end(error)

    # ---- from the session

    def _send(self, message: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        if len(message) <= _COPIED_MAX_BYTES:
            transport.send(_TEXT, message)
        else:
            transport.send_reuse_external_bytearray(_TEXT, _ROOM_FOR_HEADER + message, len(_ROOM_FOR_HEADER))

    def send_delta(self, text: Text, seq: int = 0, item: int = 0) -> None:
        """Write a piece of transcript."""
        self._send(self._dialect.delta(text, seq, item))

    def send_done(self, text: Text, usage: Usage, seq: int = 0, item: int = 0, text_from: int | None = None) -> None:
        """Write the end of a turn."""
        self._send(self._dialect.done(text, usage, seq, item, text_from))

    def send_error(self, error: ParleyError, seq: int = 0) -> None:
        """Write an error."""
        self._send(self._dialect.error(error, seq))

    def send_notice(self, notice: Notice, seq: int = 0) -> None:
        """Write what became of the session or of a turn."""
        self._send(self._dialect.notice(notice, seq, self._session_id))

    def send_token(self, token: str, window_s: float) -> None:
        """Write the token with which the client takes the session up again."""
        self._send(self._dialect.updated(self._session_id, token, window_s))

    def pause_input(self) -> None:
        """Stop reading."""
        self._is_paused = True
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.underlying_transport.pause_reading()
            self._transport.notify_user_specific_pong_received()

    def resume_input(self) -> None:
        """Read again."""
        self._is_paused = False
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.underlying_transport.resume_reading()

    def end(self, error: ParleyError | None, seq: int = 0) -> None:
        """Write why it ends, then its close code; a peer that does not answer is cut off after `close_timeout_s`."""
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        if not transport.is_close_frame_sent:
            if error is not None:
                self.send_error(error, seq)
            if seq:
                self._send(self._dialect.ended(error, seq + 1 if error is not None else seq))
            if error is not None:
                transport.send_close(WSCloseCode(error.spec.ws_close), error.code.encode())
            else:
                transport.send_close(WSCloseCode.OK)
        # A paused connection would never read the peer's answer.
        self.resume_input()
        if self._cut is None:
            loop = asyncio.get_running_loop()
            self._cut = loop.call_later(self._limits.close_timeout_s, transport.disconnect, False)

    def cut(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.disconnect(False)


class OpenConnections:
    """The WebSocket connections of a listener that are open; `empty` is set while there are none.

    Those in `waiting` came for a session that exists and have not named it.
    """

    def __init__(self) -> None:
        self._open: set[WebSocketAttachment] = set()
        self.waiting: set[WebSocketAttachment] = set()
        self.empty = asyncio.Event()
        self.empty.set()

    def add(self, connection: WebSocketAttachment) -> None:
        """A connection was opened."""
        self._open.add(connection)
        self.empty.clear()

    def discard(self, connection: WebSocketAttachment) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if not self._open:
            self.empty.set()

    def all(self) -> list[WebSocketAttachment]:
        """Those open now."""
        return list(self._open)
