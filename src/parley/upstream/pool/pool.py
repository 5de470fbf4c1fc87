"""Several model servers as one upstream: each new leg goes to the one that is best placed for it.

```
open_leg ──► the best member (see choice.py), of whose budget it takes a stream before anything is awaited
                 │ refused: broken or full for a while (see breaker.py); the next best is tried
                 └ connected: counted until it is closed or fails

run ──► each member's health and probe turns · delays · outliers · sessions that are to leave a member
```
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from parley.core import events as ev
from parley.core.errors import ParleyError
from parley.upstream.health.prober import ProbeOptions
from parley.upstream.leg import LegConnection, LegSink
from parley.upstream.pool.choice import Access, Standing, best, streams_left
from parley.upstream.pool.delays import DelayWatch
from parley.upstream.pool.departures import Departures
from parley.upstream.pool.member import MemberSpec, MemberView, PoolMember
from parley.upstream.pool.outliers import outlier
from parley.upstream.pool.pooled_leg import LegWatch, PooledLeg
from parley.upstream.pool.roster import Roster

_log = logging.getLogger("parley.upstream")

PROMPT_TOKENS = 39
"""Tokens of a generation before the first delta: what vLLM reports for Voxtral."""

TOKEN_S = 0.08
"""Audio for each further token: one delta."""

_TRIAL_S = 5.0
"""A leg that is to show whether its server works does so by a transcribed turn, or by not failing for so long."""

_TICK_S = 0.25
_SAMPLE_S = 1.0


class UpstreamPool:
    """The model servers behind a node, as an `Upstream`.

    `model` is the name that legs are opened with where a member has none of its own; empty: the first one that the
    leg's own server lists. `make_member` makes those that are added later, and without it there can be none.
    `lag_budget_s` is the delay, for one in twenty legs at work, over which `takes_new` is False; 0.0: any. Legs on a
    member that is removed may wait for a pause for half of `drain_timeout_s`. `probe` is how members are probed with
    turns; None: they are not. `on_change` is called whenever a member is ready or is not any more, `on_room` whenever
    there may be room for a leg or a session where there was none, and `on_end` when `run` ends. `clock` gives seconds
    from any origin.
    """

    def __init__(
        self,
        members: Sequence[PoolMember],
        *,
        connect_timeout_s: float,
        model: str = "",
        make_member: Callable[[MemberSpec], PoolMember] | None = None,
        lag_budget_s: float = 0.0,
        drain_timeout_s: float = 60.0,
        retry_after_s: float = 2.0,
        probe: ProbeOptions | None = None,
        on_change: Callable[[], None] | None = None,
        on_end: Callable[[], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._retry_after_s = retry_after_s
        self._on_change = on_change
        self._on_end = on_end
        self._clock = clock
        self.on_room: Callable[[], None] | None = None
        self._roster = Roster(
            model=model,
            make_member=make_member,
            removal_s=drain_timeout_s,
            probe=probe,
            clock=clock,
            on_change=self._changed,
            on_room=self._room,
        )
        for member in members:
            self._roster.take(member)
        self._members = self._roster.members
        self._departures = Departures()
        self._delays = DelayWatch(lag_budget_s)
        # Members that had room when it was last looked.
        self._had_room: frozenset[PoolMember] = frozenset()

    # ---- what is known of them all

    @property
    def members(self) -> tuple[PoolMember, ...]:
        """All of them, those included that are being drained."""
        return tuple(self._members)

    @property
    def ready(self) -> bool:
        """Whether any model server is, and is not being drained."""
        return any(member.health.ready and not member.is_draining for member in self._members)

    @property
    def models(self) -> tuple[str, ...]:
        """The names that the model servers list, each once, in the servers' order."""
        return tuple(dict.fromkeys(name for member in self._members for name in member.health.models))

    @property
    def context_s(self) -> float:
        """The longest generation that every model server takes, in seconds of audio; 0.0 when none of them says."""
        limits = [member.health.max_model_len for member in self._members if member.health.max_model_len]
        return max(0, min(limits, default=PROMPT_TOKENS) - PROMPT_TOKENS) * TOKEN_S

    @property
    def streams(self) -> int:
        """Streams in use on all of them."""
        return sum(member.legs for member in self._members)

    @property
    def lag_p95_s(self) -> float:
        """The delay that one in twenty legs at work is over, in seconds, as of a second ago at most."""
        return self._delays.p95_s

    @property
    def takes_new(self) -> bool:
        """Whether new sessions may begin, as far as that delay goes."""
        return self._delays.takes_new

    def free_streams(self, *, may_use_spare: bool) -> int:
        """How many legs could be opened now; `choice.UNBOUNDED` where a member has no budget. The spare streams of each
        count only for those who may use them."""
        now = self._clock()
        return streams_left([member.standing(now, may_use_spare=may_use_spare) for member in self._members])

    def views(self) -> list[MemberView]:
        """How things stand with each, for an operator."""
        now = self._clock()
        return [member.view(now) for member in self._members]

    # ---- who is a member

    def add(self, spec: MemberSpec) -> bool:
        """See `Roster.add`."""
        return self._roster.add(spec)

    def change(self, spec: MemberSpec) -> bool:
        """See `Roster.change`."""
        return self._roster.change(spec)

    def remove(self, spec: MemberSpec) -> bool:
        """See `Roster.remove`."""
        return self._roster.remove(spec)

    def drain(self, name: str, timeout_s: float) -> bool:
        """See `Roster.drain`."""
        return self._roster.drain(name, timeout_s)

    def undrain(self, name: str) -> bool:
        """See `Roster.undrain`."""
        return self._roster.undrain(name)

    def send_away(self, sink: LegSink, within_s: float) -> int:
        """Have the legs of one session move to other members, where there are any: at a pause, and after so long
        without one. Returns how many were asked to."""
        at_once_at = asyncio.get_running_loop().time() + within_s
        found = [(member, watch) for member in self._members for watch in member.watches if watch.sink is sink]
        for member, watch in found:
            self._departures.avoid(sink, member, self._clock() + within_s)
            sink.receive(ev.RotationAsked(watch.leg_id, at_once_at))
        return len(found)

    def lost(self) -> None:
        """Take every member for gone until it answers a probe: the process that they are has ended."""
        for member in self._members:
            member.health.lost()

    # ---- legs

    async def open_leg(self, leg_id: int, sink: LegSink) -> LegConnection:
        """Open a leg on the best member that takes it, within the connect timeout altogether.

        A session's sink should be one object for all its legs: the server of one that it has just closed comes last,
        since only the session sees that a server has fallen silent.

        Raises:
            ParleyError: upstream-unavailable, at once, when no member is ready, at-capacity when none of them has room;
                else what the last one tried answered.
        """
        now = self._clock()
        given_up = self._departures.given_up(sink, now)
        # Where streams wait within it for others to end, it was full, and maybe of somebody else's.
        if given_up is not None and given_up.health.has_room:
            self._failed(given_up)
            given_up.health.suspect()
        deadline = now + self._connect_timeout_s
        tried: set[PoolMember] = set()
        error: ParleyError | None = None
        while (member := self._choose(sink, tried)) is not None:
            left_s = deadline - self._clock()
            if left_s <= 0:
                break
            tried.add(member)
            # A server that hangs must not use up the time of those behind it.
            timeout_s = left_s if self._choose(sink, tried) is None else left_s / 2
            try:
                return await self._open_on(member, leg_id, sink, timeout_s)
            except ParleyError as refusal:
                error = refusal
        raise error or self._nowhere()

    def _choose(self, sink: LegSink, tried: Iterable[PoolMember]) -> PoolMember | None:
        now = self._clock()
        left = self._departures.recent(sink, now)
        untried = [member for member in self._members if member not in tried]
        at = best([member.standing(now, is_left=member is left) for member in untried])
        return None if at is None else untried[at]

    def _nowhere(self) -> ParleyError:
        """The error when no leg can be opened, with what the last member that refused one said."""
        if self.ready:
            return ParleyError("at-capacity", "No model server has room.", retry_after_s=self._retry_after_s)
        latest = max(
            (member for member in self._members if member.refusal is not None),
            key=lambda member: member.refused_at,
            default=None,
        )
        detail = latest.refusal.detail if latest is not None and latest.refusal is not None else ""
        if not detail and any(member.health.ready for member in self._members):
            detail = "Every model server is being drained."
        return ParleyError("upstream-unavailable", detail or "No model server is ready.")

    async def _open_on(self, member: PoolMember, leg_id: int, sink: LegSink, timeout_s: float) -> LegConnection:
        now = self._clock()
        watch = LegWatch(leg_id, sink, _Keeper(self, member), now)
        member.begin_leg(watch, now)
        member.upstream.model = member.model
        try:
            async with asyncio.timeout(timeout_s):
                connection = await member.upstream.open_leg(leg_id, watch)
        except TimeoutError:
            error = ParleyError("upstream-unavailable", f"It did not answer within {timeout_s:.2g} s.")
            watch.refuse(error)
            raise error from None
        except ParleyError as error:
            watch.refuse(error)
            raise
        except BaseException:
            watch.end()
            raise
        watch.opened_at = self._clock()
        member.refusal = None
        member.health.seen()
        if member.is_draining:
            self._roster.send_away()
        return PooledLeg(connection, watch, member.name)

    def _failed(self, member: PoolMember) -> None:
        if member.failed(self._clock()):
            self._roster.wake_prober(member)

    def _leg_over(self, member: PoolMember, watch: LegWatch) -> None:
        self._departures.note(member, watch, self._clock())
        member.end_leg(watch)
        self._roster.forget_if_done(member)

    def leg_refused(self, member: PoolMember, watch: LegWatch, error: ParleyError) -> None:
        """See `LegKeeper.leg_refused`."""
        now = self._clock()
        self._leg_over(member, watch)
        member.refusal, member.refused_at = error, now
        if error.code == "at-capacity":
            # One that has no room is there all the same.
            member.filled(now)
        else:
            self._failed(member)
            member.health.lost()
        self._room()

    def leg_ended(self, member: PoolMember, watch: LegWatch, error: ParleyError | None) -> None:
        """See `LegKeeper.leg_ended`."""
        self._leg_over(member, watch)
        if error is not None:
            self._failed(member)
            member.health.suspect()
        self._room()

    def turn_ended(self, member: PoolMember, watch: LegWatch) -> None:
        """See `LegKeeper.turn_ended`."""
        if member.worked(watch.began_at, self._clock()):
            self._room()

    # ---- looking after them

    async def run(self) -> None:
        """Look after the members until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._roster.run())
                tasks.create_task(self._look())
        finally:
            if self._on_end is not None:
                await self._on_end()

    async def _look(self) -> None:
        clock = asyncio.get_running_loop().time
        next_sample_at = clock() + _SAMPLE_S
        while True:
            await asyncio.sleep(_TICK_S)
            self.tick()
            if clock() >= next_sample_at:
                await self.sample()
                next_sample_at = clock() + _SAMPLE_S

    def tick(self) -> None:
        """Notice what only time has changed: a trial that is over, a server that may be tried again or is full no
        more."""
        now = self._clock()
        for member in self._members:
            trial = member.trial
            if trial is not None and trial.opened_at is not None and now - trial.opened_at >= _TRIAL_S:
                member.pass_trial()
        standings: list[tuple[PoolMember, Standing]] = [(member, member.standing(now)) for member in self._members]
        has_room = frozenset(
            member for member, one in standings if one.access in (Access.OPEN, Access.TRIAL) and one.room > 0
        )
        is_news = bool(has_room - self._had_room)
        self._had_room = has_room
        if is_news:
            self._room()

    async def sample(self) -> None:
        """Ask the legs for their delay, and see whether a member fails much more often than the others."""
        took_new = self.takes_new
        await self._delays.sample(self.members)
        if self.takes_new != took_new:
            how = "takes new sessions again" if self.takes_new else "takes no new sessions"
            _log.info("the pool %s: one in twenty streams is %.1f s behind", how, self.lag_p95_s)
        if self.takes_new and not took_new:
            self._room()
        self._eject()

    def _eject(self) -> None:
        now = self._clock()
        tallies = [member.tally(now) for member in self._members]
        at = outlier(tallies)
        # One that is left must take all the legs.
        if at is None or not any(
            one.standing(now).access is Access.OPEN for one in self._members if one is not self._members[at]
        ):
            return
        member = self._members[at]
        member.eject(now)
        _log.warning("model server is left alone: %s: %.0f %% of its streams fail", member.name, 100 * tallies[at].rate)
        self._roster.wake_prober(member)

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change()

    def _room(self) -> None:
        if self.on_room is not None:
            self.on_room()


class _Keeper:
    """Tells the pool of a leg on this member."""

    __slots__ = ("_member", "_pool")

    def __init__(self, pool: UpstreamPool, member: PoolMember) -> None:
        self._pool = pool
        self._member = member

    def turn_began(self, _watch: LegWatch) -> None:
        """See `LegKeeper.turn_began`."""
        self._member.working += 1

    def turn_ended(self, watch: LegWatch) -> None:
        """See `LegKeeper.turn_ended`."""
        self._member.working -= 1
        self._pool.turn_ended(self._member, watch)

    def leg_refused(self, watch: LegWatch, error: ParleyError) -> None:
        """See `LegKeeper.leg_refused`."""
        self._pool.leg_refused(self._member, watch, error)

    def leg_ended(self, watch: LegWatch, error: ParleyError | None) -> None:
        """See `LegKeeper.leg_ended`."""
        self._pool.leg_ended(self._member, watch, error)
