"""The model server: Voxtral's clock, words from samples, and what it is strict about."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from parley.core.content import Text
from parley.simulation.hearing import LATE_FRAMES_MAX, Hearing
from parley.simulation.link import End, Link, LinkQuality
from parley.simulation.model import Fate, ModelOptions, ModelServer
from parley.simulation.speech import (
    FRAME_SAMPLES,
    WORD_MAX_SAMPLES,
    Speech,
    Talk,
    base_of,
    speech_samples,
    spoken,
    transcript_of,
    word_text,
    words_of,
)
from parley.simulation.world import World
from parley.wire import vllm


def speech(seconds: float = 20.0, seed: int = 1) -> Speech:
    return Speech(random.Random(seed), seconds, Talk())


# ---- speech


def test_speech_is_the_same_however_it_is_cut() -> None:
    tape, chance = speech(), random.Random(2)
    whole = tape.pcm(0, tape.samples)
    cuts = sorted({0, tape.samples, *(chance.randrange(tape.samples) for _ in range(300))})
    assert b"".join(tape.pcm(a, b) for a, b in pairwise(cuts)) == whole


def test_words_are_where_the_tape_says_and_no_longer_than_a_pause_allows() -> None:
    tape = speech(60.0)
    whole = tape.pcm(0, tape.samples)
    intervals = tape.word_intervals(0, tape.samples)
    assert intervals == words_of(whole)
    assert all(0 < end - start <= WORD_MAX_SAMPLES for start, end in intervals)
    assert speech_samples(whole) == sum(end - start for start, end in intervals)


def test_lost_doubled_and_reordered_audio_changes_the_transcript() -> None:
    tape = speech()
    whole = tape.pcm(0, tape.samples)
    (a, b), (c, d) = tape.word_intervals(0, tape.samples)[3:5]
    undisturbed = transcript_of(whole)
    middle = (a + b) // 2 * 2
    assert transcript_of(whole[:middle] + whole[middle + 2 * 100 :]) != undisturbed
    assert transcript_of(whole[: 2 * b] + whole[2 * a :]) != undisturbed
    assert transcript_of(whole[: 2 * a] + whole[2 * c : 2 * d] + whole[2 * b : 2 * c] + whole[2 * a :]) != undisturbed


def test_other_dialects_say_other_words_for_some_and_each_can_be_traced_back() -> None:
    differing = 0
    for checksum in range(0, 2**32, 2**24 + 77):
        base = spoken(checksum)
        other = spoken(checksum, 3)
        differing += other != base
        assert {base_of(word) for word in other.split()} == {base.strip()}
        assert spoken(checksum, 3) == other
    assert 10 < differing < 150


# ---- hearing


@pytest.mark.parametrize("size", [1, 7, 320, 5_000, 100_000])
def test_words_are_heard_the_same_in_pieces_of_any_size(size: int) -> None:
    tape, hearing = speech(), Hearing()
    for start in range(0, tape.samples, size * (1 if size > 300 else 40)):
        hearing.hear(tape.pcm(start, start + size * (1 if size > 300 else 40)))
    hearing.finish()
    assert hearing.said_by(1 << 30) == "".join(transcript_of(tape.pcm(0, tape.samples)))


def test_a_word_is_said_within_two_frames_of_its_end() -> None:
    tape, hearing = speech(60.0), Hearing()
    whole = tape.pcm(0, tape.samples)
    hearing.hear(whole)
    ends = {word_text(whole[2 * a : 2 * b]).strip(): b for a, b in words_of(whole)}
    said = ""
    for delta in range(1, tape.samples // FRAME_SAMPLES + 20):
        before = len(said.split())
        said += hearing.said_by(delta)
        for word in said.split()[before:]:
            # The end of a word that comes in two parts is looked at with its last one.
            if word in ends:
                due = -(-ends[word] // FRAME_SAMPLES)
                assert due <= delta <= due + LATE_FRAMES_MAX


# ---- the server


class Gateway:
    """A client of the model server that keeps what it says."""

    def __init__(self, options: ModelOptions | None = None, fate: Fate | None = None) -> None:
        self.world = World(1)
        self.server = ModelServer(self.world, options or ModelOptions())
        self.deltas: list[str] = []
        self.dones: list[vllm.Done] = []
        self.others: list[object] = []
        self.losses: list[int | None] = []
        self.end = self.connect(fate)
        self.end.attach(self)

    def connect(self, fate: Fate | None = None) -> End:
        link = Link(self.world, ("gateway", "model"), LinkQuality(0.001))
        self.server.accept(link.ends[1], fate)
        return link.ends[0]

    def message_received(self, _end: End, message: bytes) -> None:
        value = vllm.parse_server(message)
        if isinstance(value, Text):
            self.deltas.append(value.decode())
        elif isinstance(value, vllm.Done):
            self.dones.append(value)
        else:
            self.others.append(value)

    def connection_lost(self, _end: End, code: int | None) -> None:
        self.losses.append(code)

    def writing_blocked(self, _end: End, is_blocked: bool) -> None:
        pass

    def say(self, pcm: bytes, *, ends: bool = True) -> None:
        self.end.send(vllm.encode_session_update("voxtral"))
        self.end.send(vllm.COMMIT_START)
        if pcm:
            self.end.send(vllm.encode_append(vllm.encode_audio(pcm)))
        if ends:
            self.end.send(vllm.COMMIT_FINAL)
        self.world.run(self.world.now + 30)


@pytest.mark.parametrize(
    ("samples", "deltas"), [(1, 0), (8_999, 0), (9_000, 1), (10_279, 1), (10_280, 2), (160_000, 118)]
)
def test_deltas_are_voxtrals_clock(samples: int, deltas: int) -> None:
    gateway = Gateway()
    gateway.say(b"\0" * 2 * samples, ends=False)
    assert len(gateway.deltas) == deltas


@pytest.mark.parametrize("seconds", [1.0, 5.0, 12.345])
def test_a_turn_is_said_whole_and_costs_what_vllm_says(seconds: float) -> None:
    gateway, tape = Gateway(), speech(30.0)
    pcm = tape.pcm(0, int(seconds * 16_000))
    gateway.say(pcm)
    (done,) = gateway.dones
    assert done.text.decode() == "".join(gateway.deltas) == "".join(transcript_of(pcm))
    # Measured on vLLM: floor(12.5 s + 10.5) steps, of which each is a delta.
    assert done.usage.completion_tokens == len(gateway.deltas)
    assert abs(done.usage.completion_tokens - (12.5 * seconds + 10.5)) <= 1


def test_what_vllm_would_drop_without_a_word_is_a_violation() -> None:
    gateway = Gateway()
    gateway.say(speech().pcm(0, 16_000))
    gateway.end.send(vllm.encode_append(vllm.encode_audio(b"\0\0")))
    gateway.end.send(vllm.COMMIT_FINAL)
    gateway.end.send(vllm.COMMIT_START)
    gateway.end.send(vllm.COMMIT_START)
    gateway.world.run(100)
    assert len(gateway.server.violations) == 3


def test_above_its_slots_it_goes_quiet_until_one_is_free() -> None:
    gateway = Gateway(ModelOptions(slots=0))
    gateway.say(speech().pcm(0, 32_000))
    assert gateway.others
    assert not gateway.deltas


@pytest.mark.parametrize(
    ("fault", "sign"),
    [
        ("reset", lambda gateway: gateway.losses == [None]),
        ("cut", lambda gateway: gateway.losses == [None]),
        ("stall", lambda gateway: len(gateway.deltas) == 5 and not gateway.dones),
        ("mute", lambda gateway: bool(gateway.dones) and not "".join(gateway.deltas)),
        ("error", lambda gateway: isinstance(gateway.others[-1], vllm.Failed)),
        ("truncate", lambda gateway: bool(gateway.dones) and len(gateway.deltas) == 5),
        ("out-of-turn", lambda gateway: bool(gateway.dones) and gateway.deltas[-1] == " again"),
    ],
)
def test_each_fate_is_suffered(fault: str, sign: Callable[[Gateway], bool]) -> None:
    gateway = Gateway(fate=Fate(fault, 5))
    gateway.say(b"\0" * 64_000, ends=False)
    gateway.end.send(vllm.encode_append(vllm.encode_audio(speech(30.0).pcm(0, 160_000))))
    gateway.end.send(vllm.COMMIT_FINAL)
    gateway.world.run(gateway.world.now + 30)
    assert sign(gateway)


def test_a_crash_takes_all_connections_and_a_shutdown_says_so() -> None:
    gateway = Gateway()
    gateway.server.crash()
    gateway.world.run(1)
    assert gateway.losses == [None]
    gateway = Gateway()
    gateway.server.shut_down(with_done=True)
    gateway.world.run(1)
    assert gateway.losses == [1012]
    assert gateway.server.connections == []
