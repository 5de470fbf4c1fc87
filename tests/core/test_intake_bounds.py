"""What happens when more audio waits for the model than may, and when the model waits for the client."""

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import (
    CloseLeg,
    Effect,
    EndSession,
    EndTurn,
    PauseInput,
    ResumeInput,
    SendAudio,
    SendDelta,
    SendNotice,
)
from parley.core.limits import AtBound, SessionLimits
from parley.core.notices import DropReason, Gap
from parley.core.usage import Usage

from .builders import (
    SECOND,
    AnError,
    Driven,
    audio,
    deltas,
    done,
    flushing,
    heard,
    opted_in,
    ready,
    running,
    says,
    turn,
)

HELD = SessionLimits(held_audio_max_s=3.0, pace_window_s=1.0)
DROPS = SessionLimits(held_audio_max_s=3.0, pace_window_s=1.0, input_policy=AtBound.DROP_OLDEST)
TERMINATES = SessionLimits(held_audio_max_s=3.0, pace_window_s=1.0, input_policy=AtBound.TERMINATE)
OVERRUN = EndSession(AnError("input-overrun", "It may hold 3 s."))


def seconds(count: int) -> list[ev.Event]:
    return heard(*(audio(str(number), SECOND) for number in range(count)))


def overrun(first_s: float, last_s: float, seq: int) -> SendNotice:
    gap = Gap((int(first_s * SECOND), int(last_s * SECOND)), DropReason.INPUT_OVERRUN)
    return SendNotice(gap, seq)


def gaps(effects: list[Effect]) -> list[SendNotice]:
    return [effect for effect in effects if isinstance(effect, SendNotice) and isinstance(effect.notice, Gap)]


# ---- terminate


def test_too_much_audio_ends_the_session_where_that_is_the_policy() -> None:
    driven = running(TERMINATES, audio("first", SECOND))
    assert driven(*seconds(3)) == []
    assert driven(ev.AudioReceived(audio("too much", 1))) == [CloseLeg(1), OVERRUN]


def test_audio_before_its_turns_start_ends_the_session_alike() -> None:
    assert ready(TERMINATES)(*seconds(4)) == [CloseLeg(1), OVERRUN]


# ---- drop the oldest


def test_the_oldest_audio_that_no_model_was_sent_is_dropped_and_the_client_told() -> None:
    driven = running(DROPS, audio("first", SECOND), is_opted_in=True)
    assert gaps(driven(*seconds(3))) == []
    effects = driven(ev.AudioReceived(audio("3", SECOND)))
    assert gaps(effects) == [overrun(1, 3, 1)]
    assert PauseInput() not in effects
    assert driven.session.tally.dropped_samples == 2 * SECOND
    sent = driven(*deltas(1))
    assert [effect for effect in sent if isinstance(effect, SendAudio)] == [SendAudio(1, audio("2", SECOND))]


def test_audio_before_its_turns_start_is_dropped_alike() -> None:
    driven = opted_in(DROPS)
    assert gaps(driven(*seconds(5))) == [overrun(0, 2, 1)]
    assert SendAudio(1, audio("2", SECOND)) in driven(ev.TurnStarted())


def test_a_turn_of_which_nothing_more_waits_is_ended() -> None:
    driven = running(DROPS, audio("first", SECOND))
    assert driven(*seconds(1), ev.TurnEnded()) == []
    assert driven(ev.TurnStarted(), *seconds(3)) == [EndTurn(1)]


def test_a_turn_that_was_dropped_whole_has_an_empty_end() -> None:
    driven = flushing(DROPS)
    driven(*turn(audio("gone", SECOND)), *turn(audio("kept", 3 * SECOND)))
    ends = [effect for effect in driven(*done()) if not isinstance(effect, SendAudio | EndTurn)]
    assert ends[1].usage == Usage()  # type: ignore[union-attr]


@pytest.mark.parametrize("policy", [AtBound.DROP_OLDEST, AtBound.TERMINATE])
def test_a_client_that_was_not_read_is_read_again_when_the_policy_is_another(policy: AtBound) -> None:
    driven = running(HELD, audio("first", SECOND))
    assert driven(*seconds(4)) == [PauseInput()]
    driven(*deltas(1))
    driven.session._intake.policy = policy
    assert ResumeInput() in driven(ev.ModelNamed("voxtral"))


# ---- the model waits for the client

BLOCKS = SessionLimits(pace_window_s=1.0, output_max_bytes=400, output_policy=AtBound.BLOCK)
LONG = " long" * 80


def blocked(limits: SessionLimits = BLOCKS) -> Driven:
    """A session whose client has left as much unread as it may, and more."""
    driven = running(limits, is_opted_in=True)
    driven(ev.ClientBlocked(), says(LONG))
    return driven


def test_the_model_is_fed_no_further_while_too_many_results_wait() -> None:
    assert blocked()(ev.AudioReceived(audio("held"))) == []


def test_the_model_is_fed_again_when_the_client_reads() -> None:
    driven = blocked()
    driven(ev.AudioReceived(audio("held")))
    assert driven(ev.ClientUnblocked()) == [SendDelta(Text.of(LONG), 1, 1), SendAudio(1, audio("held"))]


def test_the_model_is_fed_again_when_a_client_comes_back() -> None:
    driven = running(BLOCKS, is_opted_in=True)
    driven(ev.ClientClosed(), says(LONG))
    assert driven(ev.AudioReceived(audio("nobody's"))) == []
    assert SendAudio(1, audio("next")) in driven(ev.ResumeRequested(2, 0), ev.AudioReceived(audio("next")))


def test_a_model_that_waits_for_the_client_fills_the_input() -> None:
    driven = blocked(SessionLimits(held_audio_max_s=3.0, output_max_bytes=400, output_policy=AtBound.BLOCK))
    assert driven(*seconds(4)) == [PauseInput()]
    assert ResumeInput() in driven(ev.ClientUnblocked(), *deltas(40))


def test_a_model_that_waits_for_the_client_does_not_count_as_stalled() -> None:
    driven = blocked()
    driven(ev.AudioReceived(audio("held")))
    driven.fire()
    assert not driven.session.ended
    assert not driven.session.recovering


def test_a_check_fails_when_audio_is_neither_in_its_turn_nor_dropped() -> None:
    driven = running()
    driven.session._intake.cursor += 1
    with pytest.raises(AssertionError, match="all audio is in its turn"):
        driven.session.check()
