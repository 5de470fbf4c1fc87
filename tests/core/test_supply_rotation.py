"""A leg that grows old is replaced while it works: its successor catches up unseen, then takes over."""

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import (
    CloseLeg,
    Effect,
    EndTurn,
    LegPurpose,
    MeasureSpeech,
    OpenLeg,
    SendDelta,
    SendDone,
    SendNotice,
    StartTurn,
)
from parley.core.limits import SessionLimits
from parley.core.notices import Outcome, Recovered, Recovering, TextRevised
from parley.core.profile import QWEN3_ASR
from parley.core.usage import Usage

from .builders import (
    FRAME,
    SECOND,
    USAGE,
    Driven,
    deltas,
    done,
    fails,
    heard,
    legs,
    opted_in,
    pcm,
    running,
    says,
    sent,
    transcribed,
)

YOUNG = SessionLimits(rotate_after_s=0.73, rotate_force_s=1_000.0)
"""Due at a pause from the tenth delta on."""
FORCED = SessionLimits(rotate_after_s=1_000.0, rotate_force_s=0.73)


def texts(effects: list[Effect]) -> list[str]:
    return [effect.text.decode() for effect in effects if isinstance(effect, SendDelta)]


WORDS = [says(f" w{number}") for number in range(10)]


def due(*, is_opted_in: bool = False, words: int = 10) -> Driven:
    """A leg of ten words, without a pause, whose successor is on its way; it has had 3 s of audio."""
    driven = running(FORCED, pcm(3 * SECOND), is_opted_in=is_opted_in)
    assert legs(driven(*WORDS[:words])) == [OpenLeg(2, LegPurpose.SUCCESSOR)] * (words == 10)
    return driven


def overlapping(*, is_opted_in: bool = False) -> Driven:
    """The same, and the successor works too."""
    driven = due(is_opted_in=is_opted_in)
    driven(ev.LegOpened(2))
    return driven


def again(first: int = 0, last: int = 10) -> list[ev.Event]:
    """The successor says the words again."""
    return [says(f" w{number}", 2) for number in range(first, last)]


# ---- when


def test_a_leg_that_is_due_is_replaced_at_its_next_pause() -> None:
    driven = running(YOUNG, pcm(3 * SECOND))
    assert legs(driven(*WORDS, *deltas(11))) == []
    assert legs(driven(*deltas(1))) == [OpenLeg(2, LegPurpose.SUCCESSOR)]


def test_a_leg_that_is_overdue_is_replaced_without_a_pause() -> None:
    driven = due(words=9)
    assert legs(driven(says(" w9"))) == [OpenLeg(2, LegPurpose.SUCCESSOR)]


def test_a_leg_is_replaced_at_half_the_models_context() -> None:
    driven = Driven(context_s=1.6)
    driven(ev.ModelNamed(""), ev.LegOpened(1), ev.TurnStarted(), ev.AudioReceived(pcm(3 * SECOND)))
    assert legs(driven(*deltas(12))) == [OpenLeg(2, LegPurpose.SUCCESSOR)]


def test_a_leg_is_replaced_when_that_is_asked_for() -> None:
    driven = running(first=pcm(3 * SECOND))
    assert driven(ev.RotationAsked()) == []
    assert legs(driven(*deltas(11))) == []
    assert legs(driven(*deltas(1))) == [OpenLeg(2, LegPurpose.SUCCESSOR)]


def test_a_leg_without_a_clock_is_not_replaced() -> None:
    driven = running(first=pcm(3 * SECOND), profile=QWEN3_ASR)
    assert legs(driven(ev.RotationAsked(), *deltas(200))) == []


def test_a_leg_is_not_replaced_once_its_turn_is_complete() -> None:
    driven = running(FORCED, pcm(3 * SECOND))
    assert legs(driven(ev.TurnEnded(), *WORDS)) == []


def test_a_leg_is_not_replaced_while_it_replays() -> None:
    driven = running(FORCED, pcm(3 * SECOND))
    driven(*WORDS[:9], fails(), ev.LegOpened(2))
    assert legs(driven(*again(0, 8))) == []


def test_a_leg_is_not_replaced_while_it_is_still_compared() -> None:
    driven = running(YOUNG, pcm(5 * SECOND))
    driven(*WORDS[:9], fails(), ev.LegOpened(2))
    assert legs(driven(*again(0, 3), *deltas(30, 2))) == []


