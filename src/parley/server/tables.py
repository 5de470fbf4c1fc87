"""Reads the lists of tables of a settings file: every entry whole, with all that is wrong in it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from parley.server.endpoint_checks import entry_problems, list_problems
from parley.server.endpoint_settings import EndpointSettings
from parley.server.keys import Key
from parley.server.setting_types import NAME_MAX_CHARS
from parley.server.settings import TABLES
from parley.server.wording import hint, not_what_it_is, shown

ENTRIES_MAX = 256


def read_endpoints(entries: object) -> tuple[tuple[EndpointSettings, ...], list[str]]:
    """The endpoints of a file, and the problems with them. An entry that can't be read is left out."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return (), ["endpoints is a list of tables: write [[endpoints]], and the keys of each entry below its own"]
    if len(entries) > ENTRIES_MAX:
        return (), [f"endpoints has {len(entries)} entries; at most {ENTRIES_MAX} are taken"]
    endpoints: list[EndpointSettings] = []
    problems: list[str] = []
    for number, entry in enumerate(entries, 1):
        values, wrong = _values(entry, TABLES["endpoints"])
        if not wrong:
            endpoints.append(EndpointSettings(**values))
            wrong = list(entry_problems(endpoints[-1]))
        problems += [f"endpoints, entry {number}, {problem}" for problem in wrong]
    # Beside an entry that is wrong, the others may only seem to be.
    return tuple(endpoints), problems or list(list_problems(endpoints))


def _values(entry: Mapping[str, object], keys: Mapping[str, Key]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    problems = [] if "name" in entry else ["name is missing: it is what clients call"]
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
