"""Invariants, which hold or are told."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from parley.core.invariants import Invariant, check, first_broken

SOUND: list[Invariant] = [(True, "one is 1"), (True, "two is 2")]
BROKEN: list[Invariant] = [(True, "one is 1"), (False, "two is 3"), (False, "three is 4")]
RUN_MAX_S = 60.0


def test_nothing_is_told_of_what_holds() -> None:
    assert first_broken(SOUND) == ""
    check(SOUND)


def test_the_first_that_does_not_hold_is_told() -> None:
    assert first_broken(BROKEN) == "two is 3"
    with pytest.raises(AssertionError, match="two is 3"):
        check(BROKEN)


def test_what_presupposes_a_broken_one_is_not_looked_at() -> None:
    def invariants() -> Iterator[Invariant]:
        yield False, "there is a number"
        raise AssertionError("it was looked at")

    assert first_broken(invariants()) == "there is a number"


def test_a_check_fails_also_where_assertions_are_switched_off() -> None:
    program = "from parley.core.invariants import check; assert False; check([(False, 'two is 3')])"
    done = subprocess.run(
        [sys.executable, "-O", "-c", program], capture_output=True, text=True, timeout=RUN_MAX_S, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "AssertionError: two is 3"
