import pytest

from parley.core.content import Text
from parley.core.effects import Effect, SendAudio, StartTurn
from parley.core.feed import Feed
from parley.core.invariants import check
from parley.core.leg import Leg
from parley.core.limits import SessionLimits
from parley.core.profile import QWEN3_ASR, VOXTRAL, ModelProfile
from parley.core.turns import Turn, TurnQueue

from .builders import FRAME, SECOND, pcm, places

WORD = Text.of(" word")


class Bench:
    """A turn of 100 ms pieces, of which a first leg was sent `fed`, and legs to feed with it."""

    def __init__(
        self,
        limits: SessionLimits | None = None,
        profile: ModelProfile = VOXTRAL,
        *,
        fed: int = 0,
        held: int = 0,
        context_s: float = 0.0,
    ) -> None:
        self.queue = TurnQueue()
        self.turn: Turn = self.queue.add(0, started=True)
        self._profile = profile
        self._out: list[Effect] = []
        self.feed = Feed(limits or SessionLimits(), profile, self.queue, self._out, context_s=context_s)
        for begin in range(0, fed, 1_600):
            self.queue.keep(self.turn, pcm(1_600, begin))
        for begin in range(fed, fed + held, 1_600):
            self.queue.hold(self.turn, pcm(1_600, begin))

    def begin(self) -> tuple[Leg, int]:
        leg = Leg(1, self._profile, 0.0)
        return leg, self.feed.begin(leg, self.turn, 0.0)

    def take(self) -> list[Effect]:
        taken = self._out[:]
        self._out.clear()
        check(self.queue.invariants())
        return taken

    def sent(self) -> list[int]:
        """The samples that went out, by their place in the turn."""
        return [place for effect in self.take() if isinstance(effect, SendAudio) for place in places(effect.audio)]


# ---- beginning


def test_a_first_leg_begins_at_the_beginning_with_nothing_to_compare() -> None:
    bench = Bench(held=SECOND)
    leg, said = bench.begin()
    assert (leg.base, said, leg.rejoin, leg.is_replaying) == (0, 0, None, False)
    assert bench.take() == [StartTurn(1)]


def test_another_leg_begins_at_the_replay_point_and_is_held_to_the_recent_text() -> None:
    bench = Bench(fed=SECOND)
    bench.turn.transcript.add(FRAME, Text.of(" old"))
    bench.turn.transcript.add(5 * FRAME, WORD)
    bench.queue.settle(bench.turn, 3 * FRAME)
    leg, said = bench.begin()
    assert (leg.base, said, leg.is_replaying) == (3 * FRAME, 5 * FRAME, True)
    assert leg.rejoin is not None
    assert (leg.rejoin.said, leg.rejoin.until) == (" word", 5 * FRAME)


def test_a_leg_begins_where_the_journal_does_when_that_is_later() -> None:
    bench = Bench(fed=SECOND)
    for _ in range(2):
        bench.queue.drop(bench.turn)
    leg, said = bench.begin()
    # The first frame of the turn that begins after 3200 samples.
    assert (leg.base, said, bench.turn.replay_point) == (3 * FRAME, 0, 3 * FRAME)


def test_text_of_audio_that_is_gone_stands() -> None:
    bench = Bench(fed=SECOND)
    bench.turn.transcript.add(2 * FRAME, Text.of(" old"))
    bench.turn.transcript.add(5 * FRAME, WORD)
    bench.queue.drop(bench.turn)
    bench.queue.drop(bench.turn)
    leg, _ = bench.begin()
    assert (bench.turn.transcript.recent, leg.prefix) == ([(5 * FRAME, WORD)], 1)


def test_a_leg_begins_off_the_frames_grid_where_the_next_frame_is_not_there() -> None:
    bench = Bench(fed=3_200)
    bench.queue.drop(bench.turn)
    leg, _ = bench.begin()
    assert leg.base == 2 * FRAME
    bench = Bench(fed=1_600)
    bench.queue.drop(bench.turn)
    leg, _ = bench.begin()
    assert leg.base == 1_600


# ---- sending


def test_a_leg_is_sent_what_it_takes_within_the_window() -> None:
    bench = Bench(SessionLimits(pace_window_s=1.0), held=2 * SECOND)
    leg, _ = bench.begin()
    bench.feed.advance(leg, bench.turn, 0.0)
    assert bench.sent() == list(range(SECOND))
    assert (bench.turn.fed, bench.queue.held_samples) == (SECOND, SECOND)


def test_without_a_window_a_leg_is_sent_everything() -> None:
    bench = Bench(SessionLimits(pace_window_s=0.0), held=10 * SECOND)
    leg, _ = bench.begin()
    bench.feed.advance(leg, bench.turn, 0.0)
    assert (len(bench.sent()), bench.feed.is_paced) == (10 * SECOND, False)


