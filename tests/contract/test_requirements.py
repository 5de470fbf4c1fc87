"""Page, requirements and tests are one: what the page promises has an id, and what has an id has a test.

A sentence that is new on the page fails here until it is a requirement with a test, or is listed below.
"""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.marks import requirement
from tests.contract.page import REQUIREMENTS, chapter, sentences
from tests.contract.wires import TRANSPORTS

PROMISES_NOTHING = {
    "What follows is for clients that opt in.",
    "Sentences with **must** and **must not** bind clients; all others are promises of the server.",
    "Each is a requirement with an id in `tests/contract/requirements.toml` "
    "and has a test that runs over every transport.",
    "It **must not** be put into URLs or logs.",
    "A client **must** keep its messages until they are acknowledged.",
    "An unknown event type **must** be ignored, its `seq` counted.",
    "After a gap of text a client **must not** apply a `transcription.revised` to the turn, "
    "whose characters it can't count; its `transcription.done` has all of the text.",
}
"""Sentences of the chapter that bind clients alone, or say how to read it."""


def contract_tests() -> Iterator[tuple[str, Callable[..., object]]]:
    """Every test of the contract by its name, but for those of this file."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path != Path(__file__):
            module = importlib.import_module(f"tests.contract.{path.stem}")
            for name, function in inspect.getmembers(module, inspect.isfunction):
                if name.startswith("test_"):
                    yield f"{path.stem}::{name}", function


def marks(function: Callable[..., object], name: str) -> list[pytest.Mark]:
    return [mark for mark in getattr(function, "pytestmark", []) if mark.name == name]


def checked_by(function: Callable[..., object]) -> set[str]:
    return {name for mark in marks(function, "requirement") for name in mark.args}


TESTS = dict(contract_tests())


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_a_requirement_stands_on_the_page_word_for_word(name: str) -> None:
    asked = REQUIREMENTS[name]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    assert asked.section in chapter(), f"{asked.section!r} is no heading of the chapter"
    assert asked.sentence in sentences(chapter()[asked.section])


@pytest.mark.parametrize("section", chapter())
def test_every_sentence_is_a_requirement_or_known_to_promise_nothing(section: str) -> None:
    asked = {one.sentence for one in REQUIREMENTS.values() if one.section == section}
    new = [one for one in sentences(chapter()[section]) if one not in asked and one not in PROMISES_NOTHING]
    assert not new, "neither a requirement nor listed as promising nothing"


def test_no_sentence_is_two_requirements_or_promises_nothing_and_something() -> None:
    asked = [one.sentence for one in REQUIREMENTS.values()]
    assert len(set(asked)) == len(asked)
    assert PROMISES_NOTHING & set(asked) == set()


def test_what_is_listed_as_promising_nothing_stands_on_the_page() -> None:
    page = {one for text in chapter().values() for one in sentences(text)}
    assert page >= PROMISES_NOTHING


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_a_requirement_has_a_test_that_runs_over_every_transport(name: str) -> None:
    over = [function for function in TESTS.values() if name in checked_by(function) and is_staged(function)]
    assert over, "no test has it in its mark and asks for a stage"
    left_out = [{mark.args[0] for mark in marks(function, "without")} for function in over]
    missing = set.intersection(*left_out)
    assert missing <= EXCUSED.get(name, set())


EXCUSED = {"resume-late": {"memory"}}
"""Transports on which a requirement can't be tested; the test's own mark says why."""


def is_staged(function: Callable[..., object]) -> bool:
    return "stage" in inspect.signature(function).parameters


@pytest.mark.parametrize("test", TESTS)
def test_a_test_names_requirements_that_exist(test: str) -> None:
    names = checked_by(TESTS[test])
    assert names, "it checks nothing that the contract says"
    assert names <= set(REQUIREMENTS)


@pytest.mark.parametrize("test", TESTS)
def test_a_transport_is_left_out_by_name_and_for_a_reason(test: str) -> None:
    for mark in marks(TESTS[test], "without"):
        assert mark.args[0] in TRANSPORTS
        assert mark.kwargs["reason"]


def test_a_mark_names_at_least_one_requirement() -> None:
    with pytest.raises(AssertionError):
        requirement()
