"""Whoever is lost and whenever: no word is missing, none comes twice, and every number comes once."""

import re

from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.core import effects as ef
from parley.core.limits import SessionLimits
from parley.core.notices import Recovering

from .builders import FRAME
from .ordeal import Fate, Ordeal, Speech, heard_as_from_one_model, steps_of

pauses = st.sampled_from([0, 0, 1, 2, 5, 12, 13, 20, 40, 0, 0, 1, 2, 5, 12, 13, 20, 230])
lengths = st.lists(st.tuples(pauses, st.integers(1, 9)), min_size=1, max_size=12).map(
    lambda pairs: tuple(length for pair in pairs for length in pair)
)
cuts = st.lists(st.sampled_from([1_280, 1_600, 8_100, 16_000]), min_size=1, max_size=4).map(tuple)
speeches = st.lists(st.builds(Speech, lengths, cuts), min_size=1, max_size=2)
schedules = st.lists(st.integers(0, 59), max_size=250)
fates = st.builds(Fate, losses=st.integers(0, 8), departures=st.integers(0, 3), rotations=st.integers(0, 2))


def numbers(text: str) -> list[int]:
    """The words of a text, however spelled."""
    return [int(number) for number in re.findall(r" [v-z](\d+)", text)]


def expected(frames: list[int]) -> list[int]:
    return [value // 2 for value in frames if value % 2]


def run(
    limits: SessionLimits,
    talks: list[Speech],
    fate: Fate,
    schedule: list[int],
    *,
    opts_in: bool,
    is_short: bool = False,
) -> Ordeal:
    ordeal = Ordeal(limits, talks, fate, opts_in=opts_in, is_short=is_short)
    ordeal.run(schedule)
    note(f"legs: {min(ordeal.grammar.leg, 5)}")
    return ordeal


@settings(max_examples=15)
@given(st.sampled_from([1.0, 3.0]), st.booleans(), speeches, fates, schedules, st.booleans())
def test_the_client_hears_what_one_model_would_have_said_whoever_is_lost(
    pace_window_s: float, rotates: bool, talks: list[Speech], fate: Fate, schedule: list[int], opts_in: bool
) -> None:
    limits = SessionLimits(
        pace_window_s=pace_window_s,
        rotate_after_s=2.0 if rotates else 600.0,
        rotate_force_s=5.0 if rotates else 1_200.0,
    )
    ordeal = run(limits, talks, fate, schedule, opts_in=opts_in)
    notices = heard_as_from_one_model(ordeal, talks)
    assert Recovering("upstream-mute") not in notices, "no model was mute"


@settings(max_examples=20)
@given(st.sampled_from([2.5, 4.0, 6.0]), st.booleans(), speeches, fates, schedules, st.booleans())
def test_no_word_comes_twice_and_none_is_missing_unsaid_where_the_journal_is_short(
    journal_max_s: float, rotates: bool, talks: list[Speech], fate: Fate, schedule: list[int], opts_in: bool
) -> None:
    limits = SessionLimits(
        journal_max_s=journal_max_s,
        rotate_after_s=2.0 if rotates else 600.0,
        rotate_force_s=5.0 if rotates else 1_200.0,
    )
    ordeal = run(limits, talks, fate, schedule, opts_in=opts_in)
    assert ordeal.end is None
    missed = ordeal.client.missed()
    begin = 0
    for turn, frames in zip(ordeal.client.heard(), ordeal.frames, strict=True):
        if turn.final is not None:
            words = numbers(turn.final)
            assert words == sorted(set(words)), "no word twice, in the final"
            assert numbers(turn.text) == sorted(set(numbers(turn.text))), "no word twice, in the deltas"
            if opts_in:
                assert turn.text == turn.final
                gone = set(expected(frames)) - set(words)
                for word in gone:
                    end = begin + (frames.index(2 * word + 1) + 1) * FRAME
                    assert any(first - 9 * FRAME <= end <= last + 10 * FRAME for first, last in missed), (word, missed)
        begin += len(frames) * FRAME


@settings(max_examples=8)
@given(speeches, fates, schedules, st.booleans(), st.booleans())
def test_the_short_ways_make_no_difference_whoever_is_lost(
    talks: list[Speech], fate: Fate, schedule: list[int], opts_in: bool, forwards_empty: bool
) -> None:
    limits = SessionLimits(forward_empty_deltas=forwards_empty, rotate_after_s=2.0, rotate_force_s=5.0)
    long, short = (run(limits, talks, fate, schedule, opts_in=opts_in, is_short=is_short) for is_short in (False, True))
    assert short.deadlines == long.deadlines
    assert list(map(repr, short.effects)) == list(map(repr, long.effects))


@settings(max_examples=15)
@given(st.booleans(), speeches, fates, schedules)
def test_deltas_are_a_clock_whoever_is_lost(
    rotates: bool, talks: list[Speech], fate: Fate, schedule: list[int]
) -> None:
    limits = SessionLimits(
        forward_empty_deltas=True,
        rotate_after_s=2.0 if rotates else 600.0,
        rotate_force_s=5.0 if rotates else 1_200.0,
        output_max_bytes=10_000_000,
    )
    ordeal = Ordeal(limits, talks, fate, opts_in=False)
    ordeal.run(schedule)
    if any(turn.final is None for turn in ordeal.client.heard()) or ordeal.was_blocked:
        return
    ticks = sum(isinstance(effect, ef.SendDelta) for effect in ordeal.effects)
    assert ticks == sum(steps_of(len(frames) * FRAME) for frames in ordeal.frames)


@settings(max_examples=8)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(6, 9)), min_size=60, max_size=70), st.integers(1, 50), schedules
)
def test_a_model_that_goes_mute_costs_no_word(
    pairs: list[tuple[int, int]], mute_after: int, schedule: list[int]
) -> None:
    speech = Speech(tuple(length for pair in pairs for length in pair))
    ordeal = run(SessionLimits(), [speech], Fate(mute_after=mute_after), schedule, opts_in=True)
    (turn,) = ordeal.client.heard()
    assert turn.text == turn.final
    assert numbers(turn.text) == expected(ordeal.frames[0])


@settings(max_examples=15)
@given(speeches, fates, schedules, st.booleans())
def test_what_is_kept_is_bounded_whoever_is_lost(
    talks: list[Speech], fate: Fate, schedule: list[int], opts_in: bool
) -> None:
    limits = SessionLimits(journal_max_s=4.0, held_audio_max_s=2.0, ledger_max_bytes=4_000, output_max_bytes=20_000)
    ordeal = Ordeal(limits, talks, fate, opts_in=opts_in)
    ordeal.run(schedule)
    assert ordeal.held_bytes_max <= limits.journal_bytes_max + limits.held_bytes_max + 4_000 + 20_000 + 150_000
    # A short ledger may not reach back for a client that lost much: then it is told so.
    assert ordeal.end is None
