"""Access keys as an operator writes them down: TOML, one table for each.

```toml
[[key]]
access_key_id = "AKIDEXAMPLE"
secret_access_key = "some-forty-characters"
session_token = "of-any-length"            # of temporary credentials
expires_at = 2026-11-22T18:00:00Z
principal = "captions"                     # where several keys are one principal's
tenant = "acme"                            # whose it is, if no entry of [[tenants]] says
description = "For the caption service."
```
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from parley.access.action import TENANT, TENANT_RULE
from parley.access.sigv4.access_key import AccessKey
from parley.access.sigv4.authorization import ACCESS_KEY_ID
from parley.access.toml_tables import Check, check_table, raise_problems, read_tables, text, time_with_offset

KEYS_MAX = 1_000

_FIELDS: Mapping[str, Check] = {
    "access_key_id": text(ACCESS_KEY_ID, "1 to 128 letters, digits and _ . -"),
    "secret_access_key": text(re.compile(r"[!-~]{16,128}"), "16 to 128 printable ASCII characters without a space"),
    "session_token": text(re.compile(r"[!-~]{1,4096}"), "1 to 4096 printable ASCII characters without a space"),
    "expires_at": time_with_offset,
    "principal": text(re.compile(r"[^\x00-\x1f\x7f]{1,128}"), "1 to 128 characters"),
    "tenant": text(TENANT, TENANT_RULE),
    "description": text(re.compile(r"[^\x00-\x1f\x7f]{0,256}"), "at most 256 characters on one line"),
}
_NEEDED = ("access_key_id", "secret_access_key")


def parse_keys(document: bytes) -> dict[str, AccessKey]:
    """The keys of a TOML document, by id.

    Raises:
        FileError: with every problem of it. Keys are named by their numbers.
    """
    tables = read_tables(document, "key", tables_max=KEYS_MAX)
    problems: dict[int, list[str]] = {}
    numbers: dict[str, int] = {}
    keys: dict[str, AccessKey] = {}
    for number, table in enumerate(tables, 1):
        found = problems[number] = check_table(table, _FIELDS, _NEEDED)
        if not found:
            key = _key(table)
            first = numbers.setdefault(key.access_key_id, number)
            if first != number:
                found.append(f"has the access_key_id of key {first} again")
            keys[key.access_key_id] = key
    raise_problems("key", problems)
    return keys


def _key(table: Mapping[str, Any]) -> AccessKey:
    expires_at: datetime | None = table.get("expires_at")
    return AccessKey(
        access_key_id=table["access_key_id"],
        secret_access_key=table["secret_access_key"],
        session_token=table.get("session_token", ""),
        expires_at_s=expires_at.timestamp() if expires_at else None,
        principal=table.get("principal", ""),
        tenant=table.get("tenant", ""),
        description=table.get("description", ""),
    )
