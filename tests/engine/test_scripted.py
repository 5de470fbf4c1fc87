from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.engine.clock import FRAME_SAMPLES, deltas_of_turn, deltas_while_open
from parley.engine.scripted import PAUSE_FRAMES, WORDS, ScriptedEngine
from parley.engine.transcriber import Transcriber, transcribe

AUDIO = np.random.default_rng(5).integers(-8_000, 8_000, 50_001).astype("<i2").tobytes()


def spoken(audio: bytes) -> str:
    return "".join(transcribe(ScriptedEngine().open(), audio))


def drained(transcriber: Transcriber) -> list[str]:
    deltas: list[str] = []
    while step := transcriber.step():
        deltas += step
    return deltas


@pytest.mark.parametrize("samples", [1, 800, 7_679, 7_680, 7_681, 8_999, 9_000, 25_600, 50_001])
def test_a_turn_has_as_many_deltas_as_vllm_gives_it(samples: int) -> None:
    assert len(transcribe(ScriptedEngine().open(), AUDIO[: 2 * samples])) == deltas_of_turn(samples)


@pytest.mark.parametrize("piece_samples", [1, 160, 1_280, 4_097, 50_001])
def test_the_deltas_do_not_depend_on_how_the_audio_was_cut(piece_samples: int) -> None:
    transcriber, deltas = ScriptedEngine().open(), []
    for start in range(0, len(AUDIO), 2 * piece_samples):
        transcriber.feed(AUDIO[start : start + 2 * piece_samples])
        deltas += drained(transcriber)
    transcriber.end()
    assert deltas + drained(transcriber) == transcribe(ScriptedEngine().open(), AUDIO)


def test_the_first_delta_comes_with_562_5_ms() -> None:
    transcriber = ScriptedEngine().open()
    transcriber.feed(AUDIO[: 2 * 8_999])
    early = drained(transcriber)
    transcriber.feed(AUDIO[2 * 8_999 : 2 * 9_000])
    assert (early, len(drained(transcriber))) == ([], 1)


def test_deltas_before_the_end_follow_the_audio() -> None:
    transcriber = ScriptedEngine().open()
    transcriber.feed(AUDIO)
    assert len(drained(transcriber)) == deltas_while_open(50_001)


def test_a_word_comes_every_fourth_frame_and_three_at_the_end() -> None:
    assert len(spoken(AUDIO[: 2 * 20 * 1_280 + 100]).split()) == 5 + 3


@pytest.mark.parametrize("samples", [1, 1_280, 5_120, 8_999, 12_800, 50_001])
def test_even_the_last_sample_changes_the_end(samples: int) -> None:
    audio = bytearray(AUDIO[: 2 * samples])
    audio[-2] ^= 1
    assert spoken(bytes(audio)) != spoken(AUDIO[: 2 * samples])


@pytest.mark.parametrize("at", [0, 2_560, 30_000])
def test_lost_audio_changes_the_words_after_it(at: int) -> None:
    assert spoken(AUDIO[:at] + AUDIO[at + 320 :]) != spoken(AUDIO)


def test_repeated_audio_changes_the_words_after_it() -> None:
    assert spoken(AUDIO[:2_560] + AUDIO) != spoken(AUDIO)


def test_the_words_before_a_change_stay() -> None:
    audio = bytearray(AUDIO)
    audio[60_000] ^= 1
    assert spoken(bytes(audio)).split()[:4] == spoken(AUDIO).split()[:4]


def test_no_text_claims_more_audio_than_its_delta() -> None:
    deltas = transcribe(ScriptedEngine().open(), AUDIO)
    changed = bytearray(AUDIO)
    changed[2 * 12 * 1_280] ^= 1
    assert transcribe(ScriptedEngine().open(), bytes(changed))[:12] == deltas[:12]


def test_a_turn_without_audio_says_nothing() -> None:
    assert transcribe(ScriptedEngine().open(), b"") == []


def test_there_is_a_word_for_every_six_bits() -> None:
    assert len(set(WORDS)) == 64


# ---- pauses

FRAME_BYTES = 2 * FRAME_SAMPLES
SETTLE_FRAMES = 12
"""The run of empty deltas after which a gateway takes what came before for said."""


def sound(frames: float, seed: int = 1) -> bytes:
    samples = np.random.default_rng(seed).integers(1, 9_000, round(frames * FRAME_SAMPLES))
    return samples.astype("<i2").tobytes()


