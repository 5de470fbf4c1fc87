import pytest

from parley.core.content import Text
from parley.core.leg import Leg, LegState
from parley.core.profile import QWEN3_ASR, VOXTRAL, ModelProfile
from parley.core.rejoin import Rejoin
from parley.core.turns import Turn, TurnQueue

from .builders import FRAME, NO_WORDS, SECOND, audio

WORD = Text.of(" word")


def a_turn(*samples: int) -> Turn:
    """A turn with pieces of these lengths."""
    queue = TurnQueue()
    turn = queue.add(0, started=True)
    for length in samples:
        queue.keep(turn, audio(samples=length))
    return turn


def started(profile: ModelProfile = VOXTRAL, base: int = 0, turn: Turn | None = None) -> Leg:
    leg = Leg(1, profile, 0.0)
    leg.start(turn or a_turn(), base, 0.0)
    return leg


def test_a_new_leg_is_connecting_since_now() -> None:
    leg = Leg(7, VOXTRAL, 3.0)
    assert (leg.id, leg.state, leg.progress_at, leg.turn) == (7, LegState.CONNECTING, 3.0, None)
    assert (leg.blocked, leg.lag_samples, leg.deltas, leg.rejoin, leg.is_replaying) == (False, 0, 0, None, False)


@pytest.mark.parametrize(
    ("state", "is_at_work"),
    [
        (LegState.CONNECTING, False),
        (LegState.READY, False),
        (LegState.RUNNING, True),
        (LegState.FLUSHING, True),
    ],
)
def test_a_leg_is_at_work_while_a_turn_is_on_it(state: LegState, is_at_work: bool) -> None:
    leg = Leg(1, VOXTRAL, 0.0)
    leg.state = state
    assert leg.is_at_work is is_at_work


def test_a_turn_begins_with_the_clock_at_its_base() -> None:
    leg = started()
    leg.sent(SECOND, SECOND, 1.0)
    leg.moved(WORD, 2.0)
    turn = a_turn(FRAME, FRAME, FRAME)
    leg.start(turn, 2 * FRAME, 5.0)
    assert (leg.state, leg.turn, leg.progress_at) == (LegState.RUNNING, turn, 5.0)
    assert (leg.base, leg.fed, leg.consumed, leg.spoken) == (2 * FRAME,) * 4
    assert (leg.deltas, leg.silent_frames, leg.piece, leg.skip) == (0, 0, 2, 0)


def test_a_turn_that_begins_within_a_piece_skips_what_is_before_it() -> None:
    leg = started(base=FRAME + 100, turn=a_turn(FRAME, FRAME))
    assert (leg.piece, leg.skip) == (1, 100)


def test_a_turn_that_goes_on_remembers_what_was_settled_before() -> None:
    turn = a_turn(3 * FRAME)
    turn.transcript.add(FRAME, WORD)
    turn.transcript.settle(FRAME)
    leg = started(turn=turn, base=FRAME)
    assert (leg.prefix, leg.prefix_characters) == (1, 5)


def test_a_transcribed_turn_leaves_the_leg_ready() -> None:
    leg = started()
    leg.rejoin, leg.is_replaying = Rejoin(late_samples=0, patience_samples=0), True
    leg.finish()
    assert (leg.state, leg.is_replaying) == (LegState.READY, False)
    assert leg.turn is None
    assert leg.rejoin is None


def test_lag_is_what_was_sent_and_not_consumed() -> None:
    leg = started()
    leg.sent(2 * SECOND, SECOND, 1.0)
    leg.moved(NO_WORDS, 1.0)
    leg.moved(NO_WORDS, 1.0)
    assert leg.lag_samples == 2 * SECOND - 9 * FRAME


@pytest.mark.parametrize(("deltas", "samples"), [(0, 0), (1, 10_240), (2, 11_520), (50, 72_960)])
def test_each_delta_of_voxtral_tells_of_80_ms_and_the_first_of_seven_more(deltas: int, samples: int) -> None:
    leg = started()
    leg.sent(100 * SECOND, SECOND, 1.0)
    for _ in range(deltas):
        leg.moved(NO_WORDS, 1.0)
    assert leg.consumed == samples


def test_the_words_said_with_a_delta_had_ended_as_many_frames_after_the_base() -> None:
    leg = started(base=FRAME, turn=a_turn(4 * FRAME))
    leg.moved(WORD, 1.0)
    leg.moved(WORD, 1.0)
    assert leg.spoken == 3 * FRAME


def test_another_model_has_its_own_frame_and_head() -> None:
    leg = started(ModelProfile(frame_samples=100, head_frames=0))
    leg.sent(SECOND, SECOND, 1.0)
    leg.moved(NO_WORDS, 1.0)
    assert leg.consumed == 100


