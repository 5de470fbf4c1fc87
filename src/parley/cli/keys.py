"""`parley keys`: the API keys of a server, in the file that access.keys_file names."""

import os
import re
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parley.cli.failure import Failure, Misuse

if TYPE_CHECKING:
    from parley.access.keys.api_key import ApiKey

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d{1,12})([smhdw])")
_SPAN_MAX_S = 36_525 * 86_400
_ID_MIN_CHARS = 4
_BEGINNING_OF_ID = re.compile(rf"[0-9a-f]{{{_ID_MIN_CHARS},12}}")

_FILE = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="PARLEY_ACCESS_KEYS_FILE",
    required=True,
    help="The file, access.keys_file of the server; PARLEY_ACCESS_KEYS_FILE does as well.",
)


class Span(click.ParamType[float]):
    """A duration such as 90d, in seconds."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See click.ParamType."""
        found = _SPAN.fullmatch(str(value))
        seconds = 0 if found is None else int(found[1]) * _UNITS_S[found[2]]
        if not 0 < seconds <= _SPAN_MAX_S:
            self.fail(
                "is to be a number and one of s, m, h, d and w, as in 90d, and a hundred years at most", param, ctx
            )
        return float(seconds)


@click.group("keys")
def command() -> None:
    """Make, list, replace and revoke API keys. A running server sees a change within a second."""


@command.command("create")
@_FILE
@click.option("--name", required=True, help="Whose key it is; rules and the audit log call it key:NAME.")
@click.option("--tenant", default="", help="The tenant that its holder is of.")
@click.option("--role", "roles", multiple=True, help="A role of its holder, such as operator. May be given again.")
@click.option("--expires-in", type=Span(), metavar="SPAN", help="How long it is good, as 90d. Without: for ever.")
@click.option("--description", default="", help="What it is for.")
@click.option("--quiet", is_flag=True, help="Print the key alone.")
def create(
    path: Path,
    name: str,
    tenant: str,
    roles: tuple[str, ...],
    expires_in: float | None,
    description: str,
    quiet: bool,
) -> None:
    """Make a key and print it, this once: only a hash of it is kept."""
    _check(name=name, tenant=tenant, roles=roles, description=description)
    fields = {"name": name, "tenant": tenant, "roles": roles, "description": description}

    def add(keys: "dict[str, ApiKey]") -> str:
        return _add(keys, fields, expires_in)

    key = _change(path, add, may_begin=True)
    _print_key(key, path, quiet=quiet)


@command.command("list")
@_FILE
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_keys(path: Path, as_json: bool) -> None:
    """List the keys: whose they are, and how long they are good. None is shown."""
    from parley.cli.table import print_json, print_table

    now_s = time.time()
    keys = sorted(_change(path, lambda keys: list(keys.values()), writes=False), key=lambda key: key.created_at_s)
    if as_json:
        shown = ({**asdict(key), "state": _state(key, now_s)} for key in keys)
        print_json([{name: value for name, value in one.items() if name not in ("hash", "salt")} for one in shown])
        return
    if not keys:
        print("There is no key in it. `parley keys create` makes one.")
        return
    header = ("ID", "NAME", "STATE", "TENANT", "ROLES", "CREATED", "EXPIRES", "DESCRIPTION")
    rows = [
        (
            *(key.id, key.name, _state(key, now_s), key.tenant or "-", ", ".join(key.roles) or "-"),
            *(_day(key.created_at_s), _day(key.expires_at_s), key.description or "-"),
        )
        for key in keys
    ]
    print_table(header, rows, spare=("DESCRIPTION", "CREATED", "ROLES"))


@command.command("rotate")
@click.argument("key_id", metavar="ID")
@_FILE
@click.option(
    "--overlap", type=Span(), default="7d", show_default=True, metavar="SPAN", help="How long the old one stays good."
)
@click.option("--expires-in", type=Span(), metavar="SPAN", help="How long the new one is good. Without: for ever.")
@click.option("--quiet", is_flag=True, help="Print the key alone.")
def rotate(key_id: str, path: Path, overlap: float, expires_in: float | None, quiet: bool) -> None:
    """Make a key of the same name, tenant and roles, and let the old one end after the overlap."""

    def succeed(keys: "dict[str, ApiKey]") -> str:
        old = _find(keys, key_id)
        now_s = time.time()
        if old.is_over(now_s):
            raise Failure(f"key-over: {old.id} is {_state(old, now_s)}; `parley keys create` makes a new one.")
        ends_at_s = now_s + overlap if old.expires_at_s is None else min(old.expires_at_s, now_s + overlap)
        keys[old.id] = replace(old, expires_at_s=ends_at_s)
        fields = {"name": old.name, "tenant": old.tenant, "roles": old.roles, "description": old.description}
        return _add(keys, fields, expires_in)

    key = _change(path, succeed)
    _print_key(key, path, quiet=quiet)


