# ruff: noqa: RUF009 - setting() is dataclasses.field() with the description required
"""The settings of one tenant: whose sessions are its, how many it may have, and how urgent they are."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parley.access.action import NODE
from parley.access.principal import principal_of_key
from parley.server.settings.types import AwsName, CountOrAuto, Names, Priority, RetentionName, setting

DEFAULT_PRIORITY = 5
"""The priority of everybody whom no entry names."""

_PRINCIPAL = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSettings:
    """One tenant: the clients that are counted together.

    A client that no entry names is a tenant of its own, with `admission.tenant_max_sessions` and priority 5; so are all
    clients without credentials, together. A credential may name a tenant itself; an entry then says the rest of it.
    Where none are asked for, those that are sent tell clients apart that mean well. A list of tables comes from the
    file alone: there are no options and no environment variables for it.
    """

    name: AwsName = setting("", "The tenant's name. Needed.")
    access_keys: Names = setting((), "Ids of the AWS access keys that its clients sign with.")
    principals: Names = setting(
        (),
        "Its other clients, each by the SHA-256, in hex, of the whole Authorization header that it sends, such as "
        "`Bearer KEY`.",
    )
    callers: Names = setting(
        (), "Its clients by what rules call them, such as `key:captions`, `jwt:ISSUER#SUBJECT` or `certificate:NAME`."
    )
    max_sessions: CountOrAuto = setting(0, "Live sessions that it has at a time. 0: any number.")
    priority: Priority = setting(
        DEFAULT_PRIORITY, "Of new sessions that wait, those of the highest priority get the next place that comes free."
    )
    audio_minutes_per_day: CountOrAuto = setting(
        0, "Minutes of audio that its clients may send in a day (UTC), to each node. 0: any number."
    )
    connects_per_minute: CountOrAuto = setting(
        0, "Sessions that its clients may begin or resume in a minute, at each node. 0: any number."
    )
    retention: RetentionName = setting("none", "What is kept of each of its sessions that says nothing of it.")
    retention_max: RetentionName = setting("none", "The most that one of its sessions may ask to be kept.")

    @property
    def all_principals(self) -> tuple[str, ...]:
        """Who it is, as listeners know their clients; see `access/principal.py`."""
        return (*map(principal_of_key, self.access_keys), *self.principals)


def tenant_problems(tenant: TenantSettings) -> Iterator[str]:
    """What is wrong with an entry although each value is of its type."""
    if tenant.name == NODE:
        yield f"name can't be {NODE}, which permissions call the node itself"
    for number, principal in enumerate(tenant.principals, 1):
        if not _PRINCIPAL.fullmatch(principal):
            # It may be the header itself, which holds a key.
            yield f"principals: entry {number} must be a SHA-256: 64 digits from 0 to 9 and a to f"


def tenants_problems(tenants: Sequence[TenantSettings]) -> Iterator[str]:
    """What is wrong with entries beside each other."""
    for name, count in Counter(tenant.name for tenant in tenants).items():
        if count > 1:
            yield f"tenants name {name} {count} times; put all its clients into one entry"
    whose: dict[str, str] = {}
    for tenant in tenants:
        for principal in tenant.all_principals:
            other = whose.setdefault(principal, tenant.name)
            if other != tenant.name:
                yield f"tenants {other} and {tenant.name} name the same client; a client is of one tenant"
