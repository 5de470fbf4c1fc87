"""Sessions that give their stream back while they need none, and have one again when they do."""

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import (
    CloseLeg,
    Effect,
    EndTurn,
    LegPurpose,
    MeasureSpeech,
    OpenLeg,
    SendAudio,
    SendDelta,
    SendDone,
    SendNotice,
    StartTurn,
)
from parley.core.limits import SessionLimits
from parley.core.notices import Queued
from parley.core.profile import QWEN3_ASR

from .builders import (
    FRAME,
    SECOND,
    USAGE,
    Driven,
    deltas,
    done,
    fails,
    flushing,
    legs,
    pcm,
    places,
    ready,
    running,
    says,
    sent,
    told,
    transcribed,
    turn,
)

IDLE = SessionLimits(idle_release_s=2.0, preroll_s=1.0)
TICKING = SessionLimits(idle_release_s=2.0, preroll_s=1.0, forward_empty_deltas=True)
IDLE_FRAMES = 25
FIRST_FRAMES = 40
"""What the tests begin with, a second of it beyond what a model has to be silent for."""


def frames(driven: Driven, begin: int, count: int) -> list[Effect]:
    """Frames of audio come, at their pace."""
    effects: list[Effect] = []
    for number in range(begin, begin + count):
        effects += driven(ev.AudioReceived(pcm(FRAME, number * FRAME)))
    return effects


def silent(limits: SessionLimits = IDLE, *, is_opted_in: bool = False) -> Driven:
    """The model has answered 40 frames of audio with a word, and then with nothing."""
    driven = running(limits, pcm(FRAME), is_opted_in=is_opted_in)
    frames(driven, 1, FIRST_FRAMES - 1)
    driven(says(" one"), *deltas(IDLE_FRAMES + 6))
    return driven


def parked(limits: SessionLimits = IDLE, *, is_opted_in: bool = False) -> Driven:
    """The same, and it was nothing."""
    driven = running(limits, pcm(FRAME), is_opted_in=is_opted_in)
    frames(driven, 1, FIRST_FRAMES - 1)
    effects = driven(says(" one"), *deltas(IDLE_FRAMES + 6))
    assert any(isinstance(effect, MeasureSpeech) and effect.leg == 0 for effect in effects)
    assert legs(driven(ev.SpeechMeasured(0, 0))) == [CloseLeg(1)]
    assert driven.session.is_parked
    return driven


# ---- between turns


def test_a_leg_between_turns_is_given_back_after_a_while() -> None:
    driven = flushing(IDLE)
    driven.at(3.0, *done())
    assert driven.session.next_deadline() == 5.0
    assert driven.fire() == [CloseLeg(1)]
    assert (driven.session.is_parked, driven.session.legs_count) == (True, 0)
    assert driven.session.next_deadline() is None


def test_a_first_leg_that_nobody_needs_is_given_back() -> None:
    assert ready(IDLE).fire() == [CloseLeg(1)]


def test_the_next_turn_asks_for_another_stream() -> None:
    driven = ready(IDLE)
    driven.fire()
    assert driven(ev.TurnStarted()) == []
    assert driven(ev.AudioReceived(pcm(FRAME))) == [OpenLeg(2, LegPurpose.RETURN)]
    assert driven.session.legs_count == 1
    assert driven(ev.LegOpened(2)) == [StartTurn(2), SendAudio(2, pcm(FRAME))]


def test_a_timer_that_fires_early_parks_nobody() -> None:
    assert ready(IDLE).at(1.9, ev.TimerFired()) == []


def test_without_a_time_a_leg_is_kept() -> None:
    assert ready().session.next_deadline() is None


def test_a_session_that_has_ended_is_not_parked() -> None:
    driven = ready(IDLE)
    driven.fire()
    driven(ev.SessionClosed())
    assert not driven.session.is_parked


# ---- within a turn, without audio


def test_within_a_turn_a_leg_is_given_back_when_no_audio_comes() -> None:
    driven = silent()
    driven.at(1.0, *deltas(2))
    assert driven.session.next_deadline() == 3.0
    assert driven.fire() == [CloseLeg(1)]
    assert driven.session.is_parked


def test_audio_asks_for_a_stream_again_which_begins_where_nothing_is_settled() -> None:
    driven = silent(is_opted_in=True)
    driven.at(1.0, *deltas(2))
    driven.fire()
    back = driven(ev.AudioReceived(pcm(FRAME, FIRST_FRAMES * FRAME)))
    assert legs(back) == [OpenLeg(2, LegPurpose.RETURN)]
    opened = driven(ev.LegOpened(2))
    assert sent(opened, 2) == list(range(FRAME, (FIRST_FRAMES + 1) * FRAME))[: len(sent(opened, 2))]
    assert told(driven(*deltas(34, 2), says(" two", 2))) == [SendDelta(Text.of(" two"), 2, 1)]


