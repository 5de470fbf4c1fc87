"""What one run is: everything follows from these."""

import random
from dataclasses import dataclass, field, replace
from functools import cached_property

from parley.core.limits import AtBound, SessionLimits
from parley.simulation.faults import FaultPlan, draw_faults, draw_pool_faults
from parley.simulation.link import LinkQuality
from parley.simulation.model import ModelOptions
from parley.simulation.speech import Talk

SPEECH_S = 40.0
"""Speech of each user of a run that is asked for nothing else."""
_LONG_S = 600.0
_LONG_TEXT_BYTES = 1_048_576


@dataclass(frozen=True)
class Options:
    """A run. What is None follows from the seed.

    `speech_s` is how long each user speaks; `users` how many there are, of whom `plain_users` do without the session
    contract. `plan` are the faults, which end when the users have spoken; `grace_s` is how long the rest may then take.
    `without` names classes of faults that are left out. Runs of more than ten minutes are `is_long`: they take larger
    pieces, fewer turns and a network without delays, so that hours pass in a minute.
    """

    seed: int
    speech_s: float = SPEECH_S
    users: int | None = None
    plain_users: int | None = None
    plan: FaultPlan | None = None
    diverges: bool | None = None
    limits: SessionLimits | None = None
    without: tuple[str, ...] = ()
    grace_s: float = 120.0

    @property
    def is_long(self) -> bool:
        """Whether it is long enough to be run in larger steps."""
        return self.speech_s > _LONG_S

    @property
    def command(self) -> str:
        """What to type to see this run again."""
        words = [f"parley simulate --seed {self.seed}"]
        if self.speech_s != SPEECH_S:
            words.append(f"--hours {self.speech_s / 3600:.6g}")
        if self.users is not None:
            words.append(f"--users {self.users}")
        if self.plain_users is not None:
            words.append(f"--plain-users {self.plain_users}")
        if self.diverges is not None:
            words.append("--diverge" if self.diverges else "--no-diverge")
        return " ".join([*words, *(f"--without {name}" for name in self.without)])

    @cached_property
    def drawn(self) -> "Drawn":
        """Everything, with what follows from the seed."""
        chance = random.Random(self.seed)  # noqa: S311  the same each time, on purpose
        plan, limits = draw_faults(chance), _draw_limits(chance)
        users = chance.choice((1, 1, 2, 2, 3))
        plain = sum(chance.random() < 0.3 for _ in range(users))
        diverges = chance.random() < 0.2
        quality = LinkQuality(
            latency_s=chance.choice((0.001, 0.02, 0.15)),
            jitter_s=chance.choice((0.0, 0.01, 0.3)),
            split_rate=chance.choice((0.0, 0.05)),
        )
        model = ModelOptions(step_s=chance.choice((0.0, 0.005, 0.02, 0.05)), diverges=diverges)
        # Drawn apart, so that what else a seed means stays as it was.
        chance = random.Random(f"{self.seed}/idle")  # noqa: S311  likewise
        limits = replace(limits, idle_release_s=chance.choice((0.0, 1.2, 3.0)), preroll_s=chance.choice((0.2, 1.0)))
        plan = draw_pool_faults(chance, plan)
        limits = _draw_output_policy(random.Random(f"{self.seed}/output"), limits)  # noqa: S311  likewise
        drawn = Drawn(plan, limits, users, plain, quality, model, Talk(), chance.choice((0.0, 0.02, 0.1)))
        if self.plan is not None:
            drawn = replace(drawn, plan=self.plan)
        for name in self.without:
            drawn = replace(drawn, plan=drawn.plan.without(name))
        if self.limits is not None:
            drawn = replace(drawn, limits=self.limits)
        if self.users is not None:
            drawn = replace(drawn, users=self.users, plain_users=min(plain, self.users))
        if self.plain_users is not None:
            drawn = replace(drawn, plain_users=self.plain_users)
        if self.diverges is not None:
            drawn = replace(drawn, model=replace(model, diverges=self.diverges))
        if self.is_long:
            limits = replace(
                drawn.limits, turn_text_max_bytes=_LONG_TEXT_BYTES, rotate_after_s=600.0, rotate_force_s=1_200.0
            )
            model = replace(drawn.model, step_s=0.0, diverges=False)
            drawn = replace(drawn, limits=limits, quality=LinkQuality(), model=model, plain_users=0)
        return drawn


@dataclass(frozen=True)
class Drawn:
    """The options of a run, none left open. `halt_rate` is the chance that a user stops sending after a piece."""

    plan: FaultPlan
    limits: SessionLimits
    users: int
    plain_users: int
    quality: LinkQuality
    model: ModelOptions
    talk: Talk = field(default_factory=Talk)
    halt_rate: float = 0.0


def _draw_limits(chance: random.Random) -> SessionLimits:
    rotate_after_s = chance.choice((8.0, 25.0, 600.0))
    return SessionLimits(
        pace_window_s=chance.choice((1.0, 3.0)),
        held_audio_max_s=chance.choice((4.0, 20.0, 120.0)),
        output_max_bytes=65_536,
        ledger_max_bytes=65_536,
        journal_max_s=60.0,
        turn_text_max_bytes=65_536,
        resume_window_s=chance.choice((10.0, 30.0)),
        recovery_timeout_s=60.0,
        rotate_after_s=rotate_after_s,
        rotate_force_s=2 * rotate_after_s,
        connect_timeout_s=2.0,
        first_delta_timeout_s=4.0,
        stall_timeout_s=4.0,
        flush_timeout_s=4.0,
    )


def _draw_output_policy(chance: random.Random, limits: SessionLimits) -> SessionLimits:
    if chance.random() < 0.5:
        return limits
    # So little that the model waits for the client again and again.
    return replace(limits, output_policy=AtBound.BLOCK, output_max_bytes=1_000)
