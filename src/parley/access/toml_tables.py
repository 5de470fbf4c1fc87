"""A list of tables in TOML, as operators write keys and rules down: every problem of it told at once, and no value."""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from parley.access.watched_file import FileError

PROBLEMS_SHOWN_MAX = 20

_SHOWN_NAME = re.compile(r"[a-z_]{1,32}")
_POSITION = re.compile(r"\((at line \d+, column \d+|at end of document)\)")

Check = Callable[[object], str]
"""What is wrong with a value, as the end of a sentence that begins with its name; empty when nothing is."""


def read_tables(document: bytes, name: str, *, tables_max: int, may_be_empty: bool = False) -> list[dict[str, Any]]:
    """The tables `[[name]]` of a document, which holds nothing else.

    Raises:
        FileError: it is something else.
    """
    try:
        root = tomllib.loads(document.decode())
    except UnicodeDecodeError:
        raise FileError("It is not UTF-8.") from None
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError, and the parser's own words may hold what it read.
        position = _POSITION.search(str(error))
        raise FileError(f"It is not TOML{f' ({position[1]})' if position else ''}.") from None
    tables = root.get(name, [])
    if isinstance(tables, dict):
        raise FileError(f"There is a table [{name}]; write [[{name}]], with two brackets on each side.")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise FileError(f"{name} is not a list of tables; write [[{name}]] for each.")
    if not tables and not may_be_empty:
        raise FileError(f"There is no {name} in it; write a table [[{name}]] for each.")
    if set(root) - {name}:
        raise FileError(f"There is something else in it than [[{name}]] tables.")
    if len(tables) > tables_max:
        raise FileError(f"There are {len(tables)} of [[{name}]] in it; {tables_max} are allowed.")
    return tables


def check_table(table: Mapping[str, object], fields: Mapping[str, Check], needed: Iterable[str]) -> list[str]:
    """What is wrong with a table whose fields are to be these."""
    problems = [_unknown(name, fields) for name in table if name not in fields]
    problems += [f"{name} is missing" for name in needed if name not in table]
    for name, check in fields.items():
        if name in table and (problem := check(table[name])):
            problems.append(f"{name} {problem}")
    return problems


def raise_problems(name: str, problems: Mapping[int, Iterable[str]]) -> None:
    """Raise what is wrong with tables, by their numbers, if anything is.

    Raises:
        FileError: with every problem, up to twenty.
    """
    lines = [f"{name} {number}: {problem}." for number, found in problems.items() for problem in found]
    if not lines:
        return
    left_out = len(lines) - PROBLEMS_SHOWN_MAX
    raise FileError(*lines[:PROBLEMS_SHOWN_MAX], *([f"and {left_out} problems more."] if left_out > 0 else []))


def text(pattern: re.Pattern[str], allowed: str) -> Check:
    """A text of this pattern, `allowed` in words."""

    def check(value: object) -> str:
        if not isinstance(value, str):
            return "is not a string"
        return "" if pattern.fullmatch(value) else f"is to be {allowed}"

    return check


def texts(pattern: re.Pattern[str], allowed: str, *, most: int) -> Check:
    """A list of such texts, at least one and at most so many."""

    def check(value: object) -> str:
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            return f"is to be a list of 1 to {most} texts"
        is_good = all(isinstance(one, str) and pattern.fullmatch(one) for one in value)
        return "" if is_good else f"is to be a list of {allowed}"

    return check


def time_with_offset(value: object) -> str:
    """A time that says which zone it is of."""
    is_good = isinstance(value, datetime) and value.tzinfo is not None
    return "" if is_good else "is to be a time with its offset and without quotes, as 2026-11-22T18:00:00Z"


def _unknown(name: str, known: Iterable[str]) -> str:
    # A name that looks like none of ours may be a value that got onto the wrong side.
    if not _SHOWN_NAME.fullmatch(name):
        return "there is an unknown field"
    near = difflib.get_close_matches(name, known, n=1)
    return f"there is no field {name}" + (f"; {near[0]} was meant?" if near else "")
