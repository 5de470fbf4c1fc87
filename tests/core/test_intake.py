"""What the client sends: counted, bounded, acknowledged, cleared and cancelled."""

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import (
    CloseLeg,
    EndSession,
    EndTurn,
    LegPurpose,
    OpenLeg,
    PauseInput,
    ResumeInput,
    SendAudio,
    SendDone,
    SendError,
    SendNotice,
    StartTurn,
)
from parley.core.errors import ParleyError
from parley.core.limits import SessionLimits
from parley.core.notices import InputAcked, InputCleared, TurnCancelled
from parley.core.profile import VOXTRAL
from parley.core.session import Session
from parley.core.snapshot import SessionState

from .builders import (
    SECOND,
    USAGE,
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
    transcribed,
    turn,
)

HELD = SessionLimits(held_audio_max_s=3.0, pace_window_s=1.0)
OVERFLOW = EndSession(AnError("input-overflow", "It may hold 3 s."))

# ---- input


def test_reading_stops_above_the_bound_and_starts_again_a_second_below_it() -> None:
    driven = running(HELD, audio("0", SECOND))
    held = [audio(str(number), SECOND) for number in range(1, 6)]
    assert driven(*heard(*held[:3])) == []
    assert driven(ev.AudioReceived(held[3])) == [PauseInput()]
    assert driven(ev.AudioReceived(held[4])) == []
    # A second more may go each time the lag falls below the window's second: four are held then, three, two.
    sent = [driven(*deltas(count)) for count in (1, 5, 13)]
    assert sent == [
        [SendAudio(1, held[0])],
        [SendAudio(1, held[1])],
        [SendAudio(1, held[2]), ResumeInput()],
    ]


def test_reading_stops_for_many_tiny_pieces_by_the_memory_they_take() -> None:
    driven = flushing(SessionLimits(held_audio_max_s=0.01))
    driven(ev.TurnStarted())
    # 10 ms may take 853 bytes: a piece costs 160 beside its payload.
    seen = [driven(ev.AudioReceived(audio("x", 1))) for _ in range(6)]
    assert seen == [[], [], [], [], [], [PauseInput()]]


def test_held_audio_may_take_the_memory_of_the_bound() -> None:
    driven = flushing(SessionLimits(held_audio_max_s=30 / SECOND))
    driven(ev.TurnStarted())
    # 30 samples may take 160 bytes: a piece with nothing in it.
    assert driven(ev.AudioReceived(audio("", 1))) == []
    assert driven(ev.AudioReceived(audio("", 1))) == [PauseInput()]


def test_reading_starts_again_when_nothing_is_held_where_the_bound_is_below_the_margin() -> None:
    driven = flushing(SessionLimits(held_audio_max_s=0.5))
    assert driven(ev.TurnStarted(), ev.AudioReceived(audio("1", SECOND))) == [PauseInput()]
    assert driven(*done()) == [
        SendDone(Text.of(" hello"), USAGE),
        StartTurn(1),
        SendAudio(1, audio("1", SECOND)),
        ResumeInput(),
    ]


def test_audio_before_a_start_that_fits_the_bound_is_held() -> None:
    driven = ready(HELD)
    assert driven(ev.AudioReceived(audio("1", 3 * SECOND))) == []
    assert driven(ev.TurnStarted()) == [StartTurn(1), SendAudio(1, audio("1", 3 * SECOND))]


def test_audio_over_the_bound_that_no_start_could_free_ends_the_session() -> None:
    driven = ready(HELD)
    assert driven(ev.AudioReceived(audio("1", 3 * SECOND))) == []
    assert driven(ev.AudioReceived(audio("2", 1))) == [CloseLeg(1), OVERFLOW]


def test_audio_ahead_of_its_start_pauses_while_the_turn_before_is_at_work_and_overflows_after_it() -> None:
    driven = flushing(HELD)
    assert driven(ev.AudioReceived(audio("1", 3 * SECOND + 1))) == [PauseInput()]
    assert driven(*done()) == [SendDone(Text.of(" hello"), USAGE), CloseLeg(1), OVERFLOW]


