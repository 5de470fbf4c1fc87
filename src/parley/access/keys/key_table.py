"""API keys as the file has them: TOML, one table for each, written by `parley keys`.

```toml
[[key]]
id = "1f0c6c9b77aa"
name = "captions"                     # whose it is; rules call it key:captions
hash = "6a...e1"                      # of its secret, with the salt
salt = "03...9d"
tenant = "acme"
roles = ["operator"]
created_at = 2026-11-22T18:00:00Z
expires_at = 2027-02-20T18:00:00Z
revoked_at = 2026-12-01T09:30:00Z
description = "For the caption service."
```
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from parley.access.action import TENANT, TENANT_RULE
from parley.access.keys.api_key import ID, ApiKey
from parley.access.toml_tables import Check, check_table, raise_problems, read_tables, text, texts, time_with_offset

KEYS_MAX = 1_000
ROLES_MAX = 16

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
ROLE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
NAME_RULE = "1 to 64 letters, digits and _ . @ - that begin with a letter or digit"
ROLE_RULE = "1 to 63 lower-case letters, digits and hyphens"

_HEADING = (
    "# API keys of Parley: only hashes of them. `parley keys` writes this file; what it does not know it would lose.\n"
)
_FIELDS: Mapping[str, Check] = {
    "id": text(ID, "12 digits from 0 to 9 and a to f"),
    "name": text(NAME, NAME_RULE),
    "hash": text(re.compile("[0-9a-f]{64}"), "64 digits from 0 to 9 and a to f"),
    "salt": text(re.compile("[0-9a-f]{32}"), "32 digits from 0 to 9 and a to f"),
    "tenant": text(TENANT, TENANT_RULE),
    "roles": texts(ROLE, ROLE_RULE, most=ROLES_MAX),
    "description": text(re.compile(r"[^\x00-\x1f\x7f]{0,256}"), "at most 256 characters on one line"),
    "created_at": time_with_offset,
    "expires_at": time_with_offset,
    "revoked_at": time_with_offset,
}
_NEEDED = ("id", "name", "hash", "salt")


def parse_api_keys(document: bytes) -> dict[str, ApiKey]:
    """The keys of a document, by id.

    Raises:
        FileError: with every problem of it. Keys are named by their numbers.
    """
    tables = read_tables(document, "key", tables_max=KEYS_MAX, may_be_empty=True)
    problems: dict[int, list[str]] = {}
    numbers: dict[str, int] = {}
    keys: dict[str, ApiKey] = {}
    for number, table in enumerate(tables, 1):
        found = problems[number] = check_table(table, _FIELDS, _NEEDED)
        if not found:
            key = _key(table)
            first = numbers.setdefault(key.id, number)
            if first != number:
                found.append(f"has the id of key {first} again")
            keys[key.id] = key
    raise_problems("key", problems)
    return keys


def format_api_keys(keys: Iterable[ApiKey]) -> bytes:
    """The document of these keys."""
    return (_HEADING + "".join(f"\n[[key]]\n{_format(key)}" for key in keys)).encode()


def _key(table: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        id=table["id"],
        salt=bytes.fromhex(table["salt"]),
        hash=bytes.fromhex(table["hash"]),
        name=table["name"],
        tenant=table.get("tenant", ""),
        roles=tuple(table.get("roles", ())),
        description=table.get("description", ""),
        created_at_s=_seconds(table, "created_at") or 0.0,
        expires_at_s=_seconds(table, "expires_at"),
        revoked_at_s=_seconds(table, "revoked_at"),
    )


def _seconds(table: Mapping[str, Any], name: str) -> float | None:
    at: datetime | None = table.get(name)
    return None if at is None else at.timestamp()


def _format(key: ApiKey) -> str:
    # What JSON makes of these texts, none of which has a control character, is what TOML takes for them.
    fields: dict[str, str] = {
        "id": json.dumps(key.id),
        "name": json.dumps(key.name),
        "hash": json.dumps(key.hash.hex()),
        "salt": json.dumps(key.salt.hex()),
    }
    if key.tenant:
        fields["tenant"] = json.dumps(key.tenant)
    if key.roles:
        fields["roles"] = json.dumps(list(key.roles))
    if key.description:
        fields["description"] = json.dumps(key.description, ensure_ascii=False)
    times = {"created_at": key.created_at_s, "expires_at": key.expires_at_s, "revoked_at": key.revoked_at_s}
    fields |= {name: _time(seconds) for name, seconds in times.items() if seconds}
    return "".join(f"{name} = {value}\n" for name, value in fields.items())


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
