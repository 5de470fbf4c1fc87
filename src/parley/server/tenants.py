"""Which tenant a client is of."""

from collections.abc import Iterable

from parley.core.tenant import Tenant
from parley.server.settings.tenant import DEFAULT_PRIORITY, TenantSettings


class Tenants:
    """The tenants of the settings, and for everybody else one of their own, of at most `others_max` sessions (0: any
    number). Clients without credentials can't be told apart: they are one tenant."""

    def __init__(self, named: Iterable[TenantSettings], *, others_max: int) -> None:
        self._others_max = others_max
        self._named = {
            principal: Tenant(entry.name, entry.max_sessions, entry.priority)
            for entry in named
            for principal in entry.all_principals
        }

    def of(self, principal: str) -> Tenant:
        """The tenant of a client; see `access/principal.py`."""
        # The name of an entry is never as long as a principal.
        return self._named.get(principal) or Tenant(principal, self._others_max, DEFAULT_PRIORITY)
