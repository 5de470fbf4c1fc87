"""A session that ends by itself: nothing comes, nothing is said, it is too long or too far behind."""

from collections.abc import Callable

import pytest

from parley.core import events as ev
from parley.core.content import Text
from parley.core.effects import CloseLeg, Effect, EndSession, SendNotice
from parley.core.limits import AtBound, SessionLimits
from parley.core.notices import Expiring, Lagging, Notice, Queued

from .builders import NO_WORDS, SECOND, AnError, Driven, audio, deltas, done, fails, heard, opted_in, ready, says

IDLE = SessionLimits(input_idle_timeout_s=80.0)
SILENT = SessionLimits(speech_idle_timeout_s=80.0, stall_timeout_s=900.0, first_delta_timeout_s=900.0)
LAG = SessionLimits(lag_notice_s=4.0, stall_timeout_s=900.0, first_delta_timeout_s=900.0, recovery_timeout_s=900.0)
NOTHING_CAME = AnError("idle-timeout", "Nothing came from the client for 80 s.")
NOTHING_SAID = AnError("idle-timeout", "No speech was heard for 80 s.")


def until(driven: Driven, end: float, each: Callable[[Driven], object] = lambda _: None) -> list[tuple[float, object]]:
    """The session's own moves up to a time, each with its time: what it tells and how it ends. `each` is done before
    each of them."""
    seen: list[tuple[float, object]] = []
    while (deadline := driven.session.next_deadline()) is not None and deadline <= end:
        each(driven)
        for effect in driven.fire():
            if isinstance(effect, SendNotice):
                seen.append((driven.now, effect.notice))
            elif isinstance(effect, EndSession):
                seen.append((driven.now, effect.error))
    driven.now = max(driven.now, end)
    return seen


def notices(effects: list[Effect]) -> list[Notice]:
    return [effect.notice for effect in effects if isinstance(effect, SendNotice) and not effect.seq]


def lagging(effects: list[Effect]) -> list[Notice]:
    return [notice for notice in notices(effects) if isinstance(notice, Lagging)]


# ---- off


def test_without_limits_there_is_nothing_to_wait_for() -> None:
    driven = opted_in()
    driven(ev.TurnStarted())
    assert driven.session.next_deadline() is None


# ---- nothing from the client


def test_a_client_that_sends_nothing_is_told_and_then_the_session_ends() -> None:
    driven = opted_in(IDLE)
    assert until(driven, 1_000.0) == [(50.0, Expiring("idle-timeout", 30.0)), (80.0, NOTHING_CAME)]
    assert driven.session.ended


def test_a_client_of_vllm_is_told_by_the_end_alone() -> None:
    assert until(ready(IDLE), 1_000.0) == [(80.0, NOTHING_CAME)]


def test_a_short_time_is_told_at_its_half() -> None:
    driven = opted_in(SessionLimits(input_idle_timeout_s=8.0))
    assert until(driven, 1_000.0)[0] == (4.0, Expiring("idle-timeout", 4.0))


@pytest.mark.parametrize("event", [ev.OutputAcked(0), ev.ModelNamed("voxtral"), ev.TurnStarted()])
def test_any_message_takes_the_notice_back_and_it_comes_again(event: ev.ClientEvent) -> None:
    driven = opted_in(IDLE)
    until(driven, 60.0)
    driven(event)
    assert until(driven, 1_000.0) == [(110.0, Expiring("idle-timeout", 30.0)), (140.0, NOTHING_CAME)]


def test_audio_on_the_short_way_is_seen_within_five_seconds() -> None:
    driven = ready(IDLE)
    driven(ev.TurnStarted(), *heard(audio()))
    until(driven, 61.0)
    assert driven.session.take_audio(audio(), 1, driven.now)
    driven(*deltas(3))
    [(ended_at, error)] = until(driven, 1_000.0)
    assert error == NOTHING_CAME
    assert 61.0 + 80.0 <= ended_at <= 61.0 + 80.0 + 5.0


