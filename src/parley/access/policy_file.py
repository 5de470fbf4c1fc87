"""Rules as an operator writes them down: TOML, one table for each. Their order decides nothing.

```toml
[[rule]]
name = "captions may speak"
who = ["key:captions-*", "tenant:acme"]       # any of: a caller's name, principal:, tenant:, role:, method:, *
actions = ["start", "resume"]                 # or ["*"]
effect = "allow"                              # or "deny", which beats every "allow"
tenants = ["own"]                             # or names, node, *
endpoints = ["*"]
models = ["*"]
```
"""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from parley.access.action import ACTIONS, Action, Target
from parley.access.caller import Caller, Method
from parley.access.policy import ANY, OWN, Decision, Policy, Rule, fits
from parley.access.toml_tables import Check, check_table, raise_problems, read_tables, text, texts
from parley.access.watched_file import WatchedFile

RULES_MAX = 500
PATTERNS_MAX = 100

_PATTERN = re.compile(r"[^\x00-\x1f\x7f]{1,512}")
_PATTERN_RULE = "texts of 1 to 512 characters"
_FIELDS: Mapping[str, Check] = {
    "name": text(re.compile(r"[^\x00-\x1f\x7f]{1,128}"), "1 to 128 characters on one line"),
    "who": texts(_PATTERN, _PATTERN_RULE, most=PATTERNS_MAX),
    "actions": texts(
        re.compile("|".join((*ACTIONS, r"\*"))), f"some of {', '.join(ACTIONS)}, or *", most=len(ACTIONS) + 1
    ),
    "effect": text(re.compile("allow|deny"), "allow or deny"),
    "tenants": texts(_PATTERN, _PATTERN_RULE, most=PATTERNS_MAX),
    "endpoints": texts(_PATTERN, _PATTERN_RULE, most=PATTERNS_MAX),
    "models": texts(_PATTERN, _PATTERN_RULE, most=PATTERNS_MAX),
}
_NEEDED = ("name", "who", "actions")
_METHODS: tuple[str, ...] = get_args(Method)
_KINDS = ("aws", "key", "jwt", "certificate", "principal", "tenant", "role", "method")


def parse_policy(document: bytes) -> Policy:
    """The rules of a document.

    Raises:
        FileError: with every problem of it. Rules are named by their numbers.
    """
    tables = read_tables(document, "rule", tables_max=RULES_MAX)
    problems: dict[int, list[str]] = {}
    numbers: dict[str, int] = {}
    rules: list[Rule] = []
    for number, table in enumerate(tables, 1):
        found = problems[number] = check_table(table, _FIELDS, _NEEDED)
        if found:
            continue
        first = numbers.setdefault(table["name"], number)
        if first != number:
            found.append(f"has the name of rule {first} again")
        found += [problem for pattern in table["who"] if (problem := _of_nobody(pattern))]
        rules.append(_rule(table))
    raise_problems("rule", problems)
    return Policy(rules)


def _of_nobody(pattern: str) -> str:
    """What is wrong with a pattern that no caller could ever fit."""
    kind, colon, name = pattern.partition(":")
    if kind == "method" and not any(fits(method, name) for method in _METHODS):
        return f"names no method by {pattern!r}: one is {', '.join(_METHODS)}"
    if pattern == "operator" or "*" in kind or "?" in kind or (colon and kind in _KINDS):
        return ""
    return f"names nobody by {pattern!r}: a caller is {', '.join(f'{one}:' for one in _KINDS)} with a name, or *"


def _rule(table: Mapping[str, Any]) -> Rule:
    actions: tuple[Action, ...] = ACTIONS if "*" in table["actions"] else tuple(table["actions"])
    return Rule(
        name=table["name"],
        who=tuple(table["who"]),
        actions=actions,
        allows=table.get("effect", "allow") == "allow",
        tenants=tuple(table.get("tenants", (OWN,))),
        endpoints=tuple(table.get("endpoints", ANY)),
        models=tuple(table.get("models", ANY)),
    )


class PolicyFile:
    """The rules of a file, by its content of a second ago at the latest; see `Policy`. `on_change` is called when they
    are others.

    Raises:
        FileError: from the constructor, with every problem of it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self._file = WatchedFile(
            path, parse_policy, "policy's rules", is_secret=False, clock=clock, on_change=on_change
        )

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules."""
        return self._file.current.rules

    def decide(self, caller: Caller, action: Action, target: Target) -> Decision:
        """Whether a caller may do this."""
        return self._file.current.decide(caller, action, target)
