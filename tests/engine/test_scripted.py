import numpy as np
import pytest

from parley.engine.clock import deltas_of_turn, deltas_while_open
from parley.engine.scripted import WORDS, ScriptedEngine
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
