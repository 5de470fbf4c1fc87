"""Whether a connection's peer is still there, and whether the connection is still needed."""

import asyncio
from typing import Protocol

from parley.ingress.http2.limits import Http2Limits


class Pinged(Protocol):
    """What the keepalive asks of the connection."""

    def send_ping(self) -> None:
        """Ask the peer for a sign of life."""

    def peer_vanished(self) -> None:
        """It gave none."""

    def fell_idle(self) -> None:
        """There has been no stream for long."""


class Keepalive:
    """One timer a connection. With streams it watches that something is read, without any it waits for the next one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Http2Limits, connection: Pinged) -> None:
        self.read_at = loop.time()
        """When something was read last, on the loop's clock; whoever reads sets it."""
        self._loop = loop
        self._limits = limits
        self._connection = connection
        self._pinged_at: float | None = None
        self._idle_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def fell_idle(self) -> None:
        """The connection has no stream."""
        self._idle_at = self._loop.time()
        self._arm(self._idle_at + self._limits.idle_timeout_s)

    def became_busy(self) -> None:
        """It has its first stream."""
        self._idle_at = None
        self._pinged_at = None
        self._arm(self._loop.time() + self._limits.ping_interval_s)

    def stop(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at: float) -> None:
        self.stop()
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._idle_at is not None:
            self._connection.fell_idle()
            return
        limits = self._limits
        now = self._loop.time()
        if self._pinged_at is not None and self.read_at < self._pinged_at:
            if now - self._pinged_at >= limits.ping_timeout_s:
                self._connection.peer_vanished()
                return
            at = self._pinged_at + limits.ping_timeout_s
        elif now - self.read_at < limits.ping_interval_s:
            at = self.read_at + limits.ping_interval_s
        else:
            self._pinged_at = now
            at = now + min(limits.ping_interval_s, limits.ping_timeout_s)
            self._connection.send_ping()
        self._arm(at)
