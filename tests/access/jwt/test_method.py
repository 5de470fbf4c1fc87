"""JWTs as credentials, good ones and all the known ways to forge one."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from parley.access.caller import Caller
from parley.access.identity import RequestHead
from parley.access.jwt.key_set import KeySet, parse_key_set
from parley.access.jwt.method import LEEWAY_S, TOKEN_MAX_CHARS, Expectation, JwtMethod
from parley.access.principal import principal_of_key
from parley.core.errors import ParleyError
from tests.access.jwt.tokens import AUDIENCE, EC, ED, ISSUER, NOW_S, OTHER_RSA, RSA, claims, jwk, key_set, raw, token

KEYS = parse_key_set(key_set(jwk(RSA, kid="one"), jwk(EC, kid="two"), jwk(ED, kid="three")))
EXPECTS = Expectation(ISSUER, AUDIENCE, frozenset(("RS256", "ES256", "EdDSA")), "tenant", "roles")
PUBLIC_PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def method(keys: KeySet = KEYS, expects: Expectation = EXPECTS) -> JwtMethod:
    return JwtMethod(expects, keys, clock=lambda: NOW_S)


def head(text: str, *more: str) -> RequestHead:
    return RequestHead("GET", "/", tuple(("authorization", f"Bearer {one}") for one in (text, *more)))


def caller(text: str, **options: Any) -> Caller:
    return method(**options).authenticate(head(text)).caller


def refusal(text: str, **options: Any) -> ParleyError:
    with pytest.raises(ParleyError) as caught:
        caller(text, **options)
    return caught.value


def hmac_token(secret: bytes) -> str:
    """A token that is signed with a secret that everybody has; PyJWT refuses to make some of these."""
    import hmac

    header = json.dumps({"alg": "HS256", "kid": "one"}).encode()
    signed = raw(header, json.dumps(claims()).encode()).rsplit(".", 1)[0]
    return f"{signed}.{urlsafe_b64encode(hmac.digest(secret, signed.encode(), 'sha256')).rstrip(b'=').decode()}"


class TestAGoodToken:
    @pytest.mark.parametrize(
        ("key", "algorithm", "kid"), [(RSA, "RS256", "one"), (EC, "ES256", "two"), (ED, "EdDSA", "three")]
    )
    def test_says_who_its_holder_is(self, key: Any, algorithm: str, kid: str) -> None:
        found = caller(token(key=key, algorithm=algorithm, kid=kid))
        name = f"jwt:{ISSUER}#somebody"
        assert (found.principal, found.name, found.method) == (principal_of_key(name), name, "jwt")
        assert (found.tenant, found.roles, found.expires_at_s) == ("", frozenset(), NOW_S + 300)

    def test_may_name_a_tenant_and_roles(self) -> None:
        found = caller(token(claims(tenant="acme", roles=["operator", "reader"])))
        assert (found.tenant, set(found.roles)) == ("acme", {"operator", "reader"})

    def test_may_list_roles_in_one_text(self) -> None:
        assert set(caller(token(claims(roles="operator reader"))).roles) == {"operator", "reader"}

    def test_has_no_tenant_and_no_roles_where_no_claim_names_them(self) -> None:
        expects = Expectation(ISSUER, AUDIENCE, EXPECTS.algorithms)
        found = caller(token(claims(tenant="acme", roles=["operator"])), expects=expects)
        assert (found.tenant, found.roles) == ("", frozenset())

    def test_may_be_for_several_services(self) -> None:
        assert caller(token(claims(aud=["other", AUDIENCE]))).name

    def test_may_name_no_key_where_only_one_would_fit(self) -> None:
        assert caller(token(kid=None)).name

    @pytest.mark.parametrize("changes", [{"exp": NOW_S - LEEWAY_S + 1}, {"nbf": NOW_S + LEEWAY_S}, {"iat": None}])
    def test_may_come_from_a_clock_that_is_a_little_off(self, changes: dict[str, object]) -> None:
        assert caller(token(claims(**changes))).name

    def test_is_recognised_by_its_form(self) -> None:
        assert method().recognises(head(token()))

    @pytest.mark.parametrize("text", ["parley_0123456789ab_x", "pt1.abc", "a.b", "a.b.c.d", "", "a..c"])
    def test_is_not_taken_for_something_else(self, text: str) -> None:
        assert not method().recognises(head(text))

    def test_comes_as_a_bearer_alone(self) -> None:
        assert not method().recognises(RequestHead("GET", "/", (("authorization", f"Basic {token()}"),)))


FORGED = {
    "no algorithm": raw(b'{"alg":"none","kid":"one"}', json.dumps(claims()).encode()),
    "No algorithm": raw(b'{"alg":"None","kid":"one"}', json.dumps(claims()).encode()),
    "the public key as a secret": hmac_token(PUBLIC_PEM),
    "the published key as a secret": hmac_token(json.dumps(jwk(RSA, kid="one")).encode()),
    "an empty secret": hmac_token(b""),
    "another algorithm of the key's": token(algorithm="RS512"),
    "another key's algorithm": token(key=EC, algorithm="ES256", kid="one"),
    "another key": token(key=OTHER_RSA),
    "another key of that type": token(key=RSA, kid="three"),
    "a key that is not known": token(kid="four"),
    "a path for a key": token(kid="../../../dev/null"),
    "a query for a key": token(kid="one' UNION SELECT 'x"),
    "a URL for a key": token(kid="https://attacker.example/keys"),
    "a long id of a key": token(kid="x" * 257),
    "a zero in the id of a key": token(kid="one\0"),
    "its own key": token(key=OTHER_RSA, jwk=jwk(OTHER_RSA)),
    "the address of its key": token(key=OTHER_RSA, jku="https://attacker.example/keys"),
    "the address of its certificate": token(x5u="https://attacker.example/certificate"),
    "its own certificate": token(x5c=["MII"]),
    "something to be understood": token(crit=["b64"], b64=False),
    "no signature": token().rsplit(".", 1)[0] + ".",
    "half a signature": token()[:-40],
    "another payload": ".".join(
        [token().split(".")[0], raw(b"", json.dumps(claims(sub="root")).encode()).split(".")[1], token().split(".")[2]]
    ),
    "no header": raw(b"[]", json.dumps(claims()).encode()),
    "half a header": raw(b'{"alg":', json.dumps(claims()).encode()),
    "two algorithms": raw(b'{"alg":"none","alg":"RS256","kid":"one"}', json.dumps(claims()).encode()),
    "an algorithm that is no text": raw(b'{"alg":["RS256"]}', json.dumps(claims()).encode()),
    "a deep header": raw(b'{"a":' * 1_000, json.dumps(claims()).encode()),
    "an id of a key that is no text": raw(b'{"alg":"RS256","kid":1}', json.dumps(claims()).encode()),
    "too much": token(claims(padding="x" * TOKEN_MAX_CHARS)),
    "a payload that is not JSON": jwt.PyJWS().encode(b"text", RSA, "RS256", {"kid": "one"}),
    "a payload that is a list": jwt.PyJWS().encode(b"[]", RSA, "RS256", {"kid": "one"}),
    "two subjects": jwt.PyJWS().encode(b'{"sub":"a","sub":"b"}', RSA, "RS256", {"kid": "one"}),
    "another issuer": token(claims(iss="https://other.example")),
    "an issuer that begins so": token(claims(iss=f"{ISSUER}.attacker.example")),
    "no issuer": token(claims(iss=None)),
    "another service": token(claims(aud="other")),
    "other services": token(claims(aud=["a", "b"])),
    "no service": token(claims(aud=None)),
    "no end": token(claims(exp=None)),
    "an end that is no number": raw(b"", b""),
    "a later beginning": token(claims(nbf=NOW_S + LEEWAY_S + 1)),
    "a later birth": token(claims(iat=NOW_S + LEEWAY_S + 1)),
    "no subject": token(claims(sub=None)),
    "an empty subject": token(claims(sub="")),
    "a long subject": token(claims(sub="x" * 257)),
    "a subject with a line break": token(claims(sub="a\nb")),
    "a tenant that is none": token(claims(tenant="../other")),
    "a tenant that is the node": token(claims(tenant="node")),
    "a long tenant": token(claims(tenant="a-" * 2_000 + "a")),
    "a tenant that is no text": token(claims(tenant=["acme"])),
    "roles that are none": token(claims(roles=[1])),
    "roles in an object": token(claims(roles={"operator": True})),
    "too many roles": token(claims(roles=[f"r{number}" for number in range(33)])),
}
for value in ("Infinity", "NaN", "1e400", '"1"', "true", "[]"):
    FORGED[f"an end of {value}"] = jwt.PyJWS().encode(
        json.dumps(claims(exp=0)).replace('"exp": 0', f'"exp": {value}').encode(), RSA, "RS256", {"kid": "one"}
    )


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED.keys())
def test_a_token_with_this_is_refused_without_a_word_of_it(text: str) -> None:
    error = refusal(text)
    assert error.code == "invalid-token"
    assert "attacker" not in str(error)
    assert "root" not in str(error)


def test_one_that_has_ended_is_told_so() -> None:
    assert refusal(token(claims(exp=NOW_S - LEEWAY_S))).code == "expired-credentials"


def test_one_that_names_no_key_is_refused_where_several_would_fit() -> None:
    two = parse_key_set(key_set(jwk(RSA, kid="a"), jwk(OTHER_RSA, kid="b")))
    assert "names no key" in refusal(token(kid=None), keys=two).detail


def test_two_tokens_at_once_are_refused() -> None:
    with pytest.raises(ParleyError, match="invalid-token"):
        method().authenticate(head(token(), token()))


def test_what_is_not_base64url_is_refused() -> None:
    # A part of one character more than a multiple of four can't be.
    assert refusal(f"{'A' * 5}.{token().split('.', 1)[1]}").code == "invalid-token"


@given(st.integers(0, 2_000), st.integers(1, 255), st.sampled_from([RSA, ED]))
def test_no_character_of_a_token_can_be_changed(place: int, change: int, key: Any) -> None:
    text = token(key=key, algorithm="RS256" if key is RSA else "EdDSA", kid="one" if key is RSA else "three")
    place %= len(text)
    changed = text[:place] + chr((ord(text[place]) + change) % 128) + text[place + 1 :]
    if changed.rstrip("=") == text or _same_bits(changed, text):
        return
    with pytest.raises(ParleyError):
        method().authenticate(head(changed))


def _same_bits(one: str, other: str) -> bool:
    """The last character of base64 may hold bits that mean nothing."""
    return one[:-1] == other[:-1]


@given(st.text(max_size=200))
def test_whatever_comes_is_refused_or_left_to_others(text: str) -> None:
    one = method()
    if one.recognises(head(text)):
        with pytest.raises(ParleyError):
            one.authenticate(head(text))


def ed_token(named: str, *, kid: str = "three", **changes: Any) -> str:
    """A token that Ed25519 has signed, whose header calls it so: PyJWT knows one of its names alone."""
    body = raw(json.dumps({"alg": named, "kid": kid}).encode(), json.dumps(claims(**changes)).encode()).rsplit(".", 1)[
        0
    ]
    return f"{body}.{urlsafe_b64encode(ED.sign(body.encode())).rstrip(b'=').decode()}"


class TestEd25519:
    @pytest.mark.parametrize("of_the_key", [None, "EdDSA", "Ed25519"])
    @pytest.mark.parametrize("of_the_token", ["EdDSA", "Ed25519"])
    def test_is_one_algorithm_by_either_of_its_names(self, of_the_key: str | None, of_the_token: str) -> None:
        named = {} if of_the_key is None else {"alg": of_the_key}
        keys = parse_key_set(key_set(jwk(ED, kid="three", **named)))
        assert caller(ed_token(of_the_token), keys=keys).name == f"jwt:{ISSUER}#somebody"

    @pytest.mark.parametrize("named", ["EdDSA", "Ed25519"])
    def test_is_not_taken_where_the_settings_don_t_name_it(self, named: str) -> None:
        expects = Expectation(ISSUER, AUDIENCE, frozenset(("RS256", "ES256")))
        error = refusal(ed_token(named), expects=expects)
        assert (error.code, error.detail) == ("invalid-token", "Its algorithm is none of ES256, RS256.")

    @pytest.mark.parametrize("named", ["Ed448", "ed25519", "ED25519", "Ed25519ph"])
    def test_goes_by_no_other_name(self, named: str) -> None:
        assert refusal(ed_token(named)).code == "invalid-token"

    @pytest.mark.parametrize("kid", ["one", "two"])
    def test_is_not_verified_with_a_key_of_another_kind(self, kid: str) -> None:
        error = refusal(ed_token("Ed25519", kid=kid))
        assert (error.code, error.detail) == (
            "invalid-token",
            "Its issuer has no key of its `kid` for its algorithm.",
        )

    def test_with_another_payload_is_refused(self) -> None:
        header, _, signature = ed_token("Ed25519").split(".")
        payload = ed_token("Ed25519", sub="another").split(".")[1]
        assert refusal(f"{header}.{payload}.{signature}").code == "invalid-token"

    def test_is_not_what_an_rsa_key_makes_of_its_name(self) -> None:
        signed = token(key=RSA, kid="three").split(".")[1:]
        header = raw(b'{"alg":"Ed25519","kid":"three"}', b"").split(".")[0]
        assert refusal(".".join((header, *signed))).code == "invalid-token"