def test_a_turn_that_needs_its_start_read_is_read_on_even_just_below_the_bound() -> None:
    # The margin would keep the client unread, and the start that frees the audio with it, for good.
    driven = running(HELD, audio("0", SECOND))
    driven(ev.AudioReceived(audio("1", SECOND // 2)), ev.TurnEnded())
    assert driven(ev.AudioReceived(audio("2", 3 * SECOND))) == [PauseInput()]
    assert driven(*deltas(1)) == [SendAudio(1, audio("1", SECOND // 2)), EndTurn(1)]
    assert driven(*done()) == [SendDone(Text.of(" hello"), USAGE), ResumeInput()]
    assert driven(ev.TurnStarted()) == [StartTurn(1), SendAudio(1, audio("2", 3 * SECOND))]


# ---- turns and errors

WAITING = "3 turns are waiting."


def test_audio_of_one_turn_too_many_ends_the_session() -> None:
    driven = flushing(SessionLimits(held_turns_max=3))
    driven(ev.AudioReceived(audio("1")), ev.TurnEnded(), ev.AudioReceived(audio("2")), ev.TurnEnded())
    assert driven(ev.AudioReceived(audio("3"))) == [CloseLeg(1), EndSession(AnError("too-many-turns", WAITING))]


def test_the_start_of_one_turn_too_many_ends_the_session() -> None:
    driven = flushing(SessionLimits(held_turns_max=3))
    driven(*turn(), *turn())
    assert driven(ev.TurnStarted()) == [CloseLeg(1), EndSession(AnError("too-many-turns", WAITING))]


def test_errors_are_told_and_one_too_many_ends_the_session() -> None:
    driven = ready(SessionLimits(client_errors_max=2))
    bad = ParleyError("invalid-json")
    assert driven(ev.InputRejected(bad), ev.ModelNamed("other")) == [
        SendError(bad),
        SendError(AnError("model-not-found")),
    ]
    assert driven(ev.InputRejected(bad)) == [
        CloseLeg(1),
        EndSession(AnError("too-many-errors", "The last was invalid-json.")),
    ]


# ---- counting, for a client that opted in


def acked(inputs: int, cursor: int) -> SendNotice:
    return SendNotice(InputAcked(inputs, cursor))


def test_turns_and_names_are_acknowledged_at_once() -> None:
    driven = opted_in()
    assert driven(ev.ModelNamed("voxtral")) == [acked(1, 0)]
    assert driven(ev.TurnStarted()) == [acked(2, 0)]
    driven(ev.AudioReceived(audio("1", 1_600)))
    assert driven(ev.TurnEnded()) == [EndTurn(1), acked(4, 1_600)]


def test_audio_is_acknowledged_by_the_second() -> None:
    driven = opted_in()
    driven(ev.TurnStarted())
    seen = [driven(ev.AudioReceived(audio(str(number), 4_000))) for number in range(8)]
    acks = [[effect for effect in effects if isinstance(effect, SendNotice)] for effects in seen]
    assert acks == [[], [], [], [acked(5, SECOND)], [], [], [], [acked(9, 2 * SECOND)]]


def test_audio_by_the_short_way_in_counts_as_well() -> None:
    driven = opted_in()
    driven(ev.TurnStarted(), ev.AudioReceived(audio("1", 100)))
    assert driven.session.take_audio(audio("2", 100), 1, 0.0)
    assert driven(ev.TurnEnded())[-1] == acked(4, 200)


def test_the_short_way_in_is_closed_when_an_acknowledgement_is_due() -> None:
    driven = opted_in()
    driven(ev.TurnStarted(), ev.AudioReceived(audio("1", 100)))
    assert driven.session.take_audio(audio("2", SECOND - 101), 1, 0.0)
    assert not driven.session.take_audio(audio("3", 1), 1, 0.0)


def test_for_a_plain_client_the_short_way_in_stays_open() -> None:
    driven = running(first=audio("1", SECOND))
    assert driven.session.take_audio(audio("2", 100), 1, 0.0)
    assert driven.session.take_audio(audio("3", SECOND), 1, 0.0)
    assert driven.session.take_audio(audio("4", 100), 1, 0.0)


@pytest.mark.parametrize("before", [[], [ev.LegBlocked(1)]], ids=["sent", "held"])
def test_a_message_in_several_pieces_counts_with_its_last(before: list[ev.Event]) -> None:
    driven = opted_in()
    driven(ev.TurnStarted(), ev.AudioReceived(audio("0", 1)), *before)
    driven(ev.AudioReceived(audio("1", 100), messages=0), ev.AudioReceived(audio("2", 100)))
    assert driven(ev.TurnEnded())[-1] == acked(4, 201)


def test_what_is_refused_counts_too_for_it_has_been_answered() -> None:
    driven = opted_in()
    bad = ParleyError("invalid-json")
    assert driven(ev.InputRejected(bad)) == [SendError(bad, seq=1), acked(1, 0)]
    assert driven(ev.ModelNamed("other")) == [SendError(AnError("model-not-found"), seq=2), acked(2, 0)]


def test_a_start_before_the_name_counts_too() -> None:
    driven = Driven()
    driven(ev.ResumeEnabled())
    assert driven(ev.TurnStarted()) == [SendError(AnError("model-not-set"), seq=1), acked(1, 0)]


def test_an_acknowledgement_of_output_is_not_input() -> None:
    driven = opted_in()
    assert driven(ev.OutputAcked(0), ev.TurnStarted()) == [acked(1, 0)]


def test_an_acknowledgement_of_what_was_never_sent_is_refused() -> None:
    driven = opted_in()
    detail = "So much was never sent: `seq` is the number of an event."
    assert driven(ev.OutputAcked(1)) == [SendError(AnError("invalid-event", detail), seq=1), acked(0, 0)]


def test_what_came_before_the_opt_in_does_not_count_but_moved_the_cursor() -> None:
    driven = running(first=audio("1", 1_600))
    driven(ev.ResumeEnabled())
    assert driven(ev.TurnEnded()) == [EndTurn(1), acked(1, 1_600)]


# ---- clearing the open turn

CLEARED = SendNotice(InputCleared(1))


def test_clearing_voids_a_running_turn_and_begins_it_again_on_another_leg() -> None:
    driven = running()
    assert driven(ev.InputCleared()) == [CloseLeg(1), CLEARED]
    assert driven(ev.AudioReceived(audio("again"))) == [OpenLeg(2, LegPurpose.RETURN)]
    assert driven(ev.LegOpened(2)) == [StartTurn(2), SendAudio(2, audio("again"))]


def test_clearing_voids_a_turn_that_waits_and_leaves_the_leg_alone() -> None:
    driven = ready()
    driven(ev.AudioReceived(audio("waits")))
    assert driven(ev.InputCleared()) == [CLEARED]
    assert driven(ev.AudioReceived(audio("again")), ev.TurnStarted()) == [StartTurn(1), SendAudio(1, audio("again"))]


def test_clearing_a_turn_behind_another_leaves_that_one_at_work() -> None:
    driven = flushing()
    driven(ev.TurnStarted(), ev.AudioReceived(audio("next")))
    assert driven(ev.InputCleared()) == [SendNotice(InputCleared(2))]
    assert driven(*done()) == [SendDone(Text.of(" hello"), USAGE)]
    assert driven(ev.AudioReceived(audio("again"))) == [StartTurn(1), SendAudio(1, audio("again"))]


@pytest.mark.parametrize("before", [[], [ev.TurnStarted()]], ids=["no turn", "no audio"])
def test_clearing_nothing_does_nothing(before: list[ev.Event]) -> None:
    driven = ready()
    assert driven(*before, ev.InputCleared()) == []


def test_a_cleared_turn_counts_and_is_told_by_number() -> None:
    driven = running(is_opted_in=True, first=audio("1", 1_600))
    assert driven(ev.InputCleared()) == [CloseLeg(1), SendNotice(InputCleared(1), seq=1), acked(3, 1_600)]


def test_a_turn_that_was_given_up_begins_again_when_it_is_cleared() -> None:
    driven = running()
    driven(ev.TurnCancelled(), ev.AudioReceived(audio("dropped")))
    assert driven(ev.InputCleared()) == [CLEARED]
    assert driven(ev.AudioReceived(audio("again"))) == [OpenLeg(2, LegPurpose.RETURN)]


def test_what_a_leg_still_says_of_a_cleared_turn_is_ignored() -> None:
    driven = running()
    driven(ev.InputCleared())
    assert driven(says(" late")) == []


# ---- cancelling a turn


def test_cancelling_drops_the_turn_at_work_and_serves_the_next() -> None:
    driven = flushing()
    driven(*turn(audio("next")))
    assert driven(ev.TurnCancelled()) == [CloseLeg(1), SendNotice(TurnCancelled(1)), OpenLeg(2, LegPurpose.RETURN)]
    assert driven(ev.LegOpened(2)) == [StartTurn(2), SendAudio(2, audio("next")), EndTurn(2)]


def test_cancelling_a_turn_that_waits_leaves_the_one_at_work_alone() -> None:
    driven = flushing()
    driven(*turn(audio("next")))
    assert driven(ev.TurnCancelled(2)) == [SendNotice(TurnCancelled(2))]
    assert driven(*done()) == [SendDone(Text.of(" hello"), USAGE)]


def test_cancelling_a_turn_that_is_not_there_is_refused() -> None:
    detail = "No turn of this id is waiting or at work."
    assert ready()(ev.TurnCancelled(7)) == [SendError(AnError("invalid-event", detail))]


def test_a_turn_is_cancelled_once() -> None:
    driven = running()
    driven(ev.TurnCancelled())
    assert [type(effect) for effect in driven(ev.TurnCancelled(1))] == [SendError]


def test_the_rest_of_a_cancelled_turn_is_dropped_up_to_its_end() -> None:
    driven = running()
    assert driven(ev.TurnCancelled()) == [CloseLeg(1), SendNotice(TurnCancelled(1))]
    assert driven(ev.AudioReceived(audio("rest")), ev.TurnEnded()) == []
    assert driven(*turn(audio("next")), ev.LegOpened(2)) == [
        OpenLeg(2, LegPurpose.RETURN),
        StartTurn(2),
        SendAudio(2, audio("next")),
        EndTurn(2),
    ]


def test_a_start_after_a_cancelled_turn_that_was_not_ended_begins_the_next() -> None:
    driven = running()
    driven(ev.TurnCancelled())
    assert driven(*turn(audio("next")), ev.LegOpened(2)) == [
        OpenLeg(2, LegPurpose.RETURN),
        StartTurn(2),
        SendAudio(2, audio("next")),
        EndTurn(2),
    ]


@pytest.mark.parametrize("rest", [[], [ev.AudioReceived(audio("rest")), ev.TurnEnded()]], ids=["nothing", "its rest"])
def test_a_turn_cancelled_before_its_start_does_not_take_the_next_ones(rest: list[ev.Event]) -> None:
    driven = ready()
    driven(ev.AudioReceived(audio("never")))
    assert driven(ev.TurnCancelled()) == [SendNotice(TurnCancelled(1))]
    assert driven(*rest, *turn(audio("next"))) == [StartTurn(1), SendAudio(1, audio("next")), EndTurn(1)]


@pytest.mark.parametrize("started", [True, False])
def test_the_newest_of_two_turns_can_be_cancelled_while_it_is_open(started: bool) -> None:
    driven = flushing()
    driven(*[ev.TurnStarted()] * started, ev.AudioReceived(audio("second")))
    assert driven(ev.TurnCancelled(2)) == [SendNotice(TurnCancelled(2))]
    assert driven(ev.AudioReceived(audio("rest")), ev.TurnEnded(), *done()) == [SendDone(Text.of(" hello"), USAGE)]
    assert driven(*turn(audio("third"))) == [StartTurn(1), SendAudio(1, audio("third")), EndTurn(1)]


def test_a_cancelled_turn_holds_no_input_back() -> None:
    driven = flushing(HELD)
    assert driven(ev.TurnStarted(), ev.AudioReceived(audio("1", 4 * SECOND))) == [PauseInput()]
    assert driven(ev.TurnCancelled(2)) == [SendNotice(TurnCancelled(2)), ResumeInput()]


def test_a_dropped_rest_still_moves_the_cursor() -> None:
    driven = running(is_opted_in=True, first=audio("1", 1_600))
    driven(ev.TurnCancelled())
    assert driven(ev.AudioReceived(audio("2", SECOND))) == [acked(4, 1_600 + SECOND)]


def test_what_comes_back_is_told_to_pause_anew() -> None:
    driven = flushing(HELD)
    driven(ev.ResumeEnabled())
    driven(ev.TurnStarted(), ev.AudioReceived(audio("1", 4 * SECOND)))
    driven(ev.ClientClosed())
    assert PauseInput() in driven(ev.ResumeRequested(2, 0))


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ([ev.TurnEnded()], "the turn is flushed"),
        ([ev.LegBlocked(1)], "the leg does not read"),
        ([ev.LegBlocked(1), ev.AudioReceived(audio("held"))], "audio waits before it"),
        ([ev.LegBlocked(1), ev.AudioReceived(audio("held")), ev.TurnEnded()], "the turn is closed"),
        ([ev.AudioReceived(audio("ahead", 3 * SECOND))], "the window is full"),
        ([ev.LegFailed(1, ParleyError("upstream-closed"))], "there is no leg"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_short_way_in_is_closed_to_audio_that_has_to_wait(before: list[ev.Event], why: str) -> None:
    driven = running()
    driven(*before)
    assert not driven.session.take_audio(audio(), 1, 0.0), why


def test_the_short_way_in_is_closed_when_the_journal_is_full() -> None:
    driven = running(SessionLimits(journal_max_s=2.0), audio("1", 2 * SECOND))
    assert driven.session.take_audio(audio("2", 1), 1, 0.0)
    assert not driven.session.take_audio(audio("3", 1), 1, 0.0)


def test_an_end_that_meets_no_turn_does_nothing() -> None:
    assert ready()(ev.TurnEnded()) == []


# ---- a client that half-closes its connection


def test_the_end_of_the_input_ends_the_open_turn() -> None:
    assert running()(ev.InputFinished()) == [EndTurn(1)]


def test_a_session_without_a_turn_ends_with_its_input() -> None:
    assert ready()(ev.InputFinished()) == [CloseLeg(1), EndSession(None)]


def test_a_session_whose_input_has_ended_ends_when_its_last_turn_is_transcribed() -> None:
    driven = running()
    driven(ev.InputFinished(), *deltas(4))
    assert driven(transcribed())[-1] == EndSession(None)


def test_turns_that_wait_are_transcribed_before_a_session_ends_whose_input_has_ended() -> None:
    driven = running()
    driven(ev.TurnEnded(), ev.TurnStarted(), ev.AudioReceived(audio("2")), ev.InputFinished(), *deltas(4))
    assert StartTurn(1) in driven(transcribed())


def test_audio_of_which_no_transcript_was_asked_for_does_not_outlive_the_input() -> None:
    driven = ready()
    driven(ev.AudioReceived(audio()))
    assert driven(ev.InputFinished()) == [CloseLeg(1), EndSession(None)]


def test_a_client_that_opted_in_is_told_that_its_session_has_ended_with_its_input() -> None:
    assert opted_in()(ev.InputFinished()) == [CloseLeg(1), EndSession(None, seq=1)]


def test_a_client_that_comes_back_may_send_again_though_its_input_had_ended() -> None:
    driven = running(is_opted_in=True)
    driven(ev.InputFinished(), ev.ClientClosed(), ev.ResumeRequested(2, 0), *deltas(4))
    assert not any(isinstance(effect, EndSession) for effect in driven(transcribed()))


def test_where_no_models_are_known_the_client_may_name_any() -> None:
    driven = Driven(models=())
    driven(ev.LegOpened(1))
    assert driven(ev.ModelNamed("anything"), ev.TurnStarted(), ev.AudioReceived(audio())) == [
        StartTurn(1),
        SendAudio(1, audio()),
    ]


def test_an_acknowledgement_that_a_client_did_not_read_is_given_when_it_reads_again() -> None:
    driven = running(is_opted_in=True, first=audio("1", 1_600))
    assert driven(ev.ClientBlocked(), ev.TurnEnded()) == [EndTurn(1)]
    assert driven(ev.ClientUnblocked()) == [acked(3, 1_600)]


def test_a_client_that_reads_again_is_not_told_what_it_knows() -> None:
    driven = running(is_opted_in=True, first=audio("1", 1_600))
    assert driven(ev.TurnEnded(), ev.ClientBlocked(), ev.ClientUnblocked())[2:] == []


# ---- another server


def test_counts_errors_and_the_named_model_go_along() -> None:
    limits = SessionLimits(client_errors_max=1)
    state = SessionState(inputs=7, cursor=16_000, acknowledged=0, model_named=True, errors=1)
    session = Session.restored(state, limits, ("voxtral",), VOXTRAL, 0.0)
    assert session.handle_client(ev.TurnStarted(), 1, 0.0) == []
    session.handle(ev.ResumeRequested(1, 0), 0.0)
    assert session.handle_client(ev.TurnStarted(), 1, 0.0) == [SendNotice(InputAcked(8, 16_000))]
    effects = session.handle_client(ev.InputRejected(ParleyError("invalid-json")), 1, 0.0)
    assert isinstance(effects[-1], EndSession)


def test_what_it_has_counted_can_be_taken_along() -> None:
    driven = ready()
    driven(*heard(audio(samples=1_600)), ev.InputRejected(ParleyError("invalid-event")))
    counts = driven.session.state(driven.now)
    assert (counts.inputs, counts.cursor, counts.errors) == (3, 1_600, 1)
