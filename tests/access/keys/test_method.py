"""API keys as credentials: whose a request is, and what a key that isn't good gets to know: nothing."""

import random
from collections.abc import Mapping

import pytest

from parley.access.identity import RequestHead
from parley.access.keys.api_key import ApiKey, Presented, hash_of, make, written
from parley.access.keys.method import ApiKeyMethod
from parley.access.principal import principal_of_key
from parley.core.errors import ParleyError

NOW_S = 1_000.0
PRESENTED, SALT = make(random.Random(6).randbytes)
TEXT = written(PRESENTED)


class Keys:
    """Keys in memory."""

    def __init__(self, *keys: ApiKey) -> None:
        self.current: Mapping[str, ApiKey] = {key.id: key for key in keys}


def key(**changes: object) -> ApiKey:
    fields = {"id": PRESENTED.id, "salt": SALT, "hash": hash_of(SALT, PRESENTED.secret), "name": "captions"}
    return ApiKey(**{**fields, **changes})  # type: ignore[arg-type]


def head(*headers: tuple[str, str]) -> RequestHead:
    return RequestHead("GET", "/", headers)


BEARER = head(("authorization", f"Bearer {TEXT}"))


def method(*keys: ApiKey) -> ApiKeyMethod:
    return ApiKeyMethod(Keys(*keys), clock=lambda: NOW_S)


def refusal(one: ApiKeyMethod, request: RequestHead = BEARER) -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        one.authenticate(request)
    assert PRESENTED.secret not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "header", [("authorization", f"Bearer {TEXT}"), ("authorization", f"bearer  {TEXT}"), ("x-api-key", TEXT)]
)
def test_a_key_says_who_its_holder_is(header: tuple[str, str]) -> None:
    one = method(key(tenant="acme", roles=("operator",), expires_at_s=NOW_S + 1))
    assert one.recognises(head(header))
    caller = one.authenticate(head(header)).caller
    assert (caller.principal, caller.name) == (principal_of_key("key:captions"), "key:captions")
    assert (caller.tenant, set(caller.roles), caller.method) == ("acme", {"operator"}, "api-key")
    assert caller.expires_at_s == NOW_S + 1


@pytest.mark.parametrize(
    "header",
    [("authorization", "Bearer a.b.c"), ("authorization", f"Basic {TEXT}"), ("x-api-key", "other"), ("cookie", TEXT)],
)
def test_what_is_no_key_of_ours_is_left_to_others(header: tuple[str, str]) -> None:
    assert not method(key()).recognises(head(header))


def test_two_keys_of_one_name_are_one_principal() -> None:
    other, salt = make(random.Random(7).randbytes)
    one = method(key(), key(id=other.id, salt=salt, hash=hash_of(salt, other.secret)))
    second = head(("x-api-key", written(other)))
    assert one.authenticate(BEARER).caller.principal == one.authenticate(second).caller.principal


def test_an_unknown_a_wrong_and_a_revoked_key_are_told_the_same() -> None:
    wrong = head(("x-api-key", written(Presented(PRESENTED.id, PRESENTED.secret[::-1]))))
    errors = [refusal(method()), refusal(method(key()), wrong), refusal(method(key(revoked_at_s=1.0)))]
    assert {(error.code, error.detail) for error in errors} == {
        ("invalid-token", "The API key is not known here, or was revoked.")
    }


def test_who_has_a_key_that_expired_is_told_so_and_nobody_else() -> None:
    expired = method(key(expires_at_s=NOW_S))
    assert refusal(expired).code == "expired-credentials"
    wrong = head(("x-api-key", written(Presented(PRESENTED.id, PRESENTED.secret[::-1]))))
    assert refusal(expired, wrong).code == "invalid-token"


@pytest.mark.parametrize(
    "headers",
    [
        (("authorization", "Bearer parley_broken"),),
        (("authorization", f"Bearer {TEXT}"), ("x-api-key", TEXT)),
        (("x-api-key", f"{TEXT}\udcff"),),
    ],
)
def test_what_is_broken_or_comes_twice_is_refused(headers: tuple[tuple[str, str], ...]) -> None:
    one = method(key())
    assert one.recognises(head(*headers))
    assert refusal(one, head(*headers)).code == "invalid-token"
