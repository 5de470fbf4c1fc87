"""One WebSocket to a container that speaks SageMaker's contract: its frames as they are, both ways.

The container is anybody's, so nothing of it is trusted but RFC 6455, and that is checked. A frame stays a frame with
its FIN bit: what SageMaker calls a part is one, and to join or to cut any would tell the two apart.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

_TEXT = WSMsgType.TEXT
_BINARY = WSMsgType.BINARY
_CONTINUATION = WSMsgType.CONTINUATION
_CLOSE = WSMsgType.CLOSE
_PING = WSMsgType.PING
_PONG = WSMsgType.PONG

NO_CODE = 1005
"""What stands for the code of a Close frame that has none (RFC 6455 section 7.1.5)."""

_REASON_MAX_BYTES = 123


class FrameSink(Protocol):
    """What hears from a container's WebSocket. No method waits or raises."""

    def frame_received(self, data: bytes, *, is_text: bool, is_last: bool) -> None:
        """A data frame. Of a fragmented message `is_text` is that of its first frame, and `is_last` its FIN bit."""

    def container_closed(self, code: int | None, reason: str) -> None:
        """It is over, and nothing follows. With the Close frame's code, 1005 without one in it, and its reason; or with
        None when there was no Close frame: then `reason` is what was seen, in Parley's words, or empty."""

    def writing_blocked(self) -> None:
        """The container does not read."""

    def writing_unblocked(self) -> None:
        """It reads again."""


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """Bounds of one WebSocket to a container.

    It is pinged every `ping_interval_s`, and given up when `pings_unanswered_max` in a row have brought no answer by
    the time of the next: 60 s and 5 are SageMaker's. `frame_max_bytes` is the largest frame taken from it;
    `write_buffer_max_bytes` is what may wait to be sent before `writing_blocked` is called. `receive_buffer_bytes` is
    what the kernel may hold of it while it is not read: about so much may still come after `pause_reading`.
    `close_timeout_s` is how long it may take to answer a Close frame before the connection is cut.
    """

    ping_interval_s: float = 60.0
    pings_unanswered_max: int = 5
    frame_max_bytes: int = 4_194_304
    write_buffer_max_bytes: int = 65_536
    receive_buffer_bytes: int = 131_072
    close_timeout_s: float = 2.0