def test_a_client_that_waits_for_what_it_is_owed_is_not_idle() -> None:
    driven = opted_in(SessionLimits(input_idle_timeout_s=10.0, flush_timeout_s=900.0))
    driven(ev.TurnStarted(), *heard(audio()), ev.TurnEnded())
    assert until(driven, 500.0) == []
    driven(*done())
    [*_, (ended_at, error)] = until(driven, 1_000.0)
    assert error == AnError("idle-timeout", "Nothing came from the client for 10 s.")
    assert ended_at >= 510.0 - 1.25


def test_a_client_that_is_not_read_is_not_idle() -> None:
    limits = SessionLimits(input_idle_timeout_s=10.0, held_audio_max_s=1.0, connect_timeout_s=900.0)
    driven = Driven(limits)
    driven(ev.ModelNamed("voxtral"), ev.TurnStarted(), *heard(audio("much", 2 * SECOND)))
    assert until(driven, 500.0) == []


def test_while_nobody_is_attached_nobody_is_idle_and_who_comes_back_has_all_of_the_time() -> None:
    limits = SessionLimits(input_idle_timeout_s=80.0, speech_idle_timeout_s=80.0, resume_window_s=200.0)
    driven = opted_in(limits)
    until(driven, 60.0)
    driven(ev.ClientClosed())
    assert until(driven, 180.0) == []
    back = driven(ev.ResumeRequested(2, 0))
    assert [notice for notice in notices(back) if isinstance(notice, Expiring)] == []
    assert until(driven, 1_000.0) == [
        (230.0, Expiring("idle-timeout", 30.0)),
        (230.0, Expiring("idle-timeout", 30.0)),
        (260.0, NOTHING_CAME),
    ]


# ---- no speech


def test_a_session_in_which_nothing_is_said_ends() -> None:
    driven = opted_in(SILENT)
    driven(ev.TurnStarted())

    def silence(driven: Driven) -> None:
        driven(*heard(audio(samples=SECOND)), *deltas(13))

    assert until(driven, 1_000.0, silence) == [(50.0, Expiring("idle-timeout", 30.0)), (80.0, NOTHING_SAID)]


def test_a_word_takes_the_notice_back() -> None:
    driven = opted_in(SILENT)
    driven(ev.TurnStarted(), *heard(audio(samples=SECOND)), *deltas(6))
    until(driven, 60.0)
    driven(says(" Hi"))
    [(told_at, told), (ended_at, ended)] = until(driven, 1_000.0)
    assert (told, ended) == (Expiring("idle-timeout", 30.0), NOTHING_SAID)
    assert 60.0 + 80.0 <= ended_at == told_at + 30.0 <= 60.0 + 80.0 + 5.0


def test_a_word_on_the_short_way_counts_as_well() -> None:
    driven = ready(SILENT)
    driven(ev.TurnStarted(), *heard(audio(samples=SECOND)), *deltas(6))
    until(driven, 60.0)
    assert driven.session.take_delta(1, Text.of(" Hi"), driven.now)
    assert driven.session.take_delta(1, NO_WORDS, driven.now) is False
    [(ended_at, _)] = until(driven, 1_000.0)
    assert 140.0 <= ended_at <= 145.0


def test_a_model_that_is_behind_has_not_been_silent() -> None:
    driven = opted_in(SessionLimits(speech_idle_timeout_s=80.0, stall_timeout_s=900.0, first_delta_timeout_s=900.0))
    driven(ev.TurnStarted(), *heard(audio(samples=3 * SECOND)))
    assert until(driven, 500.0) == []


# ---- too long


def test_a_session_that_lasts_too_long_is_told_and_ended() -> None:
    driven = opted_in(SessionLimits(duration_max_s=600.0))
    assert until(driven, 1_000.0) == [
        (570.0, Expiring("duration-limit", 30.0)),
        (600.0, AnError("duration-limit", "It may last 600 s.")),
    ]


def test_nothing_takes_that_back_and_who_comes_back_is_told_again() -> None:
    driven = opted_in(SessionLimits(duration_max_s=600.0))
    until(driven, 580.0)
    driven(ev.TurnStarted(), ev.ClientClosed())
    assert Expiring("duration-limit", 20.0) in notices(driven(ev.ResumeRequested(2, 0)))
    assert until(driven, 1_000.0)[-1] == (600.0, AnError("duration-limit", "It may last 600 s."))


