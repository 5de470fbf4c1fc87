"""Asks a model server that has vLLM's metrics for its load, again and again."""

import asyncio
from collections.abc import Callable

import aiohttp

from parley.upstream.health.engine_metrics import EngineLoad, read_load
from parley.upstream.plain_routes import PlainRoutes

METRICS_PATH = "/metrics"
METRICS_MAX_BYTES = 4_194_304
"""Largest answer that is read. vLLM's has about 100 kB for each of its engines."""


class LoadWatch:
    """`load` is the last answer, None while nothing is known. `on_change` is called when `has_room` changes.

    `begin` when the server is there, `end` when it is gone. One that does not show vLLM's numbers when it is first
    asked is not asked again until it has been gone; one whose answer fails later is taken to have room, and asked on.
    """

    def __init__(
        self,
        routes: PlainRoutes,
        *,
        interval_s: float,
        on_change: Callable[[], None],
    ) -> None:
        self._routes = routes
        self._interval_s = interval_s
        self._on_change = on_change
        self._is_wanted = asyncio.Event()
        self._begun = 0
        self.load: EngineLoad | None = None

    @property
    def has_room(self) -> bool:
        """Whether no stream of the server waits for another one to end, as far as is known."""
        return self.load is None or not self.load.waiting_for_capacity

    def begin(self) -> None:
        """The server is there."""
        self._begun += 1
        self._is_wanted.set()

    def end(self) -> None:
        """The server is gone: what it said holds no longer."""
        self._is_wanted.clear()
        self._set(None)

    async def run(self) -> None:
        """Ask until cancelled."""
        shown = 0
        while True:
            await self._is_wanted.wait()
            begun = self._begun
            load = await self._ask()
            if not self._is_wanted.is_set() or begun != self._begun:
                # It was gone in between: this may be from before.
                continue
            self._set(load)
            if load is not None:
                shown = begun
            elif shown != begun:
                self._is_wanted.clear()
                continue
            await asyncio.sleep(self._interval_s)

    async def _ask(self) -> EngineLoad | None:
        try:
            return read_load(await self._routes.get(METRICS_PATH, METRICS_MAX_BYTES) or b"")
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    def _set(self, load: EngineLoad | None) -> None:
        had_room, self.load = self.has_room, load
        if self.has_room != had_room:
            self._on_change()
