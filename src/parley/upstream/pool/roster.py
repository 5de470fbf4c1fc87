"""Who is a member of a pool: those of the settings, those that discovery adds and removes, those an operator drains.

```
add ──► member ──drain──► no legs, those it has are asked to move ──undrain──► member
           └────remove──► the same, and forgotten with its last leg ──add──► member
```
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from parley.aws.failure import AwsError
from parley.upstream.health.prober import ProbeOptions, Prober
from parley.upstream.pool.member import MemberSpec, PoolMember, unique_name
from parley.upstream.pool.member_probe import MemberProbe
from parley.upstream.pool.moves import Moves

_log = logging.getLogger("parley.upstream")

MEMBERS_MAX = 256


class Roster:
    """The members of a pool, and who looks after them: their health, their probe turns, their drains.

    `make_member` makes those that are added later; without it there can be none. The legs of one that is removed may
    wait for a pause for half of `removal_s`. `on_change` is called whenever a member is ready or is not any
    more, `on_room` whenever there may be room for legs where there was none.
    """

    def __init__(
        self,
        *,
        model: str,
        make_member: Callable[[MemberSpec], PoolMember] | None,
        removal_s: float,
        probe: ProbeOptions | None,
        clock: Callable[[], float],
        on_change: Callable[[], None],
        on_room: Callable[[], None],
    ) -> None:
        self._model = model
        self._make_member = make_member
        self._removal_s = removal_s
        self._probe = probe
        self._clock = clock
        self._on_change = on_change
        self._on_room = on_room
        self._members: list[PoolMember] = []
        self._probers: dict[PoolMember, Prober] = {}
        self._tasks: dict[PoolMember, asyncio.Task[None]] = {}
        self._arrived = asyncio.Event()
        self._moves = Moves()

    @property
    def members(self) -> Sequence[PoolMember]:
        """All of them, those included that are being drained."""
        return self._members

    def take(self, member: PoolMember) -> None:
        """Take one in."""
        member.name = unique_name(member.spec, [one.name for one in self._members])
        member.model_by_default = self._model
        member.health.on_change = lambda _ready: self._health_changed(member)
        self._members.append(member)
        if self._probe is not None:
            probed = MemberProbe(member, self._clock, self._probe_ended)
            self._probers[member] = Prober(probed, self._probe, self._clock)
        self._arrived.set()

    def add(self, spec: MemberSpec) -> bool:
        """Take a model server in, or back where it is just being removed. False where it is a member already, there
        are as many as may be, or it can't be reached from here: AWS's SDK is not installed."""
        known = self._find(spec)
        if known is not None:
            if not known.is_removed:
                return False
            known.is_removed = False
            known.take(spec)
            self._came_back(known)
            return True
        if self._make_member is None or len(self._members) >= MEMBERS_MAX:
            return False
        try:
            member = self._make_member(spec)
        except (AwsError, ValueError):
            return False
        self.take(member)
        _log.info("model server is added: %s", member.name)
        return True

    def change(self, spec: MemberSpec) -> bool:
        """Let what the member is to do be this from now on: weight, labels, budget, model. False without a member."""
        member = self._find(spec)
        if member is None:
            return False
        member.take(spec)
        self._on_room()
        return True

    def remove(self, spec: MemberSpec) -> bool:
        """Drain a member, and forget it when its last leg has ended. False without one."""
        member = self._find(spec)
        if member is None or member.is_removed:
            return False
        member.is_removed = True
        _log.info("model server is removed: %s, with %d streams", member.name, member.legs)
        self._send_away(member, self._removal_s)
        self.forget_if_done(member)
        return True

    def drain(self, name: str, timeout_s: float) -> bool:
        """Give the member of this name no legs, and have those on it move: at a pause, and after half of the timeout
        without one. False without such a member."""
        member = next((one for one in self._members if one.name == name), None)
        if member is None:
            return False
        member.is_drained = True
        _log.info("model server is drained: %s, with %d streams", name, member.legs)
        self._send_away(member, timeout_s)
        return True

    def undrain(self, name: str) -> bool:
        """Take a drain back. False where there is none."""
        member = next((one for one in self._members if one.name == name and one.is_drained), None)
        if member is None:
            return False
        member.is_drained = False
        _log.info("model server is drained no more: %s", name)
        self._came_back(member)
        return True

    def forget_if_done(self, member: PoolMember) -> None:
        """Forget one that was removed, once its last leg has ended."""
        if not member.is_removed or member.legs or member not in self._members:
            return
        self._members.remove(member)
        self._probers.pop(member, None)
        member.health.on_change = None
        task = self._tasks.pop(member, None)
        if task is not None:
            task.cancel()
        _log.info("model server is forgotten: %s", member.name)

    def send_away(self) -> None:
        """A leg was opened on one that is being drained meanwhile."""
        self._moves.begin()

    def wake_prober(self, member: PoolMember) -> None:
        """Its breaker has opened, or it can be probed again."""
        prober = self._probers.get(member)
        if prober is not None:
            prober.wake()

    async def run(self) -> None:
        """Look after them until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send_on())
                while True:
                    self._arrived.clear()
                    for member in self._members:
                        if member not in self._tasks:
                            self._tasks[member] = tasks.create_task(self._look_after(member))
                    await self._arrived.wait()
        finally:
            self._tasks.clear()

    async def _look_after(self, member: PoolMember) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(member.health.run())
            if (prober := self._probers.get(member)) is not None:
                tasks.create_task(prober.run())

    async def _send_on(self) -> None:
        while True:
            await self._moves.ask(tuple(self._members))
            await self._moves.pause()

    def _find(self, spec: MemberSpec) -> PoolMember | None:
        return next((member for member in self._members if member.spec.identity == spec.identity), None)

    def _send_away(self, member: PoolMember, timeout_s: float) -> None:
        # Sessions go by the loop's clock.
        member.move_by = asyncio.get_running_loop().time() + timeout_s / 2
        self._moves.begin()
        self._on_change()

    def _came_back(self, member: PoolMember) -> None:
        self.wake_prober(member)
        self._on_change()
        self._on_room()

    def _probe_ended(self, member: PoolMember) -> None:
        self.forget_if_done(member)
        self._on_room()

    def _health_changed(self, member: PoolMember) -> None:
        member.health_changed()
        self.wake_prober(member)
        self._on_change()
        if member.health.ready:
            self._on_room()
