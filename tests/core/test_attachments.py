"""A session outlives its client's connection: numbers, acknowledgements, detaching and coming back."""

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import (
    Attach,
    CloseAttachment,
    CloseLeg,
    EndSession,
    EndTurn,
    IssueToken,
    OpenLeg,
    PauseInput,
    ResumeInput,
    SendAudio,
    SendDelta,
    SendDone,
    SendNotice,
)
from parley.core.limits import SessionLimits
from parley.core.notices import InputAcked, Outcome, Recovered, Recovering, Resumed

from .builders import (
    SECOND,
    USAGE,
    AnError,
    Driven,
    audio,
    deltas,
    done,
    fails,
    heard,
    opted_in,
    pcm,
    ready,
    running,
    says,
    transcribed,
    under_way,
)

ONE, TWO, THREE = (Text.of(word) for word in (" one", " two", " three"))
EXPIRED = EndSession(AnError("expired"))


def talking(limits: SessionLimits | None = None) -> Driven:
    """A client that opted in and has two numbered events of its first turn: its audio is 100 ms long."""
    driven = running(limits, pcm(1_600), is_opted_in=True)
    assert driven(says(" one"), says(" two")) == [SendDelta(ONE, seq=1, item=1), SendDelta(TWO, seq=2, item=1)]
    return driven


def detached(limits: SessionLimits | None = None) -> Driven:
    """The same client, gone."""
    driven = talking(limits)
    assert driven(ev.ClientClosed()) == []
    return driven


def resumed(inputs: int = 2, cursor: int = 1_600, outcome: Outcome = Outcome.RESUMED) -> SendNotice:
    return SendNotice(Resumed(outcome, inputs, cursor, (), ()))


# ---- opting in


def test_a_client_that_opts_in_gets_a_token() -> None:
    assert ready()(ev.ResumeEnabled()) == [IssueToken()]


def test_a_client_opts_in_once() -> None:
    assert opted_in()(ev.ResumeEnabled()) == []


def test_a_server_that_keeps_no_session_gives_no_token() -> None:
    driven = ready(SessionLimits(resume_window_s=0))
    assert driven(ev.ResumeEnabled()) == []
    assert driven(ev.ClientClosed()) == [CloseLeg(1), EndSession(None)]


def test_what_a_client_did_not_read_before_it_opted_in_has_no_number() -> None:
    driven = running()
    driven(ev.ClientBlocked(), says(" one"))
    assert driven(ev.ResumeEnabled()) == [SendDelta(ONE), IssueToken()]
    assert driven(says(" two")) == []
    assert driven(ev.ClientUnblocked()) == [SendDelta(TWO, seq=1, item=1)]


def test_ends_of_turns_are_numbered_with_their_item() -> None:
    driven = opted_in()
    driven(*[event for number in (1, 2) for event in (ev.TurnStarted(), *heard(audio(str(number))), ev.TurnEnded())])
    expected = [SendDone(Text.of(" hello"), USAGE, seq=number, item=number) for number in (1, 2)]
    assert [effect for effect in driven(*done(), *done()) if isinstance(effect, SendDone)] == expected


# ---- gone


def test_a_client_that_opted_in_leaves_its_session_detached() -> None:
    driven = detached(SessionLimits(resume_window_s=20.0))
    assert not driven.session.is_attached
    assert driven.session.next_deadline() == 15.0 or driven.session.next_deadline() == 20.0


def test_the_leg_works_on_while_nobody_is_attached() -> None:
    driven = talking()
    driven(ev.LegBlocked(1), ev.AudioReceived(audio("last")), ev.TurnEnded(), ev.ClientClosed())
    assert driven(ev.LegUnblocked(1)) == [SendAudio(1, audio("last")), EndTurn(1)]


def test_a_session_that_nobody_comes_back_for_expires() -> None:
    driven = opted_in(SessionLimits(resume_window_s=20.0))
    driven.at(5.0, ev.ClientClosed())
    assert driven.session.next_deadline() == 25.0
    assert driven.at(24.9, ev.TimerFired()) == []
    assert driven.fire() == [CloseLeg(1), EXPIRED]


def test_what_a_connection_says_that_is_gone_is_dropped() -> None:
    driven = detached()
    assert driven.session.handle_client(ev.TurnEnded(), 1, 0.0) == []
    assert not driven.session.take_audio(audio(), 1, 0.0)


def test_a_client_that_says_it_is_finished_ends_its_session() -> None:
    driven = talking()
    assert driven(ev.SessionClosed()) == [CloseLeg(1), EndSession(None, seq=3)]


def test_a_plain_client_may_say_so_too() -> None:
    assert running()(ev.SessionClosed()) == [CloseLeg(1), EndSession(None)]


def test_the_end_carries_the_next_number() -> None:
    driven = talking(SessionLimits(client_errors_max=0))
    driven(ev.ClientBlocked(), says(" three"))
    effects = driven(ev.OutputAcked(99))
    assert effects[1:] == [
        SendDelta(THREE, seq=3, item=1),
        EndSession(AnError("too-many-errors", "The last was invalid-event."), seq=4),
    ]


# ---- back


