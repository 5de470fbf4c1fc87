"""One WebSocket to a realtime server: messages in both directions, bounded in both.

A session owns a connection and may replace it; nothing here knows what the messages mean.
"""

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from ssl import SSLContext

from picows import WSCloseCode, WSError, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from parley.client.endpoint import origin
from parley.client.failure import SessionFailed
from parley.client.refusal import connect_failure, handshake_failure
from parley.core.errors import ParleyError
from parley.wire.fragments import FragmentBuffer

NO_CLOSE_FRAME = 1006
"""What RFC 6455 section 7.1.5 calls a connection that went away without a close frame."""

NO_CLOSE_CODE = 1005
"""The same section's number for a close frame without a code."""

PROTOCOL_ERROR = 1002


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of one connection.

    Reading pauses while `inbox_max_messages` or `inbox_max_bytes` wait for the session, and goes on at half of that.
    `send_stall_timeout_s` is how long the server may refuse to take audio; `ping_interval_s` how long it may be silent
    before it is pinged, and again how long it may take to answer.
    """

    connect_timeout_s: float = 10.0
    close_timeout_s: float = 2.0
    send_stall_timeout_s: float = 60.0
    ping_interval_s: float = 20.0
    message_max_bytes: int = 4_194_304
    inbox_max_messages: int = 1_024
    inbox_max_bytes: int = 8_388_608


class ConnectionEndedError(Exception):
    """The connection is over. `close_code` is RFC 6455's, `reason` what the peer's close frame said."""

    def __init__(self, close_code: int, reason: str = "") -> None:
        super().__init__(close_code)
        self.close_code = close_code
        self.reason = reason


class Connection:
    """An open WebSocket. One task receives; sending is for one task as well."""

    def __init__(self, transport: WSTransport, inbox: "_Inbox", limits: ConnectionLimits) -> None:
        self._transport = transport
        self._inbox = inbox
        self._limits = limits

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        api_key: str | None = None,
        limits: ConnectionLimits,
        ssl_context: SSLContext | None = None,
    ) -> "Connection":
        """Connect to a WebSocket URL.

        Raises:
            SessionFailed: the server can't be reached, or answered the handshake with an HTTP error.
        """
        inbox = _Inbox(limits)
        try:
            async with asyncio.timeout(limits.connect_timeout_s):
                transport, listener = await ws_connect(
                    lambda: inbox,
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
        return cls(transport, inbox, limits)

    async def send(self, message: bytes) -> None:
        """Send one text message; waits while the socket takes no more.

        Raises:
            ConnectionEndedError: there is nobody to send it to.
            SessionFailed: upstream-stalled, when the server takes nothing for `send_stall_timeout_s`.
        """
        try:
            async with asyncio.timeout(self._limits.send_stall_timeout_s):
                await self._inbox.writable.wait()
        except TimeoutError:
            detail = f"It took no audio for {self._limits.send_stall_timeout_s:.0f} s."
            raise SessionFailed.of(ParleyError("upstream-stalled", detail)) from None
        if self._inbox.ended is not None:
            raise self._inbox.ended
        self._transport.send(WSMsgType.TEXT, message)
        # An open socket never makes the wait above suspend: without this, a long file would starve the reader.
        await asyncio.sleep(0)

    async def receive(self) -> bytes:
        """The next message, in the order of arrival.

        Raises:
            ConnectionEndedError: there is none, and none will come.
        """
        return await self._inbox.get()

    @property
    def last_unread(self) -> bytes | None:
        """The latest message, while it has not been received."""
        return self._inbox.last_unread

    @property
    def unread_messages(self) -> int:
        """Messages that have arrived and not been received."""
        return len(self._inbox)

    @property
    def is_reading(self) -> bool:
        """Whether the socket is read; not while the bounds of what waits unread are reached."""
        return self._transport.underlying_transport.is_reading()

    @property
    def can_send(self) -> bool:
        """Whether `send` would go through at once."""
        return self._inbox.writable.is_set()

    async def close(self) -> None:
        """Close with code 1000; a server that does not answer within `close_timeout_s` is cut off."""
        self._inbox.discard()
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


class _Inbox(WSListener):
    """Messages that wait for the session. Its methods run in the socket's read callback, so none of them waits."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.ended: ConnectionEndedError | None = None
        self.writable = asyncio.Event()
        self.writable.set()
        self._limits = limits
        self._messages: deque[bytes] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._fragments = FragmentBuffer(limits.message_max_bytes)
        self._transport: WSTransport | None = None
        self._is_paused = False
        self._is_discarding = False

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
        self._end(ConnectionEndedError(NO_CLOSE_FRAME))

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def _take_close(self, transport: WSTransport, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        code = int.from_bytes(payload[:2]) if len(payload) >= 2 else NO_CLOSE_CODE
        self._end(ConnectionEndedError(code, payload[2:].decode("utf-8", "replace")))
        if not transport.is_close_frame_sent:
            transport.send_close(WSCloseCode.OK)
        transport.disconnect()

    def _take_data(self, transport: WSTransport, frame: WSFrame) -> None:
        try:
            message = self._joined(frame)
        except ParleyError:
            self._end(ConnectionEndedError(PROTOCOL_ERROR, "a broken message"))
            transport.send_close(WSCloseCode.PROTOCOL_ERROR)
            transport.disconnect()
            return
        if message is not None and not self._is_discarding:
            self._put(message)

    def _joined(self, frame: WSFrame) -> bytes | None:
        payload = frame.get_payload_as_bytes()
        if frame.msg_type == WSMsgType.CONTINUATION:
            whole = self._fragments.append(payload, is_last=frame.fin)
            return whole[0] if whole else None
        if frame.fin and not self._fragments.is_open:
            return payload
        self._fragments.begin(payload, is_binary=frame.msg_type == WSMsgType.BINARY)
        return None

    def _put(self, message: bytes) -> None:
        self._messages.append(message)
        self._bytes += len(message)
        self._arrived.set()
        limits = self._limits
        if len(self._messages) >= limits.inbox_max_messages or self._bytes >= limits.inbox_max_bytes:
            self._set_reading(False)

    def _end(self, ended: ConnectionEndedError) -> None:
        self.ended = self.ended or ended
        self._arrived.set()
        self.writable.set()

    def _set_reading(self, is_reading: bool) -> None:
        transport = self._transport
        if self._is_paused != is_reading or transport is None or transport.is_disconnected:
            return
        self._is_paused = not is_reading
        if is_reading:
            transport.underlying_transport.resume_reading()
        else:
            transport.underlying_transport.pause_reading()

    # ---- from the connection

    def __len__(self) -> int:
        return len(self._messages)

    async def get(self) -> bytes:
        while not self._messages:
            if self.ended is not None:
                raise self.ended
            self._arrived.clear()
            await self._arrived.wait()
        message = self._messages.popleft()
        self._bytes -= len(message)
        limits = self._limits
        if len(self._messages) <= limits.inbox_max_messages // 2 and self._bytes <= limits.inbox_max_bytes // 2:
            self._set_reading(True)
        return message

    @property
    def last_unread(self) -> bytes | None:
        return self._messages[-1] if self._messages else None

    def discard(self) -> None:
        """Nobody will read any more; the socket still has to be read for the peer's answer to a close."""
        self._is_discarding = True
        self._messages.clear()
        self._bytes = 0
        self._set_reading(True)
