"""Listening sockets whose connections are accepted a few at a time, and handed over before anything is made of them.

An event loop's own servers accept all that wait in one turn, and make a transport, a protocol and perhaps a TLS
handshake of each.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable

_log = logging.getLogger("parley.ingress")

_ACCEPTED_PER_TURN_MAX = 32
_SHARE_S = 0.002
"""Of a turn, after which the others that wait to be accepted wait for the next one."""

_RETRY_S = 1.0


class Acceptor:
    """Listens; `take` gets each connection's socket, which does not block, and owns it. At most `per_turn_max` are
    accepted in a turn of the loop."""

    def __init__(self, take: Callable[[socket.socket], None], per_turn_max: int = _ACCEPTED_PER_TURN_MAX) -> None:
        self._take = take
        self._per_turn_max = per_turn_max
        self._sockets: list[socket.socket] = []
        self._retry: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int, *, backlog: int) -> int:
        """Listen on every address of the host; returns the port of the first.

        Raises:
            OSError: the address is in use, or not this machine's.
        """
        loop = asyncio.get_running_loop()
        flags = socket.AI_PASSIVE
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=flags)
        try:
            for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
                self._sockets.append(_listening(family, address, backlog))
        except BaseException:
            self.close()
            raise
        self._listen()
        bound: int = self._sockets[0].getsockname()[1]
        return bound

    def close(self) -> None:
        """Take no further connection."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()

    def _listen(self) -> None:
        self._retry = None
        for listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._ready, listening)

    def _ready(self, listening: socket.socket) -> None:
        until = time.perf_counter() + _SHARE_S
        for _ in range(self._per_turn_max):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors or memory: the connections stay where they are until there are some again.
                _log.error("connections can't be accepted: %s", error.strerror)
                self._pause()
                return
            accepted.setblocking(False)
            self._take(accepted)
            if time.perf_counter() >= until:
                return

    def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            loop.remove_reader(listening)
        if self._retry is None:
            self._retry = loop.call_later(_RETRY_S, self._listen)


def _listening(family: int, address: tuple[object, ...], backlog: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind(address)
        made.listen(backlog)
    except BaseException:
        made.close()
        raise
    return made
