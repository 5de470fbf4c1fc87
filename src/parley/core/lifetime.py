"""How long a session may last: nothing from its client, nothing said, too long, too far behind."""

from parley.core.errors import ParleyError
from parley.core.intake import Intake
from parley.core.limits import SessionLimits
from parley.core.outlet import Outlet
from parley.core.profile import ModelProfile
from parley.core.standing import Standing
from parley.core.supply import Supply
from parley.core.turns import TurnQueue

_LOOKS = 8
_LOOK_MAX_S = 5.0
"""How often is looked whether anything has happened: so many times in the time allowed, or after so long."""
_LAG_LOOK_S = 1.0
_IDLE_LAG_S = 1.0
"""A model that is so far behind has not yet been silent."""


class Countdown:
    """A time allowed, `limit_s`, that runs from `since`; None while it rests. The client is told `notice_s` before its
    end, and again when it has been taken back and comes near again."""

    __slots__ = ("cause", "code", "detail", "is_told", "limit_s", "notice_s", "since")

    def __init__(self, cause: str, code: str, detail: str, limit_s: float, notice_s: float) -> None:
        self.cause = cause
        self.code = code
        self.detail = detail
        self.limit_s = limit_s
        self.notice_s = min(notice_s, limit_s / 2)
        self.since: float | None = None
        self.is_told = False

    def look(self, standing: Standing, now: float) -> None:
        """Tell, take back or end the session, which raises."""
        end = None if self.since is None else self.since + self.limit_s
        if end is not None and now >= end:
            raise ParleyError(self.code, f"{self.detail} {self.limit_s:g} s.")
        is_near = end is not None and now >= end - self.notice_s
        if end is None or not is_near:
            self.spare(standing)
        elif not self.is_told:
            self.is_told = True
            standing.expiring(self.cause, self.code, end, now)

    def spare(self, standing: Standing) -> None:
        """Take back what was told."""
        self.is_told = False
        standing.spared(self.cause)

    def next_at(self) -> float | None:
        """When there is something to do, if nothing happens until then."""
        if self.since is None:
            return None
        return self.since + self.limit_s - (0.0 if self.is_told else self.notice_s)


