"""What is kept of a session: who may choose what, when, and which turns are to be kept."""

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import Effect, KeepTurn, Retain, SendDone, SendError
from parley.core.errors import ParleyError
from parley.core.keeping import Keeping
from parley.core.limits import SessionLimits
from parley.core.profile import VOXTRAL
from parley.core.retention import Retention, RetentionTerms
from parley.core.session import Session
from parley.core.turns import Turn
from tests.core.builders import USAGE, Driven, audio

NONE, TRANSCRIPT, AUDIO = Retention
WORDS = Text(b'"words"')


def keeping(
    usual: Retention = NONE, most: Retention = AUDIO, *, is_offered: bool = True
) -> tuple[Keeping, list[Effect]]:
    out: list[Effect] = []
    return Keeping(RetentionTerms(usual, most, is_offered), out), out


def choice(kept: Keeping, retention: Retention | None, *, consent: bool = False, has_audio: bool = False) -> str:
    """The code of the refusal; empty when there is none."""
    try:
        kept.choose(ev.RetentionChosen(retention, consent), has_audio=has_audio)
    except ParleyError as error:
        return error.code
    return ""


def a_turn() -> Turn:
    turn = Turn(3, 1_600, started=True, text_max_bytes=1_000)
    turn.journal.append(audio(samples=3_200))
    return turn


# ---- what the tenant has kept


def test_nothing_is_kept_of_a_session_that_nobody_wants_kept() -> None:
    kept, out = keeping()
    kept.begin()
    kept.ended(a_turn(), WORDS, None)
    assert out == []


def test_what_the_tenant_has_kept_is_in_force_from_the_beginning() -> None:
    kept, out = keeping(TRANSCRIPT)
    kept.begin()
    assert out == [Retain(TRANSCRIPT)]


def test_audio_that_the_tenant_has_kept_is_not_without_consent() -> None:
    kept, out = keeping(AUDIO)
    kept.begin()
    assert out == [Retain(TRANSCRIPT)]


def test_consent_alone_brings_the_audio_that_the_tenant_has_kept() -> None:
    kept, out = keeping(AUDIO)
    assert choice(kept, None, consent=True) == ""
    assert out == [Retain(AUDIO)]


def test_saying_nothing_of_consent_changes_nothing() -> None:
    kept, out = keeping(AUDIO)
    assert choice(kept, None) == ""
    assert out == []


def test_a_server_without_a_folder_keeps_nothing_whatever_the_tenant_has_kept() -> None:
    kept, out = keeping(TRANSCRIPT, is_offered=False)
    kept.begin()
    assert out == []


# ---- what the session asks for


@pytest.mark.parametrize("most", [TRANSCRIPT, AUDIO])
def test_a_session_may_ask_for_as_much_as_the_tenant_allows(most: Retention) -> None:
    kept, out = keeping(most=most)
    assert choice(kept, most, consent=True) == ""
    assert out == [Retain(most)]


def test_more_is_forbidden_and_the_error_says_the_most() -> None:
    kept, out = keeping(most=TRANSCRIPT)
    with pytest.raises(ParleyError, match="`transcript`") as caught:
        kept.choose(ev.RetentionChosen(AUDIO, consent=True), has_audio=False)
    assert (caught.value.code, out) == ("forbidden", [])


def test_what_the_tenant_has_kept_may_be_asked_for_though_its_most_is_less() -> None:
    kept, _ = keeping(TRANSCRIPT, most=NONE)
    assert choice(kept, NONE) == ""
    assert choice(kept, TRANSCRIPT) == ""


def test_a_session_may_always_ask_for_nothing_to_be_kept() -> None:
    kept, out = keeping(TRANSCRIPT)
    assert choice(kept, NONE, has_audio=True) == ""
    assert out == [Retain(NONE)]


def test_audio_takes_consent() -> None:
    kept, out = keeping()
    assert choice(kept, AUDIO) == "consent-missing"
    assert out == []


def test_nothing_can_be_asked_of_a_server_without_a_folder() -> None:
    kept, _ = keeping(is_offered=False)
    assert choice(kept, TRANSCRIPT) == "retention-unavailable"


def test_what_is_in_force_already_may_be_asked_for_at_any_time() -> None:
    kept, out = keeping(TRANSCRIPT)
    assert choice(kept, TRANSCRIPT, has_audio=True) == ""
    assert out == []


def test_after_the_first_audio_it_is_too_late_to_have_something_kept() -> None:
    kept, out = keeping()
    assert choice(kept, TRANSCRIPT, has_audio=True) == "invalid-event"
    assert out == []


# ---- turns


def test_a_turn_is_kept_with_the_interval_of_its_audio() -> None:
    kept, out = keeping(TRANSCRIPT)
    kept.ended(a_turn(), WORDS, 1_700)
    assert out == [KeepTurn(3, 1_600, 4_800, WORDS, text_from=1_700)]


# ---- elsewhere


@pytest.mark.parametrize(("state", "expected"), [("", NONE), ("debug-audio", AUDIO)])
def test_a_session_from_elsewhere_goes_on_with_what_was_in_force_there(state: str, expected: Retention) -> None:
    kept, _ = keeping(TRANSCRIPT)
    kept.restore(state)
    assert kept.retention is expected


def test_a_class_of_a_later_release_is_an_error() -> None:
    kept, _ = keeping()
    with pytest.raises(ValueError, match="everything"):
        kept.restore("everything")


# ---- in a session


class Kept(Driven):
    def __init__(self, terms: RetentionTerms) -> None:
        self.session = Session(SessionLimits(), ("voxtral",), VOXTRAL, jitter=0.0, terms=terms)
        self.now = 0.0
        self.opening = self.session.open(self.now)


def test_a_session_keeps_the_final_text_of_each_turn() -> None:
    driven = Kept(RetentionTerms(TRANSCRIPT, TRANSCRIPT, is_offered=True))
    assert driven.opening[-1] == Retain(TRANSCRIPT)
    driven(ev.ModelNamed("voxtral"), ev.LegOpened(1), ev.TurnStarted(), ev.AudioReceived(audio()), ev.TurnEnded())
    assert driven.session.cursor == 1_600
    driven(*(ev.DeltaReceived(1, Text(b'""')) for _ in range(7)))
    assert driven(ev.TurnTranscribed(1, WORDS, USAGE)) == [SendDone(WORDS, USAGE), KeepTurn(1, 0, 1_600, WORDS)]


def test_a_refused_choice_is_answered_and_the_session_goes_on() -> None:
    driven = Kept(RetentionTerms(is_offered=True))
    (answer,) = driven(ev.RetentionChosen(TRANSCRIPT))
    assert isinstance(answer, SendError)
    assert answer.error.code == "forbidden"
    assert not driven.session.ended
