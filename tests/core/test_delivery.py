"""How held audio comes to legs: pace, turns in their order, replays, and two legs at the same turn."""

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import (
    CloseLeg,
    Effect,
    EndTurn,
    LegPurpose,
    OpenLeg,
    SendAudio,
    SendDelta,
    SendDone,
    StartTurn,
)
from parley.core.limits import SessionLimits
from parley.core.usage import Usage

from .builders import (
    FRAME,
    NO_WORDS,
    SECOND,
    Driven,
    audio,
    deltas,
    done,
    fails,
    flushing,
    heard,
    legs,
    pcm,
    ready,
    running,
    says,
    sent,
    turn,
)

WORDS = Text.of(" word")
IDLE = SessionLimits(idle_release_s=2.0)
EMPTY_DONE = SendDone(NO_WORDS, Usage())


def texts(effects: list[Effect]) -> list[str]:
    return [effect.text.decode() for effect in effects if isinstance(effect, SendDelta)]


# ---- pace


def test_audio_goes_out_until_it_is_a_window_ahead_of_what_the_model_has_consumed() -> None:
    driven = running(SessionLimits(pace_window_s=2.0), audio("0", SECOND))
    assert driven(ev.AudioReceived(audio("1", SECOND))) == [SendAudio(1, audio("1", SECOND))]
    assert driven(ev.AudioReceived(audio("2", SECOND))) == []
    assert driven(ev.AudioReceived(audio("3", SECOND))) == []


def test_each_delta_opens_the_window_by_its_frame() -> None:
    driven = running(SessionLimits(pace_window_s=1.0), audio("0", SECOND))
    held = [audio(str(number), FRAME) for number in range(1, 12)]
    assert driven(*heard(*held)) == []
    # The first delta tells of the eight frames before it.
    assert driven(*deltas(1)) == [SendAudio(1, piece) for piece in held[:8]]
    assert driven(*deltas(1)) == [SendAudio(1, held[8])]
    assert driven(ev.DeltaReceived(1, WORDS)) == [SendDelta(WORDS), SendAudio(1, held[9])]


def test_an_end_waits_behind_the_audio_that_is_held() -> None:
    driven = running(SessionLimits(pace_window_s=1.0), audio("0", SECOND))
    assert driven(ev.AudioReceived(audio("1", FRAME)), ev.TurnEnded()) == []
    assert driven(*deltas(1)) == [SendAudio(1, audio("1", FRAME)), EndTurn(1)]


def test_without_a_window_everything_is_sent_at_once() -> None:
    driven = running(SessionLimits(pace_window_s=0), audio("0", 100 * SECOND))
    assert driven(ev.AudioReceived(audio("1", 100 * SECOND))) == [SendAudio(1, audio("1", 100 * SECOND))]


def test_the_window_starts_anew_with_each_turn() -> None:
    driven = running(SessionLimits(pace_window_s=1.0), audio("0", SECOND))
    driven(ev.TurnEnded(), *done())
    assert driven(*turn(audio("1", SECOND), audio("2", SECOND))) == [StartTurn(1), SendAudio(1, audio("1", SECOND))]


def test_a_leg_that_does_not_read_is_sent_nothing_until_it_does() -> None:
    driven = running()
    assert driven(ev.LegBlocked(1), ev.AudioReceived(audio("1")), ev.AudioReceived(audio("2")), ev.TurnEnded()) == []
    assert driven(ev.LegUnblocked(1)) == [SendAudio(1, audio("1")), SendAudio(1, audio("2")), EndTurn(1)]


# ---- turns in their order


def test_a_turn_without_audio_needs_no_leg() -> None:
    assert Driven()(ev.ModelNamed(""), *turn()) == [EMPTY_DONE]


def test_a_turn_behind_one_without_audio_is_served_at_once() -> None:
    driven = ready()
    assert driven(*turn(), *turn(pcm(SECOND)))[:2] == [EMPTY_DONE, StartTurn(1)]


def test_a_turn_that_was_given_up_is_over_with_its_end_and_not_answered() -> None:
    driven = running(is_opted_in=True)
    driven(ev.TurnCancelled())
    assert EMPTY_DONE not in driven(ev.TurnEnded())
    assert driven.session.survey(driven.now).turns == 0


def test_a_turn_that_was_not_started_waits() -> None:
    driven = ready()
    assert driven(*heard(pcm(SECOND))) == []
    assert driven(ev.TurnStarted())[0] == StartTurn(1)


def test_the_next_turn_waits_for_the_end_of_the_one_before() -> None:
    driven = flushing()
    assert driven(*turn(pcm(SECOND))) == []
    assert driven(*done())[-3:] == [StartTurn(1), SendAudio(1, pcm(SECOND)), EndTurn(1)]


# ---- where there is no leg


def test_a_leg_is_asked_for_when_a_parked_session_has_audio() -> None:
    driven = ready(IDLE)
    driven.fire()
    assert driven(ev.TurnStarted()) == []
    assert driven(*heard(pcm(SECOND))) == [OpenLeg(2, LegPurpose.RETURN)]


def test_none_is_asked_for_while_one_is_on_its_way() -> None:
    driven = running(first=pcm(SECOND))
    driven(*deltas(1), fails(), fails(2))
    assert driven(*heard(pcm(SECOND, SECOND))) == []


def test_a_leg_that_nothing_is_left_for_does_not_wait_for_a_stream() -> None:
    driven = ready(IDLE)
    driven.fire()
    driven(*turn(pcm(SECOND)), ev.LegQueued(2, 1))
    assert CloseLeg(2) in driven(ev.TurnCancelled())


