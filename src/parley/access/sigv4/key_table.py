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

import difflib
import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from parley.access.action import TENANT, TENANT_RULE
from parley.access.sigv4.access_key import AccessKey
from parley.access.sigv4.authorization import ACCESS_KEY_ID

KEYS_MAX = 1_000

_PROBLEMS_SHOWN_MAX = 20
_FIELDS = ("access_key_id", "secret_access_key", "session_token", "expires_at", "principal", "tenant", "description")
_SHOWN_NAME = re.compile(r"[a-z_]{1,32}")
_POSITION = re.compile(r"\((at line \d+, column \d+|at end of document)\)")
_PATTERNS = {
    "access_key_id": (ACCESS_KEY_ID, "1 to 128 letters, digits and _ . -"),
    "secret_access_key": (re.compile(r"[!-~]{16,128}"), "16 to 128 printable ASCII characters without a space"),
    "session_token": (re.compile(r"[!-~]{1,4096}"), "1 to 4096 printable ASCII characters without a space"),
    "principal": (re.compile(r"[^\x00-\x1f\x7f]{1,128}"), "1 to 128 characters"),
    "tenant": (TENANT, TENANT_RULE),
    "description": (re.compile(r"[^\x00-\x1f\x7f]{0,256}"), "at most 256 characters on one line"),
}


class CredentialsError(Exception):
    """Access keys can't be had. `problems` says why, each with what to do, and shows no secret."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


def parse_keys(document: bytes) -> dict[str, AccessKey]:
    """The keys of a TOML document, by id.

    Raises:
        CredentialsError: with every problem of it. Keys are named by their numbers.
    """
    tables = _tables(document)
    keys: dict[str, AccessKey] = {}
    numbers: dict[str, int] = {}
    problems: list[str] = []
    for number, table in enumerate(tables, 1):
        found = _check(table)
        if not found:
            key = _key(table)
            first = numbers.setdefault(key.access_key_id, number)
            if first != number:
                found = [f"has the access_key_id of key {first} again"]
            keys[key.access_key_id] = key
        problems += [f"key {number}: {problem}." for problem in found]
    if problems:
        left_out = len(problems) - _PROBLEMS_SHOWN_MAX
        raise CredentialsError(
            *problems[:_PROBLEMS_SHOWN_MAX], *([f"and {left_out} problems more."] if left_out > 0 else [])
        )
    return keys


def _tables(document: bytes) -> list[dict[str, Any]]:
    try:
        root = tomllib.loads(document.decode())
    except UnicodeDecodeError:
        raise CredentialsError("It is not UTF-8.") from None
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError, and the parser's own words may hold what it read.
        position = _POSITION.search(str(error))
        raise CredentialsError(f"It is not TOML{f' ({position[1]})' if position else ''}.") from None
    tables = root.get("key")
    if isinstance(tables, dict):
        raise CredentialsError("There is a table [key]; write [[key]], with two brackets on each side.")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables) or not tables:
        raise CredentialsError("There is no key in it; write a table [[key]] for each.")
    if len(root) > 1:
        raise CredentialsError("There is something else in it than [[key]] tables.")
    if len(tables) > KEYS_MAX:
        raise CredentialsError(f"There are {len(tables)} keys in it; {KEYS_MAX} are allowed.")
    return tables


def _check(table: Mapping[str, object]) -> list[str]:
    """What is wrong with a key."""
    problems = [_unknown(name) for name in table if name not in _FIELDS]
    for name, (pattern, allowed) in _PATTERNS.items():
        value = table.get(name)
        if value is None:
            if name in ("access_key_id", "secret_access_key"):
                problems.append(f"{name} is missing")
        elif not isinstance(value, str):
            problems.append(f"{name} is not a string")
        elif not pattern.fullmatch(value):
            problems.append(f"{name} is to be {allowed}")
    expires_at = table.get("expires_at")
    if expires_at is not None and (not isinstance(expires_at, datetime) or expires_at.tzinfo is None):
        problems.append("expires_at is to be a time with its offset and without quotes, as 2026-11-22T18:00:00Z")
    return problems


def _unknown(name: str) -> str:
    # A name that looks like none of ours may be a value that got onto the wrong side.
    if not _SHOWN_NAME.fullmatch(name):
        return "there is an unknown field"
    near = difflib.get_close_matches(name, _FIELDS, n=1)
    return f"there is no field {name}" + (f"; {near[0]} was meant?" if near else "")


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
