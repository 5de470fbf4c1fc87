"""A leg is lost during a turn: another one takes up where it stopped, and nobody hears a word twice."""

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import (
    CloseLeg,
    Effect,
    EndSession,
    EndTurn,
    LegPurpose,
    MeasureSpeech,
    OpenLeg,
    SendAudio,
    SendDelta,
    SendDone,
    SendError,
    SendNotice,
    StartTurn,
)
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.notices import Intervals, Outcome, Recovered, Recovering, TextRevised, TurnFailed
from parley.core.profile import QWEN3_ASR
from parley.core.usage import Usage

from .builders import (
    CLOSED,
    FRAME,
    NO_WORDS,
    SECOND,
    USAGE,
    AnError,
    Driven,
    deltas,
    fails,
    flushing,
    legs,
    pcm,
    running,
    says,
    sent,
    transcribed,
    turn,
)

LOST: list[Effect] = [CloseLeg(1), OpenLeg(2, LegPurpose.RECOVERY)]


def texts(effects: list[Effect]) -> list[str]:
    """What the client is told, delta by delta."""
    return [effect.text.decode() for effect in effects if isinstance(effect, SendDelta)]


def notices(effects: list[Effect]) -> list[object]:
    return [effect.notice for effect in effects if isinstance(effect, SendNotice)]


def talking(limits: SessionLimits | None = None, *, is_opted_in: bool = False) -> Driven:
    """Two seconds of audio, of which the model has said two words, up to the third frame."""
    driven = running(limits, pcm(2 * SECOND), is_opted_in=is_opted_in)
    driven(says(" one"), *deltas(1), says(" two"))
    return driven


# ---- every cause


@pytest.mark.parametrize(
    "cause",
    [
        fails(),
        fails(error=ParleyError("upstream-closed", "It closed with code 1012.")),
        fails(error=ParleyError("upstream-error")),
        transcribed(),
    ],
    ids=["failed", "going away", "error", "done unasked"],
)
def test_a_leg_that_is_of_no_further_use_is_replaced_at_once(cause: ev.Event) -> None:
    assert talking()(cause) == LOST


@pytest.mark.parametrize("is_flushing", [False, True])
def test_a_leg_that_stalls_is_replaced(is_flushing: bool) -> None:
    driven = talking()
    driven(*[ev.TurnEnded()] * is_flushing)
    assert driven.fire() == LOST


def test_a_mute_model_is_replaced() -> None:
    driven = talking(is_opted_in=True)
    for begin in range(2 * SECOND, 20 * SECOND, FRAME):
        driven(ev.AudioReceived(pcm(FRAME, begin)))
        asked = [effect for effect in driven(*deltas(1)) if isinstance(effect, MeasureSpeech)]
        if asked:
            break
    seconds = sum(piece.samples for piece in asked[0].pieces) / SECOND
    assert 15.9 < seconds <= 16.0
    effects = driven(ev.SpeechMeasured(1, 3 * SECOND))
    assert (legs(effects), notices(effects)[0]) == (LOST, Recovering("upstream-mute"))


def test_a_pause_is_not() -> None:
    driven = talking()
    for begin in range(2 * SECOND, 20 * SECOND, FRAME):
        driven(ev.AudioReceived(pcm(FRAME, begin)), *deltas(1))
    assert driven(ev.SpeechMeasured(1, 3 * SECOND - 1)) == []


def test_a_leg_that_fails_before_the_turns_end_is_answered_is_replaced() -> None:
    assert flushing()(fails()) == LOST


# ---- the replay


def test_another_leg_is_fed_the_turn_from_its_beginning() -> None:
    driven = talking()
    effects = driven(fails(), ev.LegOpened(2))
    assert effects[:3] == [*LOST, StartTurn(2)]
    assert sent(effects, 2) == list(range(2 * SECOND))


def test_another_leg_is_fed_from_the_last_pause() -> None:
    driven = talking()
    driven(*deltas(12))
    assert sent(driven(fails(), ev.LegOpened(2)), 2) == list(range(3 * FRAME, 2 * SECOND))


def test_audio_that_came_meanwhile_follows() -> None:
    driven = talking()
    driven(fails(), ev.AudioReceived(pcm(1_600, 2 * SECOND)), ev.TurnEnded())
    effects = driven(ev.LegOpened(2))
    assert sent(effects, 2) == list(range(2 * SECOND + 1_600))
    assert effects[-1] == EndTurn(2)


