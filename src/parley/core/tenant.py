"""A tenant: clients that are counted together."""

from dataclasses import dataclass

PRIORITY_MAX = 9


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose sessions are counted together, how many there may be (0: any number), and how urgent new ones are: those of
    a higher `priority`, of 0 to 9, are served first."""

    name: str
    sessions_max: int = 0
    priority: int = 5
