"""Whether a model server is there, and what it serves: asked over plain HTTP, at an interval."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

_log = logging.getLogger("parley.upstream")

_BODY_MAX_BYTES = 1_048_576
_MODELS_MAX = 64
_DOWN_INTERVAL_S = 0.25
"""Time between two looks at a server that is down, where the usual one is longer."""


class _Model(msgspec.Struct):
    id: str
    # Of any type: a server whose limit makes no sense still has a name.
    max_model_len: Any = None


class _Models(msgspec.Struct):
    data: list[_Model]


class _Version(msgspec.Struct):
    version: str


@dataclass(frozen=True, slots=True)
class HealthOptions:
    """Where and how often to ask. `url` is the realtime URL; the rest is derived from it."""

    url: str
    api_key: str | None = None
    probe_interval_s: float = 2.0
    probe_timeout_s: float = 2.0

    def __repr__(self) -> str:
        return f"HealthOptions(url={self.url!r})"


def http_url(realtime_url: str, path: str) -> str:
    """The URL of a plain HTTP route on the server of a realtime URL."""
    parts = urlsplit(realtime_url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    prefix = parts.path.removesuffix("/v1/realtime").rstrip("/")
    return urlunsplit((scheme, parts.netloc, prefix + path, "", ""))


class Readiness(Protocol):
    """What is known of the model server or servers behind a node."""

    @property
    def ready(self) -> bool:
        """Whether a leg can be opened now."""

    @property
    def models(self) -> tuple[str, ...]:
        """The names that may be asked for."""


class Health(Readiness, Protocol):
    """What a pool knows of one model server. `on_change` is called with `ready` when that changes."""

    on_change: Callable[[bool], None] | None
    max_model_len: int

    async def run(self) -> None:
        """Look after it until cancelled."""

    def lost(self) -> None:
        """A leg could not be opened, or its process died."""

    def suspect(self) -> None:
        """A leg on it failed."""

    def seen(self) -> None:
        """A leg on it was opened."""


class PassiveHealth:
    """A model server that can't be asked, as behind a SageMaker endpoint: taken for ready until a leg can't be opened,
    then left alone for a while (0.5 s, doubling to 30 s), then tried again with a leg. `place` is its name for the log.
    """

    models: tuple[str, ...] = ()
    max_model_len = 0

    def __init__(
        self,
        place: str,
        on_change: Callable[[bool], None] | None = None,
        *,
        initial_s: float = 0.5,
        max_s: float = 30.0,
    ) -> None:
        self._place = place
        self._initial_s = initial_s
        self._max_s = max_s
        self._pause_s = initial_s
        self._lost = asyncio.Event()
        self.on_change = on_change
        self.ready = False

    async def run(self) -> None:
        """Take it for ready, and again some time after each loss, until cancelled."""
        while True:
            self._lost.clear()
            self._set(True)
            await self._lost.wait()
            pause_s, self._pause_s = self._pause_s, min(self._max_s, 2 * self._pause_s)
            await asyncio.sleep(pause_s)

    def lost(self) -> None:
        """Leave it alone for a while."""
        self._lost.set()
        self._set(False)

    def suspect(self) -> None:
        """See `Health.suspect`: the next leg shows what is the matter."""

    def seen(self) -> None:
        """It is there: the next loss is the first of a row."""
        self._pause_s = self._initial_s

    def _set(self, ready: bool) -> None:
        if ready == self.ready:
            return
        self.ready = ready
        if not ready:
            _log.warning("model server is left alone for %g s: %s", self._pause_s, self._place)
        if self.on_change is not None:
            self.on_change(ready)


class UpstreamHealth:
    """Probes a model server. `ready` is the last answer, `models` the names it serves.

    `max_model_len` is the most tokens that one generation of it may have, the least of its models', 0 where it does not
    say. `/health` alone is known to stay green on a wedged engine; the session's own watchdogs find that. What this
    tells for sure is a server that is not there or still loading. One that is down is asked every 0.25 s.
    """

    def __init__(self, options: HealthOptions, on_change: Callable[[bool], None] | None = None) -> None:
        self._options = options
        self.on_change = on_change
        self._place = urlsplit(options.url).netloc.rpartition("@")[2]
        self._wake = asyncio.Event()
        self._losses = 0
        self._is_described = False
        self.ready = False
        self.models: tuple[str, ...] = ()
        self.max_model_len = 0
        self.version = ""

    async def run(self) -> None:
        """Probe until cancelled."""
        options = self._options
        timeout = aiohttp.ClientTimeout(total=options.probe_timeout_s)
        headers = {"Authorization": f"Bearer {options.api_key}"} if options.api_key else {}
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as http:
            while True:
                losses = self._losses
                self._wake.clear()
                is_there = await self._probe(http)
                # An answer from before a loss says nothing about what came after it.
                self._set(is_there and losses == self._losses)
                await self._pause()

    async def _pause(self) -> None:
        """Wait for the next probe's time: less while the server is down, a start should not cost a whole interval."""
        down_s = min(_DOWN_INTERVAL_S, self._options.probe_interval_s)
        if self.ready:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.probe_interval_s - down_s):
                    await self._wake.wait()
        await asyncio.sleep(down_s)

    def lost(self) -> None:
        """Take the server for gone until the next probe, since a leg could not be opened or its process died."""
        self._losses += 1
        self._wake.set()
        self._set(False)

    def suspect(self) -> None:
        """A leg on the server failed: look at it soon."""
        self._wake.set()

    def seen(self) -> None:
        """The server answered otherwise, as a leg that opened does."""
        self._set(True)

    def _set(self, ready: bool) -> None:
        if ready == self.ready:
            return
        self.ready = ready
        if ready:
            models, version = list(self.models), self.version or "unknown"
            _log.info("model server is ready: models %s, version %s, at %s", models, version, self._place)
        else:
            # It may come back as another.
            self._is_described = False
            _log.warning("model server is not ready: %s", self._place)
        if self.on_change is not None:
            self.on_change(ready)

    async def _probe(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.get(http_url(self._options.url, "/health")) as response:
                if response.status != 200:
                    return False
            if not self._is_described:
                await self._describe(http)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        return True

    async def _describe(self, http: aiohttp.ClientSession) -> None:
        """What it serves. A server that does not tell is taken as it is."""
        listing = _decoded(await self._get(http, "/v1/models"), _Models)
        models = listing.data[:_MODELS_MAX] if listing is not None else []
        self.models = tuple(model.id for model in models)
        limits = [model.max_model_len for model in models if type(model.max_model_len) is int]
        self.max_model_len = min((limit for limit in limits if limit > 0), default=0)
        version = _decoded(await self._get(http, "/version"), _Version)
        self.version = version.version[:64] if version is not None else ""
        self._is_described = True

    async def _get(self, http: aiohttp.ClientSession, path: str) -> bytes:
        async with http.get(http_url(self._options.url, path)) as response:
            if response.status != 200:
                return b""
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _BODY_MAX_BYTES:
                    return b""
            return bytes(body)


def _decoded[T](body: bytes, kind: type[T]) -> T | None:
    """The body, if it is JSON of this kind."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The last two are no errors of msgspec's own.
        return None
