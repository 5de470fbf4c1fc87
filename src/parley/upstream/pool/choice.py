"""Which server of a pool a new leg goes to: made once for each leg, from how things stand with each.

```
servers that take legs and have room:      the least (load + 1) / weight x (1 + delay / 1 s)
those of them that the session just left:  only where there is no other
a server that may be tried:                one leg at a time, as one of the above
servers that are broken:                   only where all that are there are; the one that is free first
```
"""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

UNBOUNDED = 1_000_000
"""Streams that a server without a budget may still have."""

WORKING_LOAD = 1.0
RESTING_LOAD = 0.25
"""What a leg between turns weighs against one at work: it computes nothing, and holds its memory."""


class Access(Enum):
    """What a server takes: every leg, a single one that shows how it does, none as long as others are there, none."""

    OPEN = "open"
    TRIAL = "trial"
    BROKEN = "broken"
    SHUT = "shut"


class Standing(NamedTuple):
    """How things stand with one server. `room` is the number of streams that it may still have, `load` what those it
    has weigh, `delay_s` how far its sessions' audio is behind; `free_in_s` how long it is still to be left alone, and
    `is_left` says that the session has just left it."""

    access: Access
    room: int = UNBOUNDED
    load: float = 0.0
    weight: float = 1.0
    delay_s: float = 0.0
    free_in_s: float = 0.0
    is_left: bool = False

    @property
    def score(self) -> float:
        """The less, the better a leg is placed there."""
        return (self.load + 1.0) / self.weight * (1.0 + self.delay_s)


def best(standings: Sequence[Standing]) -> int | None:
    """The place of the server that a leg goes to; None where none has room for it."""
    if _takes_every_leg(standings):
        return min(
            (at for at, one in enumerate(standings) if one.access in (Access.OPEN, Access.TRIAL) and one.room > 0),
            key=lambda at: (standings[at].is_left, standings[at].score),
            default=None,
        )
    return min(
        (at for at, one in enumerate(standings) if one.access is not Access.SHUT and one.room > 0),
        key=lambda at: (
            standings[at].access is Access.BROKEN,
            standings[at].free_in_s,
            standings[at].is_left,
            standings[at].score,
        ),
        default=None,
    )


def streams_left(standings: Sequence[Standing]) -> int:
    """How many legs could be opened now, by the same rule; at most `UNBOUNDED`."""
    if _takes_every_leg(standings):
        left = sum(one.room for one in standings if one.access is Access.OPEN)
        left += sum(min(1, one.room) for one in standings if one.access is Access.TRIAL)
    else:
        left = sum(one.room for one in standings if one.access is not Access.SHUT)
    return min(left, UNBOUNDED)


def _takes_every_leg(standings: Sequence[Standing]) -> bool:
    """Whether any server does: only beside one are those left alone that are broken."""
    return any(one.access is Access.OPEN for one in standings)