# ---- the successor


def test_a_successor_is_fed_from_the_replay_point_while_the_old_leg_works_on() -> None:
    driven = due()
    effects = driven(ev.LegOpened(2))
    assert effects[0] == StartTurn(2)
    assert sent(effects, 2) == list(range(3 * SECOND))
    effects = driven(ev.AudioReceived(pcm(1_600, 3 * SECOND)), says(" more"), *again(0, 1))
    assert (sent(effects, 1), texts(effects)) == (list(range(3 * SECOND, 3 * SECOND + 1_600)), [" more"])


def test_a_successor_at_a_pause_is_fed_from_the_pause() -> None:
    driven = running(YOUNG, pcm(3 * SECOND))
    driven(*WORDS, *deltas(12))
    assert sent(driven(ev.LegOpened(2)), 2) == list(range(10 * FRAME, 3 * SECOND))


def test_a_successor_that_has_caught_up_takes_over() -> None:
    driven = overlapping()
    assert driven(*again(0, 9)) == []
    assert driven(*again(9, 10)) == [CloseLeg(1)]
    assert texts(driven(says(" next", 2))) == [" next"]


def test_what_the_old_leg_says_meanwhile_is_said_once() -> None:
    driven = overlapping()
    told = texts(driven(*again(0, 10)[:9], says(" w10"), says(" w11")))
    effects = driven(*again(9, 12))
    assert (told + texts(effects), legs(effects)) == ([" w10", " w11"], [CloseLeg(1)])


def test_the_final_text_and_usage_are_those_of_one_leg() -> None:
    driven = running(YOUNG, pcm(3 * SECOND))
    driven(*WORDS, *deltas(12), ev.LegOpened(2), *deltas(12, 2), ev.TurnEnded(), *deltas(60, 2))
    assert driven(transcribed(" end", 2)) == [
        SendDone(
            Text.of("".join(f" w{number}" for number in range(10)) + " end"),
            Usage(39, USAGE.completion_tokens + 10, USAGE.total_tokens + 10),
        )
    ]


def test_a_client_that_opted_in_hears_nothing_of_it() -> None:
    driven = overlapping(is_opted_in=True)
    effects = driven(*again())
    assert effects == [CloseLeg(1)]


def test_a_successor_that_says_something_else_takes_over_and_the_client_is_told() -> None:
    driven = overlapping(is_opted_in=True)
    driven(*again(0, 9), says(" x", 2), *deltas(1))
    effects = driven(*deltas(2, 2))
    revised = TextRevised(1, 28, 30, Text.of("x"), (0, 12 * FRAME))
    assert [effect.notice for effect in effects if isinstance(effect, SendNotice)] == [revised]
    assert legs(effects) == [CloseLeg(1)]


def test_a_successor_that_says_less_is_dropped_after_a_pause() -> None:
    driven = overlapping()
    driven(*again(0, 9))
    seen = [legs(driven(*deltas(1, 2), *deltas(1))) for _ in range(14)]
    assert seen.index([CloseLeg(2)]) == 12
    assert texts(driven(says(" next"))) == [" next"]


def test_a_pause_that_began_during_the_overlap_is_not_taken_for_a_mute_model() -> None:
    driven = running(first=pcm(3 * SECOND))
    driven(ev.RotationAsked(), says(" a"), *deltas(12))
    end = 3 * SECOND
    for number in range(100):
        driven(ev.AudioReceived(pcm(FRAME, end)), says(f" w{number}"))
        end += FRAME
    for _ in range(14):
        driven(ev.AudioReceived(pcm(FRAME, end)), *deltas(1))
        end += FRAME
    driven(ev.LegOpened(2), *deltas(12, 2), *[says(f" w{number}", 2) for number in range(100)], *deltas(14, 2))
    asked: list[Effect] = []
    for _ in range(200):
        asked += driven(ev.AudioReceived(pcm(FRAME, end)), *deltas(1, 2))
        end += FRAME
    (measured,) = [effect for effect in asked if isinstance(effect, MeasureSpeech)]
    assert sum(piece.samples for piece in measured.pieces) <= 200 * FRAME


