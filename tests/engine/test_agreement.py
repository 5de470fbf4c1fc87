from parley.engine.agreement import Agreement, Candidate, CommitPolicy, matched

TWO = CommitPolicy(agreements=2, held_words=0, held_words_in_pause=0)
DOUBTING = CommitPolicy(agreements=2, held_words=0, doubt_below=0.7, doubtful_agreements=4)


def said(text: str, probability: float = 1.0) -> list[Candidate]:
    return [Candidate(word, probability) for word in text.split()]


def test_one_hypothesis_alone_commits_nothing() -> None:
    assert Agreement(TWO).observe(said("and so")) == 0


def test_words_that_two_hypotheses_share_are_committed() -> None:
    agreement = Agreement(TWO)
    agreement.observe(said("and so mine"))
    assert agreement.observe(said("and so my fellow")) == 2


def test_a_word_behind_a_changed_one_waits_although_it_stayed_the_same() -> None:
    agreement = Agreement(TWO)
    agreement.observe(said("and sow my"))
    assert agreement.observe(said("and so my")) == 1


def test_a_word_that_changed_starts_counting_again() -> None:
    agreement = Agreement(CommitPolicy(agreements=3, held_words=0))
    for hypothesis in ("my", "my", "mine"):
        agreement.observe(said(hypothesis))
    assert agreement.observe(said("my")) == 0


def test_the_last_words_are_held_until_others_follow() -> None:
    agreement = Agreement(CommitPolicy(agreements=2, held_words=2, held_words_in_pause=1))
    agreement.observe(said("a b c d"))
    assert agreement.observe(said("a b c d")) == 2


def test_fewer_words_are_held_in_a_pause() -> None:
    agreement = Agreement(CommitPolicy(agreements=2, held_words=2, held_words_in_pause=1))
    agreement.observe(said("a b c d"))
    assert agreement.observe(said("a b c d"), in_pause=True) == 3


def test_a_doubtful_word_waits_for_more_hypotheses() -> None:
    agreement = Agreement(DOUBTING)
    assert [agreement.observe(said("like", 0.6)) for _ in range(4)] == [0, 0, 0, 1]


def test_a_word_no_longer_doubtful_is_committed_at_once() -> None:
    agreement = Agreement(DOUBTING)
    agreement.observe(said("what", 0.6))
    assert agreement.observe(said("what", 0.8)) == 1


def test_words_behind_a_doubtful_one_wait_with_it() -> None:
    agreement = Agreement(DOUBTING)
    hypothesis = [*said("like", 0.6), *said("your country")]
    agreement.observe(hypothesis)
    assert agreement.observe(hypothesis) == 0


def test_an_empty_hypothesis_commits_nothing() -> None:
    agreement = Agreement(TWO)
    agreement.observe([])
    assert agreement.observe([]) == 0


def test_equal_words_match_one_to_one() -> None:
    assert matched(["a", "b"], ["a", "b", "c"]) == 2


def test_a_changed_word_stands_for_the_told_one() -> None:
    assert matched(["a", "b"], ["a", "x", "c"]) == 2


def test_a_word_missing_from_the_hypothesis_shortens_the_match() -> None:
    assert matched(["a", "b", "c"], ["a", "c", "d"]) == 2


def test_a_word_added_to_the_hypothesis_lengthens_the_match() -> None:
    assert matched(["a", "c"], ["a", "b", "c", "d"]) == 3


def test_nothing_matches_nothing() -> None:
    assert (matched([], ["a"]), matched(["a"], [])) == (0, 0)
