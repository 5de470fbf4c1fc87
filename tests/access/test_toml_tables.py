"""Lists of tables that people write: every problem at once, by number, and no value of theirs."""

import re

import pytest

from parley.access.toml_tables import (
    Check,
    check_table,
    raise_problems,
    read_tables,
    text,
    texts,
    time_with_offset,
)
from parley.access.watched_file import FileError

FIELDS: dict[str, Check] = {
    "name": text(re.compile("[a-z]+"), "letters"),
    "words": texts(re.compile("[a-z]+"), "words", most=2),
    "at": time_with_offset,
}


def why(document: bytes, **options: object) -> str:
    with pytest.raises(FileError) as caught:
        read_tables(document, "rule", **{"tables_max": 2, **options})  # type: ignore[arg-type]
    assert "canary" not in str(caught.value)
    return str(caught.value)


def check(document: str) -> list[str]:
    (table,) = read_tables(document.encode(), "rule", tables_max=1)
    return check_table(table, FIELDS, ("name",))


def test_tables_are_read() -> None:
    assert read_tables(b"[[rule]]\na = 1\n[[rule]]\na = 2\n", "rule", tables_max=2) == [{"a": 1}, {"a": 2}]


def test_there_may_be_none_where_that_means_something() -> None:
    assert read_tables(b"", "rule", tables_max=1, may_be_empty=True) == []


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"\xff", "It is not UTF-8."),
        (b'canary = "', "It is not TOML (at end of document)."),
        (b"canary\n", "It is not TOML (at line 1, column 7)."),
        (b"a = " + b"[" * 10_000, "It is not TOML."),
        (b"[rule]\n", "There is a table [rule]; write [[rule]], with two brackets on each side."),
        (b"rule = 1\n", "rule is not a list of tables; write [[rule]] for each."),
        (b"rule = [1]\n", "rule is not a list of tables; write [[rule]] for each."),
        (b"", "There is no rule in it; write a table [[rule]] for each."),
        (b"canary = 1\n[[rule]]\n", "There is something else in it than [[rule]] tables."),
        (b"[[rule]]\n" * 3, "There are 3 of [[rule]] in it; 2 are allowed."),
    ],
)
def test_what_is_no_list_of_tables_is_refused_with_the_fix(document: bytes, problem: str) -> None:
    assert why(document) == problem


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ('name = "a"\nwords = ["a", "b"]\nat = 2026-11-22T18:00:00Z\n', []),
        ("", ["name is missing"]),
        ('name = "a"\nnmae = "canary"\n', ["there is no field nmae; name was meant?"]),
        ('name = "a"\ncompletely_else = 1\n', ["there is no field completely_else"]),
        ('name = "a"\n"CANARY-SECRET" = 1\n', ["there is an unknown field"]),
        ("name = 1\n", ["name is not a string"]),
        ('name = "A"\n', ["name is to be letters"]),
        ('name = "a"\nwords = []\n', ["words is to be a list of 1 to 2 texts"]),
        ('name = "a"\nwords = "a"\n', ["words is to be a list of 1 to 2 texts"]),
        ('name = "a"\nwords = ["a", 1]\n', ["words is to be a list of words"]),
        ('name = "a"\nwords = ["a", "B"]\n', ["words is to be a list of words"]),
        (
            'name = "a"\nat = 2026-11-22T18:00:00\n',
            ["at is to be a time with its offset and without quotes, as 2026-11-22T18:00:00Z"],
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_told_without_its_values(fields: str, problems: list[str]) -> None:
    assert check(f"[[rule]]\n{fields}") == problems


def test_nothing_wrong_raises_nothing() -> None:
    raise_problems("rule", {1: [], 2: []})


def test_every_problem_is_raised_with_its_number_up_to_a_bound() -> None:
    with pytest.raises(FileError) as caught:
        raise_problems("rule", {1: ["a", "b"], 2: ["c"] * 30})
    assert caught.value.problems[:3] == ("rule 1: a.", "rule 1: b.", "rule 2: c.")
    assert caught.value.problems[20:] == ("and 12 problems more.",)
