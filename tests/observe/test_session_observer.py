from parley.core import events as ev
from parley.core import notices as no
from parley.core.effects import SendNotice
from parley.core.errors import ParleyError
from parley.core.limits import AtBound, SessionLimits
from parley.observe.marks import MarkKind as Kind
from tests.core.builders import CLOSED, SECOND, audio, deltas, done, fails, pcm, says, transcribed, turn

from .watched import Watched


def a_turn(watched: Watched) -> None:
    """From 1 s on: audio at 1, text at 1.5, its end at 2, the final at 2.25."""
    watched(ev.LegOpened(1))
    watched.at(1.0, ev.TurnStarted(), ev.AudioReceived(audio(samples=SECOND)))
    watched.at(1.5, *deltas(3), says(" hello"))
    watched.at(2.0, ev.TurnEnded())
    watched.at(2.25, *done(" hello"))


def test_a_session_begins_with_how_its_client_came() -> None:
    watched = Watched()
    assert [(mark.kind, mark.at_s) for mark in watched.marks.all] == [
        (Kind.CONNECTED, -0.02),
        (Kind.AUTHENTICATED, -0.01),
        (Kind.BEGAN, 0.0),
        (Kind.LEG_ASKED, 0.0),
    ]
    assert watched.marks.facts(Kind.AUTHENTICATED) == {"method": "api-key"}
    assert watched.marks.facts(Kind.LEG_ASKED) == {"leg": 1, "purpose": "new"}


def test_a_turn_is_marked_from_its_first_audio_to_its_final() -> None:
    watched = Watched()
    a_turn(watched)
    assert [(mark.kind, mark.at_s) for mark in watched.marks.all[4:]] == [
        (Kind.LEG_OPENED, 0.0),
        (Kind.FIRST_AUDIO_IN, 1.0),
        (Kind.TURN_BEGAN, 1.0),
        (Kind.FIRST_AUDIO_OUT, 1.0),
        (Kind.TURN_FIRST_TEXT, 1.5),
        (Kind.TURN_SPEECH_ENDED, 2.0),
        (Kind.TURN_FINAL, 2.25),
    ]
    assert watched.marks.facts(Kind.TURN_FIRST_TEXT) == {"turn": 1, "after_s": 0.5}
    assert watched.marks.facts(Kind.TURN_SPEECH_ENDED) == {"turn": 1, "audio_s": 1.0}
    assert watched.marks.facts(Kind.TURN_FINAL) == {"turn": 1, "after_s": 0.25}


def test_marks_tell_how_much_audio_had_come() -> None:
    watched = Watched()
    a_turn(watched)
    assert watched.marks.of(Kind.BEGAN)[0].cursor_s == 0.0
    assert watched.marks.of(Kind.TURN_FINAL)[0].cursor_s == 1.0


def test_text_on_the_common_path_is_noticed_as_well() -> None:
    watched = Watched()
    watched(ev.LegOpened(1), ev.TurnStarted(), ev.AudioReceived(audio()))
    awaited_text = watched.observer.awaits_text
    watched.take_delta(says(" hello"), 0.75)
    assert (awaited_text, watched.observer.awaits_text) == (True, False)
    assert watched.marks.facts(Kind.TURN_FIRST_TEXT) == {"turn": 1, "after_s": 0.75}


def test_only_the_first_text_of_a_turn_is_a_mark() -> None:
    watched = Watched()
    watched(ev.LegOpened(1), ev.TurnStarted(), ev.AudioReceived(audio()), says(" one"), says(" two"))
    assert len(watched.marks.of(Kind.TURN_FIRST_TEXT)) == 1


def test_turns_that_were_sent_ahead_are_told_apart() -> None:
    watched = Watched()
    watched(ev.LegOpened(1), *turn(audio("a")), *turn(audio("b")))
    watched.at(1.0, *done(" one"))
    watched.at(3.0, *done(" two"))
    finals = [(mark.facts["turn"], mark.facts["after_s"]) for mark in watched.marks.of(Kind.TURN_FINAL)]
    assert finals == [(1, 1.0), (2, 3.0)]


def test_waiting_for_a_stream_is_measured() -> None:
    watched = Watched()
    watched.at(1.0, ev.LegQueued(1, 3), ev.LegQueued(1, 2))
    watched.at(4.0, ev.LegAdmitted(1))
    watched.at(4.5, ev.LegOpened(1))
    assert watched.marks.facts(Kind.QUEUED) == {"leg": 1, "position": 3}
    assert watched.marks.facts(Kind.ADMITTED) == {"leg": 1, "waited_s": 3.0}
    assert watched.marks.facts(Kind.LEG_OPENED) == {"leg": 1, "took_s": 4.5}


