import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.core.content import Text
from parley.core.rejoin import Joint, Rejoin

FRAME = 1_280
LATE, PATIENCE = FRAME, 12 * FRAME


def after(*words: str, has_clock: bool = True, ends_otherwise: bool = False) -> Rejoin:
    """What is to be said again: a word each frame, from the first."""
    rejoin = Rejoin(late_samples=LATE, patience_samples=PATIENCE, has_clock=has_clock, ends_otherwise=ends_otherwise)
    for number, word in enumerate(words, 1):
        rejoin.expect(number * FRAME, Text.of(word))
    return rejoin


def hear(rejoin: Rejoin, *words: str, begin: int = 1) -> list[Joint | None]:
    """What comes of a word, or nothing, at each frame."""
    return [rejoin.hear(place * FRAME, Text.of(word)) for place, word in enumerate(words, begin)]


# ---- the same again


def test_nothing_of_what_was_said_is_passed_on_until_all_of_it_was_said_again() -> None:
    assert hear(after(" one", " two", " three"), " one", " two", " three") == [None, None, Joint("")]


def test_what_comes_with_the_last_word_goes_on_from_it() -> None:
    assert hear(after(" one", " two"), " one", " two three") == [None, Joint(" three")]


def test_a_leg_that_says_the_words_later_is_waited_for() -> None:
    assert hear(after(" one", " two"), "", "", " one", " two")[2:] == [None, Joint("")]


def test_a_leg_that_says_the_words_earlier_is_compared_until_the_old_position() -> None:
    assert hear(after(" one", "", " two"), " one two", "", "") == [None, None, Joint("")]


def test_a_leg_that_says_more_early_goes_on_at_once() -> None:
    assert hear(after(" one", "", " two"), " one two three") == [Joint(" three")]


def test_where_nothing_had_been_said_everything_is_new() -> None:
    assert hear(after(), " one") == [Joint(" one")]


def test_where_nothing_had_been_said_a_silent_leg_goes_on_as_well() -> None:
    assert hear(after(), "") == [Joint("")]


def test_a_word_that_was_cut_off_is_completed() -> None:
    assert hear(after(" one", " tw"), " one", " two") == [None, Joint("o")]


def test_what_another_leg_says_meanwhile_is_expected_too() -> None:
    rejoin = after(" one")
    assert hear(rejoin, " one") == [Joint("")]
    rejoin.expect(2 * FRAME, Text.of(" two"))
    assert hear(rejoin, " two", begin=2) == [Joint("")]
    assert (rejoin.said, rejoin.heard) == (" one two", " one two")


def test_what_was_heard_is_kept_with_its_positions() -> None:
    rejoin = after(" one")
    hear(rejoin, "", " uno", "")
    assert rejoin.entries == [(2 * FRAME, Text.of(" uno"))]


# ---- something else


def test_another_text_is_known_once_it_has_passed_where_the_old_one_stopped() -> None:
    seen = hear(after(" one", " two"), " one", " too", "", " three")
    assert seen == [None, None, None, Joint(" three", 5)]


def test_a_leg_that_says_less_may_still_say_the_rest() -> None:
    assert hear(after(" one", " two"), " one", *[""] * 100, " two") == [None] * 101 + [Joint("")]


def test_a_leg_that_says_less_and_then_something_else_says_another_text() -> None:
    assert hear(after(" one", " two"), " one", *[""] * 20, " three")[-1] == Joint(" three", 5)


@pytest.mark.parametrize(("frame", "is_overdue"), [(14, False), (15, True)])
def test_a_leg_is_overdue_a_pause_after_the_last_word(frame: int, is_overdue: bool) -> None:
    assert after(" one", " two").is_overdue(frame * FRAME) is is_overdue


def test_a_turn_that_ends_early_concludes_with_what_there_is() -> None:
    rejoin = after(" one", " two", " three")
    hear(rejoin, " one")
    assert rejoin.conclude() == Joint("", 4)


def test_a_turn_that_ends_after_all_was_said_goes_on_from_it() -> None:
    rejoin = after(" one")
    rejoin.hear(FRAME, Text.of(" one two"))
    assert rejoin.conclude() == Joint(" two")


def joint(said: list[str], heard: list[str]) -> Joint:
    rejoin = after(*said)
    for number, word in enumerate(heard, 1):
        rejoin.hear(number * FRAME, Text.of(word))
    return rejoin.conclude()