def test_a_client_that_comes_back_gets_what_it_missed_and_what_waited() -> None:
    driven = detached()
    assert driven(says(" three"), says(" four")) == []
    assert driven(ev.ResumeRequested(2, 1)) == [
        Attach(2),
        resumed(),
        SendDelta(TWO, seq=2, item=1),
        SendDelta(Text.of(" three four"), seq=3, item=1),
    ]
    assert (driven.session.is_attached, driven.session.generation) == (True, 2)
    assert driven(says(" five")) == [SendDelta(Text.of(" five"), seq=4, item=1)]


def test_a_client_that_has_everything_gets_nothing_twice() -> None:
    assert detached()(ev.ResumeRequested(2, 2)) == [Attach(2), resumed()]


def test_a_client_that_is_back_is_waited_for_no_longer() -> None:
    driven = opted_in(SessionLimits(resume_window_s=20.0))
    driven(ev.ClientClosed(), ev.ResumeRequested(2, 0))
    assert driven.session.next_deadline() is None
    assert driven.at(1_000.0, ev.TimerFired()) == []


def test_a_client_may_go_and_come_back_again_and_again() -> None:
    driven = detached()
    driven(ev.ResumeRequested(2, 2), says(" three"), ev.ClientClosed())
    assert driven(ev.ResumeRequested(3, 2)) == [Attach(3), resumed(), SendDelta(THREE, seq=3, item=1)]


def test_input_goes_on_after_what_was_taken() -> None:
    driven = detached()
    driven(ev.ResumeRequested(2, 2))
    assert driven(ev.AudioReceived(audio("next"))) == [SendAudio(1, audio("next"))]
    assert driven(ev.TurnEnded()) == [EndTurn(1), SendNotice(InputAcked(4, 3_200))]


def test_an_acknowledgement_of_input_that_nobody_took_is_not_sent_later() -> None:
    driven = talking()
    driven(ev.ClientBlocked(), ev.TurnEnded(), ev.ClientClosed())
    assert driven(ev.ResumeRequested(2, 2)) == [Attach(2), resumed(inputs=3)]


# ---- refused

GAP = CloseAttachment(2, AnError("gap"))


@pytest.mark.parametrize("seq", [3, -1])
def test_a_number_that_was_never_sent_is_a_gap(seq: int) -> None:
    driven = detached()
    assert driven(ev.ResumeRequested(2, seq)) == [GAP]
    assert not driven.session.is_attached


def test_a_number_before_what_was_acknowledged_is_a_gap() -> None:
    driven = talking()
    driven(ev.OutputAcked(2), ev.ClientClosed())
    assert driven(ev.ResumeRequested(2, 1)) == [GAP]


def test_a_number_that_the_ledger_no_longer_reaches_is_a_gap() -> None:
    driven = running(SessionLimits(ledger_max_bytes=600), is_opted_in=True)
    driven(says(" one"), says(" two"), says(" three"), ev.ClientClosed())
    assert driven(ev.ResumeRequested(2, 0)) == [GAP]
    assert driven(ev.ResumeRequested(3, 1))[0] == Attach(3)


def test_a_refused_client_leaves_the_one_that_is_there_alone() -> None:
    driven = talking()
    assert driven(ev.ResumeRequested(2, 99)) == [GAP]
    assert driven(says(" three")) == [SendDelta(THREE, seq=3, item=1)]


# ---- superseded


def test_the_newest_connection_wins_and_the_older_is_told() -> None:
    driven = talking()
    assert driven(ev.ResumeRequested(2, 2)) == [CloseAttachment(1, AnError("superseded")), Attach(2), resumed()]


@pytest.mark.parametrize(
    "event", [ev.TurnEnded(), ev.ClientClosed(), ev.SessionClosed(), ev.ClientBlocked()], ids=lambda e: type(e).__name__
)
def test_what_a_superseded_connection_says_is_dropped(event: ev.ClientEvent) -> None:
    driven = talking()
    driven(ev.ResumeRequested(2, 2))
    assert driven.session.handle_client(event, 1, 0.0) == []
    assert driven(says(" three")) == [SendDelta(THREE, seq=3, item=1)]


def test_a_connection_is_superseded_also_while_it_does_not_read() -> None:
    driven = talking()
    driven(ev.ClientBlocked(), says(" three"))
    assert driven(ev.ResumeRequested(2, 2)) == [
        CloseAttachment(1, AnError("superseded")),
        Attach(2),
        resumed(),
        SendDelta(THREE, seq=3, item=1),
    ]


# ---- what happens while nobody is there

HELD = SessionLimits(held_audio_max_s=3.0, pace_window_s=1.0)


def test_a_new_connection_is_told_to_pause_like_the_one_before() -> None:
    driven = talking(HELD)
    driven(ev.AudioReceived(audio("1", SECOND)), ev.AudioReceived(audio("2", 3 * SECOND)))
    assert driven(ev.AudioReceived(audio("3", 1)))[0] == PauseInput()
    driven(ev.ClientClosed())
    assert driven(ev.ResumeRequested(2, 2))[-1] == PauseInput()