# ---- what the client hears


def test_what_was_said_is_not_said_again_and_what_is_new_goes_out() -> None:
    driven = talking()
    driven(fails(), ev.LegOpened(2), says(" one", 2), *deltas(1, 2), says(" two", 2))
    assert driven(says(" three", 2)) == [SendDelta(Text.of(" three"))]


def test_nothing_of_the_replay_goes_out() -> None:
    driven = talking()
    assert texts(driven(fails(), ev.LegOpened(2), says(" one", 2), *deltas(1, 2), says(" two", 2))) == []


def test_a_plain_client_is_not_told_of_the_loss() -> None:
    driven = talking()
    assert notices(driven(fails(), ev.LegOpened(2), says(" one two", 2), *deltas(9, 2))) == []


def test_the_final_text_is_that_of_one_decode() -> None:
    driven = talking()
    driven(*deltas(12), fails(), ev.LegOpened(2), ev.TurnEnded(), *deltas(64, 2))
    assert driven(transcribed(" three.", 2)) == [
        # Three frames were not decoded again.
        SendDone(Text.of(" one two three."), Usage(39, USAGE.completion_tokens + 3, USAGE.total_tokens + 3))
    ]


def test_a_plain_client_gets_what_follows_other_words() -> None:
    driven = talking()
    driven(fails(), ev.LegOpened(2))
    assert texts(driven(says(" won", 2), *deltas(1, 2), says(" two", 2), *deltas(1, 2), says(" three", 2))) == [
        " three"
    ]


def test_a_client_that_opted_in_is_told_which_words_are_others() -> None:
    driven = talking(is_opted_in=True)
    driven(fails(), ev.LegOpened(2))
    effects = driven(says(" one", 2), *deltas(1, 2), says(" too", 2), *deltas(2, 2))
    assert notices(effects)[0] == TextRevised(1, 5, 8, Text.of("too"), (0, 5 * FRAME))
    assert driven(says(" three", 2))[0] == SendDelta(Text.of(" three"), seq=6, item=1)


def test_a_turn_that_ends_in_the_midst_of_the_comparison_is_revised_before_its_end() -> None:
    driven = talking(is_opted_in=True)
    driven(ev.TurnEnded(), fails(), ev.LegOpened(2), says(" one", 2), *deltas(26, 2))
    told = driven(transcribed(" one", 2))
    kinds = [effect.notice if isinstance(effect, SendNotice) else effect for effect in told]
    assert TextRevised(1, 4, 8, Text.of(""), (0, 25 * FRAME)) in kinds
    assert isinstance(kinds[-1], SendDone)


@pytest.mark.parametrize("lost_after", [0, 1, 5, 12, 20, 25])
def test_empty_deltas_stay_a_clock(lost_after: int) -> None:
    driven = running(SessionLimits(forward_empty_deltas=True), pcm(2 * SECOND))
    told = texts(driven(*deltas(min(lost_after, 18)), ev.TurnEnded(), *deltas(max(0, lost_after - 18))))
    told += texts(driven(fails(), ev.LegOpened(2), *deltas(36, 2)))
    assert len(told) == 36


# ---- what it is told of the recovery


def test_a_client_that_opted_in_is_told_of_the_loss_and_of_its_end() -> None:
    driven = talking(is_opted_in=True)
    assert notices(driven(fails())) == [Recovering("upstream-closed")]
    assert notices(driven(ev.LegOpened(2), says(" one", 2), *deltas(1, 2))) == []
    replayed = ((0, 10 * FRAME),)
    assert notices(driven(says(" two", 2))) == [Recovered(Outcome.REHYDRATED, replayed, ())]


def test_a_leg_lost_before_it_consumed_anything_is_resumed() -> None:
    driven = running(is_opted_in=True, first=pcm(SECOND))
    driven(fails(), ev.LegOpened(2))
    assert notices(driven(*deltas(1, 2))) == [Recovered(Outcome.RESUMED, (), ())]


