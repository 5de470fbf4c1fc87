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

    From `due_frames` on the leg is replaced at a pause, from the limit on without one. Both come from the settings or,
    where it is known, from the length of the model's context (`context_s`, 0 when it is not), whichever is earlier. A
    model without a clock isn't rotated: its age is not known.
    """

    __slots__ = (
        "_at_once_frames",
        "_frame_s",
        "_pause_frames",
        "_set_frames",
        "_wait_until",
        "due_frames",
    )

    def __init__(self, limits: SessionLimits, profile: ModelProfile, *, context_s: float) -> None:
        self._frame_s = profile.frame_samples / SAMPLE_RATE
        self._pause_frames = profile.settle_frames
        self._wait_until = 0
        at_a_pause_s, at_once_s = limits.rotate_after_s, limits.rotate_force_s
        if context_s:
            at_a_pause_s = min(at_a_pause_s, context_s * _AT_A_PAUSE_SHARE)
            at_once_s = min(at_once_s, context_s * _AT_ONCE_SHARE)
        self._set_frames = int(at_a_pause_s / self._frame_s) if profile.has_clock else _NEVER
        self._at_once_frames = int(at_once_s / self._frame_s) if profile.has_clock else _NEVER
        self.due_frames = min(self._set_frames, self._at_once_frames)

    def ask(self) -> None:
        """Replace the leg at its next pause, whatever its age."""
        if self._set_frames != _NEVER:
            self.due_frames = 0

    def is_due(self, frames: int, silent_frames: int) -> bool:
        """Whether a leg of this age, in a run of so many empty deltas, is to be replaced now."""
        if frames < self._wait_until:
            return False
        if frames >= self._at_once_frames:
            return True
        return frames >= self.due_frames and silent_frames >= self._pause_frames

    def tried(self, frames: int) -> None:
        """A successor was asked for; if nothing comes of it, the next one has to wait."""
        self._wait_until = frames + int(_RETRY_S / self._frame_s)

    def began(self) -> None:
        """A leg begins to work, with its age at zero."""
        self._wait_until = 0

    def done(self) -> None:
        """The leg is another."""
        self._wait_until = 0
        self.due_frames = min(self._set_frames, self._at_once_frames)
