"""Where settings come from: defaults < preset < TOML file < environment < flags. Read once, checked whole.

Every problem is reported, each with its origin and the nearest thing that would have been right, so that one run of
`parley check-config` is enough to mend a configuration.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from parley.server.settings.contradictions import contradictions
from parley.server.settings.document import KEYS, PRESETS, SECTIONS, TABLES, Settings
from parley.server.settings.tables import read_table
from parley.server.settings.wording import hint, not_what_it_is, shown

CONFIG_VARIABLE = "PARLEY_CONFIG"
PRESET_VARIABLE = "PARLEY_PRESET"
CLIENT_VARIABLES = ("PARLEY_ADMIN_URL", "PARLEY_API_KEY", "PARLEY_URL")
"""Read by the client's commands; a shell that has them set may run servers too."""
FILE_MAX_BYTES = 1_048_576

# A Kubernetes service called "parley" or "parley-..." puts addresses of itself into every pod of its namespace
# (kubernetes.io, "Discovering services"): PARLEY_PORT=tcp://..., PARLEY_SERVICE_HOST, PARLEY_PORT_8080_TCP_ADDR.
_KUBERNETES_NAME = re.compile(r"PARLEY(_\w+)?_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_KUBERNETES_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


class FlagValue(NamedTuple):
    """A setting given on the command line: the key, the text after it, and the flag's own name."""

    dotted: str
    text: str
    flag: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the settings: where it came from, what it is, what would be right."""

    origin: str
    message: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.message}"


class SettingsError(Exception):
    """The settings can't be used; `problems` lists every reason. None of them holds a secret."""

    code = "invalid-settings"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class Loaded(NamedTuple):
    """The settings, and for each dotted key where its value came from."""

    settings: Settings
    origins: Mapping[str, str]


def load(
    *,
    environ: Mapping[str, str],
    config: Path | None = None,
    preset: str | None = None,
    flags: Iterable[FlagValue] = (),
    assignments: Iterable[str] = (),
) -> Loaded:
    """The settings from all sources. `config` and `preset` outrank PARLEY_CONFIG and PARLEY_PRESET.

    `assignments` are those of `--set`, as "section.key=value".

    Raises SettingsError with every problem found.
    """
    draft = _Draft()
    if preset:
        draft.take_preset(preset, "flag --preset")
    else:
        draft.take_preset(environ.get(PRESET_VARIABLE) or "laptop", f"env {PRESET_VARIABLE}")
    path = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    if path is not None:
        draft.take_file(path)
    draft.take_environment(environ)
    draft.take_flags(flags)
    draft.take_assignments(assignments)
    return draft.finish()


class _Draft:
    """Values gathered so far, each with its origin, and the problems met on the way."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.tables: dict[str, tuple[Any, ...]] = {}
        self.origins: dict[str, str] = dict.fromkeys((*KEYS, *TABLES), "default")
        self.problems: list[Problem] = []

    def take_preset(self, name: str, given_by: str) -> None:
        if name not in PRESETS:
            self._problem(given_by, f"{shown(name)} is not a preset; there are {', '.join(PRESETS)}")
            return
        for dotted, value in PRESETS[name].items():
            self.values[dotted] = value
            self.origins[dotted] = f"preset {name}"

    def take_file(self, path: Path) -> None:
        origin = f"file {path}"
        try:
            with path.open("rb") as file:
                content = file.read(FILE_MAX_BYTES + 1)
            if len(content) > FILE_MAX_BYTES:
                self._problem(origin, f"is larger than {FILE_MAX_BYTES} bytes")
                return
            table = tomllib.loads(content.decode())
        except OSError as error:
            self._problem(origin, f"can't be read: {error.strerror}")
        except tomllib.TOMLDecodeError as error:
            self._problem(origin, f"is not TOML: {_place_in(error)}")
        except UnicodeDecodeError:
            self._problem(origin, "is not TOML: it is not UTF-8")
        else:
            for section, keys in table.items():
                self._take_section(section, keys, origin)

    def _take_section(self, section: str, keys: object, origin: str) -> None:
        if section in TABLES:
            self._take_table(section, keys, origin)
        elif section not in SECTIONS and isinstance(keys, list) and keys and isinstance(keys[0], dict):
            self._problem(origin, f"there is no list of tables [[{shown(section)}]]{hint(section, TABLES)}")
        elif section not in SECTIONS and not isinstance(keys, dict):
            self._take(section, keys, origin, strict=True)
        elif section not in SECTIONS:
            self._problem(origin, f"there is no section [{shown(section)}]{hint(section, (*SECTIONS, *TABLES))}")
        elif not isinstance(keys, dict):
            self._problem(origin, f"{section} is a section: write [{section}] and its keys below it")
        else:
            for name, value in keys.items():
                self._take(f"{section}.{name}", value, origin, strict=True)

    def _take_table(self, table: str, entries: object, origin: str) -> None:
        self.tables[table], problems = read_table(table, entries)
        self.origins[table] = origin
        for problem in problems:
            self._problem(origin, problem)

    def take_environment(self, environ: Mapping[str, str]) -> None:
        variables = {key.environment: key.dotted for key in KEYS.values()}
        in_kubernetes = "KUBERNETES_SERVICE_HOST" in environ
        for name, text in sorted(environ.items()):
            if not name.startswith("PARLEY_") or name in (CONFIG_VARIABLE, PRESET_VARIABLE, *CLIENT_VARIABLES):
                continue
            if in_kubernetes and (_KUBERNETES_NAME.fullmatch(name) or _KUBERNETES_ADDRESS.match(text)):
                continue
            if name in variables:
                self._take(variables[name], text, f"env {name}", strict=False)
            elif table := next((one for one in TABLES if name.startswith(f"PARLEY_{one.upper()}")), ""):
                self._take(table, text, f"env {name}", strict=False)
            else:
                known = (*variables, CONFIG_VARIABLE, PRESET_VARIABLE)
                self._problem(f"env {name}", f"names no setting{hint(name.upper(), known)}")

    def take_flags(self, flags: Iterable[FlagValue]) -> None:
        for dotted, text, flag in flags:
            self._take(dotted, text, f"flag {flag}", strict=False)

    def take_assignments(self, assignments: Iterable[str]) -> None:
        for assignment in assignments:
            dotted, equals, value = assignment.partition("=")
            if equals:
                self._take(dotted.strip(), value.strip(), "flag --set", strict=False)
            else:
                self._problem("flag --set", "expected section.key=value, as in --set server.port=9000")

    def finish(self) -> Loaded:
        # A preset's address is a fallback: a server that is launched listens where its own command says.
        others = ("launch.command", "upstream.urls", "upstream.discover_dns", "upstream.discover_file")
        has_other = bool(self.tables.get("upstreams")) or any(self.values.get(dotted) for dotted in others)
        if has_other and self.origins["upstream.url"].startswith("preset"):
            self.values["upstream.url"] = ""
        # Values that could not be read stay at their defaults here, and those never contradict each other.
        given: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
        for dotted, value in self.values.items():
            given[KEYS[dotted].section][KEYS[dotted].name] = value
        sections = {section: cls(**given[section]) for section, cls in SECTIONS.items()}
        everything: dict[str, Any] = {**sections, **self.tables}
        settings = Settings(**everything)
        for dotted, message in contradictions(settings):
            self._problem(self.origins[dotted], message)
        if self.problems:
            raise SettingsError(self.problems)
        return Loaded(settings, self.origins)

    def _take(self, dotted: str, value: object, origin: str, *, strict: bool) -> None:
        key = KEYS.get(dotted)
        if key is None and (table := re.split(r"[.\[]", dotted)[0]) in TABLES:
            self._problem(origin, f"{table} come from the file alone: write [[{table}]] there, and the keys below it")
            return
        if key is None:
            self._problem(origin, f"{shown(dotted)} is not a setting{hint(dotted, KEYS)}")
            return
        if key.is_list and isinstance(value, str) and not strict:
            value = _listed(value)
        try:
            self.values[dotted] = msgspec.convert(value, key.type, strict=strict)
        except msgspec.ValidationError:
            self._problem(origin, f"{dotted} must be {key.expectation}{not_what_it_is(key, value)}")
        else:
            self.origins[dotted] = origin

    def _problem(self, origin: str, message: str) -> None:
        self.problems.append(Problem(origin, message))


def _listed(text: str) -> object:
    """A list from the environment or an option: separated by commas, or as a file has it."""
    if text.lstrip().startswith("["):
        try:
            return tomllib.loads(f"list = {text}")["list"]
        except tomllib.TOMLDecodeError:
            return text
    return [part.strip() for part in text.split(",")] if text.strip() else []


def _place_in(error: tomllib.TOMLDecodeError) -> str:
    # Its message names the place and the kind of mistake, and for a few mistakes one character or a key.
    return shown(str(error))