class ContainerSocket(WSListener):
    """A WebSocket to a container, from its handshake on; see `ContainerSocket` in `ingress/invocation.py`.

    `begin` is the opener's to call. Until then nothing is read, and what came with the handshake is held back: a sink
    hears nothing before it has the socket. `on_gone` is called once, when the connection is.
    """

    def __init__(self, sink: FrameSink, options: SocketOptions, on_gone: Callable[["ContainerSocket"], None]) -> None:
        self._sink: FrameSink | None = sink
        self._options = options
        self._on_gone = on_gone
        self._transport: WSTransport | None = None
        self._held: list[tuple[bytes, bool, bool]] | None = []
        self._end_held: tuple[int | None, str] | None = None
        self._receives_text = True
        self._receives_more = False
        self._sends_more = False
        self._is_paused = False
        self._is_blocked = False
        self._owed_pong: bytes | None = None
        self._pings_unanswered = 0
        self._ping_timer: asyncio.TimerHandle | None = None
        self._cut_timer: asyncio.TimerHandle | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the handshake is done and the connection is there."""
        return self._transport is not None and not self._transport.is_disconnected

    # ---- from the opener

    def begin(self) -> None:
        """Hand over what came with the handshake, and read."""
        held, self._held = self._held or [], None
        for data, is_text, is_last in held:
            if self._sink is not None:
                self._sink.frame_received(data, is_text=is_text, is_last=is_last)
        if self._end_held is not None:
            self._end(*self._end_held)
        elif self._transport is not None and self.is_connected and not self._is_paused:
            self._transport.underlying_transport.resume_reading()

    # ---- from the connection

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done."""
        self._transport = transport
        if self._sink is None:
            # It was given up while the handshake was on its way: nobody would ever close it again.
            transport.disconnect(False)
            return
        transport.underlying_transport.set_write_buffer_limits(high=self._options.write_buffer_max_bytes)
        transport.underlying_transport.pause_reading()
        self._ping_later()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame."""
        kind = frame.msg_type
        if self._sink is None or self._end_held is not None or transport.is_close_frame_sent:
            if kind == _CLOSE:
                transport.disconnect()
        elif kind == _PONG:
            self._pings_unanswered = 0
        elif kind == _PING:
            self._answer(transport, frame.get_payload_as_bytes())
        elif kind == _CLOSE:
            self._take_close(transport, frame.get_payload_as_bytes())
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._broke_protocol("It sent a compressed frame, or one of an extension, and none was agreed on.")
        elif (kind == _CONTINUATION) != self._receives_more:
            self._broke_protocol("It began a message within another, or went on with one that had ended.")
        else:
            self._take(kind, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone."""
        for timer in (self._ping_timer, self._cut_timer):
            if timer is not None:
                timer.cancel()
        sent = transport.close_handshake.sent if transport.close_handshake is not None else None
        if sent is not None and sent.code in (
            WSCloseCode.PROTOCOL_ERROR,
            WSCloseCode.INVALID_TEXT,
            WSCloseCode.MESSAGE_TOO_BIG,
        ):
            # picows keeps its own error in a future that asyncio complains about unless it is asked for; it is set
            # as soon as this returns.
            asyncio.ensure_future(transport.wait_disconnected()).add_done_callback(asyncio.Task.exception)
            limit = self._options.frame_max_bytes
            self._end(None, f"It sent what is no WebSocket frame, or a frame of more than {limit} bytes.")
        else:
            self._end(None, "")
        self._on_gone(self)

    def pause_writing(self) -> None:
        """The container does not read."""
        self._is_blocked = True
        if self._sink is not None:
            self._sink.writing_blocked()

    def resume_writing(self) -> None:
        """The container reads again."""
        self._is_blocked = False
        pong, self._owed_pong = self._owed_pong, None
        if pong is not None and self._transport is not None:
            self._transport.send_pong(pong)
        if self._sink is not None:
            self._sink.writing_unblocked()

    def _take(self, kind: WSMsgType, frame: WSFrame) -> None:
        if kind != _CONTINUATION:
            self._receives_text = kind == _TEXT
        self._receives_more = not frame.fin
        data = frame.get_payload_as_bytes()
        if self._held is not None:
            self._held.append((data, self._receives_text, frame.fin))
        elif self._sink is not None:
            self._sink.frame_received(data, is_text=self._receives_text, is_last=frame.fin)

    def _take_close(self, transport: WSTransport, payload: bytes) -> None:
        code = struct.unpack("!H", payload[:2])[0] if payload else NO_CODE
        # A Close frame without a code may not be echoed with one made up (RFC 6455 section 7.4.1).
        transport.send_close(WSCloseCode(code) if payload else WSCloseCode.OK)
        transport.disconnect()
        # A peer that reads no answer would keep the connection.
        self._cut_later()
        # picows has checked that it is UTF-8.
        self._end(code, payload[2:].decode())

    def _answer(self, transport: WSTransport, payload: bytes) -> None:
        if self._is_blocked:
            # Of several the last alone has to be answered (RFC 6455 section 5.5.3), and they must not pile up.
            self._owed_pong = payload
        else:
            transport.send_pong(payload)

    def _broke_protocol(self, seen: str) -> None:
        self._break_off(WSCloseCode.PROTOCOL_ERROR, seen)

    def _break_off(self, code: WSCloseCode, seen: str) -> None:
        transport = self._transport
        if transport is not None and self.is_connected:
            transport.send_close(code)
            transport.disconnect()
            self._cut_later()
        self._end(None, seen)

    def _end(self, code: int | None, reason: str) -> None:
        if self._held is not None:
            self._end_held = self._end_held or (code, reason)
            return
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.container_closed(code, reason)

    # ---- is it there

    def _ping_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._ping_timer = loop.call_later(self._options.ping_interval_s, self._ping)

    def _ping(self) -> None:
        transport = self._transport
        assert transport is not None
        if self._is_paused:
            # Its answers would not be read.
            self._pings_unanswered = 0
        elif self._pings_unanswered >= self._options.pings_unanswered_max:
            self._break_off(WSCloseCode.GOING_AWAY, f"It left {self._pings_unanswered} pings in a row unanswered.")
            return
        else:
            transport.send_ping()
            self._pings_unanswered += 1
        self._ping_later()

    # ---- from the relay

    def send_frame(self, data: bytes, *, is_text: bool, is_last: bool) -> None:
        """Send a data frame: a continuation when the one before it was not the last. Nothing once it is over."""
        transport = self._transport
        if transport is None or transport.is_disconnected or self._sink is None:
            return
        kind = _CONTINUATION if self._sends_more else _TEXT if is_text else _BINARY
        self._sends_more = not is_last
        transport.send(kind, data, is_last)

    def pause_reading(self) -> None:
        """Read nothing more; what has been read already still comes."""
        if not self._is_paused:
            self._is_paused = True
            self._read(False)

    def resume_reading(self) -> None:
        """Read again."""
        if self._is_paused:
            self._is_paused = False
            self._read(True)

    def close(self, code: int, reason: str = "") -> None:
        """Close it with a Close frame, whose reason is cut to what one may hold; the sink hears nothing any more. A
        container that does not answer is cut off."""
        self._sink = None
        transport = self._transport
        if transport is None or transport.is_disconnected or transport.is_close_frame_sent:
            return
        transport.send_close(WSCloseCode(code), _cut_text(reason, _REASON_MAX_BYTES))
        # Else its answer would not be read.
        transport.underlying_transport.resume_reading()
        self._cut_later()

    def go_away(self) -> None:
        """Close it because this node ends; the sink is told."""
        sink = self._sink
        self.close(WSCloseCode.GOING_AWAY.value)
        if sink is not None:
            sink.container_closed(None, "Parley is going away.")

    def cut(self) -> None:
        """Drop the connection at once; the sink hears nothing any more."""
        self._sink = None
        if self._transport is not None:
            self._transport.disconnect(False)

    def _read(self, does_read: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_disconnected or self._held is not None or self._sink is None:
            return
        if does_read:
            transport.underlying_transport.resume_reading()
        else:
            transport.underlying_transport.pause_reading()

    def _cut_later(self) -> None:
        if self._cut_timer is None and self._transport is not None:
            loop = asyncio.get_running_loop()
            self._cut_timer = loop.call_later(self._options.close_timeout_s, self._transport.disconnect, False)


def _cut_text(text: str, bytes_max: int) -> bytes:
    """As much of the text as fits, in whole characters."""
    return text.encode()[:bytes_max].decode(errors="ignore").encode()