def test_the_turns_end_asks_for_a_stream_again() -> None:
    driven = silent()
    driven.at(1.0, *deltas(2))
    driven.fire()
    assert driven(ev.TurnEnded()) == [OpenLeg(2, LegPurpose.RETURN)]
    assert EndTurn(2) in driven(ev.LegOpened(2), *deltas(60, 2))
    over = driven(transcribed("", 2))
    assert [effect.text for effect in over if isinstance(effect, SendDone)] == [Text.of(" one")]


def test_a_cleared_turn_needs_no_stream_until_there_is_audio() -> None:
    driven = silent(is_opted_in=True)
    driven.at(1.0, *deltas(2))
    driven.fire()
    assert legs(driven(ev.InputCleared())) == []
    assert legs(driven(ev.AudioReceived(pcm(FRAME)))) == [OpenLeg(2, LegPurpose.RETURN)]


def test_a_leg_is_kept_while_a_word_may_have_to_be_said_again() -> None:
    driven = running(IDLE, pcm(FRAME))
    frames(driven, 1, 15)
    driven(*deltas(8), says(" one"))
    assert driven.at(30.0, ev.TimerFired()) == []


def test_a_leg_is_kept_while_the_model_is_behind() -> None:
    driven = running(IDLE, pcm(5 * SECOND))
    driven(*deltas(13))
    assert CloseLeg(1) not in driven.at(2.5, ev.TimerFired())


def test_a_leg_is_kept_while_a_turn_comes_to_its_end() -> None:
    driven = flushing(IDLE)
    assert CloseLeg(1) not in driven.at(2.5, ev.TimerFired())


def test_a_leg_without_a_clock_is_kept_within_a_turn_and_given_back_after_it() -> None:
    driven = running(IDLE, profile=QWEN3_ASR)
    assert driven.at(2.5, *deltas(30), ev.TimerFired()) == []
    driven(ev.TurnEnded(), transcribed())
    assert driven.fire() == [CloseLeg(1)]


# ---- within a turn, silence


def test_a_long_silence_is_measured_once_at_a_time() -> None:
    driven = running(IDLE, pcm(FRAME))
    frames(driven, 1, FIRST_FRAMES - 1)
    driven(says(" one"))
    measured = [effect for effect in driven(*deltas(31)) if isinstance(effect, MeasureSpeech)]
    assert [effect.leg for effect in measured] == [0]
    # From where the silence began to all that has come.
    assert [place for piece in measured[0].pieces for place in places(piece)] == list(
        range(FRAME, FIRST_FRAMES * FRAME)
    )


def test_a_silence_in_which_there_is_speech_keeps_its_leg_and_is_measured_again() -> None:
    driven = silent()
    assert driven(ev.SpeechMeasured(0, 1_600)) == []
    assert not driven.session.is_parked
    frames(driven, FIRST_FRAMES, 6)
    assert any(isinstance(effect, MeasureSpeech) for effect in driven(*deltas(6)))


def test_a_silence_that_a_word_broke_meanwhile_keeps_its_leg() -> None:
    driven = silent()
    driven(says(" two"))
    assert driven(ev.SpeechMeasured(0, 0)) == []


def test_a_silence_in_a_turn_that_ended_meanwhile_keeps_its_leg() -> None:
    driven = silent()
    driven(ev.TurnEnded())
    assert driven(ev.SpeechMeasured(0, 0)) == []


def test_a_silence_of_a_leg_that_is_lost_says_nothing_of_the_next() -> None:
    driven = silent()
    driven(fails(), ev.LegOpened(2))
    assert driven(ev.SpeechMeasured(0, 0)) == []
    assert not driven.session.is_parked


def test_an_answer_that_nobody_asked_for_changes_nothing() -> None:
    assert running(IDLE)(ev.SpeechMeasured(0, 0)) == []


def test_a_model_that_is_behind_is_not_taken_to_be_silent() -> None:
    driven = running(IDLE, pcm(FRAME))
    frames(driven, 1, 60)
    assert not any(isinstance(effect, MeasureSpeech) for effect in driven(*deltas(32)))


