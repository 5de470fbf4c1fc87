"""A member of a pool as its prober knows it: when a probe turn is wanted, and the stream that it takes."""

from collections.abc import Callable

from parley.core.errors import ParleyError
from parley.upstream.health.probe_turn import PROBE_LEG
from parley.upstream.leg import LegConnection, LegSink
from parley.upstream.pool.breaker import BreakerState
from parley.upstream.pool.member import PoolMember


class MemberProbe:
    """See `Probed`. `on_end` is called when a probe has given its stream back."""

    def __init__(self, member: PoolMember, clock: Callable[[], float], on_end: Callable[[PoolMember], None]) -> None:
        self._member = member
        self._clock = clock
        self._on_end = on_end
        self._began_at = 0.0
        self._is_trial = False

    @property
    def place(self) -> str:
        """See `Probed.place`."""
        return self._member.spec.place

    @property
    def model(self) -> str:
        """See `Probed.model`."""
        return self._member.model

    def probe_due_in_s(self) -> float | None:
        """At once where the breaker is half-open and nothing decides it yet; when that will be, while it is open."""
        member, now = self._member, self._clock()
        if not member.health.ready or member.is_draining or member.breaker.has_trial:
            return None
        return None if member.breaker.state(now) is BreakerState.CLOSED else member.breaker.open_for_s(now)

    def begin_probe(self) -> bool:
        """Take a stream of the budget; where the breaker is half-open, the probe is the trial that decides."""
        member, now = self._member, self._clock()
        if not member.health.ready or member.is_draining:
            return False
        is_closed = member.breaker.state(now) is BreakerState.CLOSED
        if member.room(now, may_use_spare=not is_closed) <= 0:
            return False
        if not is_closed and not member.breaker.begin_trial(now):
            return False
        self._is_trial = not is_closed
        self._began_at = now
        member.legs += 1
        return True

    def probe_ended(self, error: ParleyError | None) -> None:
        """See `Probed.probe_ended`. A server that has no room for a probe is full, not broken."""
        member, now = self._member, self._clock()
        if error is None:
            member.breaker.worked(self._began_at)
        elif error.code == "at-capacity" or (error.code == "upstream-stalled" and not member.health.has_room):
            # vLLM says nothing to a stream over its limit, whoever has the others.
            member.filled(now)
        else:
            member.refusal, member.refused_at = error, now
            member.breaker.failed(now)
        self.probe_abandoned()

    def probe_abandoned(self) -> None:
        """See `Probed.probe_abandoned`."""
        self._member.legs -= 1
        if self._is_trial:
            self._is_trial = False
            self._member.breaker.abandon_trial()
        self._on_end(self._member)

    async def open_probe(self, sink: LegSink) -> LegConnection:
        """See `Probed.open_probe`."""
        self._member.upstream.model = self._member.model
        return await self._member.upstream.open_leg(PROBE_LEG, sink)
