"""What a client may choose of what happens at its bounds."""

import pytest

from parley.core import events as ev
from parley.core.effects import EndSession, SendError
from parley.core.limits import AtBound, SessionLimits
from parley.core.retention import Retention

from .builders import SECOND, AnError, Driven, audio, heard, opted_in


def policies(driven: Driven) -> tuple[AtBound, AtBound]:
    """What is done with too much input, and with too much output."""
    return driven.session._intake.policy, driven.session._outlet.policy


@pytest.mark.parametrize("policy", [AtBound.DROP_OLDEST, AtBound.TERMINATE])
def test_a_client_may_choose_what_costs_only_itself(policy: AtBound) -> None:
    driven = opted_in()
    assert driven(ev.PoliciesChosen(policy, policy)) == []
    assert policies(driven) == (policy, policy)


def test_a_policy_that_is_not_chosen_stays() -> None:
    driven = opted_in()
    driven(ev.PoliciesChosen(AtBound.TERMINATE), ev.PoliciesChosen(None, AtBound.DROP_OLDEST))
    assert policies(driven) == (AtBound.TERMINATE, AtBound.DROP_OLDEST)


def test_the_choice_is_no_message_of_its_own() -> None:
    driven = opted_in()
    driven(ev.PoliciesChosen(AtBound.TERMINATE))
    assert driven.session._intake.inputs == 0


def test_a_client_that_chose_to_be_ended_is_ended_at_the_bound() -> None:
    driven = Driven(SessionLimits(held_audio_max_s=1.0))
    driven(ev.ModelNamed("voxtral"), ev.PoliciesChosen(AtBound.TERMINATE), ev.TurnStarted())
    assert driven(*heard(audio("much", 2 * SECOND)))[-1] == EndSession(AnError("input-overrun", "It may hold 1 s."))


@pytest.mark.parametrize(
    ("limits", "chosen", "name"),
    [
        (SessionLimits(), ev.PoliciesChosen(AtBound.TERMINATE, AtBound.BLOCK), "output_policy"),
        (SessionLimits(input_policy=AtBound.DROP_OLDEST), ev.PoliciesChosen(AtBound.BLOCK), "input_policy"),
    ],
)
def test_that_it_is_waited_for_is_the_operators_to_allow(
    limits: SessionLimits, chosen: ev.PoliciesChosen, name: str
) -> None:
    driven = opted_in(limits)
    [refusal, _] = driven(chosen)
    detail = f"`{name}` may be drop-oldest or terminate here, not block."
    assert refusal == SendError(AnError("invalid-event", detail), seq=1)
    assert policies(driven) == (limits.input_policy, limits.output_policy)


def test_it_may_choose_it_where_the_operator_has() -> None:
    driven = opted_in(SessionLimits(output_policy=AtBound.BLOCK))
    driven(ev.PoliciesChosen(AtBound.TERMINATE, AtBound.TERMINATE), ev.PoliciesChosen(AtBound.BLOCK, AtBound.BLOCK))
    assert policies(driven) == (AtBound.BLOCK, AtBound.BLOCK)


# ---- what is kept


def test_what_is_to_be_kept_is_no_message_of_its_own_and_refused_as_one() -> None:
    driven = opted_in()
    assert driven(ev.RetentionChosen()) == []
    [refusal, _] = driven(ev.RetentionChosen(Retention.TRANSCRIPT))
    assert isinstance(refusal, SendError)
    assert refusal.error.code == "retention-unavailable"
    assert driven.session._intake.inputs == 0
