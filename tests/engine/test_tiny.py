"""The real weights, on a recording that their package carries."""

import importlib.util
import wave
from pathlib import Path

import numpy as np
import pytest

from parley.engine.clock import deltas_of_turn
from parley.engine.detector import HOP_SAMPLES, SileroModel
from parley.engine.options import EngineOptions
from parley.engine.recognizer import Recognition, TinyRecognizer, without_loop
from parley.engine.tiny import TinyEngine
from parley.engine.transcriber import transcribe
from parley.engine.vocabulary import Vocabulary
from parley.engine.weights import VOCABULARY, Weights, load_weights

from .talk import connected, serving


@pytest.fixture(scope="module")
def weights() -> Weights:
    return load_weights()


@pytest.fixture(scope="module")
def engine(weights: Weights) -> TinyEngine:
    return TinyEngine(weights)


@pytest.fixture(scope="module")
def speech() -> bytes:
    """The first 7.5 s of a public-domain recording: "It was the best of times, it was the worst of times, ..."."""
    spec = importlib.util.find_spec("moonshine_voice")
    assert spec is not None
    assert spec.origin is not None
    with wave.open(str(Path(spec.origin).parent / "assets" / "two_cities.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (48_000, 1, 2)
        samples = np.frombuffer(file.readframes(360_000), "<i2")
    return bytes(samples.reshape(-1, 3).mean(axis=1).astype("<i2").tobytes())


def test_speech_is_recognised(engine: TinyEngine, speech: bytes) -> None:
    text = "".join(transcribe(engine.open(), speech)).lower()
    assert "best of times" in text
    assert "worst of times" in text


def test_real_speech_gives_the_same_deltas_in_pieces_and_at_once(engine: TinyEngine, speech: bytes) -> None:
    live, deltas = engine.open(), []
    for start in range(0, len(speech), 4_000):
        live.feed(speech[start : start + 4_000])
        deltas += live.step()
    live.end()
    while step := live.step():
        deltas += step
    assert deltas == transcribe(engine.open(), speech)


def test_streams_do_not_disturb_each_other(engine: TinyEngine, speech: bytes) -> None:
    piece, alone = speech[:128_000], transcribe(engine.open(), speech[:128_000])
    streams = [engine.open() for _ in range(3)]
    heard: list[list[str]] = [[], [], []]
    for start in range(0, len(piece), 8_000):
        for index, stream in enumerate(streams):
            stream.feed(piece[start : start + 8_000])
            heard[index] += stream.step()
    for index, stream in enumerate(streams):
        stream.end()
        while step := stream.step():
            heard[index] += step
    assert heard == [alone] * 3


@pytest.mark.parametrize("level", [0, 30, 1_000])
def test_noise_and_silence_say_nothing(engine: TinyEngine, level: int) -> None:
    noise = (np.random.default_rng(3).standard_normal(80_000) * level).astype("<i2").tobytes()
    assert transcribe(engine.open(), noise) == [""] * deltas_of_turn(80_000)


def test_a_verified_draft_gives_what_greedy_decoding_gives(weights: Weights, speech: bytes) -> None:
    recognizer = TinyRecognizer(weights)
    audio = np.frombuffer(speech[:96_000], "<i2").astype(np.float32) / np.float32(32_768)
    greedy = recognizer.recognize(audio).tokens
    spoilt = [*greedy[:4], greedy[4] + 1, *greedy[5:]]
    assert recognizer.recognize(audio, greedy).tokens == greedy
    assert recognizer.recognize(audio, spoilt).tokens == greedy


def test_a_forced_draft_is_kept(weights: Weights, speech: bytes) -> None:
    recognizer = TinyRecognizer(weights)
    audio = np.frombuffer(speech[:96_000], "<i2").astype(np.float32) / np.float32(32_768)
    forced = recognizer.recognize(audio).tokens[:3][::-1]
    found = recognizer.recognize(audio, forced, len(forced))
    assert (found.tokens[:3], found.probabilities[:3]) == (forced, [1.0] * 3)


def test_every_token_has_a_probability(weights: Weights, speech: bytes) -> None:
    audio = np.frombuffer(speech[:96_000], "<i2").astype(np.float32) / np.float32(32_768)
    found = TinyRecognizer(weights).recognize(audio)
    assert len(found.probabilities) == len(found.tokens)
    assert all(0 < probability <= 1 for probability in found.probabilities)


def test_a_decode_is_bounded_by_its_audio(weights: Weights) -> None:
    recognizer = TinyRecognizer(weights)
    noise = np.random.default_rng(3).standard_normal(16_000).astype(np.float32) / np.float32(4)
    assert len(recognizer.recognize(noise).tokens) <= 12


def test_the_detector_tells_speech_from_silence(weights: Weights, speech: bytes) -> None:
    audio = np.frombuffer(speech, "<i2").astype(np.float32) / np.float32(32_768)
    hops = audio[: len(audio) // HOP_SAMPLES * HOP_SAMPLES].reshape(-1, HOP_SAMPLES)
    hearing, idle = SileroModel(weights).open(), SileroModel(weights).open()
    assert max(hearing.probability(hop) for hop in hops) > 0.9
    assert max(idle.probability(np.zeros(HOP_SAMPLES, np.float32)) for _ in range(30)) < 0.1


def test_the_engine_says_which_files_it_runs(engine: TinyEngine) -> None:
    description = engine.describe()
    assert (description.name, description.packaged, description.sample_rate_hz) == ("tiny-en", True, 16_000)
    assert description.sha256["decoder_model_merged.ort"] == "cf524c48"


def test_the_vocabulary_covers_every_token(weights: Weights) -> None:
    assert len(Vocabulary(weights.contents[VOCABULARY])) == TinyRecognizer(weights).token_count


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        ([5, 6, 7], [5, 6, 7]),
        ([5, 6, 6, 6], [5, 6, 6, 6]),
        ([5, 6, 6, 6, 6], [5, 6]),
        ([5, 6, 7, 8, 6, 7, 8, 6, 7, 8], [5, 6, 7, 8]),
        ([5, 6, 7, 8, 6, 7, 8, 6, 7, 8, 6], [5, 6, 7, 8]),
        ([5, 6, 6, 6, 6, 9], [5, 6, 6, 6, 6, 9]),
        ([], []),
    ],
)
def test_a_loop_at_the_end_is_cut_to_one_round(tokens: list[int], kept: list[int]) -> None:
    assert without_loop(recognition(tokens)) == recognition(kept)


def test_a_loop_is_not_cut_into_what_was_told() -> None:
    assert without_loop(recognition([5, 6, 6, 6, 6, 6]), protected=4).tokens == [5, 6, 6, 6]


def recognition(tokens: list[int]) -> Recognition:
    return Recognition(tokens, [token / 10 for token in tokens])


async def test_the_server_says_what_the_engine_says(engine: TinyEngine, speech: bytes) -> None:
    options = EngineOptions(port=0, engine="tiny-en", model_name="tiny-en", decode_threads=1)
    async with serving(options) as address, connected(address, greet=False) as client:
        await client.event()
        await client.name_model("tiny-en")
        turn = await client.say(speech[:96_000])
    assert turn.deltas == transcribe(engine.open(), speech[:96_000])
