"""Containers whose streams have places on the node, as its sessions have."""

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from parley.access.action import Target
from parley.access.caller import Caller
from parley.access.gate import Gate
from parley.core.errors import ParleyError
from parley.ingress.invocation import Container, ContainerSocket, FrameSink
from parley.server.admission_desk import AdmissionDesk
from parley.upstream.pool.choice import UNBOUNDED


class ReadyContainer(Protocol):
    """A container, or several as one, that says whether it can be had."""

    @property
    def ready(self) -> bool:
        """Whether a stream can be opened now."""

    def check(self) -> None:
        """The same; raises ParleyError: upstream-unavailable."""

    async def open(self, path: str, query: str, request_id: str, sink: FrameSink) -> ContainerSocket:
        """See `Container.open`."""


class CountedContainer(Container):
    """A `Container` of the node. `name` is ENDPOINT/VARIANT, which its streams count as among models; `refused` counts
    by error code."""

    takes_new = True

    def __init__(
        self, container: ReadyContainer, desk: AdmissionDesk, gate: Gate, name: str, refused: Counter[str]
    ) -> None:
        self._container = container
        self._gate = gate
        self._desk = desk
        self._name = name
        self._refused = refused

    @property
    def ready(self) -> bool:
        """See `Capacity.ready`."""
        return self._container.ready

    def free_streams(self, *, may_use_spare: bool) -> int:
        """See `Capacity.free_streams`: what a container takes is its own to say."""
        return UNBOUNDED

    def enter(self, caller: Caller) -> Callable[[], None]:
        """See `Container.enter`."""
        endpoint, _, _ = self._name.partition("/")
        self._gate.allow(caller, "start", Target(caller.tenant_name, endpoint))
        try:
            self._container.check()
            return self._desk.hold(self, self._name, caller)
        except ParleyError as error:
            self._refused[error.code] += 1
            raise

    async def open(self, path: str, query: str, request_id: str, sink: FrameSink) -> ContainerSocket:
        """See `Container.open`."""
        return await self._container.open(path, query, request_id, sink)
