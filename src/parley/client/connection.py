"""One WebSocket to a realtime server: messages in both directions, bounded in both.

A session owns a connection and may replace it; nothing here knows what the messages mean. Nothing here waits for
messages either: whoever owns the connection is told when there is something to look at.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLContext

from picows import WSCloseCode, WSError, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from parley.client.endpoint import origin
from parley.client.inbox import Inbox
from parley.client.loss import NO_CLOSE_CODE, NO_CLOSE_FRAME
from parley.client.refusal import connect_failure, handshake_failure
from parley.core.errors import ParleyError
from parley.wire.fragments import FragmentBuffer

PROTOCOL_ERROR = 1002


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of one connection.

    Reading pauses while `inbox_max_messages` or `inbox_max_bytes` wait for the session, and goes on at half of that.
    `send_stall_timeout_s` is how long the server may refuse to take audio; `ping_interval_s` how long it may be silent
    before it is pinged, and again how long it may take to answer. `events_max` events wait for the user; then messages
    wait.
    """

    connect_timeout_s: float = 10.0
    close_timeout_s: float = 2.0
    send_stall_timeout_s: float = 60.0
    ping_interval_s: float = 10.0
    message_max_bytes: int = 4_194_304
    inbox_max_messages: int = 1_024
    inbox_max_bytes: int = 8_388_608
    events_max: int = 256


class Connection:
    """An open WebSocket."""

    def __init__(self, transport: WSTransport, listener: "_Listener", limits: ConnectionLimits) -> None:
        self._transport = transport
        self._listener = listener
        self._limits = limits

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        api_key: str | None = None,
        limits: ConnectionLimits,
        changed: Callable[[], None],
        ssl_context: SSLContext | None = None,
    ) -> "Connection":
        """Connect to a WebSocket URL. `changed` is called when a message has arrived, when the socket takes more or no
        more, and when the connection is over.

        Raises:
            SessionFailed: the server can't be reached, or answered the handshake with an HTTP error.
        """
        ours = _Listener(limits, changed)
        try:
            async with asyncio.timeout(limits.connect_timeout_s):
                transport, listener = await ws_connect(
                    lambda: ours,
                    url,
                    ssl_context=ssl_context,
                    websocket_handshake_timeout=limits.connect_timeout_s,
                    logger_name=_QuietLogger(logging.getLogger("parley.client"), {}),
                    enable_auto_ping=True,
                    auto_ping_idle_timeout=limits.ping_interval_s,
                    auto_ping_reply_timeout=limits.ping_interval_s,
                    max_frame_size=limits.message_max_bytes,
                    extra_headers={"Authorization": f"Bearer {api_key}"} if api_key else None,
                    max_redirects=0,
                )
        except WSHandshakeError as error:
            raise handshake_failure(origin(url), error) from None
        except (OSError, TimeoutError) as error:
            raise connect_failure(origin(url), error) from None
        # picows returns no listener when the peer hung up instead of answering.
        if listener is None:
            raise connect_failure(origin(url), ConnectionResetError("the server hung up"))
        return cls(transport, ours, limits)

    def send(self, message: bytes) -> None:
        """Send one text message. What the socket does not take is kept, so look at `can_send` before sending much; what
        is sent when the connection is over is gone."""
        if self._listener.close_code is None:
            self._transport.send(WSMsgType.TEXT, message)

    def receive(self) -> bytes | None:
        """The next message, in the order of arrival; None when there is none yet, or none will come."""
        return self._listener.inbox.take()

    @property
    def close_code(self) -> int | None:
        """None while the connection lasts, then RFC 6455's code; messages that came before may still be received."""
        return self._listener.close_code

    @property
    def renew_at(self) -> float | None:
        """None: it may last as long as it likes."""
        return None

    @property
    def unread_messages(self) -> int:
        """Messages that have arrived and not been received."""
        return len(self._listener.inbox)

    @property
    def is_reading(self) -> bool:
        """Whether the socket is read; not while the bounds of what waits unread are reached."""
        return self._transport.underlying_transport.is_reading()

    @property
    def can_send(self) -> bool:
        """Whether the socket takes more."""
        return self._listener.is_writable

    async def abort(self) -> None:
        """Drop it."""
        self._listener.inbox.discard()
        self._transport.disconnect(False)
        with contextlib.suppress(WSError, OSError):
            await self._transport.wait_disconnected()

    async def close(self) -> None:
        """Close with code 1000; a server that does not answer within `close_timeout_s` is cut off."""
        self._listener.inbox.discard()
        self._transport.send_close(WSCloseCode.OK)
        # What picows itself found wrong with the peer is raised here, and has been reported to the receiver.
        with contextlib.suppress(WSError, OSError):
            try:
                async with asyncio.timeout(self._limits.close_timeout_s):
                    await self._transport.wait_disconnected()
            except TimeoutError:
                self._transport.disconnect(False)
                await self._transport.wait_disconnected()


class _QuietLogger(logging.LoggerAdapter[logging.Logger]):
    """Below INFO, picows logs what it sends and receives: keys in headers, and what was said."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 (the standard library's name)
        return level >= logging.INFO and super().isEnabledFor(level)


class _Listener(WSListener):
    """Takes what the socket brings. Its methods run in the socket's read callback, so none of them waits."""

    def __init__(self, limits: ConnectionLimits, changed: Callable[[], None]) -> None:
        self.close_code: int | None = None
        self.is_writable = True
        self.inbox = Inbox(
            messages_max=limits.inbox_max_messages, bytes_max=limits.inbox_max_bytes, set_reading=self._set_reading
        )
        self._changed = changed
        self._fragments = FragmentBuffer(limits.message_max_bytes)
        self._transport: WSTransport | None = None
        self._is_paused = False

    # ---- from picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            self._take_close(transport, frame)
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._take_data(transport, frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._end(NO_CLOSE_FRAME)

    def pause_writing(self) -> None:
        self.is_writable = False
        self._changed()

    def resume_writing(self) -> None:
        self.is_writable = True
        self._changed()

    def _take_close(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        code = int.from_bytes(payload[:2]) if len(payload) >= 2 else NO_CLOSE_CODE
        self._end(code)
        if not transport.is_close_frame_sent:
            transport.send_close(WSCloseCode.OK)
        transport.disconnect()

    def _take_data(self, transport: WSTransport, frame: WSFrame) -> None:
        try:
            message = self._joined(frame)
        except ParleyError:
            self._end(PROTOCOL_ERROR)
            transport.send_close(WSCloseCode.PROTOCOL_ERROR)
            transport.disconnect()
            return
        if message is not None and self.inbox.put(message):
            self._changed()

    def _joined(self, frame: WSFrame) -> bytes | None:
        payload = frame.get_payload_as_bytes()
        if frame.msg_type == WSMsgType.CONTINUATION:
            whole = self._fragments.append(payload, is_last=frame.fin)
            return whole[0] if whole else None
        if frame.fin and not self._fragments.is_open:
            return payload
        self._fragments.begin(payload, is_binary=frame.msg_type == WSMsgType.BINARY)
        return None

    def _end(self, close_code: int) -> None:
        if self.close_code is None:
            self.close_code = close_code
            self.is_writable = True
            self._changed()

    def _set_reading(self, is_reading: bool) -> None:
        transport = self._transport
        if self._is_paused != is_reading or transport is None or transport.is_disconnected:
            return
        self._is_paused = not is_reading
        if is_reading:
            transport.underlying_transport.resume_reading()
        else:
            transport.underlying_transport.pause_reading()
