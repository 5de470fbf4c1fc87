"""Which model server each session has left last: it may have had reason to, and says none."""

import weakref
from dataclasses import dataclass

from parley.upstream.leg import LegSink
from parley.upstream.pool.member import PoolMember
from parley.upstream.pool.pooled_leg import LegWatch

_RECENTLY_S = 10.0
"""So long after its leg on a server has ended, a session that wants another one may have had reason to leave it."""

_GIVEN_UP_S = 2.0
_STALLED_S = 5.0
"""A session that closes a leg within a turn, behind by this much, and wants another at once, has waited in vain."""


@dataclass(frozen=True, slots=True)
class _Departure:
    member: PoolMember
    at: float
    is_stalled: bool


class Departures:
    """The last departure of each session, by its sink, and forgotten with it. `now` is in seconds from any origin."""

    def __init__(self) -> None:
        self._last: weakref.WeakKeyDictionary[LegSink, _Departure] = weakref.WeakKeyDictionary()

    def note(self, member: PoolMember, watch: LegWatch, now: float) -> None:
        """This leg on it has ended."""
        is_stalled = watch.is_at_work and watch.delay_s_seen >= _STALLED_S
        self._last[watch.sink] = _Departure(member, now, is_stalled)

    def avoid(self, sink: LegSink, member: PoolMember, until: float) -> None:
        """The session is to leave this member by then, for another one."""
        self._last[sink] = _Departure(member, until, is_stalled=False)

    def recent(self, sink: LegSink, now: float) -> PoolMember | None:
        """The member that the session left a moment ago."""
        last = self._last.get(sink)
        return last.member if last is not None and now - last.at < _RECENTLY_S else None

    def given_up(self, sink: LegSink, now: float) -> PoolMember | None:
        """The member on which the session, which now wants a leg, has just waited in vain; told once."""
        last = self._last.get(sink)
        if last is None or not last.is_stalled or now - last.at >= _GIVEN_UP_S:
            return None
        self._last[sink] = _Departure(last.member, last.at, is_stalled=False)
        return last.member
