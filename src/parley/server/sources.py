"""Where settings come from: defaults < preset < TOML file < environment < flags. Read once, checked whole.

Every problem is reported, each with its origin and the nearest thing that would have been right, so that one run of
`parley check-config` is enough to mend a configuration.
"""

import difflib
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from parley.server.settings import KEYS, PRESETS, SECTIONS, Key, Settings

CONFIG_VARIABLE = "PARLEY_CONFIG"
PRESET_VARIABLE = "PARLEY_PRESET"
CLIENT_VARIABLES = ("PARLEY_API_KEY", "PARLEY_URL")
"""Read by the client's commands; a shell that has them set may run servers too."""
SHOWN_VALUE_MAX_CHARS = 60
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
        self.origins: dict[str, str] = dict.fromkeys(KEYS, "default")
        self.problems: list[Problem] = []

    def take_preset(self, name: str, given_by: str) -> None:
        if name not in PRESETS:
            self._problem(given_by, f"{_shown(name)} is not a preset; there are {', '.join(PRESETS)}")
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
        if section not in SECTIONS and not isinstance(keys, dict):
            self._take(section, keys, origin, strict=True)
        elif section not in SECTIONS:
            self._problem(origin, f"there is no section [{_shown(section)}]{_hint(section, SECTIONS)}")
        elif not isinstance(keys, dict):
            self._problem(origin, f"{section} is a section: write [{section}] and its keys below it")
        else:
            for name, value in keys.items():
                self._take(f"{section}.{name}", value, origin, strict=True)

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
            else:
                known = (*variables, CONFIG_VARIABLE, PRESET_VARIABLE)
                self._problem(f"env {name}", f"names no setting{_hint(name.upper(), known)}")

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
        has_other = self.values.get("launch.command") or self.values.get("upstream.urls")
        if has_other and self.origins["upstream.url"].startswith("preset"):
            self.values["upstream.url"] = ""
        # Values that could not be read stay at their defaults here, and those never contradict each other.
        given: dict[str, dict[str, object]] = {section: {} for section in SECTIONS}
        for dotted, value in self.values.items():
            given[KEYS[dotted].section][KEYS[dotted].name] = value
        settings = Settings(**{section: cls(**given[section]) for section, cls in SECTIONS.items()})
        for dotted, message in _contradictions(settings):
            self._problem(self.origins[dotted], message)
        if self.problems:
            raise SettingsError(self.problems)
        return Loaded(settings, self.origins)

    def _take(self, dotted: str, value: object, origin: str, *, strict: bool) -> None:
        key = KEYS.get(dotted)
        if key is None:
            self._problem(origin, f"{_shown(dotted)} is not a setting{_hint(dotted, KEYS)}")
            return
        if key.is_list and isinstance(value, str) and not strict:
            value = _listed(value)
        try:
            self.values[dotted] = msgspec.convert(value, key.type, strict=strict)
        except msgspec.ValidationError:
            self._problem(origin, f"{dotted} must be {key.expectation}{_but_is(key, value)}")
        else:
            self.origins[dotted] = origin

    def _problem(self, origin: str, message: str) -> None:
        self.problems.append(Problem(origin, message))


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """What is wrong although each value is of its type: the key to blame, and the message."""
    if settings.upstream.url and (message := _url_problem(settings.upstream.url)):
        yield "upstream.url", f"upstream.url {message}"
    yield from _url_list_problems(settings)
    try:
        shlex.split(settings.launch.command)
    except ValueError as error:
        yield "launch.command", f"launch.command can't be split into words: {error}"
    if 0 < settings.session.pace_window_s < 1:
        yield (
            "session.pace_window_s",
            "session.pace_window_s must be 0 or at least 1: a model says nothing before it has had 0.56 s",
        )
    if settings.session.rotate_force_s < settings.session.rotate_after_s:
        yield (
            "session.rotate_force_s",
            f"session.rotate_force_s must be at least session.rotate_after_s, {settings.session.rotate_after_s:g}",
        )
    if settings.launch.backoff_max_s < settings.launch.backoff_initial_s:
        yield (
            "launch.backoff_max_s",
            f"launch.backoff_max_s must be at least launch.backoff_initial_s, {settings.launch.backoff_initial_s:g}",
        )


def _url_list_problems(settings: Settings) -> Iterator[tuple[str, str]]:
    urls = settings.upstream.urls
    for number, url in enumerate(urls, 1):
        if message := _url_problem(url):
            yield "upstream.urls", f"upstream.urls, entry {number}, {message}"
    if len(set(urls)) < len(urls):
        yield "upstream.urls", "upstream.urls must not name a server twice"
    if urls and settings.upstream.url:
        yield "upstream.urls", "upstream.urls and upstream.url can't both be set; put all servers into upstream.urls"
    if urls and settings.launch.command:
        yield (
            "upstream.urls",
            "upstream.urls can't be set with launch.command, whose server is then the only one; start all of them "
            "apart from Parley, or let it use the one alone",
        )


def _url_problem(url: str) -> str:
    """Why this is no address of a realtime endpoint, without repeating what may be a secret; empty if it is one."""
    try:
        parts = urlsplit(url)
        host, port, named = parts.hostname, parts.port, parts.username is not None
    except ValueError:
        return "is not a URL; it looks like ws://HOST:PORT/v1/realtime"
    if named:
        return "must not hold a user or password; put the key into a file and name it in upstream.api_key_file"
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if not host or scheme not in ("ws", "wss"):
        return "must be a WebSocket URL, such as ws://HOST:PORT/v1/realtime"
    if parts.scheme != scheme or parts.path in ("", "/"):
        address = f"[{host}]" if ":" in host else host
        path = "/v1/realtime" if parts.path in ("", "/") else parts.path
        return f"must be the whole WebSocket URL; did you mean {scheme}://{address}{f':{port}' if port else ''}{path}?"
    return "must not hold a fragment (#)" if parts.fragment else ""


def _listed(text: str) -> object:
    """A list from the environment or an option: separated by commas, or as a file has it."""
    if text.lstrip().startswith("["):
        try:
            return tomllib.loads(f"list = {text}")["list"]
        except tomllib.TOMLDecodeError:
            return text
    return [part.strip() for part in text.split(",")] if text.strip() else []


def _hint(name: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?" with the nearest known name, or nothing when none is near."""
    candidates = list(known)
    same_key = [one for one in candidates if one.partition(".")[2] == name.rpartition(".")[2]]
    nearest = same_key or difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= SHOWN_VALUE_MAX_CHARS else text[: SHOWN_VALUE_MAX_CHARS - 1] + "…"


def _but_is(key: Key, value: object) -> str:
    if not key.is_text:
        return f", not {_shown(value)}"
    # Text may hold a secret, as a command line does: of a value that should have been text only the type is told.
    return "" if key.is_list or isinstance(value, str) else f", not a {type(value).__name__}"


def _place_in(error: tomllib.TOMLDecodeError) -> str:
    # Its message names the place and the kind of mistake, and for a few mistakes one character or a key.
    return _shown(str(error))
