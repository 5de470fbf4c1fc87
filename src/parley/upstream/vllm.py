"""A vLLM server as an upstream: one WebSocket for each leg, and none of vLLM's traps.

The session sees to it that audio and the end of a turn are sent only while a turn runs. Here: the handshake and what it
can answer, pings answered always, text frames only, no compression, and the end of the connection told apart from the
end of a turn.
"""

import asyncio
import logging
import os
import socket
import time
from dataclasses import dataclass
from functools import partial

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSParsedURL,
    WSTransport,
    ws_connect,
)

from parley.core.content import Audio
from parley.core.errors import ParleyError
from parley.upstream.dialogue import VllmDialogue
from parley.upstream.leg import LegSink
from parley.upstream.tls import Contexts, tls_failure, websocket_options
from parley.wire import vllm
from parley.wire.fragments import FragmentBuffer
from parley.wire.round_trip import RoundTrip

_log = logging.getLogger("parley.upstream")

_TEXT = WSMsgType.TEXT
_CONTINUATION = WSMsgType.CONTINUATION
_CLOSE = WSMsgType.CLOSE

_MESSAGE_MAX_BYTES = 4_194_304
"""Largest message taken from a model server: a `done` repeats its whole turn, and three hours of speech are 200 kB."""


_READ_BUFFER_BYTES = 2_048
"""At first, and the least: picows doubles it as soon as it is full. Deltas are short."""


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """How to reach a vLLM server. `ping_interval_s` finds a half-open connection in that time plus the timeout.

    `address` is where to connect to instead of the addresses of the URL's host, which remains the name that is asked
    for and whose certificate is wanted. `tls` is for wss:// URLs.
    """

    url: str
    api_key: str | None = None
    connect_timeout_s: float = 5.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    address: str = ""
    tls: Contexts | None = None

    def __repr__(self) -> str:
        return f"VllmOptions(url={self.url!r})"