@pytest.mark.parametrize("ahead", [1, 3])
def test_empty_deltas_stay_a_clock_when_the_successor_is_ahead(ahead: int) -> None:
    limits = SessionLimits(rotate_after_s=1_000.0, rotate_force_s=0.73, forward_empty_deltas=True)
    driven = running(limits, pcm(3 * SECOND))
    told = texts(driven(*WORDS, ev.LegOpened(2), *deltas(9, 2)))
    told += texts(driven(*deltas(ahead, 2), says("".join(f" w{number}" for number in range(10)), 2)))
    assert len(told) == 10 + ahead


# ---- when it goes wrong


def test_a_successor_that_fails_is_dropped_and_tried_again_later() -> None:
    driven = due()
    assert driven(fails(2)) == [CloseLeg(2)]
    assert legs(driven(*[says(" w")] * 61)) == []
    assert legs(driven(*[says(" w")] * 2)) == [OpenLeg(3, LegPurpose.SUCCESSOR)]


@pytest.mark.parametrize("is_open", [False, True])
def test_a_successor_that_stalls_is_dropped_and_the_old_leg_works_on(is_open: bool) -> None:
    driven = due()
    driven(*[ev.LegOpened(2)] * is_open)
    # The old leg owes as much: it answers in time.
    driven.at(14.0, *deltas(1))
    effects: list[Effect] = []
    while not legs(effects):
        effects = driven.fire()
    assert effects == [CloseLeg(2)]
    assert texts(driven(says(" on"))) == [" on"]


@pytest.mark.parametrize("event", [says(" early", 2), transcribed("", 2)], ids=["delta", "done"])
def test_a_successor_that_breaks_the_protocol_is_dropped(event: ev.Event) -> None:
    assert due()(event) == [CloseLeg(2)]


def test_a_successor_that_ends_the_turn_unasked_is_dropped() -> None:
    assert overlapping()(transcribed("", 2)) == [CloseLeg(2)]


@pytest.mark.parametrize("make", [due, overlapping])
def test_a_successor_is_dropped_when_the_turn_ends(make: type[Driven]) -> None:
    assert make()(ev.TurnEnded()) == [EndTurn(1), CloseLeg(2)]


def test_a_turn_that_is_closed_but_not_sent_lets_its_successor_go_on() -> None:
    driven = overlapping()
    driven(ev.LegBlocked(1), ev.AudioReceived(pcm(1_600, 3 * SECOND)))
    assert driven(ev.TurnEnded()) == []
    effects = driven(*again())
    assert (legs(effects), effects[-1]) == ([CloseLeg(1)], EndTurn(2))


def test_a_successor_that_opens_when_the_turn_is_closed_but_not_sent_goes_to_work() -> None:
    driven = due()
    driven(ev.LegBlocked(1), ev.AudioReceived(pcm(1_600, 3 * SECOND)), ev.TurnEnded())
    assert driven(ev.LegOpened(2))[0] == StartTurn(2)


def test_the_next_turn_may_be_rotated_at_once() -> None:
    driven = due()
    driven(ev.TurnEnded(), *done())
    driven(ev.TurnStarted(), ev.AudioReceived(pcm(3 * SECOND)))
    assert legs(driven(*WORDS)) == [OpenLeg(3, LegPurpose.SUCCESSOR)]


def test_a_successor_is_dropped_with_a_cancelled_turn() -> None:
    assert legs(overlapping()(ev.TurnCancelled())) == [CloseLeg(2), CloseLeg(1)]


def test_a_successor_is_closed_with_the_session() -> None:
    assert legs(overlapping()(ev.ClientClosed())) == [CloseLeg(2), CloseLeg(1)]


# ---- losing the old leg meanwhile


def test_a_successor_on_its_way_becomes_the_leg() -> None:
    driven = due(is_opted_in=True)
    assert driven(fails()) == [CloseLeg(1), SendNotice(Recovering("upstream-closed"), seq=11)]
    effects = driven(ev.LegOpened(2))
    assert sent(effects, 2) == list(range(3 * SECOND))
    recovered = Recovered(Outcome.REHYDRATED, ((0, 17 * FRAME),), ())
    effects = driven(*again(), says(" next", 2))
    assert [effect for effect in effects if isinstance(effect, SendDelta | SendNotice)] == [
        SendNotice(recovered, seq=12),
        SendDelta(Text.of(" next"), seq=13, item=1),
    ]


