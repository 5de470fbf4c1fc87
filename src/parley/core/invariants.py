"""What holds between two events, in words, so that whoever needs to can judge it: tests, simulations, and a server that
goes on with what another has left."""

from collections.abc import Iterable

type Invariant = tuple[bool, str]
"""Whether it holds, and what should. Where several are given in order, each presupposes those before it."""


def first_broken(invariants: Iterable[Invariant]) -> str:
    """The first that does not hold; empty when all do. None after it is looked at."""
    return next((words for holds, words in invariants if not holds), "")


def check(invariants: Iterable[Invariant]) -> None:
    """See that all hold, also where assertions are switched off.

    Raises:
        AssertionError: one does not.
    """
    broken = first_broken(invariants)
    if broken:
        raise AssertionError(broken)
