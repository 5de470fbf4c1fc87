"""Connections between devices and the server, made and broken as the plan says."""

from collections.abc import Callable

from parley.simulation.faults import FaultPlan
from parley.simulation.link import End, Link, LinkQuality, Peer
from parley.simulation.node import ServerNode
from parley.simulation.world import World

_STALL_S = (0.2, 12.0)
_LINGER_S = (0.5, 8.0)
_CUT_BYTES_MAX = 30_000
_AWAY_WINDOWS = 1.6
_FIRST_SPARED_RATE = 0.8


class Network:
    """Makes links to the server; once everything has healed nothing is wrong with them."""

    def __init__(self, world: World, node: ServerNode, plan: FaultPlan, quality: LinkQuality) -> None:
        self._world = world
        self._node = node
        self._plan = plan
        self._quality = quality
        self._away_until: dict[str, float] = {}
        self.links: list[Link] = []
        self.made = 0
        self.longest_away_s = 0.0

    def heal(self) -> None:
        """Nobody is away any longer."""
        self._away_until.clear()

    def connect(
        self,
        device: str,
        peer: Peer,
        on_open: Callable[[End], None],
        on_failure: Callable[[], None],
        *,
        principal: str = "",
        resumes: bool = False,
        breaks: bool = True,
    ) -> None:
        """Connect a device; one of the two is called later. Without `breaks` the link may be slow but stays whole."""
        self._world.after(2 * self._quality.latency_s, lambda: attempt())

        def attempt() -> None:
            chance, plan = self._world.chance, self._plan
            # A session whose very first connection fails is over: most are to live longer.
            is_spared = not breaks or (not resumes and chance.random() < _FIRST_SPARED_RATE)
            refuses = not (self._world.is_healed or is_spared) and chance.random() < plan.refuse_rate
            if refuses or self._away_until.get(device, 0.0) > self._world.now:
                self._world.log("network", "{} can't connect", device)
                on_failure()
                return
            self.made += 1
            names = f"{device}#{self.made}<", f"{device}#{self.made}>"
            link = Link(self._world, names, self._quality, discovery_max_s=plan.late_s)
            self.links = [each for each in self.links if each.is_open]
            self.links.append(link)
            link.ends[0].attach(peer)
            on_open(link.ends[0])
            self._node.accept(link.ends[1], principal, resumes=resumes)
            self._plan_faults(link, device, breaks=breaks)

    def _plan_faults(self, link: Link, device: str, *, breaks: bool) -> None:
        plan, chance = self._plan, self._world.chance
        world = self._world
        world.sometimes(plan.stall_a_minute, lambda: link.is_open, lambda: link.stall(chance.uniform(*_STALL_S)))
        if not breaks:
            return
        world.sometimes(plan.reset_a_minute, lambda: link.is_open, lambda: self._reset(link, device))
        world.sometimes(plan.cut_a_minute, lambda: link.is_open, lambda: self._cut(link))
        world.sometimes(plan.linger_a_minute, lambda: link.is_open, lambda: link.linger(chance.uniform(*_LINGER_S)))
        world.sometimes(plan.half_close_a_minute, lambda: link.is_open, lambda: link.half_close(chance.randrange(2)))

    def _reset(self, link: Link, device: str) -> None:
        chance = self._world.chance
        if self._plan.away_rate and chance.random() < self._plan.away_rate:
            away_s = self._node.options.limits.resume_window_s * _AWAY_WINDOWS
            self._away_until[device] = self._world.now + away_s
            self.longest_away_s = max(self.longest_away_s, away_s)
        link.reset()

    def _cut(self, link: Link) -> None:
        chance = self._world.chance
        link.break_after(chance.randrange(2), chance.choice((0, 1, 3, 5, 40, chance.randrange(_CUT_BYTES_MAX))))