def test_the_time_on_another_server_counts() -> None:
    driven = opted_in(SessionLimits(duration_max_s=600.0))
    driven.session._lifetime.begin(0.0, age_s=599.0)
    assert until(driven, 1_000.0)[-1] == (1.0, AnError("duration-limit", "It may last 600 s."))


# ---- too far behind


def behind(limits: SessionLimits = LAG) -> Driven:
    """A session whose model has answered nothing of a turn of which a second came at 0, 1, 2, 3 and 4."""
    driven = opted_in(limits)
    driven(ev.TurnStarted())
    for second in range(5):
        until(driven, float(second))
        driven(*heard(audio(samples=SECOND)))
    return driven


def test_the_lag_is_how_long_ago_the_oldest_audio_came_that_was_not_answered() -> None:
    driven = behind()
    lags = [driven.session.lag_s(4.0)]
    for _ in range(5):
        driven(*deltas(13))
        lags.append(driven.session.lag_s(4.0))
    assert lags == [4.0, 3.0, 2.0, 1.0, 0.0, 0.0]


def test_a_lag_is_told_and_again_when_it_has_doubled_or_halved_or_gone() -> None:
    driven = behind()
    assert until(driven, 12.0) == [(5.0, Lagging(5.0)), (10.0, Lagging(10.0))]
    driven(*heard(audio(samples=SECOND)))
    assert until(driven, 16.5) == []
    driven(*deltas(60))
    assert until(driven, 17.5) == [(17.0, Lagging(5.0))]
    driven(*deltas(30))
    assert until(driven, 30.0) == [(18.0, Lagging(0.0))]


def test_a_lag_up_to_the_notice_is_not_told() -> None:
    driven = behind()
    driven(*deltas(28))
    assert until(driven, 6.9) == []
    assert until(driven, 7.0) == [(7.0, Lagging(5.0))]


def test_a_client_of_vllm_is_not_told_of_a_lag() -> None:
    driven = ready(LAG)
    driven(ev.TurnStarted(), *heard(audio(samples=3 * SECOND), audio(samples=SECOND)))
    assert until(driven, 60.0) == []
    assert driven.session.lag_s(60.0) == 60.0


def test_a_model_too_far_behind_ends_the_session_after_a_notice() -> None:
    limits = SessionLimits(lag_max_s=20.0, stall_timeout_s=900.0, first_delta_timeout_s=900.0)
    assert until(behind(limits), 1_000.0) == [
        (10.0, Expiring("lag-limit", 10.0)),
        (20.0, AnError("lag-limit", "It may fall behind by 20 s.")),
    ]


def test_a_model_that_catches_up_is_given_all_of_the_time_again() -> None:
    limits = SessionLimits(lag_max_s=20.0, stall_timeout_s=900.0, first_delta_timeout_s=900.0)
    driven = behind(limits)
    until(driven, 15.0)
    driven(*deltas(60))
    assert until(driven, 100.0) == []


def test_what_waits_for_a_stream_does_not_lag_and_counts_from_its_admission() -> None:
    driven = Driven(LAG)
    driven(ev.ModelNamed("voxtral"), ev.ResumeEnabled(), ev.LegQueued(1, 1))
    driven(ev.TurnStarted(), *heard(audio(samples=SECOND)))
    assert lagging([]) == [notice for _, notice in until(driven, 30.0) if not isinstance(notice, Queued)]
    assert driven.session.lag_s(30.0) == 0.0
    driven(ev.LegAdmitted(1), ev.LegOpened(1))
    assert driven.session.lag_s(31.0) == 0.0
    assert driven.session.lag_s(33.0) == 2.0


def test_a_model_that_is_not_fed_because_the_client_does_not_read_does_not_lag() -> None:
    limits = SessionLimits(output_policy=AtBound.BLOCK, output_max_bytes=200, stall_timeout_s=900.0)
    driven = opted_in(limits)
    driven(ev.TurnStarted(), *heard(audio(samples=SECOND), audio(samples=SECOND)), ev.ClientBlocked())
    driven(*(says(f" {number}" * 40) for number in range(4)))
    assert driven.session.lag_s(100.0) == 0.0


def test_a_lost_leg_makes_lag() -> None:
    driven = behind()
    assert CloseLeg(1) in driven(fails())
    assert driven.session.lag_s(10.0) == 10.0
