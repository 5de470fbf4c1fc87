import pytest

from parley.core.admission import Admission
from parley.core.errors import ParleyError

from .builders import AnError

FULL = AnError("at-capacity", "2 sessions are live; retry after 1.5 s.", retry_after_s=1.5)


def full() -> Admission:
    admission = Admission(2, 1.5)
    admission.admit()
    admission.admit()
    return admission


def test_sessions_are_admitted_up_to_the_limit() -> None:
    admission = full()
    assert (admission.live, admission.refused) == (2, 0)


def test_one_session_too_many_is_refused_and_told_when_to_retry() -> None:
    admission = full()
    with pytest.raises(ParleyError) as caught:
        admission.admit()
    assert caught.value == FULL
    assert (admission.live, admission.refused) == (2, 1)


def test_asking_takes_no_place() -> None:
    admission = Admission(1, 1.5)
    admission.check()
    admission.check()
    assert admission.live == 0


def test_asking_when_full_is_refused_alike() -> None:
    with pytest.raises(ParleyError) as caught:
        full().check()
    assert caught.value == FULL


def test_a_place_given_back_can_be_taken_again() -> None:
    admission = full()
    admission.release()
    admission.admit()
    assert admission.live == 2


def test_only_an_admitted_session_can_be_released() -> None:
    with pytest.raises(AssertionError, match="only an admitted session"):
        Admission(1, 1.5).release()
