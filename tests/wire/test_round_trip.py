from parley.wire.round_trip import INTERVAL_S, RoundTrip


def test_an_answer_tells_how_long_it_took() -> None:
    trip = RoundTrip()
    payload = trip.ask(1.0)
    assert payload is not None
    assert len(payload) == 8
    trip.answered(payload, 1.25)
    assert trip.seen_s(9.0) == 0.25


def test_nothing_is_known_before_the_first_answer() -> None:
    trip = RoundTrip()
    assert trip.seen_s(0.0) is None
    trip.ask(0.0)
    assert trip.seen_s(0.1) is None


def test_one_question_is_asked_at_a_time_and_not_too_often() -> None:
    trip = RoundTrip()
    first = trip.ask(0.0)
    assert first is not None
    assert trip.ask(10 * INTERVAL_S) is None
    trip.answered(first, 0.1)
    assert trip.ask(INTERVAL_S / 2) is None
    assert trip.ask(INTERVAL_S) not in (None, first)


def test_a_pong_that_answers_something_else_changes_nothing() -> None:
    trip = RoundTrip()
    trip.ask(0.0)
    trip.answered(b"", 0.1)
    trip.answered(bytes(8), 0.1)
    assert trip.seen_s(0.2) is None


def test_an_answer_that_does_not_come_counts_for_as_long_as_it_is_waited_for() -> None:
    trip = RoundTrip()
    payload = trip.ask(0.0)
    assert payload is not None
    trip.answered(payload, 0.5)
    trip.ask(5.0)
    assert trip.seen_s(5.1) == 0.5
    assert trip.seen_s(15.0) == 10.0


def test_the_first_answer_that_does_not_come_counts_after_a_while() -> None:
    trip = RoundTrip()
    trip.ask(0.0)
    assert trip.seen_s(2 * INTERVAL_S) == 2 * INTERVAL_S


def test_an_answer_that_would_not_be_read_is_not_waited_for() -> None:
    trip = RoundTrip()
    payload = trip.ask(0.0)
    assert payload is not None
    trip.forget()
    trip.answered(payload, 9.0)
    assert trip.seen_s(10.0) is None
    assert trip.ask(INTERVAL_S) is not None