class Lifetime:
    """Looks at counters that exist anyway, now and then, so that audio and text cost nothing more: an idle session ends
    up to an eighth of its time late, 5 s at most, and never early. Raises ParleyError idle-timeout, duration-limit or
    lag-limit.

    A client is idle when it sends nothing though it is read and owed nothing; a session is silent when the model has
    heard all and says nothing, and no turn begins or ends. `heard_at` is when the last message came, as far as is
    known, and `opened_at` when the session began.
    """

    __slots__ = (
        "_countdowns",
        "_duration",
        "_input_idle",
        "_intake",
        "_is_on",
        "_lag",
        "_lag_bounds_s",
        "_lag_notice_s",
        "_lag_told_s",
        "_look_s",
        "_next_at",
        "_outlet",
        "_patience_samples",
        "_rests",
        "_seen_cursor",
        "_seen_speech",
        "_speech_idle",
        "_standing",
        "_supply",
        "_turns",
        "heard_at",
        "opened_at",
    )

    def __init__(
        self,
        limits: SessionLimits,
        profile: ModelProfile,
        turns: TurnQueue,
        supply: Supply,
        intake: Intake,
        outlet: Outlet,
        standing: Standing,
    ) -> None:
        self._turns = turns
        self._supply = supply
        self._intake = intake
        self._outlet = outlet
        self._standing = standing
        self._rests = False
        notice_s = limits.expiry_notice_s
        self._input_idle = Countdown(
            "input", "idle-timeout", "Nothing came from the client for", limits.input_idle_timeout_s, notice_s
        )
        self._speech_idle = Countdown(
            "speech", "idle-timeout", "No speech was heard for", limits.speech_idle_timeout_s, notice_s
        )
        self._duration = Countdown("duration", "duration-limit", "It may last", limits.duration_max_s, notice_s)
        self._lag = Countdown("lag", "lag-limit", "It may fall behind by", limits.lag_max_s, notice_s)
        all_of_them = (self._input_idle, self._speech_idle, self._duration, self._lag)
        self._countdowns = [each for each in all_of_them if each.limit_s]
        idle_s = [each.limit_s / _LOOKS for each in (self._input_idle, self._speech_idle) if each.limit_s]
        self._look_s = min([*idle_s, _LOOK_MAX_S]) if idle_s else 0.0
        self._lag_notice_s = limits.lag_notice_s
        self._lag_told_s = 0.0
        self._lag_bounds_s = [each for each in (limits.lag_notice_s, limits.lag_max_s - self._lag.notice_s) if each]
        # What a model may have without answering: what it needs before it says anything, and a part of a frame.
        self._patience_samples = (profile.head_frames + 1) * profile.frame_samples + profile.look_ahead_samples
        self._next_at: float | None = None
        self._is_on = bool(self._countdowns or limits.lag_notice_s)
        self._seen_cursor = 0
        self._seen_speech = (0, 0)
        self.heard_at = 0.0
        self.opened_at = 0.0

    # ---- what happens

    def begin(self, now: float, age_s: float = 0.0) -> None:
        """The session begins, or goes on elsewhere, having lasted so long."""
        self._duration.since = self.opened_at = now - age_s
        self.attached(now)

    def attached(self, now: float) -> None:
        """A client is there. That it sent nothing and said nothing while it was not, is not held against it."""
        self.heard_at = now
        if self._is_on:
            self._speech_idle.since = self._next_at = now
            for countdown in (self._input_idle, self._speech_idle):
                countdown.spare(self._standing)

    # ---- time

    def deadline(self) -> float | None:
        """When to look next; None when nothing is limited."""
        return self._next_at

    def lag_s(self, now: float) -> float:
        """How long ago the oldest audio came that the model was to answer and has not, in seconds; less than a second
        of audio is none.

        A session that waits for a stream, or for its client to read, waits for no model, nor does a parked one.
        """
        since = self._behind_since(now)
        return 0.0 if since is None else now - since

    def _behind_since(self, now: float) -> float | None:
        supply, arrivals = self._supply, self._intake.arrivals
        is_parked = supply.legs.at_work is None and supply.losses.recovery is None
        if is_parked or supply.legs.is_queued or self._outlet.is_blocking:
            self._rests = True
            return None
        if self._rests:
            # What came meanwhile the model could not be asked for.
            self._rests = False
            arrivals.renew(0, now)
        return arrivals.oldest(self._patience_samples)

    def look(self, now: float) -> None:
        """See what happened, and what follows from it; does nothing before it is due."""
        if self._next_at is None or now < self._next_at:
            return
        self._see(now)
        for countdown in self._countdowns:
            countdown.look(self._standing, now)
        lag_s = 0.0 if self._lag.since is None else now - self._lag.since
        if self._lag_notice_s:
            self._tell(lag_s, now)
        times = [now + self._look_s] if self._look_s and self._intake.generation else []
        times += [at for at in (each.next_at() for each in self._countdowns) if at is not None]
        for bound_s in self._lag_bounds_s:
            # It grows no faster than time.
            times.append(now + max(_LAG_LOOK_S, bound_s - lag_s))
        self._next_at = min(times, default=None)

    def _see(self, now: float) -> None:
        intake, head = self._intake, self._turns.head
        self._lag.since = self._behind_since(now)
        if not intake.generation:
            self._input_idle.since = self._speech_idle.since = None
            return
        if intake.cursor != self._seen_cursor:
            self._seen_cursor = intake.cursor
            self.heard_at = now
        is_owed = head is not None and head.closed
        if is_owed or intake.is_paused:
            self.heard_at = now
        self._input_idle.since = self.heard_at
        speech = self._turns.count, 0 if head is None else head.transcript.last_position
        is_behind = self._lag.since is not None and now - self._lag.since > _IDLE_LAG_S
        if speech != self._seen_speech or is_owed or is_behind or self._standing.is_queued:
            self._seen_speech = speech
            self._speech_idle.since = now

    def _tell(self, lag_s: float, now: float) -> None:
        """Told when it is over the notice, again when it has doubled or halved, and when it is caught up."""
        told_s, notice_s = self._lag_told_s, self._lag_notice_s
        if lag_s <= notice_s / 2:
            lag_s = 0.0
        elif lag_s <= notice_s and not told_s:
            return
        if lag_s != told_s and not told_s / 2 < lag_s < told_s * 2:
            self._lag_told_s = lag_s
            self._standing.lagging(lag_s, now)
