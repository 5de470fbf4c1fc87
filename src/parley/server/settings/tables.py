"""Reads the lists of tables of a settings file: every entry whole, with all that is wrong in it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from parley.server.keys import Key
from parley.server.settings.document import ENTRIES, TABLES
from parley.server.settings.endpoint_checks import entry_problems, list_problems
from parley.server.settings.tenant import tenant_problems, tenants_problems
from parley.server.settings.types import NAME_MAX_CHARS
from parley.server.settings.upstream import upstream_problems, upstreams_problems
from parley.server.settings.wording import hint, not_what_it_is, shown

ENTRIES_MAX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a list of tables asks of its entries beside the types of their values.

    `needs` maps the keys without which there is no entry to what they are; `of_entry` and `of_list` say what is wrong
    with an entry, and with entries beside each other.
    """

    needs: Mapping[str, str]
    of_entry: Callable[[Any], Iterable[str]]
    of_list: Callable[[Sequence[Any]], Iterable[str]]


RULES: Mapping[str, Rules] = {
    "endpoints": Rules(
        needs={"name": "it is what clients call"},
        of_entry=entry_problems,
        of_list=list_problems,
    ),
    "tenants": Rules(
        needs={"name": "it is what messages and listings call it"},
        of_entry=tenant_problems,
        of_list=tenants_problems,
    ),
    "upstreams": Rules(
        needs={"url": "it says where the model server is"},
        of_entry=upstream_problems,
        of_list=upstreams_problems,
    ),
}


def read_table(table: str, entries: object) -> tuple[tuple[Any, ...], list[str]]:
    """The entries of the list of tables of this name, and the problems with them. One that can't be read is not among
    them."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return (), [f"{table} is a list of tables: write [[{table}]], and the keys of each entry below its own"]
    if len(entries) > ENTRIES_MAX:
        return (), [f"{table} has {len(entries)} entries; at most {ENTRIES_MAX} are taken"]
    rules = RULES[table]
    read: list[Any] = []
    problems: list[str] = []
    for number, entry in enumerate(entries, 1):
        values, wrong = _values(entry, TABLES[table], rules.needs)
        if not wrong:
            read.append(ENTRIES[table](**values))
            wrong = list(rules.of_entry(read[-1]))
        problems += [f"{table}, entry {number}, {problem}" for problem in wrong]
    # Beside an entry that is wrong, the others may only seem to be.
    return tuple(read), problems or list(rules.of_list(read))


def _values(
    entry: Mapping[str, object], keys: Mapping[str, Key], needs: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    problems = [f"{name} is missing: {what}" for name, what in needs.items() if name not in entry]
    for name, value in entry.items():
        if (key := keys.get(name)) is None:
            problems.append(f"{shown(name)} is not a key of it{hint(name, keys)}")
            continue
        try:
            values[name] = msgspec.convert(value, key.type, strict=True)
        except msgspec.ValidationError:
            meant = _legal(value) if key.is_identifier else ""
            problems.append(f"{name} must be {key.expectation}{not_what_it_is(key, value)}{meant}")
    return values, problems


def _legal(value: object) -> str:
    """The nearest name that SageMaker would take."""
    if not isinstance(value, str):
        return ""
    words: Iterator[str] = (word for word in re.split(r"[^a-zA-Z0-9]+", value) if word)
    name = "-".join(words)[:NAME_MAX_CHARS].rstrip("-")
    return f"; did you mean {name}?" if name and name != value else ""
