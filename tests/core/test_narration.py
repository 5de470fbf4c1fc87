import pytest

from parley.core.content import Text
from parley.core.effects import Effect, KeepTurn, SendDelta, SendDone, SendError, SendNotice
from parley.core.keeping import Keeping
from parley.core.leg import Leg
from parley.core.limits import SessionLimits
from parley.core.narration import Narration
from parley.core.notices import TextRevised, TurnFailed
from parley.core.outlet import Outlet
from parley.core.profile import QWEN3_ASR, VOXTRAL, ModelProfile
from parley.core.rejoin import Joint, Rejoin
from parley.core.retention import Retention, RetentionTerms
from parley.core.turns import Turn, TurnQueue
from parley.core.usage import Usage

from .builders import CLOSED, FRAME, NO_WORDS, SECOND, AnError, audio


class Bench:
    """A turn that begins a second after the session did, told to a client frame by frame."""

    def __init__(
        self,
        *,
        forwards_empty: bool = False,
        is_numbered: bool = False,
        profile: ModelProfile = VOXTRAL,
        text_max_bytes: int = 10_000,
        retention: Retention = Retention.NONE,
    ) -> None:
        self._out: list[Effect] = []
        outlet = Outlet(SessionLimits(), self._out)
        outlet.is_numbered = is_numbered
        self._profile = profile
        keeping = Keeping(RetentionTerms(retention, is_offered=True), self._out) if retention.rank else None
        self.narration = Narration(outlet, profile, forwards_empty=forwards_empty, keeping=keeping)
        queue = TurnQueue(text_max_bytes)
        self.turn: Turn = queue.add(SECOND, started=True)
        queue.keep(self.turn, audio(samples=4 * SECOND))
        self.leg = self._start(0)

    def _start(self, base: int) -> Leg:
        leg = Leg(1, self._profile, 0.0)
        leg.start(self.turn, base, 0.0)
        return leg

    def replace(self, base: int = 0) -> None:
        """Another leg, which has to say again what was said."""
        self.turn.transcript.settle(base)
        self.leg = self._start(base)
        self.leg.rejoin = Rejoin(late_samples=FRAME, patience_samples=2 * FRAME)
        for position, text in self.turn.transcript.recent:
            self.leg.rejoin.expect(position, text)

    def __call__(self, *words: str) -> list[Effect]:
        """The client's share of a frame for each word."""
        for word in words:
            text = Text.of(word)
            self.leg.moved(text, 0.0)
            self.narration.hear(self.leg, self.turn, text)
        taken = self._out[:]
        self._out.clear()
        return taken

    def end(self, words: str) -> list[Effect]:
        """What the client gets at the leg's end of the turn."""
        self.narration.end(self.leg, self.turn, Text.of(words), DONE_USAGE)
        return self()

    def ticks(self, *words: str) -> int:
        """How many deltas the client gets."""
        return len(self(*words))


def delta(words: str) -> SendDelta:
    return SendDelta(Text.of(words))


def test_what_is_said_is_passed_on_and_remembered_with_its_position() -> None:
    bench = Bench()
    assert bench(" one", "", " two") == [delta(" one"), delta(" two")]
    assert bench.turn.transcript.recent == [(FRAME, Text.of(" one")), (3 * FRAME, Text.of(" two"))]
    assert bench.turn.top == 3 * FRAME


def test_empty_deltas_are_passed_on_when_asked_for() -> None:
    assert Bench(forwards_empty=True)("", " one") == [SendDelta(NO_WORDS), delta(" one")]


def test_what_is_said_again_is_not_passed_on() -> None:
    bench = Bench()
    bench(" one", " two")
    bench.replace()
    assert bench(" one", " two") == []
    assert bench(" three") == [delta(" three")]
    assert bench.leg.rejoin is None


def test_the_new_legs_words_are_the_turns_words_from_then_on() -> None:
    bench = Bench()
    bench(" one", " two")
    bench.replace()
    bench("", " one two three")
    assert bench.turn.transcript.recent == [(2 * FRAME, Text.of(" one two three"))]