class VllmLeg(VllmDialogue, WSListener):
    """One WebSocket to vLLM's `/v1/realtime`."""

    def __init__(self, leg_id: int, sink: LegSink) -> None:
        super().__init__(leg_id, sink)
        self._transport: WSTransport | None = None
        self._fragments = FragmentBuffer(_MESSAGE_MAX_BYTES)
        self._close_code: int | None = None
        self._round_trip = RoundTrip()

    # ---- from the connection

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done; vLLM speaks first."""
        self._transport = transport
        if self._sink is None:
            # It was closed while the handshake was on its way: nobody would ever close it again.
            transport.disconnect(False)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame of the model server."""
        kind = frame.msg_type
        if kind == _TEXT and frame.fin:
            self._take(frame.get_payload_as_bytes())
        elif kind == _CLOSE:
            self._close_code = frame.get_close_code().value
            if not transport.is_close_frame_sent:
                transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        elif kind in (_TEXT, _CONTINUATION):
            self._take_fragment(kind == _TEXT, frame)
        elif kind == WSMsgType.PONG:
            self._round_trip.answered(frame.get_payload_as_bytes(), time.monotonic())
        elif kind == WSMsgType.BINARY:
            self._fail(ParleyError("upstream-protocol", "It sent a binary frame."))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone: never a clean end, whatever the close code says."""
        sent = transport.close_handshake.sent if transport.close_handshake is not None else None
        ours = WSCloseCode.OK if sent is None else sent.code
        if ours not in (WSCloseCode.OK, WSCloseCode.GOING_AWAY):
            error = ParleyError("upstream-protocol", "It sent what is no WebSocket frame, or one that is too large.")
            # picows keeps its own error in a future that asyncio complains about unless it is asked for; it is set
            # as soon as this returns.
            asyncio.ensure_future(transport.wait_disconnected()).add_done_callback(asyncio.Task.exception)
        elif self._close_code is not None:
            error = ParleyError("upstream-closed", f"The connection ended with close code {self._close_code}.")
        elif ours == WSCloseCode.GOING_AWAY:
            error = ParleyError("upstream-closed", "It did not answer a ping in time.")
        else:
            error = ParleyError("upstream-closed", "The connection ended with no close frame.")
        self._fail(error)

    def is_user_specific_pong(self, frame: WSFrame) -> bool:
        """Any PONG is a sign of life, and may be what is waited for."""
        if frame.msg_type != WSMsgType.PONG:
            return False
        self._round_trip.answered(frame.get_payload_as_bytes(), time.monotonic())
        return True

    def round_trip_s(self) -> float | None:
        """See `LegConnection.round_trip_s`."""
        now, transport = time.monotonic(), self._transport
        if transport is not None and not transport.is_disconnected:
            payload = self._round_trip.ask(now)
            if payload is not None:
                transport.send_ping(payload)
        return self._round_trip.seen_s(now)

    def pause_writing(self) -> None:
        """The model server does not read."""
        self._blocked()

    def resume_writing(self) -> None:
        """The model server reads again."""
        self._unblocked()

    def _take_fragment(self, is_first: bool, frame: WSFrame) -> None:
        payload = frame.get_payload_as_bytes()
        try:
            if is_first:
                self._fragments.begin(payload, is_binary=False)
                return
            whole = self._fragments.append(payload, is_last=frame.fin)
        except ParleyError as error:
            self._fail(ParleyError("upstream-protocol", error.detail))
            return
        if whole is not None:
            self._take(whole[0])

    # ---- from the session

    def send_audio(self, audio: Audio) -> None:
        """`append`: the one that outnumbers all others goes without a call in between."""
        transport = self._transport
        if transport is not None and not transport.is_disconnected:
            transport.send(_TEXT, vllm.encode_append(audio))

    def close(self) -> None:
        """Close at once: vLLM from 0.32 aborts the request with the connection, whatever the close code."""
        self._sink = None
        transport = self._transport
        if transport is not None and not transport.is_disconnected:
            transport.send_close(WSCloseCode.OK)
            # What it did not read yet it need not read: a server that reads no more would keep the connection for ever.
            transport.disconnect(not transport.underlying_transport.get_write_buffer_size())

    def _send(self, message: bytes) -> None:
        transport = self._transport
        if transport is not None and not transport.is_disconnected:
            transport.send(_TEXT, message)


class VllmUpstream:
    """A vLLM server. `model` is asked at each leg, since the server may come back with another."""

    def __init__(self, options: VllmOptions) -> None:
        self._options = options
        self.model = ""

    async def open_leg(self, leg_id: int, sink: LegSink) -> VllmLeg:
        """See `Upstream.open_leg`."""
        options = self._options
        leg = VllmLeg(leg_id, sink)
        headers = dict(sink.trace_headers(leg_id))
        if options.api_key:
            headers["Authorization"] = f"Bearer {options.api_key}"
        try:
            async with asyncio.timeout(options.connect_timeout_s):
                _, listener = await ws_connect(
                    lambda: leg,
                    options.url,
                    websocket_handshake_timeout=options.connect_timeout_s,
                    enable_auto_ping=True,
                    auto_ping_idle_timeout=options.ping_interval_s,
                    # picows asserts that it is not the longer of the two.
                    auto_ping_reply_timeout=min(options.ping_timeout_s, options.ping_interval_s),
                    max_frame_size=_MESSAGE_MAX_BYTES,
                    read_buffer_init_size=_READ_BUFFER_BYTES,
                    max_redirects=0,
                    extra_headers=headers or None,
                    socket_factory=partial(_connected_to, options.address) if options.address else None,
                    # On uvloop its transport misses a reset that comes with data still unread (aiofastnet 1.2.0).
                    use_aiofastnet=False,
                    **websocket_options(options.url, options.tls, options.connect_timeout_s),
                )
                # picows returns no listener when the peer hung up instead of answering.
                if listener is None:
                    raise ConnectionResetError("the server hung up")
                await leg.created
        except TimeoutError:
            leg.close()
            detail = f"It did not answer within {options.connect_timeout_s:g} s."
            raise ParleyError("upstream-unavailable", detail) from None
        except (asyncio.CancelledError, ParleyError):
            leg.close()
            raise
        except (OSError, WSError) as error:
            leg.close()
            raise _handshake_error(error) from None
        leg.name_model(self.model)
        return leg


async def _connected_to(address: str, url: WSParsedURL) -> socket.socket:
    """A socket that is connected to this address, whatever the URL's host is."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setblocking(False)
        # The loop sets it on sockets that it made itself.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(opened, (address, url.port))
    except BaseException:
        opened.close()
        raise
    return opened


def _handshake_error(error: OSError | WSError) -> ParleyError:
    if isinstance(error, WSHandshakeError) and error.response is not None:
        status = int(error.response.status)
        if status in (429, 503):
            return ParleyError("at-capacity", "The model server takes no further stream.", retry_after_s=2.0)
        hint = {
            401: "it wants an API key, or another one: upstream.api_key_file",
            403: "there is no realtime route: the path, or a model without realtime support",
            404: "there is no such path: upstream.url",
        }.get(status, "")
        return ParleyError(
            "upstream-unavailable", f"The handshake was refused with HTTP {status}{': ' if hint else ''}{hint}."
        )
    if failure := tls_failure(error):
        return ParleyError("upstream-unavailable", f"{failure[0].upper()}{failure[1:]}.")
    if isinstance(error, OSError):
        # asyncio's own text hides what the system said: "Connect call failed".
        is_systems = error.errno is not None and not isinstance(error, socket.gaierror)
        text = os.strerror(error.errno or 0) if is_systems else error.strerror
        return ParleyError("upstream-unavailable", f"{text or type(error).__name__}.")
    return ParleyError("upstream-unavailable", f"The handshake failed: {type(error).__name__}.")
