"""`parley audit`: who did what, as the audit log of a node says, and whether that is as it was written."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parley.cli.failure import Failure, Misuse

if TYPE_CHECKING:
    from parley.access.audit_chain import Verdict

_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_HASH_CHARS = 64


@click.group("audit")
def command() -> None:
    """Check or show the audit log of a node, audit.file in its settings."""


@command.command("verify")
@_FILE
@click.option("--key-file", type=click.Path(path_type=Path, dir_okay=False), help="audit.key_file of the node.")
@click.option("--head", metavar="HASH", help="The last hash that is known: a log that was cut off does not have it.")
def verify(file: Path, key_file: Path | None, head: str | None) -> None:
    """Follow the chain of a log from its first line to its last, through the files that were closed.

    Exit status 0: every line is as it was written, and in its place. 1: one is not, or the log ends too early.
    """
    from parley.access.audit_chain import verify as follow

    if head is not None and len(head) != _HASH_CHARS:
        raise Misuse(f"invalid-usage: --head takes a hash of {_HASH_CHARS} digits, as the node logs it when it stops.")
    hashes: deque[str] = deque(maxlen=1)
    try:
        key = b"" if key_file is None else key_file.read_bytes().strip()
        verdict = follow(_passing(file, head, hashes), key)
    except OSError as error:
        raise Failure(f"file-unreadable: {error.filename}: {error.strerror}.") from None
    if verdict.fault is not None:
        raise Failure(*_describe(file, verdict, has_key=bool(key)))
    if head is not None and not hashes:
        raise Failure(
            f"log-cut-off: All {verdict.lines} lines hold, but none of them has the hash {head}: lines are missing at "
            "the end, or it is another node's."
        )
    print(f"{verdict.lines} lines hold; the last is number {verdict.end.seq}: {verdict.end.hash}")
    if verdict.lines and verdict.end.seq != verdict.lines:
        print(f"The log begins at number {verdict.end.seq - verdict.lines + 1}: what was before it is kept elsewhere.")


def _passing(file: Path, head: str | None, hashes: deque[str]) -> Iterator[bytes]:
    """The lines of a log; `hashes` gets the one that is looked for when it passes."""
    from parley.access.audit_file import lines_of

    mark = b"" if head is None else f'"hash":"{head}"'.encode()
    for line in lines_of(file):
        if mark and mark in line:
            hashes.append(head or "")
        yield line


def _describe(file: Path, verdict: "Verdict", *, has_key: bool) -> list[str]:
    assert verdict.fault is not None
    lines = [f"log-tampered: {file}: line {verdict.fault.line}: {verdict.fault.why}."]
    if verdict.lines:
        lines.append(f"The {verdict.lines} lines before it hold; what follows it proves nothing.")
    elif not has_key:
        lines.append("If the node has an audit.key_file, name it with --key-file.")
    return lines


@command.command("show")
@_FILE
@click.option("--session", default="", help="Only what was done to this session; the first characters suffice.")
@click.option("--actor", default="", help="Only what this caller did, such as key:captions.")
@click.option("--action", default="", help="Only this action, such as read.")
@click.option("--last", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many, the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print the lines themselves.")
def show(file: Path, session: str, actor: str, action: str, last: int, as_json: bool) -> None:
    """Show who did what, the newest last. Nothing is checked: `parley audit verify` does that."""
    import json

    from parley.access.audit_file import lines_of
    from parley.cli.table import print_table

    found: deque[tuple[dict[str, Any], str]] = deque(maxlen=last)
    try:
        for line in lines_of(file):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if (
                isinstance(entry, dict)
                and str(entry.get("session", "")).startswith(session)
                and actor in ("", entry.get("actor"))
                and action in ("", entry.get("action"))
            ):
                found.append((entry, line.decode(errors="replace").rstrip("\n")))
    except OSError as error:
        raise Failure(f"file-unreadable: {error.filename}: {error.strerror}.") from None
    if as_json:
        for _, text in found:
            print(text)
        return
    header = ("time", "actor", "action", "outcome", "tenant", "session")
    rows = [[_tenant(entry) if name == "tenant" else _shown(entry.get(name)) for name in header] for entry, _ in found]
    if not rows:
        print("Nothing in it fits.")
        return
    print_table(header, rows, spare=("tenant", "time"))


def _tenant(entry: dict[str, Any]) -> str:
    """The tenant's name; `own` for a caller that is one of its own, whose name is a hash."""
    tenant = entry.get("tenant")
    return "own" if tenant and tenant == entry.get("principal") else _shown(tenant)


def _shown(value: object) -> str:
    """A value of a line that may be anybody's: no line of a table is forged with it."""
    text = "" if value is None else str(value)
    return "".join(one if one.isprintable() else "?" for one in text) or "-"
