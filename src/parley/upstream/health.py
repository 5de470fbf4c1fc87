"""Whether a model server is there, and what it serves: asked over plain HTTP, at an interval."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import msgspec

_log = logging.getLogger("parley.upstream")

_BODY_MAX_BYTES = 1_048_576
_MODELS_MAX = 64


class _Model(msgspec.Struct):
    id: str


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


class UpstreamHealth:
    """Probes a model server. `ready` is the last answer, `models` the names it serves.

    `/health` alone is known to stay green on a wedged engine; the session's own watchdogs find that. What this tells
    for sure is a server that is not there or still loading.
    """

    def __init__(self, options: HealthOptions, on_change: Callable[[bool], None] | None = None) -> None:
        self._options = options
        self._on_change = on_change
        self.ready = False
        self.models: tuple[str, ...] = ()
        self.version = ""

    async def run(self) -> None:
        """Probe until cancelled."""
        options = self._options
        timeout = aiohttp.ClientTimeout(total=options.probe_timeout_s)
        headers = {"Authorization": f"Bearer {options.api_key}"} if options.api_key else {}
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as http:
            while True:
                self._set(await self._probe(http))
                # Not ready is asked again sooner: a start should not cost a whole interval.
                await asyncio.sleep(options.probe_interval_s if self.ready else min(0.25, options.probe_interval_s))

    def lost(self) -> None:
        """Take the server for gone until the next probe, since a leg could not be opened or its process died."""
        self._set(False)

    def _set(self, ready: bool) -> None:
        if ready == self.ready:
            return
        self.ready = ready
        if ready:
            _log.info("model server is ready: models %s, version %s", list(self.models), self.version or "unknown")
        else:
            _log.warning("model server is not ready")
        if self._on_change is not None:
            self._on_change(ready)

    async def _probe(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.get(http_url(self._options.url, "/health")) as response:
                if response.status != 200:
                    return False
            if not self.ready:
                await self._describe(http)
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        return True

    async def _describe(self, http: aiohttp.ClientSession) -> None:
        """What it serves. A server that does not tell is taken as it is."""
        listing = _decoded(await self._get(http, "/v1/models"), _Models)
        self.models = tuple(model.id for model in listing.data[:_MODELS_MAX]) if listing is not None else ()
        version = _decoded(await self._get(http, "/version"), _Version)
        self.version = version.version[:64] if version is not None else ""

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
