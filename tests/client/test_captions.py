import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.client.captions import LINE_MAX_CHARACTERS, LINES_MAX, Cue, cues_of, srt, vtt
from parley.client.events import TextDelta


def spoken(*pieces: tuple[str, float]) -> list[TextDelta]:
    return [TextDelta(text, at_s) for text, at_s in pieces]


def said_steadily(text: str, word_s: float = 0.4) -> list[TextDelta]:
    return spoken(*((f" {word}", (number + 1) * word_s) for number, word in enumerate(text.split())))


def test_a_short_turn_is_one_cue() -> None:
    (cue,) = cues_of(spoken((" Hello", 0.8), (" there.", 1.2)), duration_s=4.0)
    assert cue.text == "Hello there."
    # "Hello" ends at 0.8 s, and its six characters with their space take 6/14 s.
    assert cue.start_s == pytest.approx(0.8 - 5 / 14, abs=0.01)
    assert cue.end_s == pytest.approx(cue.start_s + 1.0)


def test_pieces_of_words_are_joined_into_words() -> None:
    (cue,) = cues_of(spoken((" un", 0.4), ("believ", 0.64), ("able", 0.8)), duration_s=2.0)
    assert cue.text == "unbelievable"


def test_a_pause_ends_a_cue() -> None:
    cues = cues_of(spoken((" One two", 1.0), (" three", 4.0)), duration_s=5.0)
    assert [cue.text for cue in cues] == ["One two", "three"]
    assert cues[1].start_s > 3.0


def test_a_sentence_of_some_length_ends_a_cue_and_a_short_one_does_not() -> None:
    cues = cues_of(said_steadily("Yes. It is as you say it is. And more."), duration_s=10.0)
    assert [cue.text for cue in cues] == ["Yes. It is as you say it is.", "And more."]


def test_a_cue_is_on_the_screen_for_six_seconds_at_most() -> None:
    cues = cues_of(said_steadily("word " * 40, word_s=0.75), duration_s=30.0)
    assert all(cue.end_s - cue.start_s <= 6.0 for cue in cues)


def test_a_cue_has_two_lines_at_most() -> None:
    text = srt(cues_of(said_steadily("remarkably long words everywhere " * 20, word_s=0.1), duration_s=10.0))
    for block in text.strip().split("\n\n"):
        _, _, *lines = block.splitlines()
        assert 1 <= len(lines) <= LINES_MAX
        assert all(len(line) <= LINE_MAX_CHARACTERS for line in lines)


def test_text_that_comes_after_the_audio_belongs_to_its_end() -> None:
    (cue,) = cues_of(spoken((" The end", 10.8)), duration_s=10.0)
    assert cue.end_s == pytest.approx(10.0, abs=0.6)
    assert cue.start_s < 10.0


def test_pieces_without_times_are_put_at_the_end() -> None:
    (cue,) = cues_of([TextDelta(" Hello")], duration_s=3.0)
    assert cue.end_s == pytest.approx(3.0, abs=0.6)


def test_nothing_said_is_no_cue() -> None:
    assert cues_of(spoken((" ", 1.0)), duration_s=1.0) == []
    assert srt([]) == ""
    assert vtt([]) == "WEBVTT\n"


def test_subrip_is_numbered_and_has_commas() -> None:
    assert srt([Cue("One.", 0.0, 1.5), Cue("Two.", 3_661.0, 3_662.04)]) == (
        "1\n00:00:00,000 --> 00:00:01,500\nOne.\n\n2\n01:01:01,000 --> 01:01:02,040\nTwo.\n"
    )


def test_webvtt_has_a_head_and_points() -> None:
    assert vtt([Cue("One.", 0.0, 1.5), Cue("Two.", 2.0, 2.9996)]) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nOne.\n\n00:00:02.000 --> 00:00:03.000\nTwo.\n"
    )


def test_markup_in_the_text_is_shown_not_obeyed() -> None:
    cue = Cue("a < b & c --> d", 0.0, 1.0)
    assert vtt([cue]).endswith("a &lt; b &amp; c --&gt; d\n")
    assert srt([cue]).endswith("\na < b & c → d\n")


def test_a_cue_does_not_show_its_text() -> None:
    assert "secret" not in repr(Cue("secret", 0.0, 1.0))


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=60), st.integers(1, 40)), max_size=40),
    st.floats(0.0, 60.0),
)
def test_cues_are_in_order_do_not_overlap_and_hold_every_word(pieces: list[tuple[str, int]], duration_s: float) -> None:
    steps, deltas = 0, []
    for text, gap in pieces:
        steps += gap
        deltas.append(TextDelta(text, round(steps * 0.08, 2)))
    cues = cues_of(deltas, duration_s)
    assert all(0 <= cue.start_s < cue.end_s for cue in cues)
    assert all(one.end_s <= other.start_s + 1e-9 for one, other in pairwise(cues))
    said = "".join(delta.text for delta in deltas)
    assert re.sub(r"\s", "", "".join(cue.text for cue in cues)) == re.sub(r"\s", "", said)


@given(st.text(max_size=300))
def test_no_text_breaks_the_format(text: str) -> None:
    cue = [Cue(text, 0.0, 1.0)]
    assert len(re.findall("-->", srt(cue))) == 1
    assert len(re.findall("-->", vtt(cue))) == 1
    # An empty line would end the cue.
    assert "\n\n" not in srt(cue).rstrip("\n")
    assert vtt(cue).rstrip("\n").count("\n\n") == 1