@command.command("revoke")
@click.argument("key_id", metavar="ID")
@_FILE
def revoke(key_id: str, path: Path) -> None:
    """Let a key be good no longer.

    Sessions that it began go on, and can't be resumed with it. `parley sessions end` ends one; the audit log says which
    they are: `parley audit show FILE --actor key:NAME --action start`.
    """

    def end(keys: "dict[str, ApiKey]") -> "ApiKey":
        key = _find(keys, key_id)
        keys[key.id] = replace(key, revoked_at_s=key.revoked_at_s or time.time())
        return keys[key.id]

    key = _change(path, end)
    print(f"{key.id} ({key.name}) is revoked.")


@command.command("prune")
@_FILE
def prune(path: Path) -> None:
    """Forget keys that are revoked or have expired."""

    def forget(keys: "dict[str, ApiKey]") -> int:
        over = [key.id for key in keys.values() if key.is_over(time.time())]
        for key_id in over:
            del keys[key_id]
        return len(over)

    count = _change(path, forget)
    print(f"{count} {'key was' if count == 1 else 'keys were'} forgotten.")


def _add(keys: "dict[str, ApiKey]", fields: dict[str, Any], expires_in: float | None) -> str:
    """Add a key with these fields; the key as it is written."""
    from parley.access.keys.api_key import ApiKey, hash_of, make, written
    from parley.access.keys.key_table import KEYS_MAX

    if len(keys) >= KEYS_MAX:
        raise Failure(
            f"too-many-keys: There are {KEYS_MAX} keys in it. `parley keys prune` forgets those that are over."
        )
    presented, salt = make(secrets.token_bytes)
    now_s = time.time()
    keys[presented.id] = ApiKey(
        id=presented.id,
        salt=salt,
        hash=hash_of(salt, presented.secret),
        created_at_s=now_s,
        expires_at_s=None if expires_in is None else now_s + expires_in,
        **fields,
    )
    return written(presented)


def _change[T](
    path: Path, change: "Callable[[dict[str, ApiKey]], T]", *, writes: bool = True, may_begin: bool = False
) -> T:
    from parley.access.keys.key_store import changing, open_keys
    from parley.access.watched_file import FileError

    try:
        if not writes:
            return change(open_keys(path).current)
        with changing(path, may_begin=may_begin) as keys:
            return change(keys)
    except FileError as error:
        raise Failure(*(f"keys-unusable: {problem}" for problem in error.problems)) from None
    except FileNotFoundError:
        if may_begin:
            raise Failure(f"keys-unwritable: There is no folder {path.parent}; make it first.") from None
        raise Failure(f"keys-not-found: There is no file {path}. `parley keys create --file` begins one.") from None
    except OSError as error:
        advice = " Run it as whoever owns it, or as root." if isinstance(error, PermissionError) else ""
        raise Failure(f"keys-unwritable: {path}: {os.strerror(error.errno or 0)}.{advice}") from None


def _check(*, name: str, tenant: str, roles: tuple[str, ...], description: str) -> None:
    from parley.access.action import TENANT, TENANT_RULE
    from parley.access.keys.key_table import NAME, NAME_RULE, ROLE, ROLE_RULE, ROLES_MAX

    problems = []
    if not NAME.fullmatch(name):
        problems.append(f"--name is to be {NAME_RULE}")
    if tenant and not TENANT.fullmatch(tenant):
        problems.append(f"--tenant is to be {TENANT_RULE}")
    if len(roles) > ROLES_MAX or not all(map(ROLE.fullmatch, roles)):
        problems.append(f"--role is to be {ROLE_RULE}, and may be given {ROLES_MAX} times")
    if len(description) > 256 or not description.isprintable():
        problems.append("--description is to be at most 256 characters on one line")
    if problems:
        raise Misuse(*(f"invalid-usage: {problem}." for problem in problems))


def _find(keys: "dict[str, ApiKey]", key_id: str) -> "ApiKey":
    if not _BEGINNING_OF_ID.fullmatch(key_id):
        # Without what it is: it may be a key.
        raise Misuse(
            "invalid-usage: ID is to be an id as `parley keys list` shows it, or its first "
            f"{_ID_MIN_CHARS} characters or more, and never the key itself."
        )
    found = [key for key in keys.values() if key.id.startswith(key_id)]
    if len(found) == 1:
        return found[0]
    if found:
        raise Failure(
            f"key-ambiguous: {key_id} begins the ids of {len(found)} keys: {', '.join(key.id for key in found)}."
        )
    raise Failure(f"key-not-found: No key in it has the id {key_id!r}. `parley keys list` shows them.")


def _print_key(key: str, path: Path, *, quiet: bool) -> None:
    print(key)
    if quiet or not sys.stdout.isatty():
        return
    print(
        f"\nThis is the only time that it is shown. Clients send it as\n    Authorization: Bearer {key[:19]}...\n"
        f"and the server takes it with\n    parley serve --set access.keys_file={path}",
        file=sys.stderr,
    )


def _state(key: "ApiKey", now_s: float) -> str:
    if key.revoked_at_s is not None:
        return "revoked"
    return "expired" if key.is_over(now_s) else "good"


def _day(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M") if seconds else "-"
