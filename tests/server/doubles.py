"""Doubles for what stands behind an endpoint, or behind the sessions of a node."""

from collections.abc import Callable

from parley.access.caller import Caller
from parley.core.effects import LegPurpose
from parley.ingress.invocation import ContainerSocket, FrameSink, Invocation, Target
from parley.upstream.leg import LegSink
from tests.support.seams import FakeLeg, FakeUpstream
from tests.support.waiting import Changes


class FakePool(FakeUpstream):
    """A `StreamPool` of so many streams, of which some are spare: counts its legs from when they are asked for."""

    def __init__(self, changes: Changes, *, streams: int = 1_000, spare: int = 0) -> None:
        super().__init__(changes)
        self.ready = True
        self.takes_new = True
        self.streams = streams
        self.spare = spare
        self.asked = 0
        self.fails_next_with: Exception | None = None
        self.on_room: Callable[[], None] | None = None

    @property
    def used(self) -> int:
        return self.asked - sum("close" in leg.told for leg in self.legs)

    def free_streams(self, *, may_use_spare: bool) -> int:
        return self.streams - self.used - (0 if may_use_spare else self.spare)

    def room(self) -> None:
        """Say that there may be more room."""
        assert self.on_room is not None
        self.on_room()

    async def open_leg(self, leg_id: int, sink: LegSink, purpose: LegPurpose = LegPurpose.NEW) -> FakeLeg:
        assert self.used < self.streams, "nobody asks for more than there is"
        self.asked += 1
        failure, self.fails_next_with = self.fails_next_with, None
        try:
            return await super().open_leg(leg_id, sink, purpose) if failure is None else await self._fail(failure)
        except BaseException:
            self.asked -= 1
            raise

    async def _fail(self, failure: Exception) -> FakeLeg:
        self.opening += 1
        self.changes.notify()
        await self.may_open.wait()
        raise failure


class Serves:
    """A `Container` that is only looked up."""

    def enter(self, caller: Caller) -> Callable[[], None]:
        raise AssertionError("it is only looked up")

    async def open(self, path: str, query: str, request_id: str, sink: FrameSink) -> ContainerSocket:
        raise AssertionError("it is only looked up")


class Endpointless:
    """An `Endpoints` that nobody asks."""

    def find(self, invocation: Invocation) -> Target:
        raise AssertionError("nobody comes in")