@pytest.mark.parametrize("caught_up", [0, 5, 9])
def test_a_successor_at_work_becomes_the_leg_and_goes_on_from_where_it_is(caught_up: int) -> None:
    driven = overlapping()
    driven(*again(0, caught_up))
    assert driven(fails()) == [CloseLeg(1)]
    assert texts(driven(*again(caught_up, 10), says(" next", 2))) == [" next"]


def test_a_successor_on_its_way_that_fails_as_well_is_followed_by_another() -> None:
    driven = due()
    driven(fails())
    assert driven(fails(2)) == [CloseLeg(2), OpenLeg(3, LegPurpose.RECOVERY)]


def test_a_successor_that_does_not_open_in_time_after_the_loss_is_followed_by_another() -> None:
    driven = due()
    driven(fails())
    assert driven.fire() == [CloseLeg(2), OpenLeg(3, LegPurpose.RECOVERY)]


def test_a_successor_that_is_due_to_be_dropped_with_its_turn_is_no_leg() -> None:
    driven = overlapping()
    driven(ev.TurnEnded())
    assert legs(driven(fails())) == [CloseLeg(1), OpenLeg(3, LegPurpose.RECOVERY)]


def test_a_leg_that_took_over_is_of_its_own_age() -> None:
    driven = running(SessionLimits(rotate_after_s=1.61, rotate_force_s=1_000.0), pcm(3 * SECOND))
    driven(*WORDS, *WORDS, *deltas(12), ev.LegOpened(2))
    assert legs(driven(*deltas(12, 2))) == [CloseLeg(1)]
    assert legs(driven(*deltas(12, 2))) == []
    assert legs(driven(*deltas(9, 2))) == [OpenLeg(3, LegPurpose.SUCCESSOR)]


def test_both_legs_may_be_blocked_by_themselves() -> None:
    driven = overlapping()
    driven(*again(0, 2), ev.LegBlocked(2))
    effects = driven(ev.AudioReceived(pcm(1_600, 3 * SECOND)))
    assert (len(sent(effects, 1)), sent(effects, 2)) == (1_600, [])
    assert sent(driven(ev.LegUnblocked(2)), 2) == list(range(3 * SECOND, 3 * SECOND + 1_600))


def test_the_short_ways_are_closed_while_two_legs_work() -> None:
    driven = due()
    assert not driven.session.take_audio(pcm(1), 1, driven.now)
    assert driven.session.take_delta(1, Text.of(" w"), driven.now) is None


def test_a_leg_is_not_measured_while_its_successor_is_at_work() -> None:
    driven = overlapping()
    assert driven(ev.SpeechMeasured(1, 99_999)) == []


def test_a_client_that_goes_leaves_both_legs_at_work() -> None:
    driven = overlapping(is_opted_in=True)
    assert driven(ev.ClientClosed()) == []
    assert driven(*again()) == [CloseLeg(1)]


def test_a_leg_between_turns_is_closed_when_it_is_to_be_replaced() -> None:
    assert legs(opted_in()(ev.RotationAsked())) == [CloseLeg(1)]


def test_a_successor_that_would_begin_past_what_was_said_does_not_take_over() -> None:
    # The model is behind, and the journal too short to reach back to what it has said.
    driven = running(SessionLimits(journal_max_s=4.0), pcm(8_100))
    driven(ev.RotationAsked())
    for place in range(1, 30):
        driven(ev.AudioReceived(pcm(8_100, place * 8_100)))
    assert legs(driven(*deltas(12))) == [OpenLeg(2, LegPurpose.SUCCESSOR)]
    assert CloseLeg(1) not in driven(ev.LegOpened(2), *deltas(3, 2))


@pytest.mark.parametrize("loss", [fails(2), transcribed("", 2)], ids=["it fails", "it ends the turn unasked"])
def test_an_old_leg_that_waited_for_its_successor_is_fed_again_when_that_is_lost(loss: ev.Event) -> None:
    driven = due()
    driven(*heard(*(pcm(SECOND, 3 * SECOND + number * SECOND) for number in range(4))), ev.LegOpened(2))
    driven(*deltas(30))
    assert sent(driven(loss), 1)
