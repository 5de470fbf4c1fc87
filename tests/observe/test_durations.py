from parley.observe.durations import Durations


def test_what_has_begun_ends_once_with_how_long_it_took() -> None:
    durations = Durations()
    assert durations.begin(("queue", 1), 2.0)
    assert durations.end(("queue", 1), 5.0) == 3.0
    assert durations.end(("queue", 1), 6.0) is None


def test_beginning_again_changes_nothing() -> None:
    durations = Durations()
    durations.begin(("queue", 1), 2.0)
    assert not durations.begin(("queue", 1), 4.0)
    assert durations.end(("queue", 1), 5.0) == 3.0


def test_what_goes_on_is_known_in_the_order_of_its_beginning() -> None:
    durations = Durations()
    durations.begin(("leg", 2), 0.0)
    durations.begin(("input", 0), 1.0)
    assert durations.going_on() == (("leg", 2), ("input", 0))
    assert ("leg", 2) in durations
    assert ("leg", 3) not in durations
