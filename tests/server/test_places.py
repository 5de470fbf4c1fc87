"""Places that are bounded more than once."""

import pytest

from parley.core.admission import Admission
from parley.core.errors import ParleyError
from parley.server.places import Places


def test_a_place_is_taken_in_every_bound_or_in_none() -> None:
    wide, narrow = Admission(9, 1.0), Admission(1, 1.0)
    places = Places(wide, narrow)
    places.admit()
    with pytest.raises(ParleyError):
        places.admit()
    assert (wide.live, narrow.live) == (1, 1)


def test_a_place_is_given_back_everywhere() -> None:
    bounds = Admission(1, 1.0), Admission(1, 1.0)
    places = Places(*bounds)
    places.admit()
    places.release()
    assert [bound.live for bound in bounds] == [0, 0]
    places.check()


def test_the_bound_that_is_reached_says_so() -> None:
    places = Places(Admission(9, 1.0), Admission(0, 7.0))
    with pytest.raises(ParleyError) as caught:
        places.check()
    assert caught.value.retry_after_s == 7.0
