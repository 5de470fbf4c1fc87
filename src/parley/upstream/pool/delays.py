"""How far the model servers are behind what they are sent, as their sessions see it, and whether that is too far."""

import asyncio
import math
from collections.abc import Iterable

from parley.upstream.pool.member import PoolMember

_SLICE = 64
"""Legs that are asked before others get their turn on the event loop."""

_BACK_AT = 0.8
"""Share of the budget below which the delay has to fall before new sessions are taken again."""


class DelayWatch:
    """Asks the legs at work of a pool for their delay. `p95_s` is what one in twenty of them is over; `takes_new` says
    that this is within the budget, `budget_s`, 0.0 for any: once over it, back only below four fifths of it."""

    def __init__(self, budget_s: float) -> None:
        self._budget_s = budget_s
        self.p95_s = 0.0
        self.takes_new = True

    async def sample(self, members: Iterable[PoolMember]) -> None:
        """Ask all, some at a time."""
        everything: list[float] = []
        asked = 0
        for member in members:
            delays: list[float] = []
            for watch in list(member.watches):
                asked += 1
                if asked % _SLICE == 0:
                    await asyncio.sleep(0)
                if watch.is_at_work and not watch.has_ended:
                    watch.delay_s_seen = watch.delay_s(watch.leg_id)
                    delays.append(watch.delay_s_seen)
            member.delay_p95_s = p95(delays)
            everything += delays
        self.p95_s = p95(everything)
        if self._budget_s:
            self.takes_new = self.p95_s <= self._budget_s * (1.0 if self.takes_new else _BACK_AT)


def p95(values: list[float]) -> float:
    """The least of the values that 95 % of them are not over; 0.0 of none."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else 0.0