def test_words_may_be_missing_where_the_journal_does_not_reach_back() -> None:
    driven = running(SessionLimits(journal_max_s=4.0), pcm(SECOND), is_opted_in=True)
    for second in range(1, 12):
        driven(ev.AudioReceived(pcm(SECOND, second * SECOND)), *deltas(11))
    effects = driven(fails(), ev.LegOpened(2), *deltas(200, 2))
    recovered = notices(effects)[-1]
    assert isinstance(recovered, Recovered)
    assert recovered.outcome is Outcome.RESTARTED
    ((begin, end),) = recovered.lost
    assert 0 <= begin < end <= 10 * SECOND


def test_words_that_were_said_are_not_missing() -> None:
    driven = running(SessionLimits(journal_max_s=4.0), pcm(SECOND), is_opted_in=True)
    for second in range(1, 12):
        driven(ev.AudioReceived(pcm(SECOND, second * SECOND)), *[says(" w")] * 11)
    effects = driven(fails(), ev.LegOpened(2), *[says(" w", 2)] * 100)
    assert _lost(effects) == ()


def _lost(effects: list[Effect]) -> Intervals:
    (recovered,) = [notice for notice in notices(effects) if isinstance(notice, Recovered)]
    return recovered.lost


# ---- again and again


def test_attempts_follow_each_other_at_growing_distances() -> None:
    driven = talking()
    driven(fails())
    seen = []
    for leg in range(2, 8):
        before = driven.now
        driven(fails(leg))
        assert driven.fire() == [OpenLeg(leg + 1, LegPurpose.RECOVERY)]
        seen.append(round(driven.now - before, 3))
    assert seen == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0]


def test_a_timer_before_the_next_attempt_does_nothing() -> None:
    driven = talking()
    driven(fails(), fails(2))
    assert driven.at(driven.now + 0.04, ev.TimerFired()) == []


def test_audio_does_not_hasten_the_next_attempt() -> None:
    driven = talking()
    driven(fails(), fails(2))
    assert driven(ev.AudioReceived(pcm(1_600, 2 * SECOND))) == []


def until_given_up(driven: Driven, first: int = 1) -> list[Effect]:
    """Four legs, each lost after the first word."""
    effects: list[Effect] = []
    for leg in range(first, first + 4):
        effects = driven(says(" one", leg), fails(leg))
        if OpenLeg(leg + 1, LegPurpose.RECOVERY) not in effects and leg < first + 3:
            driven.fire()
        driven(ev.LegOpened(leg + 1))
    return effects


FAILED = AnError("turn-failed", "The last cause was upstream-closed.")


def test_a_turn_on_which_four_legs_fail_at_the_same_place_fails_alone() -> None:
    driven = running(first=pcm(2 * SECOND))
    assert until_given_up(driven) == [CloseLeg(4), SendError(FAILED)]
    assert driven(ev.TurnEnded(), *turn(pcm(1_600)), ev.LegOpened(5)) == [
        OpenLeg(5, LegPurpose.RETURN),
        StartTurn(5),
        SendAudio(5, pcm(1_600)),
        EndTurn(5),
    ]


def test_a_client_that_opted_in_is_told_which_turn_failed() -> None:
    driven = running(first=pcm(2 * SECOND), is_opted_in=True)
    assert notices(until_given_up(driven))[-1] == TurnFailed(1, FAILED)


def test_the_next_turn_is_served_at_once_when_it_waits_already() -> None:
    driven = running(first=pcm(2 * SECOND))
    driven(ev.TurnEnded(), *turn(pcm(1_600)))
    assert until_given_up(driven)[-1] == OpenLeg(5, LegPurpose.RETURN)


def test_the_rest_of_a_failed_turn_is_dropped() -> None:
    driven = running(first=pcm(2 * SECOND))
    until_given_up(driven)
    assert driven(ev.AudioReceived(pcm(1_600)), ev.TurnEnded()) == []


def test_a_start_after_a_failure_begins_the_next_turn() -> None:
    driven = running(first=pcm(2 * SECOND))
    until_given_up(driven)
    assert driven(*turn(pcm(1_600)))[0] == OpenLeg(5, LegPurpose.RETURN)


def test_a_drain_does_not_wait_for_the_rest_of_a_failed_turn() -> None:
    driven = running(first=pcm(2 * SECOND))
    until_given_up(driven)
    assert driven(ev.DrainStarted(100.0)) == [EndSession(AnError("shutting-down"))]


