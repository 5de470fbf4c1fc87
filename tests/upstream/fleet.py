"""A pool over servers that do what a test tells them to, by a clock that a test moves."""

import asyncio
from collections.abc import Callable, Sequence

from parley.core import events as ev
from parley.core.content import Audio, Text
from parley.core.errors import ParleyError
from parley.core.usage import Usage
from parley.upstream.health.health import HealthOptions, UpstreamHealth
from parley.upstream.health.prober import ProbeOptions
from parley.upstream.leg import LegConnection, LegSink
from parley.upstream.pool.member import MemberSpec, PoolMember
from parley.upstream.pool.pool import UpstreamPool
from tests.support.legs import Sink
from tests.support.waiting import Changes

CONNECT_TIMEOUT_S = 10.0
UNAVAILABLE = ParleyError("upstream-unavailable", "Connection refused.")


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def pass_s(self, seconds: float) -> None:
        self.now += seconds


class Leg:
    """A leg of a `Server`."""

    def __init__(self, server: "Server", leg_id: int, sink: LegSink) -> None:
        self.server = server
        self.id = leg_id
        self.sink = sink
        self.told: list[str] = []
        self.answers_in_s: float | None = None

    def start_turn(self) -> None:
        self.told.append("start")

    def send_audio(self, audio: Audio) -> None:
        self.told.append("audio")

    server_name = ""

    def round_trip_s(self) -> float | None:
        return self.answers_in_s

    def end_turn(self) -> None:
        self.told.append("end")

    def close(self) -> None:
        self.told.append("close")

    def fail(self) -> None:
        self.sink.receive(ev.LegFailed(self.id, ParleyError("upstream-closed")))

    def transcribe(self) -> None:
        """The end of a turn."""
        self.sink.receive(ev.TurnTranscribed(self.id, Text.of("so"), Usage()))


class Server:
    """A model server that opens legs, refuses them, or leaves them waiting."""

    def __init__(self) -> None:
        self.model = ""
        self.legs: list[Leg] = []
        self.named: list[str] = []
        self.tries = 0
        self.refuses_with: ParleyError | None = None
        self.hangs = False
        self.lets_go = asyncio.Event()
        self.on_try: Callable[[], None] = lambda: None
        self.changes = Changes()

    async def open_leg(self, leg_id: int, sink: LegSink) -> Leg:
        self.tries += 1
        self.changes.notify()
        self.on_try()
        if self.hangs:
            await self.lets_go.wait()
        if self.refuses_with is not None:
            raise self.refuses_with
        self.named.append(self.model)
        self.legs.append(Leg(self, leg_id, sink))
        return self.legs[-1]


class Fleet:
    """A pool over such servers, all of them ready, without probes."""

    def __init__(
        self,
        count: int,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        model: str = "",
        weights: Sequence[float] = (),
        streams_max: int = 0,
        spare: int = 0,
        lag_budget_s: float = 0.0,
        probe: ProbeOptions | None = None,
    ) -> None:
        self.clock = Clock()
        self.servers: list[Server] = []
        self.healths: list[UpstreamHealth] = []
        self.changes = 0
        self.rooms = 0
        self._streams_max = streams_max
        self._spare = spare
        specs = [spec(number, weight=weight) for number, weight in enumerate(weights or [1.0] * count)]
        self.pool = UpstreamPool(
            [self._make(one) for one in specs],
            connect_timeout_s=connect_timeout_s,
            model=model,
            make_member=self._make,
            lag_budget_s=lag_budget_s,
            probe=probe,
            on_change=self._changed,
            clock=self.clock,
        )
        self.pool.on_room = self._has_room
        for health in self.healths:
            health.models = ("m",)
            health.seen()
        self.changes = self.rooms = 0

    def _make(self, wanted: MemberSpec) -> PoolMember:
        self.servers.append(Server())
        self.healths.append(UpstreamHealth(HealthOptions(url=wanted.url)))
        member = PoolMember(
            self.servers[-1], self.healths[-1], wanted, streams_max=self._streams_max, spare=self._spare
        )
        return member

    def _has_room(self) -> None:
        self.rooms += 1

    def _changed(self) -> None:
        self.changes += 1

    @property
    def legs(self) -> list[int]:
        """How many the pool counts on each server."""
        return [member.legs for member in self.pool.members]

    @property
    def ready(self) -> list[bool]:
        return [health.ready for health in self.healths]

    async def open(self, sink: LegSink | None = None, leg_id: int = 1) -> tuple[int, LegConnection]:
        """A leg, and the number of the server that it is on."""
        before = [len(server.legs) for server in self.servers]
        connection = await self.pool.open_leg(leg_id, sink or Sink())
        (where,) = [at for at, server in enumerate(self.servers) if len(server.legs) > before[at]]
        return where, connection

    async def places(self, count: int) -> list[int]:
        return [(await self.open())[0] for _ in range(count)]


def spec(number: int, *, weight: float = 1.0, labels: tuple[tuple[str, str], ...] = (), name: str = "") -> MemberSpec:
    """The server of this number."""
    return MemberSpec(url=f"ws://127.0.0.1:{number + 1}/v1/realtime", weight=weight, labels=labels, name=name)