def test_silence_is_listened_to_half_a_second_at_a_time() -> None:
    driven = parked()
    assert frames(driven, FIRST_FRAMES, 6) == []
    (measured,) = frames(driven, FIRST_FRAMES + 6, 1)
    assert isinstance(measured, MeasureSpeech)
    assert frames(driven, FIRST_FRAMES + 7, 7) == []
    (measured,) = driven(ev.SpeechMeasured(0, 0))
    assert isinstance(measured, MeasureSpeech)
    assert driven.session.is_parked


def test_all_but_the_last_of_the_silence_is_let_go() -> None:
    driven = parked()
    for number in range(40):
        frames(driven, FIRST_FRAMES + 7 * number, 7)
        driven(ev.SpeechMeasured(0, 0))
    assert driven.session.held_bytes < 3 * SECOND * 2 * 4 / 3 * 1.3


def test_speech_asks_for_a_stream_which_begins_with_what_was_kept() -> None:
    driven = parked(is_opted_in=True)
    frames(driven, FIRST_FRAMES, 7)
    assert legs(driven(ev.SpeechMeasured(0, 1_600))) == [OpenLeg(2, LegPurpose.RETURN)]
    opened = driven(ev.LegOpened(2))
    begin = (FIRST_FRAMES * FRAME - SECOND) // FRAME * FRAME
    assert sent(opened, 2) == list(range(begin, (FIRST_FRAMES + 7) * FRAME))
    assert told(driven(*deltas(14, 2), says(" two", 2))) == [SendDelta(Text.of(" two"), 2, 1)]


def test_the_end_of_a_silent_turn_is_the_models_to_tell() -> None:
    driven = parked()
    frames(driven, FIRST_FRAMES, 7)
    assert driven(ev.TurnEnded()) == [OpenLeg(2, LegPurpose.RETURN)]
    driven(ev.LegOpened(2), *deltas(60, 2))
    # The answer to what was asked before comes late.
    driven(ev.SpeechMeasured(0, 0))
    (over,) = [effect for effect in driven(transcribed(" two", 2)) if isinstance(effect, SendDone)]
    assert over.text == Text.of(" one two")
    base = (FIRST_FRAMES * FRAME - SECOND) // FRAME
    assert over.usage.completion_tokens == USAGE.completion_tokens + base


def test_audio_that_comes_faster_than_it_is_measured_is_left_to_a_model() -> None:
    driven = parked()
    assert legs(frames(driven, FIRST_FRAMES, 50)) == []
    assert legs(frames(driven, FIRST_FRAMES + 50, 1)) == [OpenLeg(2, LegPurpose.RETURN)]


def test_a_clients_clock_goes_on_while_its_session_is_parked() -> None:
    driven = running(TICKING, pcm(FRAME))
    frames(driven, 1, FIRST_FRAMES - 1)
    ticks = len(told(driven(says(" one"), *deltas(31))))
    ticks += len(told(driven(ev.SpeechMeasured(0, 0))))
    for number in range(10):
        frames(driven, FIRST_FRAMES + 7 * number, 7)
        ticks += len(told(driven(ev.SpeechMeasured(0, 0))))
    # As far as a model would have come, but for the frames that it needs before it says anything.
    assert ticks == FIRST_FRAMES + 70 - 7
    frames(driven, FIRST_FRAMES + 70, 7)
    driven(ev.SpeechMeasured(0, SECOND), ev.LegOpened(2))
    back = sum(len(told(driven(*deltas(1, 2)))) for _ in range(12))
    assert ticks + back == FIRST_FRAMES + 70 - 7 + (12 - 6)


def test_who_opted_in_is_told_nothing_but_that_there_is_a_queue() -> None:
    driven = parked(is_opted_in=True)
    frames(driven, FIRST_FRAMES, 7)
    assert told(driven(ev.SpeechMeasured(0, SECOND))) == []
    assert told(driven(ev.LegQueued(2, 3, 1.0))) == [SendNotice(Queued(3, 1.0))]
    assert driven.session.next_deadline() is None
    assert told(driven(ev.LegAdmitted(2))) == [SendNotice(Queued(0, None))]
    assert told(driven(ev.LegOpened(2), *deltas(20, 2))) == []


def test_a_queued_leg_that_nothing_is_left_for_is_closed() -> None:
    driven = ready(IDLE)
    driven.fire()
    driven(*turn(pcm(SECOND)), ev.LegQueued(2, 1))
    assert CloseLeg(2) in driven(ev.TurnCancelled())


def test_a_returning_leg_that_fails_is_asked_for_again_as_one_that_returns() -> None:
    driven = ready(IDLE)
    driven.fire()
    driven(ev.TurnStarted(), ev.AudioReceived(pcm(FRAME)))
    assert legs(driven(fails(2))) == [CloseLeg(2), OpenLeg(3, LegPurpose.RETURN)]
