"""Whatever is dropped, and whoever is lost: what was not dropped is heard, what was is told, and nothing grows."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.core import effects as ef
from parley.core import events as ev
from parley.core.content import Audio
from parley.core.limits import AtBound, SessionLimits
from parley.core.notices import DropReason
from parley.core.outlet import output_limit_bytes
from parley.core.session import Session

from .builders import FRAME, give
from .ordeal import Fate, Ordeal, Speech, steps_of, transcript
from .test_ordeal import expected, fates, numbers, run, speeches
from .test_session_properties import Step, bounds, scripts

Interval = tuple[int, int]


def kept(frames: list[int], begin: int, dropped: list[Interval]) -> list[int]:
    """The samples of a turn, each its frame's value, without what was dropped; `begin` is the turn's on the cursor."""
    values = [value for value in frames for _ in range(FRAME)]
    for first, last in sorted(dropped, reverse=True):
        first, last = max(first - begin, 0), min(last - begin, len(values))
        if first < last:
            del values[first:last]
    return values


def merged(intervals: list[Interval]) -> list[Interval]:
    """The same, in order; they may touch, but not overlap."""
    ordered = sorted(intervals)
    assert all(one[1] <= other[0] for one, other in pairwise(ordered)), "nothing is dropped twice"
    return ordered


def _schedule(seed: int, length: int) -> list[int]:
    chance = random.Random(seed)
    return [chance.randrange(60) for _ in range(length)]


schedules = st.builds(_schedule, st.integers(0, 2**32), st.integers(0, 600))
"""Long ones: a bound has to be reached before anything happens at it."""
policies = st.sampled_from(AtBound)
held_bounds = st.sampled_from([0.2, 1.5, 2.0, 4.0])


@settings(max_examples=25)
@given(held_bounds, st.booleans(), speeches, fates, schedules)
def test_what_is_not_dropped_is_heard_as_if_it_were_all_there_was(
    held_audio_max_s: float, rotates: bool, talks: list[Speech], fate: Fate, schedule: list[int]
) -> None:
    limits = SessionLimits(
        pace_window_s=1.0,
        held_audio_max_s=held_audio_max_s,
        input_policy=AtBound.DROP_OLDEST,
        rotate_after_s=2.0 if rotates else 600.0,
        rotate_force_s=5.0 if rotates else 1_200.0,
    )
    ordeal = run(limits, talks, fate, schedule, opts_in=True)
    assert ordeal.end is None
    dropped = merged(ordeal.client.gaps(DropReason.INPUT_OVERRUN))
    note(f"dropped: {bool(dropped)}")
    assert sum(last - first for first, last in dropped) == ordeal.session.tally.dropped_samples
    assert not any(isinstance(effect, ef.PauseInput) for effect in ordeal.effects)
    heard = ordeal.client.heard()
    assert len(heard) == len(talks)
    begin = 0
    for turn, frames in zip(heard, ordeal.frames, strict=True):
        samples = kept(frames, begin, dropped)
        begin += len(frames) * FRAME
        if turn.final is None:
            continue
        reference = transcript(samples[FRAME // 2 :: FRAME])
        assert (turn.text, turn.final) == (reference, reference)
        assert turn.usage.completion_tokens == (steps_of(len(samples)) if samples else 0)


@settings(max_examples=20)
@given(st.sampled_from([2.5, 4.0]), st.booleans(), speeches, fates, schedules)
def test_what_is_lost_is_told_where_it_was_although_audio_before_it_was_dropped(
    journal_max_s: float, rotates: bool, talks: list[Speech], fate: Fate, schedule: list[int]
) -> None:
    limits = SessionLimits(
        pace_window_s=1.0,
        journal_max_s=journal_max_s,
        held_audio_max_s=1.5,
        input_policy=AtBound.DROP_OLDEST,
        rotate_after_s=2.0 if rotates else 600.0,
        rotate_force_s=5.0 if rotates else 1_200.0,
    )
    ordeal = run(limits, talks, fate, schedule, opts_in=True)
    assert ordeal.end is None
    dropped, missed = ordeal.client.gaps(DropReason.INPUT_OVERRUN), ordeal.client.missed()
    begin = 0
    for turn, frames in zip(ordeal.client.heard(), ordeal.frames, strict=True):
        ends = {value // 2: begin + (place + 1) * FRAME for place, value in enumerate(frames) if value % 2}
        whole = expected(kept(frames, begin, dropped)[FRAME // 2 :: FRAME])
        begin += len(frames) * FRAME
        if turn.final is None:
            continue
        words = numbers(turn.final)
        assert words == sorted(set(words)), "no word twice"
        assert turn.text == turn.final
        for word in set(whole) - set(words):
            note("a word was lost")
            assert any(first - 9 * FRAME <= ends[word] <= last + 10 * FRAME for first, last in missed), (word, missed)


@settings(max_examples=20)
@given(st.sampled_from([(1, 600.0), (500, 600.0), (262_144, 0.1)]), speeches, fates, schedules)
def test_text_that_a_slow_client_is_not_sent_is_told_and_in_the_final(
    bound: tuple[int, float], talks: list[Speech], fate: Fate, schedule: list[int]
) -> None:
    limits = SessionLimits(output_max_bytes=bound[0], output_max_s=bound[1], output_policy=AtBound.DROP_OLDEST)
    ordeal = run(limits, talks, fate, schedule, opts_in=True)
    assert ordeal.end is None
    gaps = ordeal.client.gaps(DropReason.SLOW_CLIENT)
    note(f"dropped: {bool(gaps)}")
    begin = 0
    for turn, frames in zip(ordeal.client.heard(), ordeal.frames, strict=True):
        ends = {value // 2: begin + (place + 1) * FRAME for place, value in enumerate(frames) if value % 2}
        begin += len(frames) * FRAME
        if turn.final is None:
            continue
        assert turn.final == transcript(frames)
        for word in set(numbers(turn.final)) - set(numbers(turn.text)):
            assert any(first < ends[word] <= last for first, last in gaps), (word, gaps)


@settings(max_examples=20)
@given(
    st.sampled_from([(1, 600.0), (500, 600.0), (262_144, 0.1)]),
    st.sampled_from([0.5, 4.0]),
    speeches,
    fates,
    schedules,
    st.booleans(),
)
def test_nothing_is_lost_where_both_directions_block(
    bound: tuple[int, float],
    held_audio_max_s: float,
    talks: list[Speech],
    fate: Fate,
    schedule: list[int],
    opts_in: bool,
) -> None:
    limits = SessionLimits(
        pace_window_s=1.0,
        held_audio_max_s=held_audio_max_s,
        output_max_bytes=bound[0],
        output_max_s=bound[1],
        output_policy=AtBound.BLOCK,
    )
    ordeal = run(limits, talks, fate, schedule, opts_in=opts_in)
    assert ordeal.end is None
    note(f"waited: {ordeal.session.tally.output_bytes_most > bound[0]}")
    heard = ordeal.client.heard()
    assert len(heard) == len(talks)
    for turn, frames in zip(heard, ordeal.frames, strict=True):
        if turn.final is not None:
            assert (turn.text, turn.final) == (transcript(frames),) * 2


PIECE_MAX_BYTES = 16_000 * 2 * 4 // 3 + 200
"""The largest piece that these speeches are cut into."""


@settings(max_examples=20)
@given(policies, policies, speeches, fates, schedules, st.booleans())
def test_what_is_kept_is_bounded_whatever_the_policies(
    input_policy: AtBound, output_policy: AtBound, talks: list[Speech], fate: Fate, schedule: list[int], opts_in: bool
) -> None:
    limits = SessionLimits(
        pace_window_s=1.0,
        journal_max_s=4.0,
        held_audio_max_s=2.0,
        ledger_max_bytes=4_000,
        output_max_bytes=1_000,
        turn_text_max_bytes=4_000,
        input_policy=input_policy,
        output_policy=output_policy,
    )
    ordeal = Ordeal(limits, talks, fate, opts_in=opts_in)
    ordeal.run(schedule)
    frames = limits.journal_samples_max // FRAME + 20
    audio = limits.held_bytes_max + limits.journal_bytes_max + 2 * PIECE_MAX_BYTES
    texts = limits.turn_text_max_bytes + frames * (200 + 10) + limits.ledger_max_bytes + output_limit_bytes(limits)
    assert ordeal.held_bytes_max <= audio + texts + 3 * 1_000
    if ordeal.end is not None:
        assert ordeal.end.error is not None
        note(ordeal.end.error.code)
        assert ordeal.end.error.code in ("input-overrun", "slow-client", "turn-failed")
        assert ordeal.end.error.code != "input-overrun" or input_policy is AtBound.TERMINATE
        assert ordeal.end.error.code != "slow-client" or output_policy is AtBound.TERMINATE


@settings(max_examples=10)
@given(policies, policies, speeches, fates, schedules, st.booleans())
def test_the_short_ways_make_no_difference_whatever_the_policies(
    input_policy: AtBound, output_policy: AtBound, talks: list[Speech], fate: Fate, schedule: list[int], opts_in: bool
) -> None:
    limits = SessionLimits(
        pace_window_s=1.0,
        held_audio_max_s=1.5,
        output_max_bytes=1,
        input_policy=input_policy,
        output_policy=output_policy,
    )
    long, short = (run(limits, talks, fate, schedule, opts_in=opts_in, is_short=is_short) for is_short in (False, True))
    assert short.deadlines == long.deadlines
    assert list(map(repr, short.effects)) == list(map(repr, long.effects))


@settings(max_examples=100)
@given(bounds, scripts, st.integers(0, 10))
def test_what_is_kept_is_bounded_whatever_happens(limits: SessionLimits, script: list[Step], flood: int) -> None:
    limits = replace(limits, turn_text_max_bytes=2_000, ledger_max_bytes=2_000, journal_max_s=2.0)
    session, now = Session(limits, ("voxtral",)), 0.0
    session.open(now)
    # A client that neither reads nor stops, and a model that is not heard of.
    sounds = [Step(0.0, lambda _leg, _now: ev.AudioReceived(Audio(b"x" * 4_267, 1_600)), "AudioReceived")] * 40 * flood
    piece, output = 5_000 + 200, 400 + 600
    audio = max(limits.held_bytes_max, 2 * piece) + limits.journal_bytes_max + 2 * piece
    recent = len(script) * (302 + 200)
    texts = limits.turn_text_max_bytes + recent + limits.ledger_max_bytes + output_limit_bytes(limits) + 2 * output
    is_paused = False
    for step in script[:25] + sounds + script[25:]:
        now += step.after_s
        event = step.make(1, now)
        if is_paused and isinstance(event, ev.AudioReceived):
            continue
        for effect in give(session, event, now):
            is_paused = isinstance(effect, ef.PauseInput) or (is_paused and not isinstance(effect, ef.ResumeInput))
        session.check()
        assert session.held_bytes <= audio + texts


LONG = Speech((3, 6) * 400)
"""Almost five minutes."""
UNREAD = SessionLimits(
    pace_window_s=1.0,
    journal_max_s=4.0,
    held_audio_max_s=2.0,
    ledger_max_bytes=4_000,
    output_max_bytes=4_000,
    turn_text_max_bytes=8_000,
)
UNREAD_BYTES = (
    UNREAD.held_bytes_max
    + UNREAD.journal_bytes_max
    + 2 * PIECE_MAX_BYTES
    + 70 * 210
    + 12_000
    + output_limit_bytes(UNREAD)
)


@pytest.mark.parametrize("opts_in", [True, False])
def test_the_model_and_then_the_client_come_to_a_halt_where_nobody_reads(opts_in: bool) -> None:
    ordeal = Ordeal(replace(UNREAD, output_policy=AtBound.BLOCK), [LONG], Fate(), opts_in=opts_in)
    ordeal.run_unread()
    assert ordeal.grammar.paused
    assert ordeal.session.tally.output_bytes_most <= 2 * UNREAD.output_max_bytes
    assert ordeal.held_bytes_max <= UNREAD_BYTES
    ordeal.run([])
    (turn,) = ordeal.client.heard()
    assert (ordeal.end, turn.text) == (None, transcript(ordeal.frames[0]))


@pytest.mark.parametrize("opts_in", [True, False])
def test_nothing_grows_where_nobody_reads_and_the_oldest_text_is_dropped(opts_in: bool) -> None:
    ordeal = Ordeal(replace(UNREAD, output_policy=AtBound.DROP_OLDEST), [LONG], Fate(), opts_in=opts_in)
    ordeal.run_unread()
    assert ordeal.session.tally.dropped_deltas > 200
    assert ordeal.session.tally.output_bytes_most <= output_limit_bytes(UNREAD)
    assert ordeal.held_bytes_max <= UNREAD_BYTES
    ordeal.run([])
    (turn,) = ordeal.client.heard()
    assert turn.final is not None
    assert turn.final.endswith(turn.text[-200:])
    assert len(ordeal.client.gaps(DropReason.SLOW_CLIENT)) == opts_in


@pytest.mark.parametrize("opts_in", [True, False])
def test_a_client_that_never_reads_is_cut_off_where_that_is_the_policy(opts_in: bool) -> None:
    ordeal = Ordeal(UNREAD, [LONG], Fate(), opts_in=opts_in)
    ordeal.run_unread()
    assert ordeal.end is not None
    assert ordeal.end.error is not None
    assert ordeal.end.error.code == "slow-client"
    assert ordeal.held_bytes_max <= UNREAD_BYTES
