"""Which tenant a client is of."""

from collections.abc import Iterable

from parley.access.caller import Caller
from parley.core.tenant import Tenant
from parley.server.settings.tenant import DEFAULT_PRIORITY, TenantSettings


class Tenants:
    """The tenants of the settings, and for everybody else one of their own, of at most `others_max` sessions (0: any
    number). Clients without credentials can't be told apart: they are one tenant."""

    def __init__(self, named: Iterable[TenantSettings], *, others_max: int) -> None:
        self._others_max = others_max
        entries = tuple(named)
        self._tenants = {entry.name: Tenant(entry.name, entry.max_sessions, entry.priority) for entry in entries}
        self._of_principal = {principal: entry for entry in entries for principal in entry.all_principals}
        self._of_name = {name: entry for entry in entries for name in entry.callers}

    def name_of(self, caller: Caller) -> str:
        """The tenant that the settings put a caller into; empty for none."""
        entry = self._of_principal.get(caller.principal) or self._of_name.get(caller.name)
        return "" if entry is None else entry.name

    def of(self, caller: Caller) -> Tenant:
        """The tenant that a caller's sessions count to."""
        name = caller.tenant or self.name_of(caller)
        # The name of an entry is never as long as a principal.
        return self._tenants.get(name) or Tenant(name or caller.principal, self._others_max, DEFAULT_PRIORITY)