def test_a_plain_client_gets_what_follows_when_the_words_are_others() -> None:
    bench = Bench()
    bench(" one", " two")
    bench.replace()
    assert bench(" one", " too", "", " three") == [delta(" three")]


def test_a_client_that_opted_in_is_told_of_the_words_that_are_others() -> None:
    bench = Bench(is_numbered=True)
    bench(" one", " two")
    bench.replace()
    revised = TextRevised(1, 5, 8, Text.of("too three"), (SECOND, SECOND + 4 * FRAME))
    assert bench(" one", " too", "", " three") == [SendNotice(revised, seq=3)]


def test_a_revision_counts_characters_from_the_items_beginning() -> None:
    bench = Bench(is_numbered=True)
    bench("é😀", " two")
    bench.replace(FRAME)
    revised = TextRevised(1, 3, 6, Text.of("too"), (SECOND + FRAME, SECOND + 4 * FRAME))
    assert bench(" too", "", "") == [SendNotice(revised, seq=3)]


def test_a_revision_does_not_reach_beyond_the_turns_audio() -> None:
    bench = Bench(is_numbered=True)
    # The last words come with the frames of silence that the model adds to the turn: 50 frames of audio, 52 said.
    bench(*[""] * 51, " two")
    bench.replace()
    sent = bench(*[""] * 51, " too", "", "")
    assert sent == [SendNotice(TextRevised(1, 1, 4, Text.of("too"), (SECOND, 5 * SECOND)), seq=2)]


# ---- the end of a turn

DONE_USAGE = Usage(39, 20, 59)


def test_a_turn_ends_with_the_legs_own_text_and_usage() -> None:
    bench = Bench()
    bench(" one")
    assert bench.end(" one.") == [SendDone(Text.of(" one."), DONE_USAGE)]


def test_a_turn_ends_with_what_was_settled_before_the_leg_and_as_many_steps_as_one_leg_would_have_made() -> None:
    bench = Bench()
    bench(" one", "", " two")
    bench.replace(2 * FRAME)
    bench(" two")
    assert bench.end(" two.") == [SendDone(Text.of(" one two."), Usage(39, 22, 61))]


def test_steps_are_not_counted_for_a_model_without_a_clock() -> None:
    bench = Bench(profile=QWEN3_ASR)
    bench.replace(2 * FRAME)
    assert bench.end(" one") == [SendDone(Text.of(" one"), DONE_USAGE)]


def test_a_turn_that_ends_while_its_words_are_compared_says_what_is_new_first() -> None:
    bench = Bench()
    bench(" one", " two")
    bench.replace()
    bench(" one", " too")
    assert bench.end(" one too") == [SendDone(Text.of(" one too"), DONE_USAGE)]
    assert bench.leg.rejoin is None


def test_a_final_text_that_is_not_whole_says_where_it_begins() -> None:
    bench = Bench(text_max_bytes=640)
    bench(" one", "", " two", "", " three", " four")
    bench.turn.transcript.settle(FRAME)
    bench.replace(3 * FRAME)
    bench("", " x")
    assert bench.end(" x") == [SendDone(Text.of(" two x"), Usage(39, 23, 62), text_from=SECOND + FRAME)]


def test_a_final_text_whose_beginning_has_all_gone_begins_with_the_leg() -> None:
    bench = Bench(text_max_bytes=210)
    bench(" one")
    bench.replace(FRAME)
    bench(" two", " three")
    bench.turn.transcript.settle(2 * FRAME)
    bench.turn.transcript.settle(3 * FRAME)
    assert bench.end(" two three") == [
        SendDone(Text.of(" two three"), Usage(39, 21, 60), text_from=SECOND + FRAME),
    ]


def test_what_is_to_be_kept_of_a_turn_is_its_final_text() -> None:
    bench = Bench(retention=Retention.TRANSCRIPT)
    bench(" one")
    sent, kept = bench.end(" one two")
    assert isinstance(sent, SendDone)
    assert kept == KeepTurn(1, SECOND, 5 * SECOND, Text.of(" one two"))


