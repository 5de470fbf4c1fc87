"""One model server of a pool: how legs on it are opened, what is known of it, and how many are open."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import urlsplit

from parley.core.errors import ParleyError
from parley.upstream.health.engine_metrics import EngineLoad
from parley.upstream.health.health import Health
from parley.upstream.leg import Upstream
from parley.upstream.pool.breaker import Breaker, BreakerState
from parley.upstream.pool.choice import RESTING_LOAD, UNBOUNDED, WORKING_LOAD, Access, Standing
from parley.upstream.pool.outliers import EJECT_S, Outcomes, Tally
from parley.upstream.pool.pooled_leg import LegWatch

FULL_S = 1.0
"""How long a server that answered "at-capacity" is taken for full, unless one of its legs is closed."""

State = Literal["ready", "loading", "broken", "full", "draining", "unready"]


class ModelUpstream(Upstream, Protocol):
    """An upstream that names `model` on each leg it opens."""

    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSpec:
    """Which server a member is, and what part of the pool's work it takes.

    `address` is where to connect to instead of the addresses of the URL's host. What is left out is the pool's: `name`
    is then host:port, `model` and `api_key` those of all, `max_sessions` the budget of each; `labels` are for people.
    """

    url: str
    name: str = ""
    address: str = ""
    weight: float = 1.0
    labels: tuple[tuple[str, str], ...] = ()
    model: str = ""
    max_sessions: int = 0
    api_key: str | None = field(default=None, repr=False)

    @property
    def identity(self) -> tuple[str, str]:
        """What makes it this server and no other."""
        return self.url, self.address

    @property
    def place(self) -> str:
        """Where it is: host:port, or the endpoint's name, without credentials."""
        place = urlsplit(self.url).netloc.rpartition("@")[2]
        return f"{place} ({self.address})" if self.address else place

    @property
    def shown_url(self) -> str:
        """Its URL without what may be a secret: no user, no password, no query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """A member as an operator sees it. `reason` says in words why its `state` is what it is, empty where there is
    nothing to say; `streams_max` is 0 without a budget; `failures` are those that followed each other of late.

    `load` is what this pool's streams on it weigh. `engine` is what the server says of itself, whoever opened its
    streams, and None where it says nothing.
    """

    name: str
    url: str
    kind: str
    state: State
    reason: str
    weight: float
    labels: dict[str, str]
    models: tuple[str, ...]
    version: str
    streams: int
    streams_max: int
    load: float
    delay_p95_s: float
    failures: int
    engine: EngineLoad | None


class PoolMember:
    """One model server of a pool.

    `legs` are the streams that it has: open, being opened, or a probe's; `working` those of them with a turn on them.
    `streams_max` is its budget, 0 for none, and `spare` how many of that are not for new sessions. `is_drained` says
    that an operator wants no legs there, `is_removed` that it is no member any more once its last leg has ended.
    """

    __slots__ = (
        "_ejected_until",
        "_full_until",
        "_streams_max_by_default",
        "_was_ready",
        "breaker",
        "delay_p95_s",
        "health",
        "is_drained",
        "is_removed",
        "legs",
        "model_by_default",
        "move_by",
        "name",
        "outcomes",
        "refusal",
        "refused_at",
        "spare",
        "spec",
        "streams_max",
        "trial",
        "upstream",
        "watches",
        "working",
    )

    def __init__(
        self,
        upstream: ModelUpstream,
        health: Health,
        spec: MemberSpec,
        *,
        streams_max: int = 0,
        spare: int = 0,
    ) -> None:
        self.upstream = upstream
        self.health = health
        self.model_by_default = ""
        self.breaker = Breaker()
        self.outcomes = Outcomes()
        self.name = spec.name or spec.place
        self.spare = spare
        self._streams_max_by_default = streams_max
        self.take(spec)
        self.legs = self.working = 0
        self.watches: dict[LegWatch, None] = {}
        self.trial: LegWatch | None = None
        self.refusal: ParleyError | None = None
        self.refused_at = 0.0
        self.delay_p95_s = 0.0
        self.is_drained = self.is_removed = False
        self.move_by = 0.0
        self._full_until = self._ejected_until = 0.0
        self._was_ready = False

    def take(self, spec: MemberSpec) -> None:
        """This is wanted of it from now on."""
        self.spec = spec
        self.streams_max = spec.max_sessions or self._streams_max_by_default

    @property
    def model(self) -> str:
        """The name that a leg on it is opened with: as set, else the first that it lists."""
        return self.spec.model or self.model_by_default or next(iter(self.health.models), "")

    @property
    def is_draining(self) -> bool:
        """Whether it is to get no legs, and to lose those it has."""
        return self.is_drained or self.is_removed

    @property
    def load(self) -> float:
        """What its legs weigh."""
        return WORKING_LOAD * self.working + RESTING_LOAD * (self.legs - self.working)

    def room(self, now: float, *, may_use_spare: bool = True) -> int:
        """Streams that it may still have, whether or not it takes legs at all."""
        if now < self._full_until or not self.health.has_room:
            return 0
        if not self.streams_max:
            return UNBOUNDED
        # One at least is for new sessions.
        kept = 0 if may_use_spare else min(self.spare, self.streams_max - 1)
        return max(0, self.streams_max - self.legs - kept)

    def standing(self, now: float, *, may_use_spare: bool = True, is_left: bool = False) -> Standing:
        """How things stand with it; see `Standing`."""
        return Standing(
            self._access(now),
            room=self.room(now, may_use_spare=may_use_spare),
            load=self.load,
            weight=self.spec.weight,
            delay_s=self.delay_p95_s,
            free_in_s=self.breaker.open_for_s(now),
            is_left=is_left,
        )

    def _access(self, now: float) -> Access:
        if not self.health.ready or self.is_draining:
            return Access.SHUT
        state = self.breaker.state(now)
        if state is BreakerState.CLOSED:
            return Access.OPEN
        return Access.TRIAL if state is BreakerState.HALF_OPEN and not self.breaker.has_trial else Access.BROKEN

    # ---- what happens to it

    def begin_leg(self, watch: LegWatch, now: float) -> None:
        """A leg takes a stream; where the breaker is half-open, it is the one that decides."""
        self.legs += 1
        self.watches[watch] = None
        if self.breaker.begin_trial(now):
            self.trial = watch

    def end_leg(self, watch: LegWatch) -> None:
        """The leg's stream is free again: whatever it was full of, there is room for one."""
        self.legs -= 1
        self.working -= watch.is_at_work
        self.watches.pop(watch, None)
        self._full_until = 0.0
        if self.trial is watch:
            self.trial = None
            self.breaker.abandon_trial()

    def failed(self, now: float) -> bool:
        """A leg failed on it or could not be opened, or a probe turn failed. Returns whether that says anything new:
        failures that come together, as with their server, are one for the breaker."""
        self.outcomes.failed(now)
        if not self.breaker.failed(now):
            return False
        self.trial = None
        return True

    def worked(self, since: float, now: float) -> bool:
        """A turn that began on a leg of `since` was transcribed. Returns whether that closes the breaker."""
        self.outcomes.worked(now)
        return self._has_worked(since)

    def pass_trial(self) -> None:
        """The leg that is its trial has been open for long enough."""
        if self.trial is not None:
            self._has_worked(self.trial.began_at)

    def _has_worked(self, since: float) -> bool:
        if not self.breaker.worked(since):
            return False
        self.trial = None
        return True

    def filled(self, now: float) -> None:
        """It answered that it has no room, which says nothing of its health."""
        self._full_until = now + FULL_S

    def eject(self, now: float) -> None:
        """It fails much more often than the others: leave it alone for a while, and judge it anew after that."""
        self.trial = None
        self.breaker.eject(now, EJECT_S)
        self._ejected_until = now + EJECT_S
        self.outcomes.clear()

    def health_changed(self) -> None:
        """It is ready, or not any more: how the legs fared on a server that went away says nothing of the next one."""
        if self.health.ready:
            self._was_ready = True
        else:
            self.outcomes.clear()

    def tally(self, now: float) -> Tally:
        """How its legs fared of late."""
        tally = self.outcomes.tally(now)
        return Tally(tally.good, tally.bad, is_ejected=now < self._ejected_until)

    # ---- what is shown

    def view(self, now: float) -> MemberView:
        """See `MemberView`."""
        state = self._state(now)
        return MemberView(
            name=self.name,
            url=self.spec.shown_url,
            kind="sagemaker" if self.spec.url.startswith("sagemaker:") else "vllm",
            state=state,
            reason=self._reason(state, now),
            weight=self.spec.weight,
            labels=dict(self.spec.labels),
            models=self.health.models,
            version=self.health.version,
            streams=self.legs,
            streams_max=self.streams_max,
            load=self.load,
            delay_p95_s=self.delay_p95_s,
            failures=self.breaker.failures,
            engine=self.health.load,
        )

    def _state(self, now: float) -> State:
        if self.is_draining:
            return "draining"
        if not self.health.ready:
            return "unready" if self._was_ready else "loading"
        if self.breaker.state(now) is not BreakerState.CLOSED:
            return "broken"
        return "full" if self.room(now) <= 0 else "ready"

    def _reason(self, state: State, now: float) -> str:
        if state == "draining":
            return "It is no member any more." if self.is_removed else "An operator drains it."
        if state == "broken":
            why = "Its streams fail more often than the others'" if now < self._ejected_until else self._row()
            wait_s = self.breaker.open_for_s(now)
            return f"{why}; it is left alone for {wait_s:.1f} s more." if wait_s else f"{why}; the next stream decides."
        if state == "full":
            if self.streams_max and self.legs >= self.streams_max:
                return "Its budget is in use."
            return "It takes no further stream." if now < self._full_until else "Streams wait within it."
        reasons = " ".join(self.health.judgement.reasons)
        if state == "ready":
            return reasons
        refusal = "" if self.refusal is None else self.refusal.detail
        return reasons or refusal or ("It does not answer." if state == "unready" else "It has not answered yet.")

    def _row(self) -> str:
        return "It failed" if self.breaker.failures < 2 else f"It failed {self.breaker.failures} times in a row"


def unique_name(spec: MemberSpec, taken: Sequence[str]) -> str:
    """A name for a member: its own, with a number behind it where another has it."""
    name = spec.name or spec.place
    number = 2
    unique = name
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    return unique
