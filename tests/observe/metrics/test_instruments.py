from prometheus_client import CollectorRegistry

from parley.observe.metrics.instruments import Instruments
from parley.observe.metrics.metric import LABEL_VALUES_MAX, OTHER


def test_a_label_that_takes_too_many_values_counts_the_rest_as_other() -> None:
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    for number in range(LABEL_VALUES_MAX + 5):
        instruments.count("parley_legs_failed", code=f"made-up-{number}", phase="open")
    instruments.count("parley_legs_failed", code="made-up-0", phase="open")
    known = {"code": "made-up-0", "phase": "open"}
    assert registry.get_sample_value("parley_legs_failed_total", {"code": OTHER, "phase": "open"}) == 5.0
    assert registry.get_sample_value("parley_legs_failed_total", known) == 2.0


def test_words_of_the_catalogue_are_known_whatever_else_comes() -> None:
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    for number in range(LABEL_VALUES_MAX + 5):
        instruments.count("parley_legs_asked", purpose=f"made-up-{number}")
    instruments.count("parley_legs_asked", purpose="recovery")
    assert registry.get_sample_value("parley_legs_asked_total", {"purpose": "recovery"}) == 1.0


def test_what_takes_few_labels_is_counted_from_0_on() -> None:
    registry = CollectorRegistry()
    Instruments(registry)
    assert registry.get_sample_value("parley_audio_dropped_seconds_total", {"reason": "input-overrun"}) == 0.0
    assert registry.get_sample_value("parley_forwarding_seconds_count", {"direction": "down"}) == 0.0


def test_a_time_below_0_is_none() -> None:
    registry = CollectorRegistry()
    Instruments(registry).count("parley_audio_lost_seconds", -0.0001)
    assert registry.get_sample_value("parley_audio_lost_seconds_total") == 0.0


def test_registries_have_nothing_to_do_with_each_other() -> None:
    one, other = CollectorRegistry(), CollectorRegistry()
    Instruments(one).count("parley_turns", outcome="final")
    Instruments(other)
    assert other.get_sample_value("parley_turns_total", {"outcome": "final"}) == 0.0
