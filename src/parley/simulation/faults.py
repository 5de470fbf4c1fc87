"""Which faults a run suffers: drawn from its seed, each class on or off, so that they are met alone and together."""

import random
from dataclasses import asdict, dataclass, replace

from parley.simulation.model import LEG_FAULTS


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Fault classes by their rates; 0 is off. `*_a_minute` are events in a virtual minute, `*_rate` are chances.

    A client's connection: `reset_a_minute` breaks it between messages, `cut_a_minute` at some byte within one,
    `stall_a_minute` holds everything up for a time, `half_close_a_minute` swallows one direction,
    `linger_a_minute` breaks it while bytes are on their way that arrive much later, `refuse_rate` refuses
    a connection, `away_rate` keeps a client away for longer than its session waits, `late_s` is how long an end may
    take to find out that its connection broke. `slow_reader_a_minute` lets a client not read for a time.
    `rival_rate` lets another device come with a session's token, or with none that is good.

    The model server: `crash_a_minute`, `shut_down_a_minute`, and `leg_rate`, the chance that a connection has a fate;
    `leg_faults` are the fates that there are. `refusal_rate` refuses connections while it is up.
    The host: `jump_a_minute` lets its clock jump ahead, as after a suspension.

    The pool: `queue_rate` is the chance that a leg waits for a stream, `full_rate` that there is none for one that
    replaces or succeeds another. `relief_a_minute` asks sessions to leave their leg's server, `end_a_minute` ends one.
    """

    reset_a_minute: float = 0.0
    cut_a_minute: float = 0.0
    stall_a_minute: float = 0.0
    half_close_a_minute: float = 0.0
    linger_a_minute: float = 0.0
    refuse_rate: float = 0.0
    away_rate: float = 0.0
    late_s: float = 0.0
    slow_reader_a_minute: float = 0.0
    rival_rate: float = 0.0
    crash_a_minute: float = 0.0
    shut_down_a_minute: float = 0.0
    refusal_rate: float = 0.0
    leg_rate: float = 0.0
    leg_faults: tuple[str, ...] = ()
    jump_a_minute: float = 0.0
    queue_rate: float = 0.0
    full_rate: float = 0.0
    relief_a_minute: float = 0.0
    end_a_minute: float = 0.0

    @property
    def active(self) -> dict[str, object]:
        """The classes that are on."""
        return {name: value for name, value in asdict(self).items() if value}

    def without(self, name: str) -> "FaultPlan":
        """The same plan with one class off."""
        return FaultPlan(**{key: value for key, value in asdict(self).items() if key != name})


NO_FAULTS = FaultPlan()

_RATES: dict[str, tuple[float, float]] = {
    "reset_a_minute": (1.0, 8.0),
    "cut_a_minute": (1.0, 8.0),
    "stall_a_minute": (0.5, 4.0),
    "half_close_a_minute": (0.3, 1.5),
    "linger_a_minute": (0.5, 4.0),
    "refuse_rate": (0.1, 0.5),
    "away_rate": (0.2, 0.6),
    "late_s": (0.2, 6.0),
    "slow_reader_a_minute": (0.5, 3.0),
    "rival_rate": (0.5, 1.0),
    "crash_a_minute": (0.3, 2.0),
    "shut_down_a_minute": (0.3, 1.5),
    "refusal_rate": (0.1, 0.5),
    "leg_rate": (0.1, 0.5),
    "jump_a_minute": (0.3, 1.5),
}
_POOL_RATES: dict[str, tuple[float, float]] = {
    "queue_rate": (0.2, 0.8),
    "full_rate": (0.2, 0.8),
    "relief_a_minute": (1.0, 12.0),
    "end_a_minute": (0.2, 1.0),
}
_RARE = {"end_a_minute": 0.08, "away_rate": 0.1, "rival_rate": 0.3, "jump_a_minute": 0.2, "half_close_a_minute": 0.25}
_USUAL = 0.35


def draw_faults(chance: random.Random) -> FaultPlan:
    """A plan in which each class is on or off, at some rate."""
    drawn: dict[str, float | tuple[str, ...]] = {}
    for name, (low, high) in _RATES.items():
        # Both are drawn whatever comes of it, so that one class does not decide about the next.
        is_on, rate = chance.random() < _RARE.get(name, _USUAL), chance.uniform(low, high)
        if is_on:
            drawn[name] = round(rate, 3)
    if "leg_rate" in drawn:
        drawn["leg_faults"] = tuple(fault for fault in LEG_FAULTS if chance.random() < 0.4) or ("reset",)
    return FaultPlan(**drawn)  # type: ignore[arg-type]


def draw_pool_faults(chance: random.Random, plan: FaultPlan) -> FaultPlan:
    """The same plan with faults of the pool as well."""
    drawn: dict[str, float] = {}
    for name, (low, high) in _POOL_RATES.items():
        is_on, rate = chance.random() < _RARE.get(name, _USUAL), chance.uniform(low, high)
        if is_on:
            drawn[name] = round(rate, 3)
    return replace(plan, **drawn)  # type: ignore[arg-type]
