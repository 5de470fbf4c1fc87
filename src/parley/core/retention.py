"""How much of a session is kept when it is over: what the tenant has kept, and what the session itself asks for."""

from dataclasses import dataclass
from enum import StrEnum


class Retention(StrEnum):
    """What is kept, least first."""

    NONE = "none"
    TRANSCRIPT = "transcript"
    DEBUG_AUDIO = "debug-audio"

    @property
    def rank(self) -> int:
        """More is kept with a higher one."""
        return _ORDER.index(self)


_ORDER = tuple(Retention)


@dataclass(frozen=True, slots=True)
class RetentionTerms:
    """What a tenant's sessions leave behind that say nothing of it, and the most that one may ask for. Without
    `is_offered` nothing can be kept at all."""

    usual: Retention = Retention.NONE
    most: Retention = Retention.NONE
    is_offered: bool = False