def test_a_client_that_comes_back_is_marked_with_the_outcome_and_its_absence() -> None:
    watched = Watched(is_opted_in=True)
    watched(ev.LegOpened(1), ev.TurnStarted(), ev.AudioReceived(audio()))
    watched.at(2.0, ev.ClientClosed())
    watched.at(5.0, ev.ResumeRequested(2, 0))
    assert watched.marks.kinds[-2:] == [Kind.DETACHED, Kind.ATTACHED]
    assert watched.marks.facts(Kind.ATTACHED) == {
        "outcome": "resumed",
        "away_s": 3.0,
        "replayed_s": 0.0,
        "lost_s": 0.0,
    }


def test_a_final_that_waited_for_its_client_says_so() -> None:
    watched = Watched(is_opted_in=True)
    watched(ev.LegOpened(1), *turn(audio()))
    watched.at(1.0, ev.ClientClosed())
    watched.at(2.0, *done())
    watched.at(9.0, ev.ResumeRequested(2, 0))
    assert watched.marks.facts(Kind.TURN_FINAL) == {"turn": 1, "after_s": 9.0, "held": True}


def test_what_a_client_is_sent_again_is_no_second_final() -> None:
    watched = Watched(is_opted_in=True)
    watched(ev.LegOpened(1), *turn(audio("a")), *done(" one"), *turn(audio("b")))
    watched.at(1.0, ev.ClientClosed())
    watched.at(2.0, ev.ResumeRequested(2, 0))
    watched.at(3.0, *done(" two"))
    assert [mark.facts["turn"] for mark in watched.marks.of(Kind.TURN_FINAL)] == [1, 2]


def test_a_lost_leg_is_marked_until_another_has_caught_up() -> None:
    watched = Watched()
    watched(ev.LegOpened(1), ev.TurnStarted(), ev.AudioReceived(pcm(SECOND)))
    watched(*deltas(5))
    watched.at(1.0, fails(1))
    watched.at(1.5, ev.LegOpened(2), *deltas(12, leg=2))
    assert watched.marks.facts(Kind.LEG_FAILED) == {"leg": 1, "code": CLOSED.code, "opening": False}
    assert watched.marks.facts(Kind.RECOVERING) == {"reason": CLOSED.code}
    facts = watched.marks.facts(Kind.RECOVERED)
    assert (facts["outcome"], facts["lost_s"], facts["took_s"]) == ("rehydrated", 0.0, 0.5)
    assert float(facts["replayed_s"]) > 0


def test_a_leg_that_could_not_be_opened_says_so() -> None:
    watched = Watched()
    watched(fails(1, ParleyError("upstream-unavailable")))
    assert watched.marks.facts(Kind.LEG_FAILED) == {"leg": 1, "code": "upstream-unavailable", "opening": True}


def test_a_client_that_does_not_read_is_measured() -> None:
    watched = Watched()
    watched.at(1.0, ev.ClientBlocked(), ev.ClientBlocked())
    watched.at(3.0, ev.ClientUnblocked(), ev.ClientUnblocked())
    assert watched.marks.facts(Kind.OUTPUT_UNBLOCKED) == {"blocked_s": 2.0}
    assert len(watched.marks.of(Kind.OUTPUT_BLOCKED)) == 1


def test_a_model_server_that_does_not_read_is_measured() -> None:
    watched = Watched()
    watched(ev.LegOpened(1))
    watched.at(1.0, ev.LegBlocked(1))
    watched.at(3.0, ev.LegUnblocked(1))
    assert watched.marks.facts(Kind.LEG_UNBLOCKED) == {"leg": 1, "blocked_s": 2.0}


def test_what_was_blocked_at_the_end_is_counted_until_then() -> None:
    watched = Watched()
    watched.at(1.0, ev.ClientBlocked())
    watched.observer.ended("shutting-down", "server", 4.0)
    assert watched.marks.kinds[-2:] == [Kind.OUTPUT_UNBLOCKED, Kind.ENDED]
    assert watched.marks.facts(Kind.OUTPUT_UNBLOCKED) == {"blocked_s": 3.0}


def test_stopping_to_read_a_client_is_measured() -> None:
    watched = Watched(SessionLimits(held_audio_max_s=2.0))
    watched.at(1.0, ev.TurnStarted(), ev.AudioReceived(audio(samples=3 * SECOND)))
    assert watched.marks.kinds[-1] is Kind.INPUT_PAUSED
    watched.at(2.0, ev.LegOpened(1))
    watched.at(3.0, *deltas(40))
    (resumed,) = watched.marks.of(Kind.INPUT_RESUMED)
    assert float(resumed.facts["blocked_s"]) in (1.0, 2.0)


