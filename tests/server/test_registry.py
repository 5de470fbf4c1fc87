"""Resume tokens: what they open, for whom, and for how long."""

import base64
import random
from collections.abc import Callable

import pytest

from parley.core.errors import ParleyError
from parley.server.registry import TOKEN_BYTES, ResumeRegistry

WINDOW_S = 30.0


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., ResumeRegistry[str]]


@pytest.fixture
def make(clock: Clock) -> Make:
    def made(**options: int) -> ResumeRegistry[str]:
        return ResumeRegistry[str](random=random.Random(1).randbytes, clock=clock, window_s=WINDOW_S, **options)

    return made


def refusal(registry: ResumeRegistry[str], token: str, principal: str = "") -> str:
    with pytest.raises(ParleyError) as caught:
        registry.claim(token, principal)
    return caught.value.code


def test_a_token_is_a_version_and_256_random_bits_in_characters_that_need_no_quoting(make: Make) -> None:
    version, _, secret = make().issue("session", "").partition(".")
    assert version == "p1"
    assert len(secret) == 43
    assert base64.urlsafe_b64decode(secret + "=") == random.Random(1).randbytes(TOKEN_BYTES)


def test_a_session_from_elsewhere_keeps_its_token(make: Make) -> None:
    registry = make()
    registry.adopt("session", "p1.token", "me")
    assert registry.claim("p1.token", "me") == "session"


def test_a_session_that_is_elsewhere_is_not_known_any_more(make: Make) -> None:
    registry = make()
    token = registry.issue("session", "")
    assert registry.knows(token)
    registry.forget("session")
    registry.forget("session")
    assert not registry.knows(token)
    assert refusal(registry, token) == "unknown-session"


def test_a_session_that_comes_back_after_its_token_had_ended_here_is_taken_for_live(make: Make, clock: Clock) -> None:
    registry = make()
    token = registry.issue("session", "")
    registry.retire("session")
    registry.adopt("session", token, "")
    clock.now += 3_600.0
    registry.retire("another")
    assert registry.claim(token, "") == "session"


def test_a_token_opens_its_session_as_often_as_it_is_shown(make: Make) -> None:
    registry = make()
    first, second = registry.issue("first", "me"), registry.issue("second", "me")
    assert [registry.claim(token, "me") for token in (first, second, first)] == ["first", "second", "first"]


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "é" * 43])
def test_a_token_that_was_never_issued_is_unknown(make: Make, token: str) -> None:
    registry = make()
    registry.issue("session", "")
    assert refusal(registry, token) == "unknown-session"


@pytest.mark.parametrize(("owner", "other"), [("me", "you"), ("me", ""), ("", "you")])
def test_a_token_is_of_no_use_to_another_principal(make: Make, owner: str, other: str) -> None:
    registry = make()
    token = registry.issue("session", owner)
    assert refusal(registry, token, other) == "wrong-principal"
    registry.retire("session")
    assert refusal(registry, token, other) == "wrong-principal"
    assert refusal(registry, token, owner) == "expired"


def test_a_new_token_replaces_the_old_one(make: Make) -> None:
    registry = make()
    old, new = registry.issue("session", ""), registry.issue("session", "")
    assert refusal(registry, old) == "unknown-session"
    assert registry.claim(new, "") == "session"


def test_a_session_that_ended_is_remembered_for_the_window(make: Make, clock: Clock) -> None:
    registry = make()
    token = registry.issue("session", "")
    clock.now = 100.0
    registry.retire("session")
    clock.now = 100.0 + WINDOW_S - 0.1
    assert refusal(registry, token) == "expired"
    clock.now = 100.0 + WINDOW_S
    assert refusal(registry, token) == "unknown-session"


def test_no_more_ended_sessions_are_remembered_than_the_bound(make: Make) -> None:
    registry = make(ended_max=2)
    tokens = {name: registry.issue(name, "") for name in ("first", "second", "third", "live")}
    for name in ("first", "second", "third"):
        registry.retire(name)
    codes = [refusal(registry, tokens[name]) for name in ("first", "second", "third")]
    assert codes == ["unknown-session", "expired", "expired"]
    assert registry.claim(tokens["live"], "") == "live"


def test_a_session_that_never_had_a_token_may_end(make: Make) -> None:
    registry = make()
    registry.retire("session")
    assert refusal(registry, "") == "unknown-session"


def test_ended_sessions_are_forgotten_as_others_end(make: Make, clock: Clock) -> None:
    registry = make()
    old = registry.issue("old", "")
    registry.issue("new", "")
    registry.retire("old")
    clock.now = WINDOW_S
    registry.retire("new")
    assert refusal(registry, old) == "unknown-session"


def test_neither_token_nor_principal_is_printed(make: Make) -> None:
    registry = make()
    token = registry.issue("session", "principal")
    for printed in (repr(registry), str(vars(registry))):
        assert token not in printed
        assert "principal='principal'" not in printed