def test_a_turn_without_audio_ends_without_a_word() -> None:
    bench = Bench()
    bench.narration.end_empty(bench.turn)
    assert bench() == [SendDone(NO_WORDS, Usage())]


@pytest.mark.parametrize("is_numbered", [True, False])
def test_a_turn_that_failed_is_told_as_a_notice_or_as_an_error(is_numbered: bool) -> None:
    bench = Bench(is_numbered=is_numbered)
    bench.narration.fail(bench.turn, CLOSED)
    failure = AnError("turn-failed", "The last cause was upstream-closed.")
    expected = SendNotice(TurnFailed(1, failure), seq=1) if is_numbered else SendError(failure)
    assert bench() == [expected]


# ---- empty deltas are a clock


def test_a_frame_is_told_once_whichever_leg_comes_to_it() -> None:
    bench = Bench(forwards_empty=True)
    assert bench.ticks("", " one", "") == 3
    bench.replace()
    assert bench.ticks("", " one", "") == 0
    assert bench.ticks("", "") == 2


def test_a_frame_that_only_the_new_leg_comes_to_while_it_is_compared_is_told() -> None:
    bench = Bench(forwards_empty=True)
    bench(" one")
    bench.replace()
    assert bench(" o", " t", "", "") == [SendDelta(NO_WORDS), SendDelta(NO_WORDS), SendDelta(NO_WORDS)]


def test_the_first_frame_of_a_turn_is_told_by_a_second_leg() -> None:
    bench = Bench(forwards_empty=True)
    bench.replace()
    assert bench("", "") == [SendDelta(NO_WORDS), SendDelta(NO_WORDS)]


def test_the_frame_in_which_a_text_goes_on_is_told_once() -> None:
    bench = Bench(forwards_empty=True)
    bench(" one")
    bench.replace()
    assert bench("", " one two") == [delta(" two")]


def test_the_frame_of_a_revision_is_told_as_well() -> None:
    bench = Bench(forwards_empty=True, is_numbered=True)
    bench(" one")
    bench.replace()
    sent = bench(" uno", "", "")
    assert [type(effect) for effect in sent] == [SendDelta, SendNotice, SendDelta]


# ---- a successor takes over


def test_a_successor_without_anything_to_compare_just_takes_over() -> None:
    bench = Bench()
    bench(" one")
    bench.narration.hand_over(bench.leg, bench.turn, Joint(""))
    assert bench() == []


def test_a_successor_that_is_ahead_brings_what_is_new_and_moves_the_clients_clock() -> None:
    bench = Bench()
    bench(" one")
    bench.replace()
    for word in (" one", "", " two"):
        bench.leg.moved(Text.of(word), 0.0)
    bench.narration.hand_over(bench.leg, bench.turn, Joint(" two"))
    assert (bench(), bench.turn.top) == ([delta(" two")], 3 * FRAME)


def test_a_successor_that_is_ahead_tells_each_frame_once() -> None:
    bench = Bench(forwards_empty=True)
    bench(" one")
    bench.replace()
    for word in (" one", "", ""):
        bench.leg.moved(Text.of(word), 0.0)
    bench.narration.hand_over(bench.leg, bench.turn, Joint(""))
    assert bench() == [SendDelta(NO_WORDS), SendDelta(NO_WORDS)]


def test_the_frame_of_a_successors_new_words_is_told_with_them() -> None:
    bench = Bench(forwards_empty=True)
    bench(" one")
    bench.replace()
    for word in (" one", "", " two"):
        bench.leg.moved(Text.of(word), 0.0)
    bench.narration.hand_over(bench.leg, bench.turn, Joint(" two"))
    assert len(bench()) == 2


def test_silence_that_no_model_hears_moves_the_clients_clock_once() -> None:
    bench = Bench(forwards_empty=True)
    bench("")
    bench.narration.pass_silence(bench.turn, 4 * FRAME)
    bench.narration.pass_silence(bench.turn, 3 * FRAME)
    assert (bench(), bench.turn.top) == ([SendDelta(NO_WORDS)] * 3, 4 * FRAME)