def test_legs_that_get_further_each_time_may_fail_as_often_as_they_like() -> None:
    driven = running(first=pcm(2 * SECOND))
    for leg in range(1, 11):
        effects = driven(*[says(" w", leg)] * leg, fails(leg))
        assert SendError(FAILED) not in effects
        if OpenLeg(leg + 1, LegPurpose.RECOVERY) not in effects:
            driven.fire()
        driven(ev.LegOpened(leg + 1))


def test_legs_that_never_answered_do_not_count() -> None:
    driven = running(first=pcm(2 * SECOND))
    for leg in range(1, 11):
        effects = driven(fails(leg))
        assert SendError(FAILED) not in effects
        if OpenLeg(leg + 1, LegPurpose.RECOVERY) not in effects:
            driven.fire()
        driven(ev.LegOpened(leg + 1))


PATIENCE = SessionLimits(recovery_timeout_s=3.0)


def fail_until(driven: Driven, leg: int, effects: list[Effect]) -> list[Effect]:
    """No leg can be had until something else happens than another attempt."""
    while not effects or isinstance(effects[-1], OpenLeg):
        if effects:
            driven(fails(leg))
            leg += 1
        effects = driven.fire()
    return effects


def test_the_session_ends_when_no_leg_can_be_had_in_time() -> None:
    driven = talking(PATIENCE)
    assert fail_until(driven, 2, driven(fails())) == [EndSession(CLOSED)]
    assert driven.now == 3.0


def test_a_leg_that_is_still_opening_then_is_closed() -> None:
    driven = talking(PATIENCE)
    driven(fails())
    assert driven.fire() == [CloseLeg(2), EndSession(CLOSED)]


def test_only_the_turn_ends_when_a_leg_was_had_and_lost() -> None:
    driven = talking(PATIENCE)
    driven(fails(), ev.LegOpened(2))
    effects = driven(fails(2))
    if not any(isinstance(effect, OpenLeg) for effect in effects):
        effects = driven.fire()
    assert fail_until(driven, 3, effects) == [SendError(FAILED)]
    assert not driven.session.ended


def test_a_leg_that_replays_is_not_hurried() -> None:
    driven = talking(PATIENCE)
    driven(fails(), ev.LegOpened(2))
    assert driven.at(10.0, ev.TimerFired()) == []


def test_losing_a_leg_with_too_much_already_waiting_ends_the_session() -> None:
    driven = running(SessionLimits(output_max_bytes=300), pcm(2 * SECOND), is_opted_in=True)
    driven(ev.ClientClosed())
    assert driven(fails())[-1] == EndSession(AnError("slow-client"))


# ---- what the client does meanwhile


def test_a_turn_cancelled_while_its_leg_is_lost_is_forgotten() -> None:
    driven = talking()
    driven(fails(), fails(2))
    assert legs(driven(ev.TurnCancelled())) == []
    assert driven.session.next_deadline() is None


def test_the_leg_on_its_way_serves_the_turn_after_a_cancelled_one() -> None:
    driven = talking()
    driven(fails(), ev.TurnCancelled(), *turn(pcm(1_600)))
    assert driven(ev.LegOpened(2)) == [StartTurn(2), SendAudio(2, pcm(1_600)), EndTurn(2)]


def test_a_turn_cleared_while_its_leg_replays_begins_again_on_another() -> None:
    driven = talking()
    driven(fails(), ev.LegOpened(2))
    assert legs(driven(ev.InputCleared())) == [CloseLeg(2)]
    assert legs(driven(ev.AudioReceived(pcm(1_600)))) == [OpenLeg(3, LegPurpose.RETURN)]


def test_a_leg_lost_on_its_way_to_nobody_is_not_replaced() -> None:
    driven = talking()
    driven(fails(), ev.TurnCancelled(), ev.TurnEnded())
    assert driven(fails(2)) == [CloseLeg(2)]
    assert driven.session.next_deadline() is None


def test_a_session_that_ends_while_a_leg_is_awaited_has_none_to_close() -> None:
    driven = talking()
    driven(fails(), fails(2))
    assert driven(ev.ClientClosed()) == [EndSession(None)]
    assert driven.session.next_deadline() is None


# ---- a model without a clock


def segments(driven: Driven, seconds: int) -> list[str]:
    """Live audio, and text for each five seconds of it."""
    told: list[str] = []
    for second in range(seconds):
        told += texts(driven(ev.AudioReceived(pcm(SECOND, second * SECOND))))
        if second % 5 == 4:
            told += texts(driven(says(f" s{second // 5}")))
    return told