def test_a_model_without_a_clock_is_not_paced() -> None:
    bench = Bench(SessionLimits(pace_window_s=1.0), QWEN3_ASR, held=3 * SECOND)
    leg, _ = bench.begin()
    bench.feed.advance(leg, bench.turn, 0.0)
    assert (len(bench.sent()), bench.feed.is_paced) == (3 * SECOND, False)


def test_a_leg_that_does_not_read_is_sent_nothing() -> None:
    bench = Bench(held=SECOND)
    leg, _ = bench.begin()
    leg.blocked = True
    bench.feed.advance(leg, bench.turn, 0.0)
    assert bench.sent() == []


def test_another_leg_is_sent_the_audio_from_its_base_to_the_sample() -> None:
    bench = Bench(fed=SECOND, held=SECOND)
    bench.queue.settle(bench.turn, 3 * FRAME)
    leg, _ = bench.begin()
    bench.feed.advance(leg, bench.turn, 0.0)
    assert bench.sent() == list(range(3 * FRAME, 2 * SECOND))
    assert (leg.fed, bench.turn.fed, bench.queue.held_samples) == (2 * SECOND, 2 * SECOND, 0)


# ---- what is kept


def test_a_journal_is_full_above_its_seconds() -> None:
    limits = SessionLimits(journal_max_s=1.0)
    assert not Bench(limits, fed=SECOND).feed.is_full(Bench(limits, fed=SECOND).turn)
    bench = Bench(limits, fed=SECOND + 1_600)
    assert bench.feed.is_full(bench.turn)


def test_a_journal_is_full_above_its_bytes() -> None:
    bench = Bench(SessionLimits(journal_max_s=0.1))
    # 100 ms may take 8533 bytes: a piece of one sample takes 164.
    for begin in range(52):
        bench.queue.keep(bench.turn, pcm(1, begin))
    assert not bench.feed.is_full(bench.turn)
    bench.queue.keep(bench.turn, pcm(1, 52))
    assert bench.feed.is_full(bench.turn)


def test_room_is_made_for_two_seconds() -> None:
    bench = Bench(SessionLimits(journal_max_s=4.0), fed=5 * SECOND)
    bench.feed.make_room(bench.turn, next_piece=bench.turn.journal.next)
    assert bench.turn.journal.start == 3 * SECOND
    check(bench.queue.invariants())


def test_room_is_made_in_bytes_as_well() -> None:
    bench = Bench(SessionLimits(journal_max_s=2.1))
    for begin in range(1_200):
        bench.queue.keep(bench.turn, pcm(1, begin))
    assert bench.feed.is_full(bench.turn)
    bench.feed.make_room(bench.turn, next_piece=bench.turn.journal.next)
    assert bench.queue.kept_bytes <= SessionLimits(journal_max_s=2.1).journal_bytes_max * 15 / 16
    check(bench.queue.invariants())


def test_audio_that_a_leg_still_has_to_be_sent_is_not_let_go() -> None:
    bench = Bench(SessionLimits(journal_max_s=4.0), fed=5 * SECOND)
    bench.feed.make_room(bench.turn, next_piece=3)
    assert bench.turn.journal.first == 3


@pytest.mark.parametrize("journal_max_s", [0.001, 1.0, 2.0])
def test_the_last_piece_is_never_let_go(journal_max_s: float) -> None:
    bench = Bench(SessionLimits(journal_max_s=journal_max_s), fed=5 * SECOND)
    bench.feed.make_room(bench.turn, next_piece=bench.turn.journal.next)
    assert bench.turn.journal.start == 5 * SECOND - 1_600


@pytest.mark.parametrize(("context_s", "is_shorter"), [(0.0, False), (1_000.0, False), (20.0, True)])
def test_no_more_is_kept_than_a_leg_can_hear_again(context_s: float, is_shorter: bool) -> None:
    bench = Bench(SessionLimits(journal_max_s=60.0), context_s=context_s)
    assert (bench.feed.kept_samples_max < 60 * SECOND) is is_shorter


def test_a_feed_that_is_stopped_sends_nothing_until_it_goes_on() -> None:
    bench = Bench(held=SECOND)
    leg, _ = bench.begin()
    bench.feed.stop()
    bench.feed.advance(leg, bench.turn, 0.0)
    assert bench.sent() == []
    bench.feed.go_on()
    bench.feed.advance(leg, bench.turn, 0.0)
    assert bench.sent() == list(range(SECOND))


def test_the_next_leg_begins_at_the_replay_point_or_where_the_journal_does() -> None:
    bench = Bench(fed=SECOND)
    assert bench.feed.base_of(bench.turn) == 0
    bench.queue.drop(bench.turn)
    # 100 ms are gone: the next frame of 80 ms begins at 160.
    assert bench.feed.base_of(bench.turn) == 2 * FRAME