def silence(frames: float) -> bytes:
    return bytes(2 * round(frames * FRAME_SAMPLES))


@pytest.mark.parametrize("frames", [0.5, 3, PAUSE_FRAMES, 40.25])
def test_silence_alone_says_nothing(frames: float) -> None:
    assert spoken(silence(frames)) == ""


def test_a_phrase_is_ended_by_a_pause_while_the_turn_goes_on() -> None:
    transcriber = ScriptedEngine().open()
    transcriber.feed(sound(6) + silence(30))
    deltas = drained(transcriber)
    assert [(at, len(text.split())) for at, text in enumerate(deltas) if text] == [(3, 1), (5 + PAUSE_FRAMES, 3)]


def test_a_phrase_after_a_pause_is_said_as_if_it_were_the_first() -> None:
    first, second = sound(9, 1), sound(5, 2)
    assert spoken(first + silence(PAUSE_FRAMES) + second) == spoken(first) + spoken(second)


def test_a_shorter_silence_belongs_to_the_phrase() -> None:
    whole = spoken(sound(6, 1) + silence(PAUSE_FRAMES - 1) + sound(6, 2))
    assert whole != spoken(sound(6, 1) + silence(PAUSE_FRAMES - 2) + sound(6, 2))
    assert whole != spoken(sound(6, 1)) + spoken(sound(6, 2))


def test_a_phrase_that_begins_at_another_place_in_its_frame_is_another() -> None:
    assert spoken(silence(20) + sound(5)) != spoken(silence(20.5) + sound(5))


stretches = st.tuples(
    st.integers(1, 9), st.sampled_from([1, 3, PAUSE_FRAMES - 1, PAUSE_FRAMES, PAUSE_FRAMES + 1, 15, 30])
)


def frames_of(parts: list[tuple[int, int]]) -> list[bytes]:
    frames = []
    for seed, (loud, quiet) in enumerate(parts):
        frames += [sound(1, 100 * seed + index) for index in range(loud)] + [silence(1)] * quiet
    return frames


@given(st.lists(stretches, min_size=1, max_size=5), st.integers(0, 12), st.integers(0, 1_279))
def test_a_turn_cut_within_a_pause_says_the_same_in_two(
    parts: list[tuple[int, int]], lead_frames: int, end_samples: int
) -> None:
    frames = [silence(1)] * lead_frames + frames_of(parts)
    end = sound(1)[: 2 * end_samples]
    whole = spoken(b"".join(frames) + end)
    at = lead_frames
    for loud, quiet in parts:
        at += loud
        is_pause = quiet >= PAUSE_FRAMES or (at + quiet == len(frames) and not end)
        for cut in range(at, at + quiet + 1) if is_pause else ():
            assert spoken(b"".join(frames[:cut])) + spoken(b"".join(frames[cut:]) + end) == whole
        at += quiet


@given(st.lists(stretches, min_size=1, max_size=6))
def test_nothing_of_a_phrase_is_told_after_a_run_of_empty_deltas_that_counts_as_a_pause(
    parts: list[tuple[int, int]],
) -> None:
    transcriber = ScriptedEngine().open()
    frames = [*frames_of(parts), *[silence(1)] * 30]
    transcriber.feed(b"".join(frames))
    said = [0, *(at + 1 for at, text in enumerate(drained(transcriber)) if text)]
    # What a run of empty deltas leaves to be said had not begun where the run did: there is no sound right before it.
    for last, following in pairwise(said):
        if following - last > SETTLE_FRAMES:
            assert last == 0 or frames[last - 1] == silence(1)
            assert spoken(b"".join(frames[:last])) + spoken(b"".join(frames[last:])) == spoken(b"".join(frames))


@given(st.lists(stretches, min_size=1, max_size=4), st.data())
def test_a_changed_sample_outside_of_pauses_changes_the_text(parts: list[tuple[int, int]], data: st.DataObject) -> None:
    frames = frames_of(parts)
    loud = [index for index, frame in enumerate(frames) if frame != silence(1)]
    at = data.draw(st.sampled_from(loud)) * FRAME_BYTES + 2 * data.draw(st.integers(0, FRAME_SAMPLES - 1))
    audio = bytearray(b"".join(frames))
    audio[at] ^= 1
    assert spoken(bytes(audio)) != spoken(b"".join(frames))