def test_without_a_clock_a_turn_is_replayed_whole() -> None:
    driven = running(first=pcm(10 * SECOND), profile=QWEN3_ASR, is_opted_in=True)
    driven(says(" one"), *deltas(30), says(" two"))
    effects = driven(fails(), ev.LegOpened(2), says(" one", 2))
    assert sent(effects, 2) == [place % 65_536 for place in range(10 * SECOND)]
    effects = driven(says(" two", 2), says(" three", 2))
    assert texts(effects) == [" three"]
    assert Recovered(Outcome.REHYDRATED, ((0, 10 * SECOND),), ()) in notices(effects)


def test_without_a_clock_no_word_of_a_long_turn_comes_twice() -> None:
    driven = running(SessionLimits(journal_max_s=20.0), pcm(1), profile=QWEN3_ASR)
    told = segments(driven, 60)
    effects = driven(fails(), ev.LegOpened(2))
    begin = -(-(60 - len(sent(effects, 2)) // SECOND) // 5)
    for number in range(begin, 13):
        effects = driven(says(f" s{number}", 2))
        told += texts(effects)
    assert sorted(told) == sorted(f" s{number}" for number in range(13))


# ---- positions at their limits


def test_a_model_that_is_ahead_of_its_audio_can_be_replaced() -> None:
    driven = running(first=pcm(SECOND))
    driven(says(" a"), *[says(" b")] * 20, *deltas(12))
    effects = driven(fails(), ev.LegOpened(2), ev.AudioReceived(pcm(1_600, SECOND)), ev.TurnEnded())
    assert sent(effects, 2)[-1] == SECOND + 1_599


def test_a_complete_turn_that_was_lost_late_still_has_audio_for_another_leg() -> None:
    driven = running(first=pcm(2 * FRAME))
    driven(ev.TurnEnded(), says(" a"), *deltas(16), fails(), ev.LegOpened(2))
    driven(*deltas(30, 2))
    assert driven(transcribed(" a", 2))[0] == SendDone(Text.of(" a"), USAGE)


def test_what_a_leg_says_of_a_frame_again_is_not_told_by_the_short_way_either() -> None:
    limits = SessionLimits(forward_empty_deltas=True)
    driven = running(limits, pcm(SECOND))
    driven(ev.TurnEnded(), *deltas(16), fails(), ev.LegOpened(2), *deltas(10, 2))
    assert driven.session.take_delta(2, NO_WORDS, driven.now) is None


def test_a_server_whose_deltas_never_cover_the_audio_is_believed_the_second_time() -> None:
    driven = running(first=pcm(SECOND))
    driven(ev.TurnEnded(), *deltas(8), says(" a"), transcribed(" a"), ev.LegOpened(2))
    ended = driven(*deltas(8, 2), says(" a", 2), transcribed(" a", 2))
    assert [effect.text.decode() for effect in ended if isinstance(effect, SendDone)] == [" a"]


def test_after_that_its_ends_are_believed_at_once() -> None:
    driven = running(first=pcm(SECOND))
    driven(ev.TurnEnded(), *deltas(9), transcribed(""), ev.LegOpened(2), *deltas(9, 2), transcribed("", 2))
    driven(ev.TurnStarted(), ev.AudioReceived(pcm(SECOND, SECOND)), ev.TurnEnded())
    assert any(isinstance(effect, SendDone) for effect in driven(*deltas(9, 2), transcribed("", 2)))


def test_ends_that_fall_short_by_different_shares_are_not_believed() -> None:
    driven = running(first=pcm(SECOND))
    driven(ev.TurnEnded(), *deltas(9), transcribed(""), ev.LegOpened(2))
    assert CloseLeg(2) in driven(*deltas(5, 2), transcribed("", 2))


def test_a_word_of_a_second_leg_that_was_not_told_is_not_completed_by_a_third() -> None:
    driven = running(first=pcm(3 * SECOND))
    driven(says(" alone"), says(" again"), *deltas(2), fails(), ev.LegOpened(2))
    driven(says(" on", 2), *deltas(6, 2), fails(2), ev.LegOpened(3))
    told = texts(driven(says(" on", 3), says("ward", 3), *deltas(4, 3), says(" three", 3), *deltas(1, 3)))
    assert "".join(told) == " three"
