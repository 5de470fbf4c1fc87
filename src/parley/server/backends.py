"""What stands behind the endpoints: this node's own sessions, sessions on other model servers, containers."""

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

from parley.audio.speech import speech_samples
from parley.core.profile import ModelProfile, profile_of
from parley.ingress.attachment import SessionHost
from parley.ingress.invocation import Container, Target
from parley.server.admin.inventory import Pool
from parley.server.admission_desk import AdmissionDesk
from parley.server.counted_container import CountedContainer
from parley.server.endpoints import DEFAULT_ENDPOINT, OWN_POOL, EndpointTable, Variant
from parley.server.host import Host, Sources
from parley.server.live_sessions import LiveSessions
from parley.server.options import (
    admission_limits,
    container_options,
    make_pool,
    pool_options,
    read_key,
    session_limits,
)
from parley.server.settings.document import Settings
from parley.server.settings.endpoint import DEFAULT_VARIANT, EndpointSettings
from parley.server.tenants import Tenants
from parley.upstream.container.container import ContainerPool, container_pool
from parley.upstream.pool.member import MemberSpec
from parley.upstream.pool.pool import UpstreamPool


class HostMaker:
    """Makes hosts of sessions that share the node's live sessions and the places on it, which `desk` gives out."""

    def __init__(self, settings: Settings, live: LiveSessions, tenants: Tenants) -> None:
        self._live = live
        self._limits = session_limits(settings)
        self._gathers = settings.session.gather
        self.made: list[Host] = []
        self.refused = live.refused
        self.gate = live.gate
        self.desk = AdmissionDesk(admission_limits(settings), tenants.of, live.clock)

    def make(
        self, pool: UpstreamPool, *, model: str, profile: Callable[[str], ModelProfile], name: str = OWN_POOL
    ) -> Host:
        """A host on these model servers."""
        self.desk.serve(pool)
        host = Host(
            limits=self._limits,
            live=self._live,
            desk=self.desk,
            upstream=pool,
            health=pool,
            model=model,
            gathers=self._gathers,
            pool=name,
            sources=Sources(
                jitter=random.random,
                profile=profile,
                context_s=lambda: pool.context_s,
                measure_speech=speech_samples,
            ),
        )
        self.made.append(host)
        return host


class _Elsewhere(Protocol):
    """Model servers or containers that are not the node's own."""

    @property
    def ready(self) -> bool: ...

    async def run(self) -> None: ...


class Backends:
    """The endpoints of the settings and what serves them; without any, one with this node's own sessions.

    `run` looks after the model servers and containers that are not the node's own until it is cancelled. `on_change` is
    called whenever one of them is ready or is not any more. `pools` are those that are not the node's own.

    Raises StartError, when made, for a key file that can't be read.
    """

    def __init__(
        self,
        settings: Settings,
        hosts: HostMaker,
        own: Host,
        random: Callable[[], float],
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._hosts = hosts
        self._own = own
        self._on_change = on_change
        self._elsewhere: list[_Elsewhere] = []
        self._containers: list[ContainerPool] = []
        self.pools: list[Pool] = []
        entries = settings.endpoints or (EndpointSettings(name=DEFAULT_ENDPOINT, variant=DEFAULT_VARIANT),)
        self.endpoints = EndpointTable(
            [
                Variant(entry.name, Target(entry.variant, self._serving(number, entry)), entry.weight)
                for number, entry in enumerate(entries, 1)
            ],
            random,
        )

    def _serving(self, number: int, entry: EndpointSettings) -> SessionHost | Container:
        if entry.kind == "parley":
            return self._own
        if entry.kind == "container":
            container = container_pool(entry.urls, container_options(self._settings), self._on_change)
            self._containers.append(container)
            self._elsewhere.append(container)
            return CountedContainer(
                container, self._hosts.desk, self._hosts.gate, f"{entry.name}/{entry.variant}", self._hosts.refused
            )
        api_key = read_key(entry.api_key_file, f"endpoints, entry {number}, api_key_file")
        options = pool_options(self._settings, api_key=api_key, model=entry.model)
        specs = [MemberSpec(url=url, max_sessions=entry.max_sessions) for url in entry.urls]
        pool = make_pool(specs, options, self._on_change)
        self._elsewhere.append(pool)
        name = f"{entry.name}/{entry.variant}"
        host = self._hosts.make(pool, model=entry.model, profile=profile_of, name=name)
        self.pools.append(Pool(name, pool, host))
        return host

    @property
    def is_ready(self) -> bool:
        """Whether any endpoint is that is not served by the node's own sessions."""
        return any(one.ready for one in self._elsewhere)

    async def run(self) -> None:
        """Look after what is not the node's own until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for one in self._elsewhere:
                tasks.create_task(one.run())

    async def close(self) -> None:
        """Close what is still open on containers, and say so to them."""
        async with asyncio.TaskGroup() as tasks:
            for container in self._containers:
                tasks.create_task(container.close())
