"""Whether a container is there: `GET /ping`, as SageMaker asks it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp

from parley.upstream.tls import Contexts

_log = logging.getLogger("parley.upstream")

_DOWN_INTERVAL_S = 0.25
"""Time between two looks at a container that is down, where the usual one is longer."""


class ContainerHealth:
    """Asks `url` at an interval; `ready` while the last answer was 200 and came within `timeout_s`.

    SageMaker waits 2 s for it. One that is down is asked every 0.25 s. Each question has a connection of its own: one
    that is kept may be closed by the container just then, which would look like a loss.
    """

    def __init__(
        self, url: str, *, interval_s: float = 2.0, timeout_s: float = 2.0, tls: Contexts | None = None
    ) -> None:
        self._url = url
        self._tls = tls if url.startswith("https:") else None
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._place = urlsplit(url).netloc.rpartition("@")[2]
        self._wake = asyncio.Event()
        self._losses = 0
        self.on_change: Callable[[], None] | None = None
        self.ready = False

    async def run(self) -> None:
        """Ask until cancelled."""
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        connector = aiohttp.TCPConnector(limit=1, force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            while True:
                losses = self._losses
                self._wake.clear()
                is_there = await self._ask(http)
                # An answer from before a loss says nothing about what came after it.
                self._set(is_there and losses == self._losses)
                await self._pause()

    def lost(self) -> None:
        """Take it for gone until it is asked again, since a WebSocket to it could not be opened."""
        self._losses += 1
        self._wake.set()
        self._set(False)

    async def _pause(self) -> None:
        """Wait for the next time: less while it is down, a start should not cost a whole interval."""
        down_s = min(_DOWN_INTERVAL_S, self._interval_s)
        if self.ready:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s - down_s):
                    await self._wake.wait()
        await asyncio.sleep(down_s)

    async def _ask(self, http: aiohttp.ClientSession) -> bool:
        try:
            tls = True if self._tls is None else self._tls()
            async with http.get(self._url, allow_redirects=False, ssl=tls) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    def _set(self, ready: bool) -> None:
        if ready == self.ready:
            return
        self.ready = ready
        if ready:
            _log.info("container is ready: %s", self._place)
        else:
            _log.warning("container is not ready: %s", self._place)
        if self.on_change is not None:
            self.on_change()
