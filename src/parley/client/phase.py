"""Where a client's session with its server stands.

```
                           created, with an offer     updated
CONNECTING ──► GREETING ──────────────────────► OPTING ──────► LIVE ──── lost ──► WAITING ──► CONNECTING ──► RESUMING
                  └── created, no offer ──► STOCK ◄──► DORMANT   ▲                                              │
                                                                 └──────────────────── resumed ─────────────────┘
```
"""

from enum import Enum


class Phase(Enum):
    """A session's phase."""

    NEW = "new"
    CONNECTING = "connecting"
    GREETING = "greeting"
    OPTING = "opting"
    LIVE = "live"
    WAITING = "waiting"
    RESUMING = "resuming"
    STOCK = "stock"
    DORMANT = "dormant"
    ENDED = "ended"

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, greeted or not."""
        return self in _CONNECTED


_CONNECTED = frozenset({Phase.GREETING, Phase.OPTING, Phase.LIVE, Phase.RESUMING, Phase.STOCK})
