"""Whether a model server is there, and what it serves: asked over plain HTTP, at an interval."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from parley.upstream.health.description import Description, describe
from parley.upstream.health.engine_metrics import EngineLoad
from parley.upstream.health.load_watch import LoadWatch
from parley.upstream.health.versions import UNJUDGED, Judgement, Level, judge
from parley.upstream.plain_routes import PlainRoutes
from parley.upstream.tls import Contexts, tls_failure

_log = logging.getLogger("parley.upstream")

_DOWN_INTERVAL_S = 0.25
"""Time between two looks at a server that is down, where the usual one is longer."""

_LOAD_INTERVAL_MIN_S = 5.0
"""Least time between two looks at a server's metrics: they are long, and made anew each time."""


@dataclass(frozen=True, slots=True)
class HealthOptions:
    """Where and how often to ask. `url` is the realtime URL; the rest is derived from it.

    `address` is where to connect to instead of the addresses of the URL's host. `allows_old_versions`: vLLM releases
    are used that are known to hang streams.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    probe_interval_s: float = 2.0
    probe_timeout_s: float = 2.0
    address: str = ""
    tls: Contexts | None = field(default=None, repr=False)
    allows_old_versions: bool = False
    load_interval_min_s: float = _LOAD_INTERVAL_MIN_S


class Readiness(Protocol):
    """What is known of the model server or servers behind a node."""

    @property
    def ready(self) -> bool:
        """Whether a leg can be opened now."""

    @property
    def models(self) -> tuple[str, ...]:
        """The names that may be asked for."""


class Health(Readiness, Protocol):
    """What a pool knows of one model server. `on_change` is called with `ready` when that or `has_room` changes."""

    on_change: Callable[[bool], None] | None
    max_model_len: int
    version: str
    judgement: Judgement

    @property
    def load(self) -> EngineLoad | None:
        """What its engines say of their load; None where they say nothing."""

    @property
    def has_room(self) -> bool:
        """False while streams wait within the server for others to end: it is full, whoever opened them."""

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
    version = ""
    judgement = UNJUDGED
    load: EngineLoad | None = None
    has_room = True

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
    """Probes a model server. `ready` while it is there and its version is not refused, `models` the names it serves.

    `max_model_len` is the most tokens that one generation of it may have, the least of its models', 0 where it does not
    say. `/health` alone is known to stay green on a wedged engine; the sessions' own watchdogs and probe turns find
    that. What this tells for sure is a server that is not there or still loading. One that is down is asked every
    0.25 s.
    """

    def __init__(self, options: HealthOptions, on_change: Callable[[bool], None] | None = None) -> None:
        self._options = options
        self.on_change = on_change
        self._place = urlsplit(options.url).netloc.rpartition("@")[2]
        if options.address:
            self._place += f" ({options.address})"
        self._routes = PlainRoutes(
            options.url,
            timeout_s=options.probe_timeout_s,
            api_key=options.api_key,
            address=options.address,
            tls=options.tls,
        )
        interval_s = max(options.load_interval_min_s, options.probe_interval_s)
        self._load_watch = LoadWatch(self._routes, interval_s=interval_s, on_change=self._changed)
        self._wake = asyncio.Event()
        self._losses = 0
        self._is_described = False
        self._tls_failure = ""
        self.ready = False
        self.models: tuple[str, ...] = ()
        self.max_model_len = 0
        self.version = ""
        self.judgement = UNJUDGED

    @property
    def load(self) -> EngineLoad | None:
        """See `Health.load`."""
        return self._load_watch.load

    @property
    def has_room(self) -> bool:
        """See `Health.has_room`."""
        return self._load_watch.has_room

    async def run(self) -> None:
        """Probe until cancelled."""
        async with self._routes, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._load_watch.run())
            while True:
                losses = self._losses
                self._wake.clear()
                is_there = await self._probe()
                # An answer from before a loss says nothing about what came after it.
                self._set(is_there and losses == self._losses)
                await self._pause()

    async def _pause(self) -> None:
        """Wait for the next probe's time: less while the server is down, a start should not cost a whole interval."""
        down_s = min(_DOWN_INTERVAL_S, self._options.probe_interval_s)
        if self.ready or self.judgement.is_refused:
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
        self._set(not self.judgement.is_refused)

    def _set(self, ready: bool) -> None:
        if ready == self.ready:
            return
        self.ready = ready
        if ready:
            self._load_watch.begin()
            models, version = list(self.models), self.version or "unknown"
            _log.info("model server is ready: models %s, version %s, at %s", models, version, self._place)
        else:
            self._load_watch.end()
            # It may come back as another.
            self._is_described = False
            _log.warning("model server is not ready: %s", self._place)
        self._changed()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change(self.ready)

    async def _probe(self) -> bool:
        try:
            if await self._routes.get("/health") is None:
                return False
            if not self._is_described:
                self._take(await describe(self._routes))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._note_tls(error)
            return False
        self._tls_failure = ""
        return not self.judgement.is_refused

    def _note_tls(self, error: Exception) -> None:
        """Tell the log once what keeps TLS from it: it does not pass by itself."""
        failure = tls_failure(_cause_of(error))
        if isinstance(error, aiohttp.ServerDisconnectedError) and self._options.url.startswith("wss:"):
            # What TLS 1.3 has to say of a client's certificate comes behind the handshake, and aiohttp loses it.
            failure = (
                "it hung up behind TLS's handshake, perhaps for want of a certificate: upstream.tls_certificate_file"
            )
        if failure and failure != self._tls_failure:
            _log.warning("model server can't be asked: %s, at %s", failure, self._place)
            self._tls_failure = failure

    def _take(self, described: Description) -> None:
        before, options = (self.version, self.judgement), self._options
        self.models, self.max_model_len = described.models, described.max_model_len
        self.version, self.judgement = described.version, UNJUDGED
        if described.is_vllm and described.version:
            self.judgement = judge(
                described.version, has_key=options.api_key is not None, allows_old=options.allows_old_versions
            )
        if (self.version, self.judgement) != before:
            self._report()
        # One that is refused is asked each time: it may come back as another between two looks.
        self._is_described = not self.judgement.is_refused

    def _report(self) -> None:
        """Tell the log what is known of the server's version, once."""
        version, reasons = self.version, " ".join(self.judgement.reasons)
        if self.judgement.is_refused:
            _log.warning("model server is refused: version %s, at %s. %s", version, self._place, reasons)
        elif self.judgement.level is Level.WARNED:
            _log.warning("model server has a version with faults: %s, at %s. %s", version, self._place, reasons)
        elif reasons:
            _log.info("model server has version %s, at %s. %s", version, self._place, reasons)


def _cause_of(error: Exception) -> BaseException:
    """What aiohttp wraps into an error of its own."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