def test_dropped_audio_is_marked_with_how_much() -> None:
    watched = Watched(SessionLimits(held_audio_max_s=2.0, input_policy=AtBound.DROP_OLDEST))
    watched(ev.TurnStarted(), *[ev.AudioReceived(audio(str(number), SECOND)) for number in range(4)])
    drops = watched.marks.of(Kind.DROPPED)
    assert sum(float(mark.facts["audio_s"]) for mark in drops) == watched.driven.session.survey(0.0).dropped_s > 0
    assert drops[0].facts["reason"] == "input-overrun"


def test_a_turn_that_fails_is_marked_with_the_code() -> None:
    watched = Watched(is_opted_in=True)
    watched(ev.LegOpened(1), *turn(audio()))
    failed = SendNotice(no.TurnFailed(1, ParleyError("turn-failed")), seq=9)
    watched.observer.handled(ev.TimerFired(), [failed], 1.0)
    assert watched.marks.facts(Kind.TURN_FAILED) == {"turn": 1, "code": "turn-failed"}


def test_a_turn_that_its_client_gives_up_is_dropped() -> None:
    watched = Watched(is_opted_in=True)
    watched(ev.LegOpened(1), ev.TurnStarted(), ev.AudioReceived(audio()), ev.InputCleared())
    assert watched.marks.facts(Kind.TURN_DROPPED) == {"turn": 1}


def test_a_drain_is_marked_and_that_it_was_taken_back() -> None:
    watched = Watched()
    watched(ev.LegOpened(1), ev.TurnStarted(), ev.AudioReceived(audio()))
    watched.at(1.0, ev.DrainStarted(deadline=11.0), ev.DrainCancelled())
    assert watched.marks.facts(Kind.DRAIN_STARTED) == {"within_s": 10.0, "moves": False}
    assert watched.marks.kinds[-1] is Kind.DRAIN_CANCELLED


def test_the_end_says_what_it_all_came_to_and_nothing_follows() -> None:
    watched = Watched()
    a_turn(watched)
    watched.observer.ended("client-closed", "", 3.0)
    watched.observer.ended("internal-error", "server", 4.0)
    watched.observer.handled(fails(1), [], 5.0)
    facts = watched.marks.facts(Kind.ENDED)
    assert (facts["outcome"], facts["fault"], facts["age_s"], facts["received_s"]) == ("client-closed", "", 3.0, 1.0)
    assert watched.marks.kinds[-1] is Kind.ENDED


def test_a_session_that_goes_on_elsewhere_has_moved() -> None:
    watched = Watched()
    watched.observer.ended("moved", "", 3.0)
    assert watched.marks.kinds[-1] is Kind.MOVED


def test_a_look_finds_what_is_held_when_it_doubles() -> None:
    watched = Watched()
    watched(ev.TurnStarted())
    for number in range(5):
        watched(ev.AudioReceived(audio(str(number), SECOND)))
        watched.observer.looked(watched.driven.session.survey(0.0), 0.0)
    assert [mark.facts["held_s"] for mark in watched.marks.of(Kind.HIGH_WATER)] == [1.0, 2.0, 4.0]


def test_a_look_finds_a_model_that_falls_behind_and_catches_up() -> None:
    watched = Watched()
    watched(ev.LegOpened(1), ev.TurnStarted(), ev.AudioReceived(audio(samples=SECOND)))
    watched.observer.looked(watched.driven.session.survey(2.0), 2.0)
    watched.at(3.0, *deltas(13))
    watched.observer.looked(watched.driven.session.survey(3.0), 3.0)
    assert [mark.facts["lag_s"] for mark in watched.marks.of(Kind.LAGGING)] == [2.0, 0.0]


def test_audio_that_comes_later_than_it_was_spoken_is_late() -> None:
    watched = Watched()
    watched(ev.LegOpened(1))
    assert watched.observer.input_late_s(0.0) is None
    watched.at(1.0, ev.TurnStarted(), ev.AudioReceived(audio(samples=SECOND)))
    assert watched.observer.input_late_s(4.0) == 2.0
    watched.at(4.0, ev.TurnEnded())
    assert watched.observer.input_late_s(4.0) is None


def test_a_transcript_without_deltas_is_the_first_text_itself() -> None:
    watched = Watched()
    watched(ev.LegOpened(1), *turn(audio()))
    watched.at(2.0, *deltas(64), transcribed(" all at once"))
    assert watched.marks.facts(Kind.TURN_FIRST_TEXT) == {"turn": 1, "after_s": 2.0}