@pytest.mark.parametrize(
    ("said", "heard", "rest"),
    [
        ([" one", " two"], [" uno", " two", "", " three"], " three"),
        ([" one", " two"], [" one", " too", "", " three", " four"], " three four"),
        ([" one", " tw"], [" uno", " two", "", " three"], "o three"),
        ([" one"], ["", "", "", " uno"], " uno"),
        ([" one", " two", " three"], ["", "", " one", " to", "", " three", " four"], " four"),
        ([" one", " two"], ["", "", "", " uno", " two", " three"], " three"),
        ([" one two", ""], [" one", ""], ""),
        ([" one"], [" uno"], ""),
        ([" one"], ["", ""], ""),
    ],
)
def test_those_who_cannot_be_told_get_what_follows_what_both_have(said: list[str], heard: list[str], rest: str) -> None:
    assert joint(said, heard).rest == rest


@pytest.mark.parametrize(
    ("said", "heard", "common"),
    [
        (" one two", " one too", 5),
        (" one two", " uno two", 1),
        (" one two", "", 0),
        (" one two", " one", 4),
        (" one two three", " one two free", 9),
        ("one", "two", 0),
    ],
)
def test_those_who_can_be_told_are_told_from_the_first_word_that_differs(said: str, heard: str, common: int) -> None:
    assert joint([said], [heard]).common == common


def test_only_the_last_sixty_words_are_looked_for() -> None:
    said = [f" w{number}" for number in range(100)]
    assert joint(said, [" other", *[""] * 200, " w10", " new"]).rest == " w10 new"


# ---- without a clock


def test_without_a_clock_positions_do_not_matter() -> None:
    rejoin = after(" one", " two", has_clock=False)
    assert rejoin.hear(99 * FRAME, Text.of(" one")) is None
    assert rejoin.hear(99 * FRAME, Text.of(" two three")) == Joint(" three")


def test_without_a_clock_another_text_is_known_by_its_length() -> None:
    rejoin = after(" one", " two", has_clock=False)
    assert rejoin.hear(99 * FRAME, Text.of(" uno")) is None
    assert rejoin.hear(99 * FRAME, Text.of(" two three")) == Joint(" three", 1)


# ---- whatever is said

words = st.sampled_from(["", "", " one", " two", " three", " four", "ty"])


@given(st.lists(words, max_size=12), st.lists(words, max_size=12), st.integers(5, 9))
def test_the_same_text_is_never_passed_on_twice_however_it_is_cut(said: list[str], more: list[str], step: int) -> None:
    rejoin, whole = after(*said), "".join(said + more)
    # At least as much a frame as a word, so that the patience of a pause is not used up.
    pieces = [whole[place : place + step] for place in range(0, len(whole), step)]
    for place, piece in enumerate([*pieces, *[""] * 20], 1):
        found = rejoin.hear(place * FRAME, Text.of(piece))
        if found is not None:
            assert found.common is None
            assert "".join(said) + found.rest == rejoin.heard
            return
    raise AssertionError("a leg that says the same is joined")


@given(st.lists(words, max_size=10), st.lists(words, max_size=10))
def test_a_revision_leaves_the_new_legs_text(said: list[str], heard: list[str]) -> None:
    found = joint(said, heard)
    old, new = "".join(said), "".join(heard)
    assert (old + found.rest if found.common is None else old[: found.common] + new[found.common :]) == new


@given(st.lists(words, max_size=10), st.lists(words, max_size=10))
def test_what_is_passed_on_is_the_end_of_the_new_legs_text(said: list[str], heard: list[str]) -> None:
    assert "".join(heard).endswith(joint(said, heard).rest)


# ---- a client that was told something else at the end


def test_a_word_that_the_client_was_not_told_is_not_completed() -> None:
    rejoin = after(" one", " tw", ends_otherwise=True)
    assert hear(rejoin, " one", " two", " three") == [None, None, Joint(" three")]


def test_after_a_word_that_the_client_was_not_told_the_next_one_is() -> None:
    assert hear(after(" one", ends_otherwise=True), " one two") == [Joint(" two")]


def test_where_no_further_word_comes_in_time_the_leg_speaks_for_itself() -> None:
    rejoin = after(" one", ends_otherwise=True)
    assert hear(rejoin, " one", *[""] * 13)[-2:] == [None, Joint("")]


def test_a_turn_that_ends_there_ends_with_what_the_client_was_told() -> None:
    rejoin = after(" on", ends_otherwise=True)
    hear(rejoin, " one")
    assert rejoin.conclude() == Joint("")


def test_a_differing_text_does_not_complete_such_a_word_either() -> None:
    rejoin = after(" one", " tw", ends_otherwise=True)
    assert hear(rejoin, " own", " two", "", "")[-1] == Joint("", common=1)


def test_what_the_leg_at_work_says_meanwhile_is_told_and_may_be_completed() -> None:
    rejoin = after(" one", ends_otherwise=True)
    rejoin.expect_more(2 * FRAME, Text.of(" tw"))
    assert hear(rejoin, " one", " two") == [None, Joint("o")]
