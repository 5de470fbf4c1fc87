from prometheus_client import CollectorRegistry

from parley.observe.metrics.instruments import Instruments
from parley.observe.metrics.metric import LABEL_VALUES_MAX, OTHER


def test_a_label_that_takes_too_many_values_counts_the_rest_as_other() -> None:
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    for number in range(LABEL_VALUES_MAX + 5):
        instruments.count("parley_legs_asked", purpose=f"made-up-{number}")
    instruments.count("parley_legs_asked", purpose="made-up-0")
    assert registry.get_sample_value("parley_legs_asked_total", {"purpose": OTHER}) == 5.0
    assert registry.get_sample_value("parley_legs_asked_total", {"purpose": "made-up-0"}) == 2.0


def test_registries_have_nothing_to_do_with_each_other() -> None:
    one, other = CollectorRegistry(), CollectorRegistry()
    Instruments(one).count("parley_turns", outcome="final")
    Instruments(other)
    assert other.get_sample_value("parley_turns_total", {"outcome": "final"}) is None