def test_a_new_sessions_leg_keeps_its_place_in_the_queue() -> None:
    driven = Driven()
    driven(ev.ModelNamed(""), ev.LegQueued(1, 1), *turn(pcm(SECOND)))
    assert CloseLeg(1) not in driven(ev.TurnCancelled())


# ---- replays


def test_a_replay_keeps_the_pace() -> None:
    driven = running(SessionLimits(pace_window_s=1.0), pcm(SECOND))
    driven(ev.AudioReceived(pcm(SECOND, SECOND)), *[says(" w")] * 3)
    effects = driven(fails(), ev.LegOpened(2))
    assert sent(effects, 2) == list(range(SECOND))
    assert sent(driven(*deltas(1, 2)), 2) == list(range(SECOND, 2 * SECOND))


def test_a_replay_begins_also_when_the_journal_has_just_become_full() -> None:
    driven = running(SessionLimits(pace_window_s=1.0, journal_max_s=4.0), pcm(1_600))
    for place in range(1, 41):
        driven(
            ev.AudioReceived(pcm(1_600, place * 1_600)), *[says(" w")] * (place > 6), *[says(" w")] * (place % 4 > 2)
        )
    driven(fails(), ev.LegOpened(2))
    begin = sum(len(sent(driven(*deltas(1, 2)), 2)) for _ in range(60))
    assert begin > 0


def test_words_that_a_leg_has_not_said_again_are_held_to_it_though_their_audio_is_gone() -> None:
    driven = running(SessionLimits(journal_max_s=4.0), pcm(2 * SECOND))
    driven(says(" one"), says(" two"), fails(), ev.LegOpened(2))
    for second in range(2, 8):
        driven(ev.AudioReceived(pcm(SECOND, second * SECOND)), *deltas(12, 2))
    assert texts(driven(says(" one two three", 2))) == [" three"]


def test_text_that_is_still_compared_is_not_settled_when_the_journal_is_full() -> None:
    driven = running(SessionLimits(journal_max_s=3.0), pcm(SECOND))
    driven(says(" a"), says(" b"), fails(), ev.LegOpened(2), says(" a", 2))
    for number in range(1, 8):
        driven(ev.AudioReceived(pcm(SECOND, number * SECOND)), *deltas(11, 2))
    assert [effect.text.decode() for effect in driven(says(" b c", 2)) if isinstance(effect, SendDelta)] == [" c"]


def test_a_piece_longer_than_the_journal_is_kept_for_another_leg() -> None:
    driven = running(SessionLimits(journal_max_s=1.0), pcm(3 * SECOND))
    driven(ev.TurnEnded(), says(" a"))
    assert sent(driven(fails(), ev.LegOpened(2)), 2)


# ---- two legs

FORCED = SessionLimits(rotate_after_s=1_000.0, rotate_force_s=0.73)


def due() -> Driven:
    """A leg of ten words, without a pause, whose successor is on its way; it has had 3 s of audio."""
    driven = running(FORCED, pcm(3 * SECOND))
    assert legs(driven(*[says(" w")] * 10)) == [OpenLeg(2, LegPurpose.SUCCESSOR)]
    return driven


def overlapping() -> Driven:
    """The same, and the successor works too."""
    driven = due()
    driven(ev.LegOpened(2))
    return driven


def test_a_successor_that_is_not_connected_is_sent_nothing() -> None:
    assert not sent(due()(*heard(pcm(SECOND, 3 * SECOND))), 2)


def test_an_old_leg_with_a_backlog_is_not_fed_until_its_successor_has_caught_up() -> None:
    driven = due()
    driven(*heard(*(pcm(SECOND, 3 * SECOND + number * SECOND) for number in range(4))), ev.LegOpened(2))
    behind = driven(*[says(" more"), *[says(" w", 2)] * 5])
    assert not sent(behind, 1)
    assert sent(behind, 2)


def test_an_old_leg_without_a_backlog_is_fed_all_the_time() -> None:
    driven = overlapping()
    assert sent(driven(*deltas(9), ev.AudioReceived(pcm(1_600, 3 * SECOND))), 1)


def test_a_successor_that_keeps_up_with_a_full_journal_stays() -> None:
    driven = running(SessionLimits(journal_max_s=4.0, rotate_after_s=1_000.0, rotate_force_s=0.73), pcm(SECOND))
    driven(*deltas(10), ev.LegOpened(2))
    effects: list[Effect] = []
    for number in range(1, 6):
        effects += driven(ev.AudioReceived(pcm(SECOND, number * SECOND)), *deltas(11), *deltas(9, 2))
    assert CloseLeg(2) not in effects


def test_a_successor_that_cannot_keep_up_with_the_journal_is_dropped() -> None:
    limits = SessionLimits(rotate_after_s=1_000.0, rotate_force_s=0.73, journal_max_s=4.0, pace_window_s=1.0)
    driven = running(limits, pcm(FRAME))
    end, effects = FRAME, []
    for _ in range(30):
        effects += driven(ev.AudioReceived(pcm(FRAME, end)))
        end += FRAME
        effects += driven(says(" w")) if end > 8 * FRAME else []
        effects += (
            driven(ev.LegOpened(2))
            if OpenLeg(2, LegPurpose.SUCCESSOR) in effects and StartTurn(2) not in effects
            else []
        )
    for _ in range(40):
        effects += driven(ev.AudioReceived(pcm(FRAME, end)), says(" w"))
        end += FRAME
    assert CloseLeg(2) in effects
    assert CloseLeg(1) not in effects
