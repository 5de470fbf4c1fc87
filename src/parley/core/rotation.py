"""When a leg is replaced while it still works."""

from parley.core.content import SAMPLE_RATE
from parley.core.limits import SessionLimits
from parley.core.profile import ModelProfile

_NEVER = 2**62
_AT_A_PAUSE_SHARE = 0.5
_AT_ONCE_SHARE = 0.85
"""Shares of the model's context from which a leg is replaced at a pause, and without one."""
_RETRY_S = 5.0
"""Speech after which another successor is asked for, when one came to nothing."""


class Rotation:
    """Ages in frames that a leg has worked on its turn.

    From `due_frames` on the leg is replaced at a pause, from the limit on without one. Both come from the settings,
    which count what the leg was the first to hear, or, where it is known, from the length of the model's context
    (`context_s`, 0 when it is not), which all of it fills; whichever is earlier. What a successor hears again does not
    make it older: where a replay is long, rotating would otherwise be all that is done. A model without a clock isn't
    rotated: its age is not known.

    `is_asked`: the leg is to be replaced whatever its age, at its next pause, or, from the time `at_once_at` on,
    without one; that is None when there is no such time, or it has come.
    """

    __slots__ = (
        "_at_once_frames",
        "_context_frames",
        "_frame_s",
        "_has_clock",
        "_is_overdue",
        "_pause_frames",
        "_set_frames",
        "_wait_until",
        "at_once_at",
        "due_frames",
        "is_asked",
    )

    def __init__(self, limits: SessionLimits, profile: ModelProfile, *, context_s: float) -> None:
        self._frame_s = profile.frame_samples / SAMPLE_RATE
        self._pause_frames = profile.settle_frames
        self._has_clock = profile.has_clock
        self._set_frames = self._frames(limits.rotate_after_s), self._frames(limits.rotate_force_s)
        shares = _AT_A_PAUSE_SHARE, _AT_ONCE_SHARE
        at_a_pause, at_once = (self._frames(context_s * share) if context_s else _NEVER for share in shares)
        self._context_frames = at_a_pause, at_once
        self.withdraw()
        self.began(0)

    def _frames(self, seconds: float) -> int:
        return int(seconds / self._frame_s)

    def ask(self, at_once_at: float | None = None) -> None:
        """Replace the leg at its next pause, whatever its age. Who asks again asks for another attempt."""
        self.is_asked = True
        self.at_once_at = None if self._is_overdue else at_once_at
        self._wait_until = 0
        if self._has_clock:
            self.due_frames = 0

    def withdraw(self) -> None:
        """The leg that was meant is gone."""
        self.is_asked = self._is_overdue = False
        self.at_once_at = None

    def look(self, now: float) -> None:
        """See whether the time has come from which no pause is waited for."""
        if self.at_once_at is not None and now >= self.at_once_at:
            self.at_once_at = None
            self._is_overdue = True

    @property
    def must_break(self) -> bool:
        """Whether the leg is to go at once, and none can succeed it while it works."""
        return self._is_overdue and not self._has_clock

    def is_forced(self, frames: int) -> bool:
        """Whether the model can't go on for much longer with a leg of this age."""
        return frames >= self._at_once_frames

    def is_due(self, frames: int, silent_frames: int) -> bool:
        """Whether a leg of this age, in a run of so many empty deltas, is to be replaced now."""
        if frames < self._wait_until or not self._has_clock:
            return False
        if frames >= self._at_once_frames or self._is_overdue:
            return True
        return frames >= self.due_frames and silent_frames >= self._pause_frames

    def tried(self, frames: int) -> None:
        """A successor was asked for; if nothing comes of it, the next one has to wait."""
        self._wait_until = frames + self._frames(_RETRY_S)

    def began(self, again_frames: int) -> None:
        """A leg begins to work, with its age at zero; so many frames another has heard before it."""
        self._wait_until = 0
        if not self._has_clock:
            self.due_frames = self._at_once_frames = _NEVER
            return
        at_a_pause, at_once = (
            min(own + again_frames, context)
            for own, context in zip(self._set_frames, self._context_frames, strict=True)
        )
        self._at_once_frames = at_once
        self.due_frames = 0 if self.is_asked else min(at_a_pause, at_once)

    def replaced(self, again_frames: int) -> None:
        """The leg is another, which has heard or will hear so many frames that others had heard before it."""
        self.withdraw()
        self.began(again_frames)
