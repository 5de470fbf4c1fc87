from dataclasses import asdict

import pytest

from parley.observe.marks import Fact, Mark, MarkKind, Sample, Subject
from parley.observe.timeline import CURVE_MAX, FIRST_MARKS_MAX, LAST_MARKS_MAX, Timeline

SUBJECT = Subject(session_id="sess-test", began_s=0.0)


def timeline(*marks: Mark) -> Timeline:
    line = Timeline(SUBJECT)
    for mark in marks:
        line.note(mark)
    return line


def mark(kind: MarkKind, at_s: float = 1.0, **facts: Fact) -> Mark:
    return Mark(kind, at_s, 2 * at_s, facts)


def test_marks_are_kept_in_their_order() -> None:
    marks = (mark(MarkKind.BEGAN, 0.0), mark(MarkKind.FIRST_AUDIO_IN, 1.0))
    assert timeline(*marks).view().marks == marks


def test_of_too_many_marks_the_first_and_the_last_are_kept_and_the_rest_counted() -> None:
    count = FIRST_MARKS_MAX + LAST_MARKS_MAX + 10
    view = timeline(*[mark(MarkKind.OUTPUT_BLOCKED, float(number)) for number in range(count)]).view()
    assert len(view.marks) == count - 10
    assert (view.left_out_after, view.left_out) == (FIRST_MARKS_MAX, 10)
    assert view.marks[FIRST_MARKS_MAX - 1].at_s == FIRST_MARKS_MAX - 1
    assert view.marks[-1].at_s == count - 1


@pytest.mark.parametrize(
    ("made", "total", "expected"),
    [
        (mark(MarkKind.FIRST_AUDIO_IN), "first_audio_after_s", 1.0),
        (mark(MarkKind.FIRST_AUDIO_OUT), "first_sent_after_s", 1.0),
        (mark(MarkKind.TURN_FIRST_TEXT, turn=1, after_s=0.5), "first_text_after_s", 1.0),
        (mark(MarkKind.ADMITTED, leg=1, waited_s=3.0), "queued_s", 3.0),
        (mark(MarkKind.TURN_BEGAN, turn=1), "turns", 1),
        (mark(MarkKind.TURN_FAILED, turn=1, code="turn-failed"), "turns_failed", 1),
        (mark(MarkKind.TURN_FINAL, turn=1, after_s=0.25), "final_s_most", 0.25),
        (mark(MarkKind.TURN_FINAL, turn=1, after_s=9.0, held=True), "final_s_most", 0.0),
        (mark(MarkKind.TURN_FINAL, turn=1), "final_s_most", 0.0),
        (mark(MarkKind.LEG_ASKED, leg=1, purpose="new"), "legs", 1),
        (mark(MarkKind.LEG_FAILED, leg=1, code="upstream-closed", opening=False), "legs_failed", 1),
        (mark(MarkKind.DROPPED, reason="input-overrun", audio_s=2.0), "dropped_s", 2.0),
        (mark(MarkKind.INPUT_RESUMED, blocked_s=2.0), "input_paused_s", 2.0),
        (mark(MarkKind.OUTPUT_UNBLOCKED, blocked_s=2.0), "output_blocked_s", 2.0),
        (mark(MarkKind.LEG_UNBLOCKED, leg=1, blocked_s=2.0), "leg_blocked_s", 2.0),
        (mark(MarkKind.HIGH_WATER, held_s=4.0, held_bytes=7), "held_s_most", 4.0),
        (mark(MarkKind.BEGAN, 3.0), "received_s", 6.0),
    ],
)
def test_marks_add_up(made: Mark, total: str, expected: float) -> None:
    assert asdict(timeline(made).view().totals)[total] == expected


def test_only_the_first_text_is_the_sessions_first() -> None:
    line = timeline(
        mark(MarkKind.TURN_FIRST_TEXT, 1.0, turn=1, after_s=0.5),
        mark(MarkKind.TURN_FIRST_TEXT, 9.0, turn=2, after_s=0.5),
    )
    assert line.totals.first_text_after_s == 1.0


def test_reconnects_and_recoveries_are_counted_by_outcome() -> None:
    totals = timeline(
        mark(MarkKind.ATTACHED, outcome="resumed", away_s=2.0, replayed_s=0.0, lost_s=0.0),
        mark(MarkKind.ATTACHED, outcome="resumed", away_s=1.0, replayed_s=0.0, lost_s=0.0),
        mark(MarkKind.RECOVERED, outcome="restarted", replayed_s=1.0, lost_s=0.5, took_s=0.2),
    ).totals
    assert (totals.resumptions, totals.away_s) == ({"resumed": 2}, 3.0)
    assert (totals.recoveries, totals.replayed_s, totals.lost_s) == ({"restarted": 1}, 1.0, 0.5)


def test_the_end_has_the_last_word() -> None:
    line = timeline(
        mark(
            MarkKind.ENDED,
            9.0,
            outcome="client-ended",
            fault="",
            age_s=9.0,
            received_s=8.0,
            dropped_s=1.0,
            replayed_s=2.0,
            lost_s=3.0,
            held_s_most=4.0,
            held_bytes_most=5,
            output_bytes_most=6,
        )
    )
    view = line.view()
    assert (view.outcome, view.age_s, view.totals.lost_s, view.totals.held_bytes_most) == ("client-ended", 9.0, 3.0, 5)


def test_the_curve_is_bounded() -> None:
    line = Timeline(SUBJECT)
    for number in range(4 * CURVE_MAX):
        line.sample(Sample(at_s=float(number), state="live", lag_s=0.5), 0.0)
    curve = line.view().curve
    assert len(curve) == CURVE_MAX
    assert curve[-1].at_s - curve[-2].at_s == 1.0
    assert curve[-1].lag_s == 0.5


def test_the_most_that_waits_is_known_while_the_session_lives() -> None:
    line = Timeline(SUBJECT)
    for held_s in (0.2, 0.7, 0.1):
        line.sample(Sample(at_s=1.0, state="live", held_s=held_s), 0.0)
    assert line.view().totals.held_s_most == 0.7


def test_a_session_that_lives_is_as_old_as_it_is_said_to_be() -> None:
    assert timeline(mark(MarkKind.BEGAN, 0.0)).view(12.5).age_s == 12.5