def test_a_new_connection_is_not_told_to_read_on_when_it_was_never_paused() -> None:
    driven = talking(HELD)
    driven(ev.AudioReceived(audio("1", SECOND)), ev.AudioReceived(audio("2", 3 * SECOND)))
    driven(ev.AudioReceived(audio("3", 1)), ev.ClientClosed())
    effects = driven(*[says(" w")] * 20)
    assert SendAudio(1, audio("2", 3 * SECOND)) in effects
    assert ResumeInput() not in effects
    assert PauseInput() not in driven(ev.ResumeRequested(2, 2))


def test_results_that_nobody_fetches_end_the_session_at_the_bound() -> None:
    driven = detached(SessionLimits(output_max_bytes=500))
    assert driven(says(" three")) == []
    assert driven(says(" four" * 40)) == [CloseLeg(1), EndSession(AnError("slow-client"))]


def test_a_drain_ends_a_detached_session_that_is_idle() -> None:
    driven = opted_in()
    driven(ev.ClientClosed())
    assert driven(ev.DrainStarted(10.0)) == [CloseLeg(1), EndSession(AnError("shutting-down"))]


def test_a_drain_ends_a_detached_session_once_its_turn_is_done() -> None:
    driven = talking()
    driven(ev.TurnEnded(), *deltas(4), ev.ClientClosed())
    assert driven(ev.DrainStarted(10.0)) == []
    assert driven(transcribed()) == [CloseLeg(1), EndSession(AnError("shutting-down"))]


def test_a_leg_lost_while_nobody_is_there_is_told_with_the_return() -> None:
    driven = detached()
    driven(fails(), ev.LegOpened(2), says(" one", 2))
    driven(says(" two", 2))
    replayed = ((0, 1_600),)
    assert driven(ev.ResumeRequested(2, 2)) == [
        Attach(2),
        SendNotice(Resumed(Outcome.REHYDRATED, 2, 1_600, replayed, ())),
        SendNotice(Recovering("upstream-closed"), seq=3),
        SendNotice(Recovered(Outcome.REHYDRATED, replayed, ()), seq=4),
    ]


def test_what_was_lost_is_told_once() -> None:
    driven = detached()
    driven(fails(), ev.LegOpened(2), says(" one", 2), says(" two", 2), ev.ResumeRequested(2, 2), ev.ClientClosed())
    assert driven(ev.ResumeRequested(3, 4)) == [Attach(3), resumed()]


def test_a_leg_lost_before_the_client_went_is_not_told_again() -> None:
    driven = talking()
    driven(fails(), ev.LegOpened(2), says(" one", 2), says(" two", 2), ev.ClientClosed())
    assert driven(ev.ResumeRequested(2, 4)) == [Attach(2), resumed()]


def test_words_lost_while_nobody_was_there_are_told_with_the_return() -> None:
    driven = running(SessionLimits(journal_max_s=2.0), pcm(1_600), is_opted_in=True)
    driven(*[ev.AudioReceived(pcm(1_600, 1_600 * place)) for place in range(1, 25)], ev.ClientClosed())
    driven(fails(), ev.LegOpened(2), *[says("", 2)] * 60)
    notice = driven(ev.ResumeRequested(2, 0))[1]
    assert isinstance(notice, SendNotice)
    assert isinstance(notice.notice, Resumed)
    assert notice.notice.outcome is Outcome.RESTARTED


def test_a_leg_that_is_opened_for_a_detached_session_serves_the_one_who_returns() -> None:
    driven = talking()
    driven(ev.TurnEnded(), ev.TurnStarted(), ev.AudioReceived(audio("next")), fails())
    driven(ev.ClientClosed())
    assert OpenLeg(3) not in driven(ev.LegOpened(2))
    assert driven(ev.ResumeRequested(2, 3))[0] == Attach(2)


def test_a_detached_session_holds_nothing_after_its_end() -> None:
    driven = detached()
    driven(says(" three"))
    driven.at(1_000.0, ev.TimerFired())
    assert (driven.session.ended, driven.session.held_bytes) == (True, 0)
    assert driven(ev.ResumeRequested(2, 2)) == []


def test_a_return_that_was_overtaken_by_a_newer_one_is_superseded() -> None:
    driven = detached()
    driven(ev.ResumeRequested(3, 2))
    assert driven(ev.ResumeRequested(2, 2)) == [CloseAttachment(2, AnError("superseded"))]
    assert driven.session.generation == 3


# ---- on its way to another server


def test_on_its_way_a_client_that_reads_again_is_told_nothing_yet() -> None:
    driven = under_way()
    assert driven(ev.ClientBlocked(), ev.ClientUnblocked()) == []


def test_who_comes_back_to_one_on_its_way_is_sent_on() -> None:
    driven = under_way()
    (refusal,) = driven(ev.ResumeRequested(2, 0))
    assert refusal == CloseAttachment(2, AnError("moved"))


def test_the_client_has_its_window_from_when_it_went_away() -> None:
    driven = opted_in(SessionLimits(resume_window_s=30.0))
    assert driven.session.window_s(driven.now) == 30.0
    driven(ev.ClientClosed())
    assert driven.session.window_s(driven.now + 10.0) == 20.0
