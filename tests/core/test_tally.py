from dataclasses import astuple

from parley.core.tally import Tally


def test_a_new_tally_has_counted_nothing() -> None:
    assert set(astuple(Tally())) == {0}
