"""WebSocket connections: one client's frames as messages of its conversation, and what is said to it as frames."""

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.ingress.attachment import SessionHost
from parley.ingress.conversation import Conversation
from parley.ingress.first_event import FIRST_EVENT_MAX_BYTES, FIRST_EVENT_TIMEOUT_S, Narrow, Proof, missing
from parley.ingress.threshold import Arrival
from parley.ingress.turn_share import TurnLine
from parley.ingress.waiting import WaitingRoom
from parley.wire.dialect import Dialect
from parley.wire.fragments import FragmentBuffer
from parley.wire.round_trip import RoundTrip

_log = logging.getLogger("parley.ingress")

_TEXT = WSMsgType.TEXT
_BINARY = WSMsgType.BINARY
_CONTINUATION = WSMsgType.CONTINUATION
_CLOSE = WSMsgType.CLOSE
_PING = WSMsgType.PING

# Of a longer message picows 2.3.1 hands the transport a view of its header buffer, and writes the next message's header
# into it while the view still waits to be written: what a client that was slow reads then is garbage.
_COPIED_MAX_BYTES = 8_192
_ROOM_FOR_HEADER = bytearray(14)

_LOSSES_SHARE_S = 0.001
"""Of a turn. What a loss sets off, such as the closing of a leg, takes several times that after it."""


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Bounds of one WebSocket connection, and of those that have no session yet.

    `write_buffer_max_bytes` is the high-water mark above which the session holds results back; `close_timeout_s` is
    how long a peer may take to answer a close frame before the connection is cut. `waiting_max` connections may have
    come for a session that exists and not have named it, each for `waiting_timeout_s`; `unproven_max` may not have said
    who they are, each for `unproven_timeout_s`.
    """

    message_max_bytes: int = 4_194_304
    write_buffer_max_bytes: int = 65_536
    close_timeout_s: float = 2.0
    waiting_max: int = 64
    waiting_timeout_s: float = 10.0
    unproven_max: int = 256
    unproven_timeout_s: float = FIRST_EVENT_TIMEOUT_S


class WebSocketConnection(WSListener):
    """One WebSocket client. Frames become events at once, in the read callback; nothing here waits.

    With a `proof` nothing begins before its first message has shown who it is; until then `narrow` is before it.
    """

    def __init__(
        self,
        host: SessionHost,
        dialect: Dialect,
        limits: SocketLimits,
        arrival: Arrival,
        open_connections: "OpenConnections",
        proof: Proof | None = None,
        narrow: Narrow | None = None,
    ) -> None:
        self._open_connections = open_connections
        self._limits = limits
        self._host = host
        self._dialect = dialect
        self._arrival = arrival
        self._proof = proof
        self._narrow = narrow
        self._conversation = Conversation(host, dialect, arrival, self, open_connections.waiting)
        self._fragments = FragmentBuffer(limits.message_max_bytes)
        self._transport: WSTransport | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._is_paused = False
        self._is_blocked = False
        self._owed_pong: bytes | None = None
        self._round_trip = RoundTrip()

    # ---- from the connection

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done: a session begins, unless the client comes for one, and the server speaks first."""
        self._transport = transport
        self._open_connections.add(self)
        transport.underlying_transport.set_write_buffer_limits(high=self._limits.write_buffer_max_bytes)
        if self._proof is None:
            self._begin()
            return
        self._open_connections.unproven.enter(self)
        if self._narrow is not None:
            self._narrow.narrows(FIRST_EVENT_MAX_BYTES, self._overrun)

    def _begin(self) -> None:
        try:
            self._conversation.begin()
        except ParleyError as error:
            self._conversation.end(error)
            return
        self._conversation.greet()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame."""
        if not self._conversation.has_session:
            if frame.msg_type == _CLOSE:
                transport.disconnect()
            elif self._proof is not None:
                self._prove(self._proof, transport, frame)
            return
        if frame.msg_type == _TEXT and frame.fin and not self._fragments.is_open:
            self._conversation.take(frame.get_payload_as_bytes())
        else:
            self._other_frame(transport, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone, by whichever side."""
        self._open_connections.discard(self)
        self._open_connections.unproven.leave(self)
        if self._cut is not None:
            self._cut.cancel()
        # Until then what is written goes nowhere, and the session has to know what it wrote in any case.
        self._open_connections.losses.do(self._conversation.lost)

    def send_user_specific_ping(self, transport: WSTransport) -> None:
        """Ask a silent peer whether it is there; not one that is paused, whose answer would not be read."""
        if self._is_paused:
            asyncio.get_running_loop().call_soon(transport.notify_user_specific_pong_received)
        else:
            transport.send_ping()

    def is_user_specific_pong(self, frame: WSFrame) -> bool:
        """Any PONG is a sign of life, and may be what is waited for."""
        if frame.msg_type != WSMsgType.PONG:
            return False
        self._round_trip.answered(frame.get_payload_as_bytes(), time.monotonic())
        return True

    def pause_writing(self) -> None:
        """The peer does not read."""
        self._is_blocked = True
        self._conversation.receive(ev.ClientBlocked())

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._is_blocked = False
        pong, self._owed_pong = self._owed_pong, None
        if pong is not None and self._transport is not None:
            self._transport.send_pong(pong)
        self._conversation.receive(ev.ClientUnblocked())

    # ---- before it is known who it is

    def _prove(self, proof: Proof, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == _PING:
            transport.send_pong(frame.get_payload_as_bytes())
        if kind not in (_TEXT, _BINARY, _CONTINUATION):
            if kind == WSMsgType.PONG:
                self._round_trip.answered(frame.get_payload_as_bytes(), time.monotonic())
            return
        try:
            if kind != _TEXT or not frame.fin:
                raise missing("It was no text message in one frame.")
            caller = proof.show(frame.get_payload_as_bytes()).caller
            if self._arrival.comes_back:
                self._open_connections.waiting.check()
        except ParleyError as error:
            self.refuse(error)
            return
        self._proof = None
        self._open_connections.unproven.leave(self)
        if self._narrow is not None:
            self._narrow.widen()
        provenance = self._arrival.provenance
        if provenance is not None:
            now = asyncio.get_running_loop().time()
            provenance = replace(provenance, authenticated_at=now, method=caller.method)
        arrival = replace(self._arrival, caller=caller, provenance=provenance)
        self._conversation = Conversation(self._host, self._dialect, arrival, self, self._open_connections.waiting)
        self._begin()

    def _overrun(self) -> None:
        if self._proof is not None:
            self.refuse(missing(f"More than {FIRST_EVENT_MAX_BYTES} bytes came before its end."))

    def refuse(self, error: ParleyError) -> None:
        """It has not shown who it is: nothing begins."""
        _log.info("refused a session: %s", error.code)
        self._proof = None
        self._open_connections.unproven.leave(self)
        self._conversation.end(error)

    # ---- of one whose session has begun

    def _other_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == _CLOSE:
            if not transport.is_close_frame_sent:
                # A close frame without a code may not be echoed with one made up (RFC 6455 section 7.4.1).
                code = frame.get_close_code()
                transport.send_close(WSCloseCode.OK if code == WSCloseCode.NO_INFO else code)
            # Not only when the connection is gone: a peer that reads no answer could put that off.
            self._conversation.receive(ev.ClientClosed())
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
            if kind == WSMsgType.PONG:
                self._round_trip.answered(frame.get_payload_as_bytes(), time.monotonic())
            return
        try:
            whole = self._joined(frame)
        except ParleyError as error:
            # RFC 6455 section 5.4: the rest of the stream can't be told apart any more.
            self._conversation.fail(error)
            return
        if whole is not None:
            message, is_binary = whole
            (self._conversation.take_binary if is_binary else self._conversation.take)(message)

    def _joined(self, frame: WSFrame) -> tuple[bytes, bool] | None:
        """The message that is complete with this frame, and whether it is binary."""
        payload, is_binary = frame.get_payload_as_bytes(), frame.msg_type == _BINARY
        if frame.msg_type == _CONTINUATION:
            return self._fragments.append(payload, is_last=frame.fin)
        if frame.fin and not self._fragments.is_open:
            return payload, is_binary
        self._fragments.begin(payload, is_binary=is_binary)
        return None

    # ---- from the conversation

    @property
    def is_closing(self) -> bool:
        """See `Carrier.is_closing`."""
        transport = self._transport
        return transport is None or transport.is_disconnected or transport.is_close_frame_sent

    def send_message(self, message: bytes) -> None:
        """Write a text frame."""
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        if len(message) <= _COPIED_MAX_BYTES:
            transport.send(_TEXT, message)
        else:
            transport.send_reuse_external_bytearray(_TEXT, _ROOM_FOR_HEADER + message, len(_ROOM_FOR_HEADER))

    def round_trip_s(self) -> float | None:
        """See `Carrier.round_trip_s`."""
        now, transport = time.monotonic(), self._transport
        # One that does not read would find them in a heap, once it does.
        if transport is not None and not self._is_paused and not self._is_blocked and not self.is_closing:
            payload = self._round_trip.ask(now)
            if payload is not None:
                transport.send_ping(payload)
        return self._round_trip.seen_s(now)

    def pause_input(self) -> None:
        """Stop reading."""
        self._is_paused = True
        self._round_trip.forget()
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.underlying_transport.pause_reading()
            self._transport.notify_user_specific_pong_received()

    def resume_input(self) -> None:
        """Read again."""
        self._is_paused = False
        if self._transport is not None and not self._transport.is_disconnected:
            self._transport.underlying_transport.resume_reading()

    def close(self, error: ParleyError | None) -> None:
        """Write the close code; a peer that does not answer is cut off after `close_timeout_s`."""
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        if not transport.is_close_frame_sent:
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

    Those in `waiting` came for a session that exists and have not named it, those in `unproven` have not said who they
    are. `losses` is where their conversations are
    told that they are gone: a network that fails takes a thousand at once.
    """

    def __init__(self, limits: SocketLimits) -> None:
        self._open: set[WebSocketConnection] = set()
        self.waiting = WaitingRoom(limits.waiting_max, limits.waiting_timeout_s)
        self.unproven = WaitingRoom(
            limits.unproven_max, limits.unproven_timeout_s, "say who they are", "credentials-missing"
        )
        self.losses = TurnLine(_LOSSES_SHARE_S)
        self.empty = asyncio.Event()
        self.empty.set()

    def add(self, connection: WebSocketConnection) -> None:
        """A connection was opened."""
        self._open.add(connection)
        self.empty.clear()

    def discard(self, connection: WebSocketConnection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if not self._open:
            self.empty.set()

    def all(self) -> list[WebSocketConnection]:
        """Those open now."""
        return list(self._open)