def test_a_model_never_consumes_more_than_it_was_sent() -> None:
    leg = started()
    leg.sent(FRAME, SECOND, 1.0)
    leg.moved(NO_WORDS, 1.0)
    assert (leg.consumed, leg.lag_samples) == (FRAME, 0)


def test_a_delta_is_progress() -> None:
    leg = started()
    leg.moved(NO_WORDS, 4.0)
    assert (leg.progress_at, leg.deltas) == (4.0, 1)


def test_deltas_without_text_are_counted_until_something_is_said() -> None:
    leg = started()
    seen = []
    for text in (NO_WORDS, NO_WORDS, WORD, NO_WORDS):
        leg.moved(text, 1.0)
        seen.append(leg.silent_frames)
    assert seen == [1, 2, 0, 1]


def test_audio_for_a_leg_that_had_caught_up_gives_it_time_from_then() -> None:
    leg = started()
    leg.sent(SECOND, SECOND, 1.0)
    leg.sent(SECOND, SECOND, 2.0)
    assert leg.progress_at == 2.0


def test_what_was_consumed_does_not_count_as_lag_when_more_audio_comes() -> None:
    leg = started()
    leg.sent(SECOND + 8 * FRAME, SECOND, 1.0)
    leg.moved(NO_WORDS, 1.0)
    leg.sent(SECOND, SECOND, 2.0)
    assert leg.progress_at == 2.0


def test_audio_for_a_leg_that_lags_gives_it_no_more_time() -> None:
    leg = started()
    leg.sent(SECOND + 1, SECOND, 1.0)
    leg.sent(SECOND, SECOND, 2.0)
    assert (leg.progress_at, leg.fed, leg.piece) == (1.0, 2 * SECOND + 1, 2)


def test_a_model_without_a_clock_has_heard_what_it_was_sent() -> None:
    leg = started(QWEN3_ASR)
    leg.sent(5 * SECOND, SECOND, 1.0)
    leg.moved(WORD, 1.0)
    assert (leg.consumed, leg.spoken) == (5 * SECOND, 5 * SECOND)


def test_a_leg_at_the_pace_of_its_model_is_not_behind() -> None:
    leg = started()
    leg.sent(7 * FRAME, 0, 1.0)
    assert leg.delay_s(5.0) == 0.0


def test_a_leg_without_a_turn_is_not_behind() -> None:
    assert Leg(1, VOXTRAL, 0.0).delay_s(5.0) == 0.0


def test_a_leg_is_as_far_behind_as_its_oldest_audio_was_sent() -> None:
    leg = started()
    for second in range(4):
        leg.sent(SECOND, 0, float(second))
    assert leg.delay_s(4.0) == 4.0
    for _ in range(13):
        leg.moved(NO_WORDS, 4.0)
    # 20 frames are consumed, 1.6 s: what was sent with the second second is not.
    assert leg.delay_s(4.0) == 3.0


def test_when_audio_was_sent_is_noted_once_for_a_quarter_of_a_second() -> None:
    leg = started()
    for number in range(100):
        leg.sent(320, 0, number * 0.02)
    assert leg.delay_s(2.0) == 2.0


def test_a_leg_that_is_replaying_is_not_steady() -> None:
    leg = started()
    assert leg.is_steady
    leg.is_replaying = True
    assert not leg.is_steady


def test_audio_that_a_model_consumes_next_was_sent_a_while_ago() -> None:
    leg = started()
    for number in range(20):
        leg.sent(FRAME, SECOND, number * 0.08)
    for _ in range(4):
        leg.moved(NO_WORDS, 1.0)
    # With the first delta seven more frames: eleven are consumed, and the twelfth was sent at 0.88.
    assert leg.waits_s(2.0) == pytest.approx(2.0 - 0.88, abs=0.01)


def test_a_model_that_has_consumed_all_lets_nothing_wait() -> None:
    leg = started()
    leg.sent(FRAME, SECOND, 0.0)
    leg.moved(NO_WORDS, 0.1)
    assert leg.waits_s(5.0) == 0.0
    assert Leg(1, VOXTRAL, 0.0).waits_s(5.0) == 0.0


def test_what_a_model_needs_before_its_first_word_does_not_wait() -> None:
    leg = started()
    leg.sent(VOXTRAL.head_frames * FRAME, SECOND, 0.0)
    assert leg.waits_s(1.0) == 0.0
    leg.sent(FRAME, SECOND, 0.5)
    assert leg.waits_s(1.0) == 1.0
