"""Which variant of which endpoint serves an invocation."""

import random
from collections import Counter

import pytest

from parley.core.errors import ParleyError
from parley.ingress.invocation import Invocation, Target
from parley.server.endpoints import EndpointTable, Variant
from tests.server.doubles import Serves


def table(*variants: tuple[str, str, float], draw: float = 0.0) -> EndpointTable:
    listed = [Variant(endpoint, Target(variant, Serves()), weight) for endpoint, variant, weight in variants]
    return EndpointTable(listed, lambda: draw)


def refusal(endpoints: EndpointTable, name: str, variant: str = "") -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        endpoints.find(Invocation(name, variant))
    assert caught.value.code == "endpoint-not-found"
    return caught.value


def test_an_endpoint_is_found_by_its_name() -> None:
    endpoints = table(("a", "AllTraffic", 1.0), ("b", "Other", 1.0))
    assert endpoints.find(Invocation("b")).variant == "Other"


def test_a_variant_is_found_by_its_name_whatever_its_weight() -> None:
    endpoints = table(("a", "one", 1.0), ("a", "two", 0.0))
    assert endpoints.find(Invocation("a", "two")).variant == "two"


def test_an_unknown_endpoint_is_refused_with_the_nearest() -> None:
    assert "Did you mean voxtral?" in refusal(table(("voxtral", "v", 1.0)), "voxtrall").message


def test_nothing_is_suggested_where_nothing_is_near() -> None:
    assert "Did you mean" not in refusal(table(("voxtral", "v", 1.0)), "whisper").message


def test_an_unknown_variant_is_refused_with_the_nearest() -> None:
    assert "Did you mean AllTraffic?" in refusal(table(("voxtral", "AllTraffic", 1.0)), "voxtral", "alltraffic").message


def test_a_variant_of_another_endpoint_is_not_found() -> None:
    refusal(table(("a", "one", 1.0), ("b", "two", 1.0)), "a", "two")


def test_names_are_told_apart_by_their_case() -> None:
    refusal(table(("Voxtral", "v", 1.0)), "voxtral")


@pytest.mark.parametrize(
    ("draw", "variant"), [(0.0, "b"), (0.24, "b"), (0.25, "d"), (0.999, "d"), (0.9999999999999999, "d")]
)
def test_a_variant_is_drawn_by_its_weight(draw: float, variant: str) -> None:
    endpoints = table(("e", "a", 0.0), ("e", "b", 0.1), ("e", "c", 0.0), ("e", "d", 0.3), ("e", "z", 0.0), draw=draw)
    assert endpoints.find(Invocation("e")).variant == variant


def test_rounding_draws_no_variant_of_weight_0() -> None:
    endpoints = table(*(("e", f"v{number}", 0.1) for number in range(10)), ("e", "never", 0.0), draw=1.0)
    assert endpoints.find(Invocation("e")).variant == "v9"


def test_in_the_long_run_each_variant_has_its_share() -> None:
    listed = [Variant("e", Target(name, Serves()), weight) for name, weight in (("a", 3.0), ("b", 1.0))]
    endpoints = EndpointTable(listed, random.Random(7).random)
    drawn = Counter(endpoints.find(Invocation("e")).variant for _ in range(4000))
    assert 2850 < drawn["a"] < 3150


def test_the_names_are_those_of_the_settings_each_once() -> None:
    assert table(("b", "one", 1.0), ("a", "x", 1.0), ("b", "two", 1.0)).names == ("b", "a")
