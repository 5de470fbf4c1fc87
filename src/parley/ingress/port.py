"""One port for WebSockets and plain HTTP: the request's head decides who gets the connection.

WebSockets go to picows, which is several times faster than a server that does both; everything else goes to aiohttp.
The head is read once, at the door, and handed on with the bytes that came behind it.
"""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web
from picows import WSAutoPingStrategy
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from parley.access.identity import CertificateNames
from parley.core.errors import ParleyError
from parley.ingress.connect_gate import ConnectGate, GateLimits, Passage
from parley.ingress.door import Door, DoorLimits, Visitor
from parley.ingress.first_event import Narrow, asks_to_authenticate
from parley.ingress.head import is_upgrade, with_plain_connection
from parley.ingress.library_log import LibraryLog
from parley.ingress.refusal import error_response
from parley.ingress.request_heads import certificate_names
from parley.ingress.small_reads import SERVER_OPTIONS, SmallReads
from parley.ingress.upgrades import Upgrades
from parley.ingress.websocket import SocketLimits

_picows_log = LibraryLog(logging.getLogger("picows.server"))
_aiohttp_log = LibraryLog(logging.getLogger("aiohttp.server"))

_TARGET_MAX_BYTES = 2_048
_RETURNS = re.compile(rb"GET [^ ?]*\?(?:[^ ]*&)?resume=(?:1|true|yes)[& ]", re.IGNORECASE)
_READ_BUFFER_BYTES = 2_048
"""At first, and the least: picows doubles it as soon as it is full. Many a session is idle."""


@dataclass(frozen=True, slots=True)
class PortLimits:
    """Bounds of a connection before and beside its messages.

    `door` is about those whose request is not known yet. A WebSocket that is silent for `ping_interval_s` is pinged,
    and closed when it does not answer within the shorter of this and `ping_timeout_s`. A plain HTTP connection without
    a request is closed after `http_idle_timeout_s`.
    """

    door: DoorLimits = field(default_factory=DoorLimits)
    http_idle_timeout_s: float = 75.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0


def _passage(head: bytes) -> Passage:
    """What a connection comes for, as its first line tells."""
    line = head[:_TARGET_MAX_BYTES]
    if _RETURNS.match(line):
        return Passage.RETURN
    return Passage.NEW if line.startswith(b"POST ") or is_upgrade(head) else Passage.FREE


class Port:
    """The listener of one port. `start` binds it, `stop_accepting` and `close` end it.

    Connections that have sent their request's head pass the `gate`; without one there is no limit by the second. With
    `tls`, which gives the context for each handshake, they are encrypted.
    """

    def __init__(
        self,
        upgrades: Upgrades,
        http: web.Application,
        limits: PortLimits,
        socket_limits: SocketLimits,
        gate: ConnectGate | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._limits = limits
        self._gate = gate or ConnectGate(GateLimits(), time.monotonic)
        self._upgrades = upgrades
        self._socket_limits = socket_limits
        self._runner = web.AppRunner(
            http,
            access_log=None,
            logger=_aiohttp_log,
            handle_signals=False,
            # A client that goes away ends its request's handler, and with it the session.
            handler_cancellation=True,
            keepalive_timeout=limits.http_idle_timeout_s,
            shutdown_timeout=2.0,
            **SERVER_OPTIONS,
        )
        self._door = Door(self._heard, limits.door, tls)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port that was bound, which matters when 0 was asked for.

        Raises:
            OSError: the address is in use or not this machine's.
        """
        await self._runner.setup()
        try:
            return await self._door.start(host, port)
        except OSError:
            await self._runner.cleanup()
            raise

    def stop_accepting(self) -> None:
        """Take no further connection; those that are open go on."""
        self._door.stop_accepting()

    async def close(self) -> None:
        """Close what is open. Sessions have ended by now; each step has its own bound."""
        await self._door.close()
        await self._upgrades.close()
        await self._runner.cleanup()
        await self._door.cut_lingering()

    def _heard(self, visitor: Visitor) -> None:
        begin, refuse = partial(self._begin, visitor), partial(self._refuse, visitor)
        entry = self._gate.enter(_passage(visitor.head), begin, refuse)
        if entry.is_waiting:
            visitor.wait(partial(self._gate.leave, entry))

    def _begin(self, visitor: Visitor) -> None:
        head, rest = visitor.head, visitor.rest
        if is_upgrade(head):
            certificate = certificate_names(visitor.transport)
            narrow = Narrow() if asks_to_authenticate(head) else None
            visitor.hand_over(self._websocket_protocol(certificate, narrow), with_plain_connection(head) + rest)
        else:
            visitor.hand_over(self._http_protocol(), head + rest)

    @staticmethod
    def _refuse(visitor: Visitor, error: ParleyError) -> None:
        visitor.refuse(error_response(error))

    def _http_protocol(self) -> asyncio.BufferedProtocol:
        """A protocol for one plain HTTP connection."""
        server = self._runner.server
        assert server is not None
        return SmallReads(server(), pauses=True)

    def _websocket_protocol(self, certificate: CertificateNames | None, narrow: Narrow | None = None) -> Any:
        """A protocol for one WebSocket connection, from its upgrade request on."""
        limits = self._limits
        protocol = WSProtocol(
            None,
            None,
            False,
            partial(self._upgrades, certificate=certificate, narrow=narrow),
            _picows_log,
            True,
            limits.door.head_timeout_s,
            True,
            limits.ping_interval_s,
            # picows asserts that it is not the longer of the two.
            min(limits.ping_timeout_s, limits.ping_interval_s),
            WSAutoPingStrategy.PING_WHEN_IDLE,
            # Pings are answered by the attachment, which bounds it.
            False,
            self._socket_limits.message_max_bytes,
            None,
            _READ_BUFFER_BYTES,
        )
        return protocol if narrow is None else narrow.around(protocol)
