"""A session's attachments: its client's connections, which come, read, go, and take the session from each other."""

from parley.core import events as ev
from parley.core.departure import Departure
from parley.core.effects import Attach, CloseAttachment, Effect, IssueToken
from parley.core.errors import ParleyError
from parley.core.intake import Intake
from parley.core.lifetime import Lifetime
from parley.core.limits import SessionLimits
from parley.core.notices import Outcome, Resumed
from parley.core.outlet import Outlet
from parley.core.relocation import Relocation
from parley.core.standing import Standing
from parley.core.supply import Supply


class Attachments:
    """At most one is attached, the newest; without one the session waits for its client, if that has opted in, until
    `deadline`. Effects are appended to `out`.

    `generation` is the number of the newest: connections are numbered in the order in which they were made. `is_over`
    says that the client is gone for good.
    """

    __slots__ = (
        "_departure",
        "_intake",
        "_lifetime",
        "_out",
        "_outlet",
        "_relocation",
        "_standing",
        "_supply",
        "_window_s",
        "deadline",
        "generation",
        "is_over",
    )

    def __init__(
        self,
        limits: SessionLimits,
        supply: Supply,
        intake: Intake,
        outlet: Outlet,
        standing: Standing,
        lifetime: Lifetime,
        departure: Departure,
        relocation: Relocation,
        out: list[Effect],
    ) -> None:
        self._window_s = limits.resume_window_s
        self._supply = supply
        self._intake = intake
        self._outlet = outlet
        self._standing = standing
        self._lifetime = lifetime
        self._departure = departure
        self._relocation = relocation
        self._out = out
        self.deadline: float | None = None
        self.generation = 0
        self.is_over = False

    def attach(self, generation: int) -> None:
        """A connection is the session's from here on; 0 stands for none."""
        self.generation = generation
        self.deadline = None
        self._intake.listen(generation)

    def window_s(self, now: float) -> float:
        """How long the client has, from now on, to come back."""
        return self._window_s if self.deadline is None else max(0.0, self.deadline - now)

    # ---- the one that is attached

    def blocked(self, _event: ev.ClientBlocked, _now: float) -> None:
        """The client does not read."""
        self._departure.client_reads = False
        self._outlet.shut()

    def unblocked(self, _event: ev.ClientUnblocked, now: float) -> None:
        """It reads again."""
        if self._departure.is_under_way:
            self._departure.client_reads = True
            return
        self._outlet.open()
        self._intake.reads_again()
        self._standing.reads_again(now)

    def resume_enabled(self, _event: ev.ResumeEnabled, now: float) -> None:
        """The client opted in: it gets what lets it come back."""
        if self._outlet.is_numbered or not self._window_s or self._departure.is_under_way:
            return
        self._outlet.begin_numbers()
        self._intake.begin_count()
        self._out.append(IssueToken())
        self._standing.tell(now)

    def closed(self, _event: ev.ClientClosed, now: float) -> None:
        """The connection is lost."""
        if self._outlet.is_numbered:
            self.detach(now)
        else:
            self.is_over = True

    def session_closed(self, _event: ev.SessionClosed, _now: float) -> None:
        """The client wants nothing more."""
        self.is_over = True

    def detach(self, now: float) -> None:
        """Nobody is attached from here on."""
        self._intake.listen(0)
        self._outlet.shut()
        self.deadline = now + self._window_s

    def look(self, now: float) -> None:
        """See whether the client has been waited for long enough.

        Raises:
            ParleyError: expired.
        """
        if self.deadline is not None and now >= self.deadline:
            raise ParleyError("expired")

    # ---- another

    def resume_requested(self, event: ev.ResumeRequested, now: float) -> None:
        """A connection presented the session's token: it is attached, or told why not."""
        code = self._refusal(event)
        if code:
            self._out.append(CloseAttachment(event.generation, ParleyError(code)))
            return
        intake, losses = self._intake, self._supply.losses
        if intake.generation:
            self._out.append(CloseAttachment(self.generation, ParleyError("superseded")))
        self.attach(event.generation)
        self._out.append(Attach(event.generation))
        replayed, lost = tuple(losses.restored), tuple(losses.missed)
        is_other_leg = bool(replayed) or self._relocation.is_new
        outcome = Outcome.RESTARTED if lost else Outcome.REHYDRATED if is_other_leg else Outcome.RESUMED
        self._relocation.is_new = False
        self._outlet.resume(Resumed(outcome, intake.inputs, intake.cursor, replayed, lost), event.seq)
        self._lifetime.attached(now)
        self._standing.tell(now)
        self._supply.pump(now)

    def _refusal(self, event: ev.ResumeRequested) -> str:
        if event.generation < self.generation:
            # It was on its way for longer than the one that is attached.
            return "superseded"
        if not self._outlet.can_repeat(event.seq):
            return "gap"
        return "moved" if self._departure.is_under_way else ""
