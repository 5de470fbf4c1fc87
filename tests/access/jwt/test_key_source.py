"""An issuer's keys while they change, and while it can't be reached."""

import pytest

from parley.access.jwt.key_set import parse_key_set
from parley.access.jwt.key_source import EARLY_INTERVAL_S, KeySource
from parley.core.errors import ParleyError
from tests.access.jwt.tokens import ED, RSA, jwk, key_set

OLD = parse_key_set(key_set(jwk(RSA, kid="old")))
NEW = parse_key_set(key_set(jwk(ED, kid="new")))


class Scene:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.source = KeySource(clock=lambda: self.now_s, stale_max_s=60.0)
        self.asked = 0
        self.source.on_wanted = self.ask

    def ask(self) -> None:
        self.asked += 1

    def refusal(self) -> ParleyError:
        with pytest.raises(ParleyError) as caught:
            self.source.find("old")
        return caught.value


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_before_any_are_known_nobody_is_let_in_and_they_are_asked_for(scene: Scene) -> None:
    error = scene.refusal()
    assert (error.code, error.retry_after_s) == ("keys-unavailable", EARLY_INTERVAL_S)
    assert scene.asked == 1


def test_known_ones_are_found(scene: Scene) -> None:
    scene.source.learn(OLD)
    assert [key.id for key in scene.source.find("old")] == ["old"]
    assert scene.asked == 0


def test_those_of_before_are_good_no_longer_when_there_are_others(scene: Scene) -> None:
    scene.source.learn(OLD)
    scene.source.learn(NEW)
    assert scene.source.find("old") == ()
    assert len(scene.source.find("new")) == 1


def test_one_that_is_not_known_may_be_new_and_is_asked_for_but_not_all_the_time(scene: Scene) -> None:
    scene.source.learn(OLD)
    for _ in range(100):
        assert scene.source.find("other") == ()
    assert scene.asked == 1
    scene.now_s += EARLY_INTERVAL_S
    scene.source.find("other")
    assert scene.asked == 2


def test_while_the_issuer_is_away_its_keys_are_used_for_a_while(scene: Scene) -> None:
    scene.source.learn(OLD)
    scene.now_s += 60.0
    assert scene.source.find("old")
    scene.now_s += 0.1
    assert scene.refusal().code == "keys-unavailable"


def test_without_anybody_to_ask_nobody_is_asked() -> None:
    source = KeySource(clock=lambda: 0.0, stale_max_s=60.0)
    source.learn(OLD)
    assert source.find("other") == ()
