"""WebSocket connections: `/v1/realtime`, and SageMaker's `/invocations-bidirectional-stream`."""

import asyncio
import binascii
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

import msgspec
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.usage import Usage
from parley.ingress.attachment import SessionHost, SessionPort
from parley.wire.dialect import Dialect, VllmDialect
from parley.wire.fragments import FragmentBuffer

_log = logging.getLogger("parley.ingress")

_TEXT = WSMsgType.TEXT
_BINARY = WSMsgType.BINARY
_CONTINUATION = WSMsgType.CONTINUATION
_CLOSE = WSMsgType.CLOSE
_PING = WSMsgType.PING

REALTIME_PATH = "/v1/realtime"
SAGEMAKER_PATH = "/invocations-bidirectional-stream"
_KEY_BYTES = 16

# Of a longer message picows 2.3.1 hands the transport a view of its header buffer, and writes the next message's header
# into it while the view still waits to be written: what a client that was slow reads then is garbage.
_COPIED_MAX_BYTES = 8_192
_ROOM_FOR_HEADER = bytearray(14)


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Bounds of one WebSocket connection.

    `write_buffer_max_bytes` is the high-water mark above which the session holds results back; `close_timeout_s` is
    how long a peer may take to answer a close frame before the connection is cut.
    """

    message_max_bytes: int = 4_194_304
    write_buffer_max_bytes: int = 65_536
    close_timeout_s: float = 2.0


class WebSocketAttachment(WSListener):
    """One WebSocket client. Frames become events at once, in the read callback; nothing here waits."""

    def __init__(
        self,
        host: SessionHost,
        dialect: Dialect,
        limits: SocketLimits,
        *,
        takes_binary: bool,
        forward_empty_deltas: bool | None,
        open_connections: "OpenConnections",
    ) -> None:
        self._host = host
        self._open_connections = open_connections
        self._dialect = dialect
        self._limits = limits
        self._takes_binary = takes_binary
        self._forward_empty_deltas = forward_empty_deltas
        self._fragments = FragmentBuffer(limits.message_max_bytes)
        self._transport: WSTransport | None = None
        self._port: SessionPort | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._is_paused = False
        self._is_blocked = False
        self._owed_pong: bytes | None = None

    # ---- from the connection

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done: the session begins, and the server speaks first."""
        self._transport = transport
        self._open_connections.add(self)
        transport.underlying_transport.set_write_buffer_limits(high=self._limits.write_buffer_max_bytes)
        try:
            self._port = self._host.open(self, forward_empty_deltas=self._forward_empty_deltas)
        except ParleyError as error:
            self.end(error)
            return
        transport.send(_TEXT, self._dialect.opening(self._port.session_id, self._port.created_s))
        self._port.start()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame."""
        port = self._port
        if port is None:
            return
        if frame.msg_type == _TEXT and frame.fin and not self._fragments.is_open:
            self._take(port, frame.get_payload_as_bytes())
        else:
            self._other_frame(port, transport, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone, by whichever side."""
        self._open_connections.discard(self)
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
            port.receive(ev.ClientClosed())
            self.end(error)
            return
        if whole is None:
            return
        message, is_binary = whole
        # A SageMaker client that names no data type gets binary frames made of its JSON.
        if is_binary and not (self._takes_binary and message[:1] == b"{"):
            port.receive(ev.InputRejected(ParleyError("binary-frame")))
        else:
            self._take(port, message)

    # ---- from the session

    def _send(self, message: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        if len(message) <= _COPIED_MAX_BYTES:
            transport.send(_TEXT, message)
        else:
            transport.send_reuse_external_bytearray(_TEXT, _ROOM_FOR_HEADER + message, len(_ROOM_FOR_HEADER))

    def send_delta(self, text: Text) -> None:
        """Write a piece of transcript."""
        self._send(self._dialect.delta(text))

    def send_done(self, text: Text, usage: Usage) -> None:
        """Write the end of a turn."""
        self._send(self._dialect.done(text, usage))

    def send_error(self, error: ParleyError) -> None:
        """Write an error."""
        self._send(self._dialect.error(error))

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

    def end(self, error: ParleyError | None) -> None:
        """Write the error, then its close code; a peer that does not answer is cut off after `close_timeout_s`."""
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        if error is not None and not transport.is_close_frame_sent:
            self.send_error(error)
            transport.send_close(WSCloseCode(error.spec.ws_close), error.code.encode())
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
    """The WebSocket connections of a listener that are open; `empty` is set while there are none."""

    def __init__(self) -> None:
        self._open: set[WebSocketAttachment] = set()
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


class Upgrades:
    """Answers WebSocket upgrade requests: which route, and whether a session may begin."""

    def __init__(self, host: SessionHost, limits: SocketLimits) -> None:
        self._host = host
        self._limits = limits
        self._open = OpenConnections()

    async def close(self) -> None:
        """Wait until the connections, whose sessions have ended, are closed by their peers; cut those that are not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.close_timeout_s):
                await self._open.empty.wait()
        for connection in self._open.all():
            connection.cut()
        # One turn of the loop, in which the transports report that they are gone.
        await asyncio.sleep(0)

    def __call__(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        """The connection's listener, or an HTTP error that says why there is none."""
        path, _, query = request.path.decode("latin-1").partition("?")
        try:
            if path not in (REALTIME_PATH, SAGEMAKER_PATH):
                raise ParleyError("not-found", f"WebSockets are served at {REALTIME_PATH} and {SAGEMAKER_PATH}.")
            _check_handshake(request.headers)
            self._host.check()
        except ParleyError as error:
            _log.info("refused a session: %s", error.code)
            return _refusal(error)
        return WebSocketAttachment(
            self._host,
            VllmDialect(),
            self._limits,
            takes_binary=path == SAGEMAKER_PATH,
            forward_empty_deltas=_flag(query, "empty_deltas"),
            open_connections=self._open,
        )


def _check_handshake(headers: Mapping[str, str]) -> None:
    """What RFC 6455 section 4.2.1 asks of an upgrade; picows would refuse it as well, in its own words."""
    if headers.get("Connection", "").lower() != "upgrade":
        raise ParleyError("bad-request", "The Connection header does not say `Upgrade`.")
    if headers.get("Sec-WebSocket-Version") != "13":
        raise ParleyError("bad-request", "Sec-WebSocket-Version is to be 13.")
    try:
        is_key = len(binascii.a2b_base64(headers.get("Sec-WebSocket-Key", ""), strict_mode=True)) == _KEY_BYTES
    except ValueError:
        is_key = False
    if not is_key:
        raise ParleyError("bad-request", f"Sec-WebSocket-Key is to be base64 of {_KEY_BYTES} bytes.")


def _flag(query: str, name: str) -> bool | None:
    values = parse_qs(query, max_num_fields=64).get(name) if query else None
    return None if not values else values[-1].lower() in ("1", "true", "yes")


def error_body(error: ParleyError) -> bytes:
    """The JSON body of an HTTP error: readable by a person, and the table's data for a program."""
    spec = error.spec
    body: dict[str, object] = {
        "error": {
            "code": spec.code,
            "message": error.message,
            "fault": spec.fault,
            "retry": spec.retry,
            "retry_after_s": error.retry_after_s,
            "type": spec.openai_type,
        }
    }
    return msgspec.json.encode(body)


def error_headers(error: ParleyError) -> dict[str, str]:
    """The HTTP headers that go with an error."""
    headers = {"Content-Type": "application/json", "x-amzn-errortype": error.spec.aws_exception}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return headers


def _refusal(error: ParleyError) -> WSUpgradeResponseWithListener:
    response = WSUpgradeResponse.create_error_response(error.spec.http_status, error_body(error), error_headers(error))
    return WSUpgradeResponseWithListener(response, None)
