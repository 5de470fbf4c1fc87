"""The seam between a session and what keeps it: what encrypts and writes is loaded only where something is kept."""

from collections.abc import Callable
from typing import Protocol

from parley.core.content import Audio
from parley.core.effects import KeepTurn
from parley.core.retention import Retention


class Recording(Protocol):
    """Keeps one session. No method waits or raises."""

    def hear(self, audio: Audio, cursor: int) -> None:
        """Audio was received, and the session's cursor is behind it; where it is not, the audio was not taken."""

    def keep(self, turn: KeepTurn) -> None:
        """A turn has its final text."""

    def finish(self, reason: str) -> None:
        """The session is over here, with this outcome."""

    def discard(self) -> None:
        """Nothing of the session is to be kept, not even what was."""


Record = Callable[[Retention, int], Recording]
"""Makes what keeps a session from here on, given the audio that it had before, in samples."""
