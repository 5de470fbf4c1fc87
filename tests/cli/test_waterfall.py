from typing import Any

from parley.cli.waterfall import LEGS_MAX, TURNS_MAX, Lane, Point, Waterfall, drawn, places_line, scale, widths


def mark(kind: str, at_s: float, **facts: Any) -> dict[str, Any]:
    return {"kind": kind, "at_s": at_s, "cursor_s": 0.0, "facts": facts}


def fall(*marks: dict[str, Any], age_s: float = 10.0) -> Waterfall:
    return Waterfall({"age_s": age_s, "marks": list(marks)})


def line(waterfall: Waterfall, label: str, width: int = 10) -> str:
    (lane,) = [one for one in waterfall.lanes if one.label == label]
    return "".join(glyph for glyph, _ in drawn(lane, waterfall.until_s, width))


def notes(waterfall: Waterfall, label: str) -> list[str]:
    (lane,) = [one for one in waterfall.lanes if one.label == label]
    return lane.notes


def test_a_client_that_was_away_leaves_a_gap_and_what_came_of_it() -> None:
    drawing = fall(
        mark("detached", 3.0), mark("attached", 5.0, outcome="resumed", away_s=2.0, replayed_s=0.0, lost_s=0.0)
    )
    assert line(drawing, "client") == "━━━╌╌━━━━━"
    assert notes(drawing, "client") == ["resumed after 2.0 s"]


def test_what_was_lost_is_said() -> None:
    drawing = fall(mark("attached", 5.0, outcome="restarted", away_s=2.0, replayed_s=0.0, lost_s=1.5))
    assert notes(drawing, "client") == ["restarted after 2.0 s, 1.5 s lost"]


def test_a_leg_is_asked_for_opened_and_lost() -> None:
    drawing = fall(
        mark("leg-asked", 1.0, leg=1, purpose="new"),
        mark("leg-opened", 3.0, leg=1, took_s=2.0),
        mark("leg-failed", 7.0, leg=1, code="upstream-closed", opening=False),
    )
    assert line(drawing, "leg 1") == " ┄┄━━━━✕  "
    assert notes(drawing, "leg 1") == ["upstream-closed"]


def test_a_leg_that_replaces_another_says_why() -> None:
    drawing = fall(mark("leg-asked", 1.0, leg=2, purpose="recovery"), mark("leg-closed", 4.0, leg=2))
    assert line(drawing, "leg 2") == " ┄┄┄      "
    assert notes(drawing, "leg 2") == ["recovery"]


def test_a_turn_is_drawn_with_its_first_text_its_end_of_speech_and_its_final() -> None:
    drawing = fall(
        mark("turn-began", 0.0, turn=1),
        mark("turn-first-text", 2.0, turn=1, after_s=2.0),
        mark("turn-speech-ended", 5.0, turn=1, audio_s=5.0),
        mark("turn-final", 7.0, turn=1, after_s=2.0),
    )
    assert line(drawing, "turn 1") == "━━┿━━┄┄◆  "
    assert notes(drawing, "turn 1") == ["text 2.00 s", "final 2.00 s"]


def test_a_final_that_waited_for_its_client_says_so() -> None:
    drawing = fall(mark("turn-began", 0.0, turn=1), mark("turn-final", 7.0, turn=1, after_s=2.0, held=True))
    assert notes(drawing, "turn 1") == ["final 2.00 s, held for its client"]


def test_a_turn_that_failed_ends_with_a_cross() -> None:
    drawing = fall(mark("turn-began", 0.0, turn=1), mark("turn-failed", 4.0, turn=1, code="turn-failed"))
    assert line(drawing, "turn 1") == "━━━━✕     "


def test_waiting_and_being_blocked_have_lanes_only_when_they_happened() -> None:
    labels = [lane.label for lane in fall().lanes]
    drawing = fall(
        mark("queued", 0.0, leg=1, position=2),
        mark("admitted", 2.0, leg=1, waited_s=2.0),
        mark("output-blocked", 4.0),
        mark("output-unblocked", 6.0, blocked_s=2.0),
    )
    assert labels == ["client"]
    assert line(drawing, "queue") == "┄┄        "
    assert line(drawing, "held up") == "    ╌╌    "


def test_the_end_is_marked_and_named() -> None:
    drawing = fall(mark("ended", 9.9, outcome="client-ended"))
    assert line(drawing, "client") == "━━━━━━━━━■"
    assert notes(drawing, "client") == ["client-ended"]


def test_of_many_legs_and_turns_the_last_are_drawn_and_the_others_counted() -> None:
    drawing = fall(
        *[mark("leg-asked", 0.0, leg=number, purpose="new") for number in range(LEGS_MAX + 2)],
        *[mark("turn-began", 0.0, turn=number) for number in range(TURNS_MAX + 3)],
    )
    labels = [lane.label for lane in drawing.lanes]
    assert "… 2 legs" in labels
    assert "… 3 turns" in labels
    assert labels[-1] == f"turn {TURNS_MAX + 2}"


def test_what_took_no_time_is_seen_and_nothing_leaves_the_drawing() -> None:
    lane = Lane("turn 1", points=[Point(99.0, "◆", "good")])
    lane.begin(2.0, "good", 2.0)
    assert "".join(glyph for glyph, _ in drawn(lane, 10.0, 10)) == "  ━      ◆"


def test_kinds_of_marks_that_are_not_known_are_passed_over() -> None:
    assert [lane.label for lane in fall(mark("of-a-later-release", 1.0)).lanes] == ["client"]


def test_the_axis_has_its_ends_and_its_middle() -> None:
    assert scale(10.0, 30) == "0 s            5.0 s    10.0 s"
    assert scale(150.0, 30).endswith("2:30")


def test_the_slowest_place_is_named_and_what_is_not_known_is_left_out() -> None:
    places = {"client_link_s": 0.3, "gateway_s": 0.001, "upstream_link_s": None, "model_s": 0.09}
    assert (
        places_line({**places, "slowest": "client-link"}) == "client link 300 ms (slowest), gateway 1 ms, model 90 ms"
    )


def test_notes_take_no_more_than_a_third_of_the_terminal() -> None:
    lane = Lane("client", notes=["x" * 200])
    labels, drawing, notes_width = widths(90, [lane])
    assert labels + drawing + notes_width <= 90
    assert notes_width == 30
