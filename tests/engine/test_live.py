import numpy as np
import pytest

from parley.engine.clock import deltas_of_turn, deltas_while_open
from parley.engine.live import FRAMES_PER_STEP_MAX, LiveTranscriber
from parley.engine.segment import PAD_SAMPLES, SEGMENT_MAX_HOPS
from parley.engine.transcriber import transcribe

from .doubles import CountingRecognizer, loud, quiet, transcriber

SPEECH = quiet(0.5) + loud(3.1) + quiet(1.2) + loud(1.03) + quiet(0.4)


def drained(live: LiveTranscriber, behind_s: float = 0.0) -> list[str]:
    deltas: list[str] = []
    while step := live.step(behind_s):
        deltas += step
    return deltas


def in_pieces(audio: bytes, size: int) -> list[str]:
    live, deltas = transcriber(), []
    for start in range(0, len(audio), size):
        live.feed(audio[start : start + size])
        deltas += drained(live)
    live.end()
    return deltas + drained(live)


@pytest.mark.parametrize("piece_ms", [1, 10, 32, 80, 333, 5_000])
def test_the_deltas_do_not_depend_on_how_the_audio_was_cut(piece_ms: int) -> None:
    assert in_pieces(SPEECH, piece_ms * 32) == transcribe(transcriber(), SPEECH)


def test_the_deltas_do_not_depend_on_when_steps_are_taken() -> None:
    live, deltas = transcriber(), []
    for number, start in enumerate(range(0, len(SPEECH), 3_000)):
        live.feed(SPEECH[start : start + 3_000])
        if number % 7 == 0:
            deltas += live.step()
    live.end()
    assert deltas + drained(live) == transcribe(transcriber(), SPEECH)


@pytest.mark.parametrize("samples", [1, 799, 8_999, 9_000, 9_001, 51_234])
def test_a_turn_has_one_delta_for_each_frame_and_those_of_its_end(samples: int) -> None:
    assert len(transcribe(transcriber(), quiet(5)[: 2 * samples])) == deltas_of_turn(samples)


def test_deltas_come_as_soon_as_their_audio_is_there() -> None:
    live = transcriber()
    live.feed(quiet(0.9))
    assert len(drained(live)) == deltas_while_open(round(0.9 * 16_000))


def test_a_turn_without_audio_has_no_deltas_and_finishes() -> None:
    live = transcriber()
    live.end()
    assert (live.step(), live.finished) == ([], True)


def test_text_only_grows_and_every_word_brings_its_space() -> None:
    words = [delta for delta in transcribe(transcriber(), SPEECH) if delta]
    assert all(word.startswith(" w") for word in words)


def test_every_word_of_the_speech_comes_out_once_and_in_order() -> None:
    text = "".join(transcribe(transcriber(), quiet(0.5) + loud(3.0) + quiet(1.2)))
    assert text.split()[:11] == [f"w{index}" for index in range(11)]


def test_words_come_while_the_speaker_goes_on() -> None:
    live = transcriber()
    live.feed(loud(3.0))
    assert "w3" in "".join(drained(live))


@pytest.mark.parametrize("speech_s", [0.8, 2.0, 3.3])
def test_what_is_told_in_a_pause_is_in_a_delta_that_claims_the_speech_before_it(speech_s: float) -> None:
    deltas = transcribe(transcriber(), quiet(0.5) + loud(speech_s) + quiet(2.0))
    last = max(index for index, text in enumerate(deltas) if text)
    assert (0.5 + speech_s) * 16_000 <= (last + 1) * 1_280 <= (0.5 + speech_s + 1.2) * 16_000


def test_a_turn_that_begins_where_the_last_text_before_a_pause_was_told_does_not_repeat_it() -> None:
    first, second = quiet(0.5) + loud(2.0) + quiet(1.5), loud(1.5) + quiet(1.5)
    deltas = transcribe(transcriber(), first + second)
    before = len("".join(transcribe(transcriber(), first)).split())
    counts = np.cumsum([len(text.split()) for text in deltas])
    last = int(np.argmax(counts == before))
    anew = transcribe(transcriber(), (first + second)[2 * 1_280 * (last + 1) :])
    assert "".join(anew) == "".join(deltas[last + 1 :])


def test_the_text_of_a_turn_that_ends_in_speech_is_in_the_delta_that_claims_all_audio() -> None:
    deltas = transcribe(transcriber(), loud(2.0))
    assert deltas[24].split()[-1].startswith("w")
    assert not any(deltas[25:])


def test_silence_is_never_decoded() -> None:
    recognizer = CountingRecognizer()
    transcribe(transcriber(recognizer), quiet(20))
    assert recognizer.calls == 0


def test_speech_without_pauses_is_split_and_loses_no_word() -> None:
    recognizer = CountingRecognizer()
    text = "".join(transcribe(transcriber(recognizer), loud(40.0)))
    assert recognizer.longest_samples <= SEGMENT_MAX_HOPS * 512 + PAD_SAMPLES
    assert len(text.split()) == pytest.approx(160, abs=6)


def test_a_stream_that_is_behind_decodes_less_often_and_drops_no_audio() -> None:
    usual, behind = CountingRecognizer(), CountingRecognizer()
    transcribe(transcriber(usual), loud(8.0))
    live = transcriber(behind)
    live.feed(loud(8.0))
    live.end()
    deltas = drained(live, behind_s=5.0)
    assert behind.calls < usual.calls / 2
    assert len(deltas) == deltas_of_turn(8 * 16_000)


def test_a_step_over_silence_is_bounded() -> None:
    live = transcriber()
    live.feed(quiet(30))
    assert len(live.step()) == FRAMES_PER_STEP_MAX


def test_a_step_ends_with_the_first_decode() -> None:
    recognizer = CountingRecognizer()
    live = transcriber(recognizer)
    live.feed(loud(5.0))
    live.step()
    assert recognizer.calls == 1


def test_pending_audio_is_counted_and_consumed() -> None:
    live = transcriber()
    live.feed(quiet(10))
    before = live.pending_samples
    drained(live)
    assert before == 160_000
    assert live.pending_samples < 1_280 + 512


def test_audio_is_taken_from_a_memoryview() -> None:
    assert transcribe(transcriber(), memoryview(SPEECH)) == transcribe(transcriber(), SPEECH)


def test_full_scale_samples_are_heard() -> None:
    clipped = np.full(32_000, -32_768, "<i2").tobytes()
    assert "w0" in "".join(transcribe(transcriber(), clipped + quiet(1)))
