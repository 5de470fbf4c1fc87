"""Classes of what is kept: their names and their order."""

from parley.core.retention import Retention, RetentionTerms


def test_the_classes_are_ordered_by_how_much_they_keep() -> None:
    assert sorted(Retention, key=lambda one: one.rank) == [
        Retention.NONE,
        Retention.TRANSCRIPT,
        Retention.DEBUG_AUDIO,
    ]


def test_the_names_are_those_that_clients_send() -> None:
    assert [one.value for one in Retention] == ["none", "transcript", "debug-audio"]


def test_nothing_is_kept_unless_somebody_says_so() -> None:
    assert RetentionTerms() == RetentionTerms(Retention.NONE, Retention.NONE, is_offered=False)
