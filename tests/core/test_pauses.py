"""Runs of empty deltas: where a replay may begin, and when a model counts as mute."""

import pytest

from parley.core.content import Text
from parley.core.effects import Effect, MeasureSpeech
from parley.core.invariants import check
from parley.core.leg import Leg, LegState
from parley.core.pauses import Pauses
from parley.core.profile import QWEN3_ASR, VOXTRAL, ModelProfile
from parley.core.rejoin import Rejoin
from parley.core.turns import Turn, TurnQueue

from .builders import FRAME, NO_WORDS, SECOND, pcm, places

SETTLE, MUTE = VOXTRAL.settle_frames, VOXTRAL.mute_frames
WORD = Text.of(" word")
ENOUGH, TOO_LITTLE = 3 * SECOND, 3 * SECOND - 1


class Bench:
    """A leg that says a word with its tenth delta and has a minute of audio, in pieces of 0.4 s."""

    def __init__(self, profile: ModelProfile = VOXTRAL) -> None:
        self._out: list[Effect] = []
        self.queue = TurnQueue()
        self.turn: Turn = self.queue.add(0, started=True)
        self.pauses = Pauses(profile, self.queue, self._out)
        for begin in range(0, 60 * SECOND, 5 * FRAME):
            self.queue.keep(self.turn, pcm(5 * FRAME, begin))
        self.leg = Leg(1, profile, 0.0)
        self.leg.start(self.turn, 0, 0.0)
        self.leg.fed = self.turn.fed
        self.pauses.began(self.leg)
        for _ in range(9):
            self.leg.moved(NO_WORDS, 0.0)
        self.leg.moved(WORD, 0.0)
        self.turn.transcript.add(self.leg.spoken, WORD)

    def silence(self, frames: int) -> None:
        for _ in range(frames):
            self.leg.moved(NO_WORDS, 0.0)
            self.pauses.look(self.leg, self.turn)
            check(self.queue.invariants())

    def asked(self) -> list[MeasureSpeech]:
        asked = [effect for effect in self._out if isinstance(effect, MeasureSpeech)]
        self._out.clear()
        return asked

    def ask_times(self, frames: int) -> list[int]:
        """After which of so many further empty deltas the audio is measured."""
        times = []
        for _ in range(frames):
            self.silence(1)
            times += [self.leg.silent_frames] * len(self.asked())
        return times


# ---- the replay point


def test_a_pause_moves_the_replay_point_to_its_beginning() -> None:
    bench = Bench()
    bench.silence(SETTLE - 1)
    assert bench.turn.replay_point == 0
    bench.silence(1)
    assert bench.turn.replay_point == 10 * FRAME
    assert bench.turn.transcript.recent == []


def test_the_audio_of_a_pause_is_kept_as_it_grows() -> None:
    bench = Bench()
    bench.silence(MUTE)
    assert (bench.turn.replay_point, bench.turn.journal.start) == (10 * FRAME, 10 * FRAME)


def test_a_pause_that_began_while_nobody_looked_counts_from_its_beginning() -> None:
    bench = Bench()
    for _ in range(SETTLE + 5):
        bench.leg.moved(NO_WORDS, 0.0)
    bench.silence(1)
    assert bench.turn.replay_point == 10 * FRAME


def test_a_leg_that_still_has_to_say_again_what_was_said_moves_nothing() -> None:
    bench = Bench()
    bench.leg.rejoin = Rejoin(late_samples=0, patience_samples=0)
    bench.silence(MUTE)
    assert bench.turn.replay_point == 0


def test_the_end_of_a_turn_moves_nothing() -> None:
    bench = Bench()
    bench.leg.state = LegState.FLUSHING
    bench.silence(MUTE)
    assert (bench.turn.replay_point, bench.asked()) == (0, [])


def test_a_model_without_a_clock_has_no_pauses() -> None:
    bench = Bench(QWEN3_ASR)
    bench.silence(MUTE)
    assert (bench.turn.replay_point, bench.asked()) == (0, [])


# ---- mute


def test_a_long_run_is_measured_after_200_frames_and_each_100_more() -> None:
    assert Bench().ask_times(450) == [200, 300, 400]


def test_what_is_measured_is_what_was_answered_with_nothing() -> None:
    bench = Bench()
    bench.silence(MUTE)
    asked = bench.asked()
    assert [effect.leg for effect in asked] == [1]
    heard = [place for piece in asked[0].pieces for place in places(piece)]
    assert heard == [place % 65_536 for place in range(10 * FRAME, 210 * FRAME)]


def test_what_was_answered_before_is_not_measured_by_a_leg_that_still_compares() -> None:
    bench = Bench()
    bench.leg.rejoin = Rejoin(late_samples=0, patience_samples=0)
    bench.silence(MUTE)
    assert sum(piece.samples for piece in bench.asked()[0].pieces) <= MUTE * FRAME


def test_speech_answered_with_nothing_is_a_mute_model() -> None:
    bench = Bench()
    bench.silence(MUTE)
    assert bench.pauses.is_mute(bench.leg, bench.turn, ENOUGH)


def test_a_quiet_run_is_a_pause_and_moves_the_replay_point_on() -> None:
    bench = Bench()
    bench.silence(MUTE)
    assert not bench.pauses.is_mute(bench.leg, bench.turn, TOO_LITTLE)
    assert bench.turn.replay_point == (10 + MUTE - SETTLE) * FRAME


def test_a_quiet_run_of_a_leg_that_still_compares_moves_nothing() -> None:
    bench = Bench()
    bench.leg.rejoin = Rejoin(late_samples=0, patience_samples=0)
    bench.silence(MUTE)
    assert not bench.pauses.is_mute(bench.leg, bench.turn, 0)
    assert bench.turn.replay_point == 0


def test_a_model_that_said_something_meanwhile_is_not_mute() -> None:
    bench = Bench()
    bench.silence(MUTE)
    bench.leg.moved(WORD, 0.0)
    assert not bench.pauses.is_mute(bench.leg, bench.turn, ENOUGH)


def test_a_model_whose_turn_has_ended_meanwhile_is_not_mute() -> None:
    bench = Bench()
    bench.silence(MUTE)
    bench.leg.state = LegState.FLUSHING
    assert not bench.pauses.is_mute(bench.leg, bench.turn, ENOUGH)


@pytest.mark.parametrize(("mutes", "frames"), [(0, 200), (1, 400), (2, 800), (6, 12_800), (9, 12_800)])
def test_a_model_found_mute_again_gets_twice_the_time_within_reason(mutes: int, frames: int) -> None:
    bench = Bench()
    bench.silence(MUTE)
    for _ in range(mutes):
        bench.pauses.is_mute(bench.leg, bench.turn, ENOUGH)
    bench.pauses.began(bench.leg)
    assert bench.leg.mute_at == frames


def test_a_word_makes_it_forgotten() -> None:
    bench = Bench()
    bench.silence(MUTE)
    bench.pauses.is_mute(bench.leg, bench.turn, ENOUGH)
    bench.pauses.spoke()
    bench.pauses.began(bench.leg)
    assert bench.leg.mute_at == MUTE
