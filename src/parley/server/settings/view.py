"""Settings as a person or a program reads them: the listing of `check-config`, and the table of the docs."""

import json
import re
from collections.abc import Iterable, Iterator

from parley.server.settings.document import ENTRIES, KEYS, SECTIONS, TABLES, Key, value_of
from parley.server.settings.sources import Loaded

# A command line or a URL may carry a key although both have a better place for it: upstream.api_key_file.
_SECRET = re.compile(
    r"""(?ix) ( (?:^|[\s?&"']) -{0,2} (?:[\w-]*[-_])? (?:key|token|secret|password) )  # --api-key, HF_TOKEN, ?key
        (?: (=) (?:"[^"]*"|'[^']*'|[^\s&]+) | ((?:\s+(?!-)(?:"[^"]*"|'[^']*'|\S+))+) )"""
)
HIDDEN = "***"


def redacted(text: str) -> str:
    """The text of a setting without the values of options whose names end in key, token, secret or password."""
    return _SECRET.sub(lambda match: f"{match[1]}{match[2] or ' '}{HIDDEN}", text)


def rows(loaded: Loaded) -> Iterator[tuple[str, object, str]]:
    """Dotted key, value fit to be shown, and origin of every setting, in the order of the docs; the lists of tables
    last, each as one list of objects."""
    for dotted in KEYS:
        value = value_of(loaded.settings, dotted)
        yield dotted, _shown(value), loaded.origins[dotted]
    for table, keys in TABLES.items():
        entries = [{name: _shown(getattr(entry, name)) for name in keys} for entry in getattr(loaded.settings, table)]
        yield table, entries, loaded.origins[table]


def _shown(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(map(_shown, value))
    return redacted(value) if isinstance(value, str) else value


def as_text(loaded: Loaded) -> str:
    """One aligned line for each setting, and for each key of each entry: key, value, origin."""
    lines = [(dotted, _literal(value), origin) for dotted, value, origin in _spread(rows(loaded))]
    key_width = max(len(dotted) for dotted, _, _ in lines)
    value_width = min(max(len(value) for _, value, _ in lines), 24)
    return "\n".join(f"{dotted:<{key_width}}  {value:<{value_width}}  {origin}" for dotted, value, origin in lines)


def _spread(listing: Iterable[tuple[str, object, str]]) -> Iterator[tuple[str, object, str]]:
    """A list of tables as `endpoints[1].name` and so on; an empty one as it is."""
    for dotted, value, origin in listing:
        if dotted in TABLES and isinstance(value, list) and value:
            for number, entry in enumerate(value, 1):
                yield from ((f"{dotted}[{number}].{name}", one, origin) for name, one in entry.items())
        else:
            yield dotted, value, origin


def as_json(loaded: Loaded) -> str:
    """An object that maps each dotted key to its value and origin."""
    listing = {dotted: {"value": value, "origin": origin} for dotted, value, origin in rows(loaded)}
    return json.dumps(listing, indent=2, ensure_ascii=False)


def as_markdown() -> str:
    """The reference of every key for docs/configuration.md: one table a section."""
    sections = [
        _section(f"[{name}]", cls.__doc__ or "", (key for key in KEYS.values() if key.section == name))
        for name, cls in SECTIONS.items()
    ]
    tables = [_section(f"[[{name}]]", cls.__doc__ or "", TABLES[name].values()) for name, cls in ENTRIES.items()]
    return "\n\n".join(sections + tables) + "\n"


def _section(title: str, docstring: str, keys: Iterable[Key]) -> str:
    lines = [
        f"### {title}",
        "",
        " ".join(docstring.split()),
        "",
        "| key | default | must be | what it is for |",
        "|---|---|---|---|",
    ]
    return "\n".join(lines + [_line(key) for key in keys])


def _line(key: Key) -> str:
    default = f"`{_literal(key.default)}`" if key.default or not key.is_identifier else "none"
    return f"| `{key.name}` | {default} | {key.expectation} | {key.help} |"


def _literal(value: object) -> str:
    """The value as TOML writes it."""
    return json.dumps(value, ensure_ascii=False)
