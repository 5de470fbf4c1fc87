"""Whoever sent a request, once it is known who."""

from dataclasses import dataclass, field
from typing import Literal

Method = Literal["none", "sigv4", "api-key", "jwt", "browser-token", "certificate", "operator-token"]
"""How a caller showed who it is."""

OPERATOR = "operator"
"""The role of those who look after a node."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request.

    `principal` is whose it is, as a hash that may be kept, compared and logged: sessions are bound to it. It is empty
    for nobody in particular. `name` is what the operator calls it, as `key:captions` or `jwt:ISSUER#SUBJECT`, for rules
    and the audit log alone. `tenant` is empty for one that is a tenant of its own. `expires_at_s` is when the
    credential ends, in seconds since 1970; None when it does not.
    """

    principal: str = ""
    name: str = field(default="", repr=False)
    tenant: str = ""
    roles: frozenset[str] = frozenset()
    method: Method = "none"
    expires_at_s: float | None = None

    @property
    def tenant_name(self) -> str:
        """The tenant that its sessions are of: the one that is named, or its own."""
        return self.tenant or self.principal


NOBODY = Caller()
"""Whoever shows no credentials where none are asked for."""
